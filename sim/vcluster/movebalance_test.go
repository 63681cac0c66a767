package vcluster

import (
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/weigh"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// said gives what a manager has taken down of a kind.
func said(t *testing.T, c *Cluster, k wire.Manager, kind events.Kind) (out []events.Event) {
	t.Helper()
	b, err := c.gm.answer(k, membership.Query{Kind: membership.QueryEvents, Limit: 256})
	if err != nil {
		t.Fatal(err)
	}
	var page events.Page
	if err := membership.DecodeAnswer(b, &page); err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// TestDrain: a component of each role is emptied while all that it has is used, tells so, and can then be removed.
func TestDrain(t *testing.T) {
	o := testOptions(2, 3, 2)
	drained := []wire.NodeID{"p1", "m1", "s1"}
	for _, id := range drained {
		o.Orders = append(o.Orders, Order{At: 4 * time.Second, Node: id, Action: membership.Drain}, Order{At: 8 * time.Second, Node: id, Action: membership.Remove})
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var us []*user
	for i := range 6 {
		u := newUser(c, t, i+1)
		u.pace(10_000, 2_500_000)
		u.spec.Volumes = []admission.VolumeSpec{{Name: "data", SizeBytes: 2 << 20}}
		u.start()
		us = append(us, u)
	}
	if err := c.Run(7 * time.Second); err != nil {
		t.Fatal(err)
	}
	for i, k := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		h, err := c.Holdings(k, drained[i])
		if err != nil || !h.Drains || h.Left() > 0 {
			t.Errorf("%s has %+v: %v", drained[i], h, err)
		}
		if e := said(t, c, k, events.Drained); len(e) != 1 || e[0].Node != drained[i] {
			t.Errorf("%v told of %+v, want that %s has nothing left", k, e, drained[i])
		}
	}
	if m := c.nodes[c.node("m1")].(*memory); len(m.holdings().Homes)+len(m.holdings().Regions)+len(m.holdings().Caches) > 0 || m.store.Stats().Used > 0 {
		t.Errorf("m1 has %+v and %d pages", m.holdings(), m.store.Stats().Used)
	}
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	for _, u := range us {
		if !u.ended || u.err != nil {
			t.Errorf("%s ended %v: %v", u.spec.Name, u.ended, u.err)
		}
		if u.accessed != u.accesses {
			t.Errorf("%s made %d accesses", u.spec.Name, u.accessed)
		}
	}
	for _, x := range c.Ordered() {
		if x.Err != nil {
			t.Errorf("%v of %s at %v: %v", x.Action, x.Node, x.At, x.Err)
		}
	}
	for k := wire.MoveRegion; k <= wire.MoveCache; k++ {
		if moved(c, k) == 0 {
			t.Errorf("no %v moved", k)
		}
	}
	if err := settled(c); err != nil {
		t.Error(err)
	}
	for _, m := range c.Moves() {
		t.Logf("%v %s→%s %v %v from %d ms to %d ms", m.Thing(), m.From, m.Req.To, m.Cause, m.State, m.BegunMS, m.EndedMS)
	}
}

// TestBalance: processes that all began at one pComponent, and their vRegions at one mComponent, are spread when others join in, as the
// settings say, and nothing moves to and fro.
func TestBalance(t *testing.T) {
	for _, auto := range []bool{true, false} {
		o := testOptions(2, 2, 1)
		if auto {
			b := weigh.DefaultBalance()
			b.GMM.MinLoad = 10
			o.Balance = &b
		}
		for _, id := range []wire.NodeID{"p2", "m2"} { // which take nothing at first
			o.Orders = append(o.Orders, Order{Node: id, Action: membership.Drain}, Order{At: time.Second, Node: id, Action: membership.Undrain})
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		var us []*user
		for i := range 4 {
			u := newUser(c, t, i+1)
			u.pace(12_000, 8_000_000)
			u.begin = 100 * time.Millisecond
			u.start()
			us = append(us, u)
		}
		if err := c.Run(0); err != nil {
			t.Fatal(err)
		}
		for _, u := range us {
			if !u.ended || u.err != nil {
				t.Errorf("%s ended %v: %v", u.spec.Name, u.ended, u.err)
			}
		}
		often := map[movelist.Thing]int{}
		for _, m := range c.Moves() {
			if m.Cause != movelist.Balance || m.State != wire.MoveDone || !strings.Contains(m.Reason, "spread") {
				t.Errorf("%v moved from %s to %s: %v, %v: %s", m.Thing(), m.From, m.Req.To, m.Cause, m.State, m.Reason)
			}
			if often[m.Thing()]++; often[m.Thing()] > 1 {
				t.Errorf("%v moved %d times", m.Thing(), often[m.Thing()])
			}
		}
		p, r := moved(c, wire.MoveProcess), moved(c, wire.MoveRegion)
		if auto && (p != 2 || r == 0) || !auto && p+r > 0 {
			t.Errorf("balancing %v: %d processes and %d vRegions moved", auto, p, r)
		}
		if n := len(said(t, c, wire.GPM, events.Rebalanced)); auto != (n > 0) {
			t.Errorf("balancing %v: %d events of it", auto, n)
		}
		if err := settled(c); err != nil {
			t.Error(err)
		}
		t.Logf("%v, %d processes and %d vRegions moved", c.Now(), p, r)
		c.Close()
	}
}

// TestADrainThatCannotEnd is told with what is short, neither hides that all who are left wait for each other nor keeps the run, and
// ends when there is room.
func TestADrainThatCannotEnd(t *testing.T) {
	o := testOptions(2, 2, 1)
	for i := range o.Nodes {
		if o.Nodes[i].ID == "p2" {
			o.Nodes[i].ExCacheBytes = 16 * wire.PageSize // no room for a vNode
		}
	}
	o.Orders = []Order{{At: 4 * time.Second, Node: "p1", Action: membership.Drain}}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	never := vtime.Signal{Name: "what never comes"}
	u := newUser(c, t, 1)
	u.pace(10_000, 1_500_000)
	u.start()
	c.Go("waiter", func(y *vtime.Proc) { y.Wait(&never) })
	err = c.Run(0)
	if err == nil || !strings.Contains(err.Error(), "waiter waits for what never comes") {
		t.Errorf("%v, want a deadlock", err)
	}
	if !u.ended || u.err != nil || len(c.Moves()) > 0 {
		t.Errorf("ended %v: %v, %+v", u.ended, u.err, c.Moves())
	}
	if err := c.Ordered()[0].Err; err != nil {
		t.Error(err)
	}
	if e := said(t, c, wire.GPM, events.Stuck); len(e) != 1 || e[0].Node != "p1" || !strings.Contains(e[0].Reason, "lines") {
		t.Errorf("%+v, want one that says how many lines are short", e)
	}
	if h, err := c.Holdings(wire.GPM, "p1"); err != nil || !h.Drains || h.Left() > 0 {
		t.Errorf("p1 has %+v: %v", h, err)
	}
}

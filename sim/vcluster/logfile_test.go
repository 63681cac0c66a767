package vcluster

import (
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// TestFilesLeaveAnSComponent: while a process runs whose memory is in logs, the sComponent of their backup files drains and is removed, the next one dies, and then an
// owner: what was in the files is sent again to files elsewhere each time, and no page is lost or wrong.
func TestFilesLeaveAnSComponent(t *testing.T) {
	o := lively(1, 4, 3)
	for i := range o.Nodes {
		o.Nodes[i].ReplicaLogBytes = 16 * wire.PageSize
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := &wanderer{c: c, think: 60_000_000, refs: 1500, spec: admission.VNodeSpec{Name: "w", Threads: 1, ExCacheLines: 16, Memory: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1, LogBlock: true}}}
	over := false
	c.Go("w", func(y *vtime.Proc) {
		if err := w.run(y); err != nil {
			t.Error(err)
		}
		over = true
	})
	where := func() (at map[wire.NodeID]int) {
		at = map[wire.NodeID]int{}
		for _, f := range c.gm.gsm.Files() {
			at[f.Storage]++
		}
		return at
	}
	some := func(n map[wire.NodeID]int) wire.NodeID {
		for _, id := range []wire.NodeID{"s1", "s2", "s3"} { // in order
			if n[id] > 0 {
				return id
			}
		}
		t.Fatalf("there are no files at %v", c.Now())
		return ""
	}
	run := func(until time.Duration) {
		t.Helper()
		if err := c.Run(until); err != nil {
			t.Fatal(err)
		}
	}
	run(8 * time.Second)
	drains := some(where())
	act := func(a membership.Action) (err error) {
		done := false
		c.Go("people", func(y *vtime.Proc) {
			err = c.Act(y, drains, a)
			done = true
		})
		for !done {
			run(c.Now() + 100*time.Millisecond)
		}
		return err
	}
	if err := act(membership.Drain); err != nil {
		t.Fatal(err)
	}
	if err := act(membership.Remove); err == nil {
		t.Fatal("an sComponent with backup files was removed")
	}
	run(20 * time.Second)
	if n := where(); n[drains] > 0 {
		t.Fatalf("there are files where it drains: %v", n)
	}
	if err := act(membership.Remove); err != nil {
		t.Fatal(err)
	}
	dies := some(where())
	if err := c.Strike(Fault{What: Kill, Node: dies}); err != nil {
		t.Fatal(err)
	}
	run(30 * time.Second)
	if n := where(); n[dies] > 0 || len(n) == 0 {
		t.Fatalf("there are files where they were lost: %v", n)
	}
	p := c.gm.gmm.Processes(0)[0]
	owner := p.Home
	for _, r := range p.Regions {
		if r.Node != p.Home {
			owner = r.Node
		}
	}
	if err := c.Strike(Fault{What: Kill, Node: owner}); err != nil {
		t.Fatal(err)
	}
	run(2 * time.Minute)
	if !over || w.ended != nil || w.checked != w.refs || w.over < 31*time.Second {
		t.Fatalf("over %t at %v after %d accesses: %v", over, w.over, w.checked, w.ended)
	}
	recovered := false
	for _, e := range c.History(wire.GMM) {
		if recovered = recovered || e.Kind == events.Recovered; e.Kind == events.Lost {
			t.Errorf("%+v", e)
		}
	}
	if !recovered || len(where()) > 0 {
		t.Errorf("recovered %t, files %v", recovered, where())
	}
}

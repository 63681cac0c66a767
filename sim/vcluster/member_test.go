package vcluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/vtime"
)

// lively is a cluster whose components send heartbeats.
func lively(p, m, s int) Options {
	o := testOptions(p, m, s)
	o.Membership.Lease = membership.DefaultLease
	return o
}

// told is what happened to a component by the books of a manager, in short.
func told(c *Cluster, of wire.Manager, id wire.NodeID) string {
	var out []string
	for _, e := range c.History(of) {
		if e.Node == id && e.PID == 0 {
			out = append(out, fmt.Sprintf("%v %d", e.Kind, e.Epoch))
		}
	}
	return strings.Join(out, ", ")
}

// wear runs a process that faults on all of some pages again and again until it fails.
func (c *Cluster) wear(y *vtime.Proc, name string, pages uint64, think uint64) (admission.Placement, error) {
	const lines = 16
	place, err := c.Admit(y, admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: lines})
	if err != nil {
		return place, fmt.Errorf("admission: %w", err)
	}
	e := excache.DefaultOptions()
	e.Lines, e.Ways = lines, 0
	p, err := c.Open(y, ProcessOptions{PID: place.PID, Epoch: place.Epoch, Name: name, Node: place.Node, Threads: 1, ExCache: e, Home: wire.Owner{Node: place.Home.Node, Epoch: place.Home.Epoch}})
	if err != nil {
		return place, fmt.Errorf("open: %w", err)
	}
	err = p.Map(y, 1<<30, pages<<12, true, true, "")
	t := p.Thread(0)
	t.Begin(y)
	for i := uint64(0); err == nil; i++ {
		t.Compute(think)
		_, err = t.Access(1<<18+i%pages, i/pages%2 == 0)
	}
	if cerr := p.Close(y); cerr != nil && err == nil {
		err = cerr
	}
	return place, err
}

func TestHeartbeatsKeepEverybodyAMember(t *testing.T) {
	c, err := New(lively(3, 3, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Go("driver", func(y *vtime.Proc) { y.Sleep(30 * time.Second) })
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if c.Now() != 30*time.Second {
		t.Errorf("the run ended at %v, not with its driver", c.Now())
	}
	for _, k := range groups {
		for _, s := range c.Standings(k) {
			if s.Epoch != 1 || s.State != membership.Active || !s.Alive {
				t.Errorf("%v", s)
			}
			if got := told(c, k, s.ID); got != "registered 1" {
				t.Errorf("%s: %s", s.ID, got)
			}
		}
	}
	if n := c.Events(); n < 30*2*8*3*2 || n > 30*2*8*3*4 {
		t.Errorf("%d events for 30 s of 8 components at 3 managers", n)
	}
}

func TestADeadlockIsToldAmongHeartbeats(t *testing.T) {
	c, err := New(lively(1, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Go("driver", func(y *vtime.Proc) {
		y.Sleep(time.Second)
		y.Wait(&vtime.Signal{Name: "what nobody brings"})
	})
	var d *vtime.DeadlockError
	if err := c.Run(0); !errors.As(err, &d) || len(d.Waits) != 1 || !strings.Contains(d.Waits[0], "what nobody brings") {
		t.Errorf("%v, want a deadlock", err)
	}
}

// TestMemoryIsKilledAndStartedAgain: its process fails by name, the other one goes on; it is declared dead when nobody reaches it,
// rejoins under another epoch, and serves again.
func TestMemoryIsKilledAndStartedAgain(t *testing.T) {
	o := lively(2, 2, 1)
	o.Fault.PatienceMS = 1000
	o.Faults = []Fault{{At: 5 * time.Second, What: Kill, Node: "m1"}, {At: 20 * time.Second, What: Start, Node: "m1"}}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	failed := map[wire.NodeID]error{}
	stop := false
	for _, name := range []string{"a", "b"} {
		c.Go(name, func(y *vtime.Proc) {
			place, err := c.wear(y, name, 64, 50_000_000)
			failed[place.Home.Node] = err
			if err := c.Release(y, place.PID); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	c.Go("end", func(y *vtime.Proc) {
		y.Sleep(15 * time.Second)
		if got := fmt.Sprint(c.Standings(wire.GMM)); got != "[m1 epoch 1 dead silent m2 epoch 1 active heard]" {
			t.Errorf("at 15 s: %s", got)
		}
		y.Sleep(10 * time.Second)
		if got := fmt.Sprint(c.Standings(wire.GMM)); got != "[m1 epoch 2 active heard m2 epoch 1 active heard]" {
			t.Errorf("at 25 s: %s", got)
		}
		stop = true
		for _, n := range c.compute {
			for _, p := range n.sorted() {
				p.Stop(wire.Errorf(wire.KindFailed, "enough"))
			}
		}
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if err := failed["m1"]; err == nil || !strings.Contains(err.Error(), "m1 did not answer for 1000 ms") {
		t.Errorf("the process at m1 ended with %v", err)
	}
	if err := failed["m2"]; err == nil || !strings.Contains(err.Error(), "enough") || !stop {
		t.Errorf("the process at m2 ended with %v", err)
	}
	if got := told(c, wire.GMM, "m1"); got != "registered 1, silent 1, dead 1, rejoined 2" {
		t.Errorf("m1: %s", got)
	}
	if err := balanced(c); err != nil {
		t.Error(err)
	}
	if c.Restarts() != 1 {
		t.Errorf("%d restarts", c.Restarts())
	}
}

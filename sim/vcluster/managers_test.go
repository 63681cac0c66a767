package vcluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// small is a cluster on which few vNodes of eight lines fit.
func small(p, m, s int) Options {
	o := testOptions(p, m, s)
	for i := range o.Nodes {
		o.Nodes[i].ExCacheBytes = 32 * wire.PageSize
	}
	return o
}

// TestQueue: who may wait gets its place when another gives it back, and is refused at its deadline if none does.
func TestQueue(t *testing.T) {
	c, err := New(small(1, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var order []string
	one := func(name string, lines uint64, deadline uint32, begin, hold time.Duration) {
		c.Go(name, func(y *vtime.Proc) {
			y.Sleep(begin)
			p, err := c.Admit(y, admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: lines, IfFull: admission.Queue, DeadlineMS: deadline})
			if err != nil {
				order = append(order, fmt.Sprintf("%s refused at %v", name, y.Now().Round(100*time.Millisecond)))
				if !strings.Contains(err.Error(), "its deadline") {
					t.Errorf("%s: %v", name, err)
				}
				return
			}
			order = append(order, fmt.Sprintf("%s in at %v", name, y.Now().Round(100*time.Millisecond)))
			y.Sleep(hold)
			if err := c.Release(y, p.PID); err != nil {
				t.Error(err)
			}
		})
	}
	one("first", 32, 1000, 0, 5*time.Second)
	one("impatient", 16, 2000, time.Second, time.Second)
	one("second", 16, 20_000, 2*time.Second, time.Second)
	one("third", 16, 20_000, 2*time.Second, time.Second)
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	want := "first in at 0s, impatient refused at 3s, second in at 5.1s, third in at 5.1s"
	if got := strings.Join(order, ", "); got != strings.ReplaceAll(want, "5.1s", "5s") && got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := balanced(c); err != nil {
		t.Error(err)
	}
}

// TestPreempt: a vNode of a higher priority has the process of a lower one ended, which learns why.
func TestPreempt(t *testing.T) {
	c, err := New(small(1, 2, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended, got := error(nil), false
	c.Go("low", func(y *vtime.Proc) {
		p, place, err := admitted(y, c, admission.VNodeSpec{Name: "low", Threads: 1, ExCacheLines: 32, Priority: 2}, 64)
		if err != nil {
			t.Error(err)
			return
		}
		th := p.Thread(0)
		th.Begin(y)
		for i := uint64(0); ended == nil; i++ {
			_, ended = th.Access(firstPage+i%64, true)
			th.Compute(1_000_000)
		}
		if err := p.Close(y); err != nil {
			t.Error(err)
		}
		if err := c.Release(y, place.PID); err != nil && wire.KindOf(err) != wire.KindNotFound {
			t.Error(err)
		}
	})
	c.Go("high", func(y *vtime.Proc) {
		y.Sleep(300 * time.Millisecond)
		p, err := c.Admit(y, admission.VNodeSpec{Name: "high", Threads: 1, ExCacheLines: 16, Priority: 7, IfFull: admission.Preempt, DeadlineMS: 10_000})
		if err != nil {
			t.Error(err)
			return
		}
		got = true
		if err := c.Release(y, p.PID); err != nil {
			t.Error(err)
		}
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if !got || ended == nil || !strings.Contains(ended.Error(), `preempted by vNode "high"`) {
		t.Errorf("the one ended with %v, the other has a place: %v", ended, got)
	}
	if err := balanced(c); err != nil {
		t.Error(err)
	}
}

// TestManagersInAnyWorld: commands are lost, unheard, late and applied twice, leaders change; every admission ends, and when all
// have given back what they had, the books are empty and agree.
func TestManagersInAnyWorld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := small(2, 2, 1)
		o.Seed = rapid.Uint64().Draw(t, "seed")
		share := rapid.SampledFrom([]float64{0, 0.05, 0.2})
		o.Raft = RaftFaults{
			Lost: share.Draw(t, "lost"), Unheard: share.Draw(t, "unheard"), Late: share.Draw(t, "late"), Twice: share.Draw(t, "twice"),
			LeaderChange: rapid.SampledFrom([]time.Duration{0, 400 * time.Millisecond, 3 * time.Second}).Draw(t, "leader change"), Until: 30 * time.Second,
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		answered, vnodes := 0, rapid.IntRange(1, 12).Draw(t, "vnodes")
		for i := range vnodes {
			spec := admission.VNodeSpec{
				Name: fmt.Sprint("v", i), Threads: 1, ExCacheLines: rapid.SampledFrom([]uint64{4, 16, 32, 64}).Draw(t, "lines"), Priority: uint8(rapid.IntRange(1, 9).Draw(t, "priority")),
				IfFull: rapid.SampledFrom([]admission.IfFull{admission.Refuse, admission.Queue, admission.Preempt}).Draw(t, "if full"), DeadlineMS: 20_000,
			}
			for k := range rapid.IntRange(0, 2).Draw(t, "volumes") {
				spec.Volumes = append(spec.Volumes, admission.VolumeSpec{Name: fmt.Sprintf("v%d-%d", i, k), SizeBytes: 1 << 20})
			}
			begin := time.Duration(rapid.IntRange(0, 5000).Draw(t, "begin")) * time.Millisecond
			hold := time.Duration(rapid.IntRange(0, 5000).Draw(t, "hold")) * time.Millisecond
			c.Go(spec.Name, func(y *vtime.Proc) {
				y.Sleep(begin)
				p, err := c.Admit(y, spec)
				if err == nil {
					y.Sleep(hold)
					if err := c.Release(y, p.PID); err != nil && wire.KindOf(err) != wire.KindNotFound { // ended for another
						t.Errorf("%s: release: %v", spec.Name, err)
					}
				} else if k := wire.KindOf(err); k != wire.KindNoRoom && k != wire.KindUnavailable && k != wire.KindFailed {
					t.Errorf("%s: %v", spec.Name, err)
				}
				answered++
			})
		}
		if err := c.clock.Run(vtime.Limits{Events: 2_000_000}); err != nil {
			t.Fatal(err)
		}
		if answered != vnodes || c.clock.Pending() > 0 {
			t.Fatalf("%d of %d admissions ended at %v, %d events are pending", answered, vnodes, c.Now(), c.clock.Pending())
		}
		if err := balanced(c); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLossStopsNoLog: messages between managers are lost, too, and are sent again: every admission ends.
func TestLossStopsNoLog(t *testing.T) {
	o := testOptions(1, 1, 1)
	o.Hardware.Link.Loss = 600_000_000 // of a milliard
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended := 0
	c.Go("driver", func(y *vtime.Proc) {
		for i := range 5 {
			p, err := c.Admit(y, admission.VNodeSpec{Name: fmt.Sprint("v", i), Threads: 1, ExCacheLines: 8})
			if err == nil {
				err = c.Release(y, p.PID)
			}
			if err != nil {
				t.Error(err)
			}
			ended++
		}
	})
	if err := c.Run(0); err != nil || ended != 5 {
		t.Fatalf("%d of 5 ended: %v", ended, err)
	}
	if err := balanced(c); err != nil {
		t.Error(err)
	}
}

// TestRaftFaultsAreNamed, each by its key.
func TestRaftFaultsAreNamed(t *testing.T) {
	o := testOptions(1, 1, 1)
	o.Raft = RaftFaults{Lost: -1, Late: 2, LeaderChange: time.Millisecond}
	_, err := New(o)
	for _, key := range []string{"raft.lost: -1", "raft.late: 2", "raft.leader_change: 1ms", "raft.until: 0s"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%v, want a fault that begins with %q", err, key)
		}
	}
}

// TestManyAtOnce: more vNodes are given back at one moment than one coordinator drives, and more homes ask for owners than one
// session remembers.
func TestManyAtOnce(t *testing.T) {
	const vnodes = admission.MaxDriven + 200
	o := testOptions(4, 4, 1)
	o.Managers.Overcommit = 10_000 // a vRegion for each
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended := 0
	c.Go("all", func(y *vtime.Proc) {
		for i := range vnodes {
			spec := admission.VNodeSpec{Name: fmt.Sprint("v", i), Threads: 1, ExCacheLines: 8}
			p, err := c.Admit(y, spec)
			if err != nil {
				t.Error(err)
				return
			}
			c.Go(spec.Name, func(y *vtime.Proc) {
				y.Sleep(10*time.Second - y.Now())
				v, err := opened(y, c, spec, p, 4)
				if err == nil {
					err = v.Close(y)
				}
				y.Sleep(20*time.Second - y.Now())
				if err == nil {
					err = c.Release(y, p.PID)
				}
				if err != nil {
					t.Error(err)
				}
				ended++
			})
		}
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if ended != vnodes {
		t.Errorf("%d of %d ended", ended, vnodes)
	}
	if err := balanced(c); err != nil {
		t.Error(err)
	}
}

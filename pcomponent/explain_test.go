package pcomponent

import (
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/slowest"
)

// TestSlowFaults: the stages of each fault that is kept add up to its time, some fetches are timed and know what their owner did, and a process that has
// ended leaves what it had.
func TestSlowFaults(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(4, "list"), 1, nil)
	const pages = 64
	mapPages(t, p, 0, pages, true)
	w, th := counts{}, p.Thread(0)
	th.Begin()
	for i := range uint64(3 * slowest.Size * slowest.TimedEvery) {
		w.touch(t, th, i%pages, true)
	}
	th.End()
	check := func(rep wire.SlowFaultsRep) {
		t.Helper()
		timed := 0
		for i, f := range rep.Faults {
			sum := uint64(0)
			for _, ns := range f.Stages {
				sum += ns
			}
			if sum != f.TookNS || f.PID != 7 || f.Node != "p1" || f.Process != "test" || i > 0 && f.TookNS > rep.Faults[i-1].TookNS {
				t.Errorf("fault %d is not explained: %+v", i, f)
			}
			if f.Timed {
				if timed++; f.Stages[wire.StageMessage] != 0 || f.Fetches == 0 || f.Owner != os[0].id {
					t.Errorf("a timed fault: %+v", f)
				}
			} else if f.Fetches > 0 && f.Stages[wire.StageMessage] == 0 {
				t.Errorf("a fetch that was not timed: %+v", f)
			}
		}
		if timed != slowest.Size || rep.Every != slowest.TimedEvery || rep.Node != "p1" {
			t.Errorf("%d of %d faults are timed, one in %d at %s, want %d", timed, len(rep.Faults), rep.Every, rep.Node, slowest.Size)
		}
	}
	c := p.c
	before := c.SlowFaults(0)
	check(before)
	if got := c.SlowFaults(3).Faults; len(got) != 3 || got[0] != before.Faults[0] {
		t.Errorf("the first three are %+v", got)
	}
	if err := p.Close(background(t)); err != nil {
		t.Fatal(err)
	}
	check(c.SlowFaults(0))
}

// BenchmarkExplainedFetch is what a fetch costs more because the slowest are explained, but for the looks at the clock in the message layer: one in
// slowest.TimedEvery is timed, and none is slower than those that are kept.
func BenchmarkExplainedFetch(b *testing.B) {
	os := startOwners(b, 1)
	p := open(b, os[0], small(4, "list"), 1, nil)
	th := p.Thread(0)
	th.Begin()
	defer th.End()
	e := fault.Effect{Owner: wire.Owner{Node: os[0].id}}
	peer := p.peer(string(os[0].addr))
	for i := range b.N {
		th.spent = spent{}
		p.timeFetch(th, &e, peer, false)
		took := time.Duration(1)
		if i < 100 {
			took = time.Hour // so that what follows is not kept
		}
		if th.spent.trace != 0 || p.slow.Beats(took, false) {
			th.explain(1, false, fault.Fetched, 0, took)
		}
	}
}

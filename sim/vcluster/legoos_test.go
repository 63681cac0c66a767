package vcluster

import (
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/sim/vtime"
)

// dirtyRounds writes more pages than the ExCache holds, a few times with some threads, checks what each read gives, and says how long it took.
func dirtyRounds(t *testing.T, o Options) (took time.Duration, c *Cluster) {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Go("driver", func(y *vtime.Proc) {
		p, _, err := admitted(y, c, admission.VNodeSpec{Name: "one", Threads: 2, ExCacheLines: 64}, 1024)
		if err != nil {
			t.Error(err)
			return
		}
		began := y.Now()
		left := 2
		done := vtime.Signal{Name: "threads"}
		for n := range 2 {
			c.Go("thread", func(y *vtime.Proc) {
				th := p.Thread(n)
				th.Begin(y)
				for round := range 3 {
					for i := uint64(n); i < 512; i += 2 {
						s, err := th.Access(firstPage+i, true)
						if err != nil {
							t.Error(err)
							return
						}
						if int(s[0]) != round {
							t.Errorf("page %d holds %d in round %d", i, s[0], round)
							return
						}
						s[0]++
					}
				}
				th.Sync()
				left--
				done.Wake()
			})
		}
		for left > 0 {
			y.Wait(&done)
		}
		took = y.Now() - began
		if err := p.Drain(y); err != nil {
			t.Error(err)
		}
		if err := p.Core().CheckInvariants(); err != nil {
			t.Error(err)
		}
		if err := p.Close(y); err != nil {
			t.Error(err)
		}
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	return took, c
}

// TestWhatLegoOSDoes: no page is wrong with what differs in LegoOS, and it costs what it must.
func TestWhatLegoOSDoes(t *testing.T) {
	plain := testOptions(1, 2, 1)
	plain.Fault.Piggyback = false
	base, _ := dirtyRounds(t, plain)

	first := plain
	first.FlushFirst = true
	slow, _ := dirtyRounds(t, first)
	if slow <= base {
		t.Errorf("with FlushFirst %v, without %v", slow, base)
	}
	for _, piggyback := range []bool{false, true} {
		o := first
		o.Fault.Piggyback = piggyback
		alone, _ := dirtyRounds(t, o)
		o.Replication = &Replication{EntryBytes: 4144, Entries: 8, LogBytes: 8 * 4128}
		both, c := dirtyRounds(t, o)
		if both <= alone {
			t.Errorf("piggyback %v: replicated %v, alone %v", piggyback, both, alone)
		}
		if c.Skipped() == 0 {
			t.Errorf("piggyback %v: a log of 8 entries was never full while it was written", piggyback)
		}
		o.Nodes = append([]Node(nil), o.Nodes...)
		for i := range o.Nodes {
			o.Nodes[i].WorkersWait = true
		}
		dirtyRounds(t, o)
	}
	// Larger messages take longer.
	o := plain
	o.Sizes = ownSizes
	o.Sizes.Page += 4096
	if large, _ := dirtyRounds(t, o); large <= base {
		t.Errorf("with pages twice as large on the wire %v, before %v", large, base)
	}
}

func TestFaultsOfTheOptionsForLegoOS(t *testing.T) {
	for _, c := range []struct {
		want string
		set  func(o *Options)
	}{
		{"sizes: ", func(o *Options) { o.Sizes.Miss = 40 }},
		{"replication: 2 mComponents and 0", func(o *Options) {
			*o = testOptions(1, 2, 0)
			o.Replication = &Replication{4144, 256, 1 << 20}
		}},
		{"want each at least 1", func(o *Options) { o.Replication = &Replication{4144, 0, 1 << 20} }},
	} {
		o := testOptions(1, 2, 1)
		c.set(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

package vcluster

import (
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/fifo"
	"splitkernel/sim/units"
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

// TestOwnQueues: requests join the queues in turn, even if a worker is free.
func TestOwnQueues(t *testing.T) {
	n := &Node{Role: wire.RoleMemory, Workers: 2, OwnQueues: true}
	w := newWorkers(n, 4)
	for job, want := range []struct {
		outcome fifo.Outcome
		queue   int32
	}{{fifo.Begin, 0}, {fifo.Begin, 1}, {fifo.Wait, 0}} {
		if outcome, queue := w.arrive(0, uint32(job)); outcome != want.outcome || queue != want.queue {
			t.Errorf("job %d: outcome %d in queue %d, want %+v", job, outcome, queue, want)
		}
	}
	if _, ok := w.pools[1].Release(5); ok {
		t.Error("the second worker found a job in a queue that has none")
	}
	w.arrive(5, 3) // the second queue's turn
	if outcome, queue := w.arrive(5, 4); outcome != fifo.Wait || queue != 0 {
		t.Errorf("the next job: outcome %d in queue %d, want it to wait in queue 0", outcome, queue)
	}
	if next, ok := w.pools[0].Release(9); !ok || next != 2 {
		t.Errorf("released to %d (%v), want job 2", next, ok)
	}
	if busy := w.busy(); busy != 9+5 {
		t.Errorf("workers were busy for %v, want 14ns", busy)
	}
}

// TestSilentMessages: a replica that finds no place or is lost holds nobody up.
func TestSilentMessages(t *testing.T) {
	o := testOptions(1, 2, 1)
	o.Replication = &Replication{EntryBytes: 4144, Entries: 8, LogBytes: 8 * 4128}
	o.Hardware.Endpoint.WorkerQueue = 1
	o.Hardware.Link.Loss = units.Whole / 1000
	for i := range o.Nodes {
		if o.Nodes[i].Role == wire.RoleMemory {
			o.Nodes[i].Workers = 1
		}
	}
	dirtyRounds(t, o)
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
		sent, c := dirtyRounds(t, o)
		if c.Skipped() == 0 {
			t.Errorf("piggyback %v: a log of 8 entries was never full while it was written", piggyback)
		}
		o.Replication = &Replication{EntryBytes: 4144, Entries: 8, LogBytes: 8 * 4128, Wait: true}
		both, c := dirtyRounds(t, o)
		if both <= alone || sent <= alone {
			t.Errorf("piggyback %v: replicated and answered %v, replicated and sent %v, alone %v", piggyback, both, sent, alone)
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
	// Copies of lines take time, and so do threads that share a core.
	released := first
	released.Fault.Piggyback, released.Released = true, true
	copied, _ := dirtyRounds(t, released)
	released.Released = false
	if direct, _ := dirtyRounds(t, released); copied <= direct {
		t.Errorf("with copies %v, without %v", copied, direct)
	}
	shared := plain
	shared.Nodes = append([]Node(nil), plain.Nodes...)
	for i := range shared.Nodes {
		shared.Nodes[i].OwnQueues = true
		shared.Nodes[i].Slow = []units.Ratio{units.One, 2 * units.One}
	}
	if slowed, _ := dirtyRounds(t, shared); slowed <= base {
		t.Errorf("with threads that share a core %v, before %v", slowed, base)
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
			o.Replication = &Replication{4144, 256, 1 << 20, true}
		}},
		{"slow with 2 threads: 0.5, want 1 to 1000", func(o *Options) { o.Nodes[0].Slow = []units.Ratio{units.One, units.One / 2} }},
		{"want each at least 1", func(o *Options) { o.Replication = &Replication{4144, 0, 1 << 20, true} }},
	} {
		o := testOptions(1, 2, 1)
		c.set(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

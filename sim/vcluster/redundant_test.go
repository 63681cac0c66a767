package vcluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// apartFaults draws what happens to mComponents, one after the other and so far apart that what was lost is restored between two: each is killed and
// started again, or cut off for longer than a lease and back.
func apartFaults(t *rapid.T) (out []Fault) {
	at := 8 * time.Second
	for range rapid.IntRange(1, 3).Draw(t, "faults") {
		at += time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Millisecond
		f := Fault{At: at, What: Kill, Node: wire.NodeID(fmt.Sprint("m", rapid.IntRange(1, 5).Draw(t, "node")))}
		last := time.Duration(rapid.IntRange(200, 5000).Draw(t, "for")) * time.Millisecond
		if rapid.Bool().Draw(t, "cut") {
			f.What, f.For = Partition, last
		} else {
			out = append(out, Fault{At: at + last, What: Start, Node: f.Node})
		}
		out = append(out, f)
		at += last + 8*time.Second
	}
	return out
}

// TestRedundancyInAnyWorld: mComponents with redundant vRegions and homes are killed and cut off one after the other while processes run. No process hears of it, no page
// is wrong, and in the end redundancy is restored and nothing is left.
func TestRedundancyInAnyWorld(t *testing.T) {
	runs, rejoined, recovered, pulled, made := 0, 0, 0, uint64(0), uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		o := lively(2, 5, 2)
		if o.Seed = rapid.Uint64().Draw(t, "seed"); o.Seed%4 != 0 || raceEnabled && o.Seed%16 != 0 {
			return // each takes its time: a quarter of them, and of these the race detector a quarter
		}
		o.Membership.Sweep = 5 * time.Second
		o.Faults = apartFaults(t)
		o.Orders = anyOrders(t)
		o.MoveTimeout = 5 * time.Second
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		policy := rapid.SampledFrom([]wire.MemoryPolicy{{Kind: wire.MemorySync, Copies: 1}, {Kind: wire.MemorySync, Copies: 2}, {Kind: wire.MemoryLog, Copies: 1, LogBlock: true}, {Kind: wire.MemoryErasure, Data: 2, Parity: 1}, {Kind: wire.MemoryErasure, Data: 2, Parity: 1}}).Draw(t, "policy")
		over, n := 0, rapid.IntRange(1, 3).Draw(t, "processes")
		var ws []*wanderer
		for i := range n {
			w := &wanderer{
				c: c, begin: time.Duration(rapid.IntRange(0, 5000).Draw(t, "begin")) * time.Millisecond,
				think: rapid.SampledFrom([]uint64{1000, 60_000_000, 100_000_000}).Draw(t, "think"), refs: rapid.IntRange(100, 800).Draw(t, "refs"),
				spec: admission.VNodeSpec{Name: fmt.Sprint("w", i), Threads: 1, ExCacheLines: 16, Memory: policy},
			}
			ws = append(ws, w)
			c.Go(w.spec.Name, func(y *vtime.Proc) {
				if err := w.run(y); err != nil {
					t.Errorf("%s: %v", w.spec.Name, err)
				}
				over++
			})
		}
		if err := c.clock.Run(vtime.Limits{Events: 5_000_000}); err != nil {
			t.Fatal(err)
		}
		if over != n {
			t.Fatalf("%d of %d processes are over at %v; %v; %v", over, n, c.Now(), policy, o.Faults)
		}
		for _, w := range ws {
			if w.ended != nil {
				t.Fatalf("%s: %v; %v; %v; %+v", w.spec.Name, w.ended, policy, o.Faults, c.History(wire.GMM))
			}
			runs++
		}
		if err := c.Run(max(c.Now(), healed) + rest); err != nil {
			t.Fatal(err)
		}
		if err := balanced(c); err != nil {
			t.Fatal(err)
		}
		if d := c.Audit(); len(d) > 0 {
			t.Fatalf("%+v; %v", d, o.Faults)
		}
		for _, m := range c.memory {
			if h := m.holdings(); len(h.Homes)+len(h.Regions)+len(h.Replicas)+len(h.Backups) > 0 || m.store.Stats().Used > 0 {
				t.Fatalf("%s has %+v and %d pages; %v; %v", m.o.ID, h, m.store.Stats().Used, policy, o.Faults)
			}
			if m.red == nil {
				continue
			}
			if err := m.red.primary.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if err := m.red.holder.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if err := m.red.shares.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			pulled, made = pulled+m.red.pulled, made+m.red.made
		}
		for _, s := range c.Standings(wire.GMM) {
			if s.State != membership.Active {
				t.Fatalf("%v; %v", s, o.Faults)
			}
			if s.Epoch > 1 {
				rejoined++
			}
		}
		for _, e := range c.History(wire.GMM) {
			switch {
			case e.Kind == events.Recovered:
				recovered++
			case e.Kind == events.FirstAccess && e.Amount > 700 && !slices.ContainsFunc(ws, func(w *wanderer) bool { return w.over.Milliseconds() < e.MS }):
				// Nobody waits for what a process had that is over, and its home knows nothing of it any more.
				t.Fatalf("%s was declared dead, and it took %d ms until its memory was served again; %v; %+v", e.Node, e.Amount, o.Faults, c.History(wire.GMM))
			}
		}
	})
	t.Logf("%d processes, %d components joined again, after %d failures something was recovered, %d pages came from logs, %d were made of shares", runs, rejoined, recovered, pulled, made)
	if few := 20; runs > few && (rejoined == 0 || recovered == 0 || made == 0) {
		t.Error("nothing is tested")
	}
}

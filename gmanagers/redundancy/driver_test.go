package redundancy_test

import (
	"testing"
	"time"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

var policies = []wire.MemoryPolicy{
	{Kind: wire.MemorySync, Copies: 1}, {Kind: wire.MemorySync, Copies: 2}, {Kind: wire.MemoryLog, Copies: 1}, {Kind: wire.MemoryLog, Copies: 1, LogBlock: true},
	{Kind: wire.MemoryErasure, Data: 2, Parity: 1},
}

// TestWorlds: mComponents die, at any step of a recovery too, messages are lost, late and doubled, and leaders change. No write that was
// acknowledged is lost, unless the books say that its vRegion is, and once faults end everything is whole within a bound.
func TestWorlds(t *testing.T) {
	seeds := uint64(24)
	if testing.Short() {
		seeds = 10
	}
	kills, lost, recovered, whole := 0, 0, 0, 0
	for seed := range seeds {
		w := newWorld(seed)
		w.faults = true
		for i := range 1 + w.rng.IntN(4) {
			w.place(wire.PID(i+1), policies[w.rng.IntN(len(policies))], 1+w.rng.IntN(6))
		}
		w.lead()
		const faulty = 40 * time.Second
		var often func()
		often = func() {
			w.write()
			if w.now < faulty+20*time.Second {
				w.after(w.upTo(20*time.Millisecond), often)
			}
		}
		often()
		for range w.rng.IntN(6) {
			w.after(w.upTo(faulty), func() { w.kill(w.nodes[w.rng.IntN(len(w.nodes))], w.rng.IntN(3) == 0) })
		}
		if w.rng.IntN(2) == 0 { // at a step of a recovery, too
			left := 2
			w.onApply = func(c redundancy.Change) {
				if left > 0 && w.now < faulty && c.Verb != redundancy.Progress && w.rng.IntN(4) == 0 {
					left--
					w.after(w.upTo(5*time.Millisecond), func() { w.kill(w.nodes[w.rng.IntN(len(w.nodes))], false) })
				}
			}
		}
		for range w.rng.IntN(5) {
			w.after(w.upTo(faulty), w.lead)
		}
		w.run(faulty, func() bool { return false })
		w.faults, w.onApply = false, nil
		settled := func() bool {
			if len(w.books.Unsettled()) > 0 {
				return false
			}
			for _, n := range w.nodes {
				if n.down {
					return false
				}
			}
			return true
		}
		w.run(faulty+60*time.Second, settled)
		if w.err == nil && !settled() {
			for _, l := range w.books.Unsettled() {
				w.fail("after a minute without faults: %v: %v at %s, epoch %d, configuration %d, holders %+v, sources %+v, known %t, served %t", l.Part, l.Stage, l.Node, l.Epoch, l.Config, l.Holders, l.Sources, l.Known, l.Served)
			}
		}
		if w.err == nil {
			w.run(w.now+2*time.Second, func() bool { return false })
			w.check()
		}
		if w.err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, w.err, w.tell())
		}
		for _, f := range w.books.Failures() {
			if f.RestoredMS == 0 {
				t.Fatalf("seed %d: %+v has not ended", seed, f)
			}
			lost, recovered = lost+int(f.Lost), recovered+int(f.Served)
		}
		kills += w.kills
		if seed%12 == 0 {
			w.tapes.Again(t, w.rng, func(string, []byte) (taped.Core, error) { return redundancy.New(), nil })
		}
		whole++
	}
	t.Logf("%d worlds, %d deaths, %d homes and vRegions recovered, %d lost by name", whole, kills, recovered, lost)
	if recovered < kills/2 || kills == 0 {
		t.Errorf("%d deaths and %d recoveries: the worlds are too quiet", kills, recovered)
	}
}

// TestOneDeath: without other faults, one death loses nothing under any policy, and the failure is told with its times in order.
func TestOneDeath(t *testing.T) {
	for i, policy := range policies {
		w := newWorld(uint64(i))
		w.place(1, policy, 6)
		w.lead()
		w.run(2*time.Second, func() bool { return false })
		if n := len(w.books.Unsettled()); n > 0 || w.err != nil {
			t.Fatalf("%v: %d are not settled at first: %v", policy, n, w.err)
		}
		for range 50 {
			w.write()
		}
		w.kill(w.node(w.books.Processes(1)[0].Regions[0].Node), false)
		w.run(20*time.Second, func() bool { return false })
		w.check()
		fs := w.books.Failures()
		if len(fs) != 1 || w.err != nil {
			t.Fatalf("%v: %+v, %v", policy, fs, w.err)
		}
		f := fs[0]
		if f.Lost != 0 || f.Served == 0 || f.SilentMS != 3000 || f.FencedMS == 0 || f.FencedMS > f.ServedMS || f.FirstMS > f.ServedMS || f.ServedMS > f.RecoveredMS || f.RecoveredMS > f.RestoredMS {
			t.Errorf("%v: %+v", policy, f)
		}
		told := map[events.Kind]bool{}
		b, err := w.books.Query(membership.Query{Kind: membership.QueryEvents})
		if err != nil {
			t.Fatal(err)
		}
		var page events.Page
		if err := membership.DecodeAnswer(b, &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			told[e.Kind] = true
		}
		for _, k := range []events.Kind{events.Dead, events.Recovering, events.FirstAccess, events.Recovered, events.Restored} {
			if !told[k] {
				t.Errorf("%v: no event %v", policy, k)
			}
		}
	}
}

// TestDrain: the copies that an mComponent keeps are made elsewhere when it drains, and it is let go only then.
func TestDrain(t *testing.T) {
	w := newWorld(3)
	w.place(1, wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 2}, 4)
	w.lead()
	w.run(time.Second, func() bool { return false })
	for range 50 {
		w.write()
	}
	id := w.books.Processes(1)[0].Regions[0].Copies.Holders[0].Node
	if err := w.apply(gmm.Request{Op: gmm.OpNode, Member: wire.Member{ID: id}, Action: membership.Drain}).Err(); err != nil {
		t.Fatal(err)
	}
	if w.books.Kept(id) == 0 {
		t.Fatal("it was let go before anything was copied")
	}
	if err := w.apply(gmm.Request{Op: gmm.OpNode, Member: wire.Member{ID: id}, Action: membership.Remove}).Err(); wire.KindOf(err) != wire.KindBusy {
		t.Fatalf("removing it: %v", err)
	}
	w.run(20*time.Second, func() bool { return w.books.Kept(id) == 0 })
	w.run(w.now+5*time.Second, func() bool { return false })
	w.check()
	if w.books.Kept(id) != 0 || len(w.books.Unsettled()) > 0 || w.err != nil {
		t.Fatalf("%d copies are left, %+v: %v", w.books.Kept(id), w.books.Unsettled(), w.err)
	}
}

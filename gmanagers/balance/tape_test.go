package balance

import (
	"testing"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// TestAgain: a balancer that is made again by its tape, also from a snapshot on, plans the same.
func TestAgain(t *testing.T) {
	moves, drains := 0, 0
	for seed := range uint64(12) {
		h := TapeHead{Kind: wire.MoveRegion, Options: DefaultOptions(), Resource: "bytes", Policy: []string{"round_robin", "worst_fit", "two_choices"}[seed%3]}
		h.Options.CoolDownMS = 4000
		measure := []Measure{Rate, Threads, BusyCores}[seed/3%3]
		if measure == Threads {
			h.Options.Second, h.Options.SecondWeight, h.Options.QueueWeight = BusyCores, 3, 0.5
		}
		w := newWorld(h.Options, measure, seed)
		h.Options = w.o
		b, err := h.New()
		if err != nil {
			t.Fatal(err)
		}
		tapes := tapedtest.Tapes{Scratch: []string{"set"}}
		w.b = b
		b.Record(&tapes, b, TapeKind, &h)
		w.noise, w.looks = 0.2, 3
		for range 2 + w.rng.IntN(5) {
			w.component(1000, 1)
		}
		for range 4 + w.rng.IntN(16) {
			w.thing(w.cs[w.rng.IntN(len(w.cs))], 1+w.rng.Uint64N(20), float64(w.rng.IntN(5000)), w.rng.IntN(2) == 0)
		}
		for n := range 30 {
			if n == 20 {
				w.component(1000, 1) // joins
			}
			if n == 10 {
				w.cs[0].Draining = true
				w.b.SoonDrain(w.now)
			}
			if w.rng.IntN(4) == 0 {
				w.b.Soon(w.now + time.Duration(w.rng.IntN(1000))*time.Millisecond)
			}
			if err := w.step(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for _, m := range w.last.Moves {
				if moves++; m.Drain {
					drains++
				}
			}
		}
		tapes.Again(t, w.rng, remake)
	}
	if moves == drains || drains == 0 {
		t.Errorf("%d moves, %d of them drains", moves, drains)
	}
}

func remake(_ string, head []byte) (taped.Core, error) {
	h, err := taped.Read[TapeHead](head)
	if err != nil {
		return nil, err
	}
	return h.New()
}

// TestManyThings: more than one record holds are on several, and a snapshot between two has what is on the first.
func TestManyThings(t *testing.T) {
	w := newWorld(DefaultOptions(), Rate, 1)
	h := TapeHead{Kind: wire.MoveRegion, Options: w.o, Resource: "bytes", Policy: "worst_fit"}
	b, err := h.New()
	if err != nil {
		t.Fatal(err)
	}
	tapes := tapedtest.Tapes{Scratch: []string{"set"}}
	w.b = b
	b.Record(&tapes, b, TapeKind, &h)
	for range 2 {
		w.component(10*partThings, 1)
	}
	for i := range partThings + 7 {
		w.thing(w.cs[i%2], 1, 1, true)
	}
	for range 2 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	if tapes.Records() != 4 {
		t.Errorf("%d records, want two looks of two", tapes.Records())
	}
	tapes.Again(t, w.rng, remake)
}

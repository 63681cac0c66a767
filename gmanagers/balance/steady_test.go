package balance

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// steady is a world whose loads stay as they are, with all that is weighed.
type steady struct {
	*world
	rate float64 // of the second measure in units of the first
	most float64 // ops of the component that can do least before requests wait for ever
}

// bears is what a thing really bears.
func (w *steady) bearsOf(t *wthing) float64 { return t.true + w.rate*t.also }

// square is Σ power·bears², what is under way counted where it goes: it has the least value when all bear the same.
func (w *steady) square() (sum float64) {
	for _, c := range w.cs {
		x := 0.0
		for _, t := range w.ts {
			if at := t.To; at == c.ID || at == "" && t.Holder == c.ID {
				x += w.bearsOf(t)
			}
		}
		sum += x * x / c.Power
	}
	return sum
}

func drawSteady(t *rapid.T) *steady {
	o := drawOptions(t)
	o.QueueWeight = rapid.SampledFrom([]float64{0, 0.5, 3}).Draw(t, "queue_weight")
	w := &steady{}
	what := Rate
	switch rapid.IntRange(0, 2).Draw(t, "measures") {
	case 1:
		what, o.Second, o.SecondWeight = Threads, BusyCores, 3
		w.rate = 3
	case 2:
		what, o.Second, o.SecondWeight = Bytes, Rate, 0.0001
	}
	w.world = newWorld(o, what, rapid.Uint64().Draw(t, "seed"))
	w.looks = rapid.IntRange(1, 4).Draw(t, "looks")
	power := 0.0
	for i := range rapid.IntRange(2, 6).Draw(t, "components") {
		c := w.component(1000, []float64{1, 1, 2}[i%rapid.SampledFrom([]int{2, 3}).Draw(t, "powers")])
		power += c.Power
	}
	if o.Second == Rate {
		w.rate = o.SecondWeight * power / float64(len(w.cs))
	}
	total := 0.0
	for range rapid.IntRange(1, 30).Draw(t, "things") {
		c := w.cs[rapid.IntRange(0, len(w.cs)-1).Draw(t, "holder")%max(1, len(w.cs)/2)]
		x := w.thing(c, 1, float64(rapid.IntRange(0, 9000).Draw(t, "load")), true)
		x.also = float64(rapid.IntRange(0, 4000).Draw(t, "also"))
		total += x.true
	}
	w.most = total
	switch rapid.IntRange(0, 2).Draw(t, "queues") {
	case 1: // requests wait the longer the more a component does, without end at its most
		w.wait = func(c *wcomp) float64 {
			u := min(0.999, w.of(c)/(1+w.most))
			return 1000 * u / (1 - u)
		}
	case 2: // at the worst moments
		w.wait = func(*wcomp) float64 { return 5000 * w.rng.Float64() }
	}
	return w
}

// TestSteadyLoadsComeToRest: whatever is weighed and wherever requests wait, the moves are few and end, each makes what is borne
// more even, nothing moves twice within its cool-down, and no more than allowed at a time (world looks at the last two). Waiting
// alone, even if it changes its place at the worst moments, makes nothing go in circles.
func TestSteadyLoadsComeToRest(t *testing.T) {
	moves := 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawSteady(t)
		before, quiet := w.square(), 0
		last := before
		for n := 0; quiet < 20; n++ {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			now := w.square()
			if len(w.last.Moves) > 0 && now >= last {
				t.Fatalf("look %d: %+v make it less even: %v, before %v", n, w.last.Moves, now, last)
			} else if len(w.last.Moves) == 0 && math.Abs(now-last) > 1e-9*last {
				t.Fatalf("look %d: without a move %v, before %v", n, now, last)
			}
			last = now
			if quiet++; len(w.last.Moves) > 0 || w.moving() {
				quiet = 0
			}
			if n > 3000 {
				t.Fatalf("no rest after %d moves of %d things", w.moves, len(w.ts))
			}
		}
		if w.moves > 2*len(w.ts) {
			t.Fatalf("%d moves of %d things", w.moves, len(w.ts))
		}
		moves += w.moves
	})
	if moves == 0 {
		t.Error("nothing moved in any world: they prove nothing")
	}
}

// TestAFlappingLoadInTheBandMovesNothing: however loads jump from look to look, as long as the spread stays below the threshold
// and nobody is far from the mean nothing is moved; above it something is.
func TestAFlappingLoadInTheBandMovesNothing(t *testing.T) {
	run := func(t *rapid.T, band bool) int {
		o := DefaultOptions()
		o.SettleMS, o.CoolDownMS = 0, 4000
		o.SmoothingMS = rapid.SampledFrom([]int{0, 5000}).Draw(t, "smoothing_ms")
		o.QueueWeight = 0.1 // that part of the band is for waiting
		n := rapid.IntRange(2, 6).Draw(t, "components")
		w := newWorld(o, rapid.SampledFrom([]Measure{Rate, Threads, BusyCores}).Draw(t, "measure"), rapid.Uint64().Draw(t, "seed"))
		w.wait = func(*wcomp) float64 { return 3000 * w.rng.Float64() }
		for range n {
			w.component(100, 1)
		}
		for i := range 4 * n {
			w.thing(w.cs[i%n], 1, 0, true)
		}
		// Of values between 1-d and 1+d the spread is at most d/√(1-d²); a tenth of it may come from queues.
		d := 0.17
		if !band {
			d = 0.9
		}
		for range 60 {
			for i := range w.cs {
				x := 5000 * (1 + d*(2*w.rng.Float64()-1))
				if w.rng.IntN(2) == 0 { // from end to end
					x = 5000 * (1 + d*float64(2*w.rng.IntN(2)-1))
				}
				for j := i; j < len(w.ts); j += n {
					w.ts[j].true = x
				}
			}
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			if band && w.moves > 0 {
				t.Fatalf("%+v though the loads stay in the band", w.last.Moves)
			}
		}
		return w.moves
	}
	rapid.Check(t, func(t *rapid.T) { run(t, true) })
	moved := 0
	rapid.Check(t, func(t *rapid.T) { moved += run(t, false) })
	if moved == 0 {
		t.Error("nothing moved beyond the band either: the test proves nothing")
	}
}

// TestALoadThatChangesPlacesIsNotChased: what is hot jumps from half of the things to the other again and again. Each thing moves
// at most once in each cool-down, so the moves are bounded by time and not by how often the load jumps.
func TestALoadThatChangesPlacesIsNotChased(t *testing.T) {
	for _, period := range []int{1, 2, 5, 20} {
		o := DefaultOptions()
		o.SettleMS, o.CoolDownMS, o.SmoothingMS, o.IntervalMS = 0, 60_000, 0, 2000
		w := newWorld(o, Threads, 1)
		for range 4 {
			w.component(100, 1)
		}
		for i := range 16 {
			w.thing(w.cs[i%4], 1, 0, true)
		}
		const looks = 300 // ten cool-downs
		for n := range looks {
			for i, x := range w.ts {
				if x.true = 100; i%4/2 == n/period%2 {
					x.true = 1000
				}
			}
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		most := len(w.ts) * (1 + looks*o.IntervalMS/o.CoolDownMS)
		t.Logf("hot things change every %d looks: %d moves, at most %d", period, w.moves, most)
		if w.moves == 0 || w.moves > most {
			t.Errorf("period %d: %d moves, want 1 to %d", period, w.moves, most)
		}
	}
}

// TestAHotThingIsFoundAmongColdOnes: where rates of things are told, the hot one moves and no cold one, though all are of one size;
// the reason names the measures, and the candidates what they bear.
func TestAHotThingIsFoundAmongColdOnes(t *testing.T) {
	o := DefaultOptions()
	o.SettleMS, o.QueueWeight = 0, 0.5
	b := New(o, "bytes", nil)
	cs := []Component{{ID: "m1", Epoch: 1, Alive: true, Room: 100}, {ID: "m2", Epoch: 1, Alive: true, Room: 100}}
	var ts []Thing
	for i := range wire.RegionNo(40) {
		x := Thing{ID: ThingID{Kind: wire.MoveRegion, PID: 1, Region: i}, Holder: "m1", Size: 1, Measured: true, Load: Load{Rated: true}}
		if i >= 20 {
			x.Holder = "m2"
		}
		if i == 7 || i == 8 {
			x.Load.OpsPerS = 5000
		}
		ts = append(ts, x)
	}
	var plan Plan
	for n := uint64(0); n < 3; n++ {
		now := time.Duration(n) * 2 * time.Second
		for i := range cs {
			cs[i].At = now
		}
		cs[0].Load.Ops, cs[0].Load.QueueUS = 20_000*n, 400
		for i := range ts {
			ts[i].At = now
		}
		if plan = b.Look(now, cs, ts); len(plan.Moves) > 0 {
			break
		}
	}
	if len(plan.Moves) != 1 || plan.Moves[0].Thing.Region != 7 || plan.Moves[0].To != "m2" {
		t.Fatalf("%+v, want vRegion 7 to m2", plan.Moves)
	}
	mv := plan.Moves[0]
	for _, want := range []string{"rate: spread 1.095 above 0.25", "vRegion 7 of process 1 bears 5000.0 ops/s", "m1 bears 10000.0 ops/s and then 5000.0 ops/s", "requests wait 400 µs at m1", "count 1.20 and 1.00 times"} {
		if !strings.Contains(mv.Reason, want) {
			t.Errorf("reason %q, want %q in it", mv.Reason, want)
		}
	}
	if fmt.Sprint(mv.Candidates) == "[]" || mv.After >= mv.Before {
		t.Errorf("%+v", mv)
	}
}

// TestTheSecondMeasureCounts: processes with equal threads are spread by how busy they are.
func TestTheSecondMeasureCounts(t *testing.T) {
	for _, weight := range []float64{0, 3} {
		o := DefaultOptions()
		o.Second, o.SecondWeight, o.SettleMS = BusyCores, weight, 0
		w := newWorld(o, Threads, 1)
		for range 2 {
			w.component(100, 4)
		}
		for i := range 4 {
			w.thing(w.cs[i/2], 1, 2, true).also = float64(2 - i/2*2) // those of the first are busy
		}
		for range 40 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		if (w.moves > 0) != (weight > 0) {
			t.Errorf("weight %v: %d moves", weight, w.moves)
		}
		busy := 0.0
		for _, x := range w.ts {
			if x.Holder == w.cs[0].ID {
				busy += x.also
			}
		}
		if weight > 0 && busy != 2 {
			t.Errorf("the first has %v busy cores after %d moves, want 2 of 4", busy, w.moves)
		}
	}
}

// TestTheExampleOfTheManual does what docs/managers.md says of two mComponents.
func TestTheExampleOfTheManual(t *testing.T) {
	o := DefaultOptions()
	o.SettleMS, o.QueueWeight, o.MinLoad = 0, 0.5, 1000
	b := New(o, "bytes", nil)
	cs := []Component{{ID: "m1", Epoch: 1, Alive: true, Room: 100}, {ID: "m2", Epoch: 1, Alive: true, Room: 100}}
	cs[0].Load.QueueUS = 200
	var ts []Thing
	for i := range wire.RegionNo(31) {
		x := Thing{ID: ThingID{Kind: wire.MoveRegion, PID: 1, Region: i}, Holder: "m1", Size: 1, Measured: true, Unrated: true}
		switch {
		case i == 0:
			x.Load, x.Unrated = Load{OpsPerS: 7000, Rated: true}, false
		case i <= 2:
			x.Load, x.Unrated = Load{OpsPerS: 2000, Rated: true}, false
		}
		ts = append(ts, x)
	}
	ts = append(ts, Thing{ID: ThingID{Kind: wire.MoveRegion, PID: 2}, Holder: "m2", Size: 1})
	var moves []Move
	for n := range uint64(20) {
		now := time.Duration(n) * time.Second
		for i, ops := range []uint64{12_000, 6000} {
			if len(moves) > 0 { // nothing of what the model believes of the move is corrected
				break
			}
			cs[i].At, cs[i].Load.Ops = now, ops*n
		}
		for i := range ts {
			ts[i].At = now
		}
		plan := b.Look(now, cs, ts)
		for _, mv := range plan.Moves {
			moves = append(moves, mv)
			ts[mv.Thing.Region].To = mv.To
		}
	}
	if len(moves) != 1 || moves[0].Thing.PID != 1 || moves[0].Thing.Region != 1 || math.Abs(moves[0].Before-0.381) > 0.001 || math.Abs(moves[0].After-0.159) > 0.001 {
		t.Errorf("%+v, want vRegion 1 alone to move, from a spread of 0.381 to 0.159", moves)
	}
}

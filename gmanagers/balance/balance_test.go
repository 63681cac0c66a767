package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

func drawOptions(t *rapid.T) Options {
	o := DefaultOptions()
	o.MaxMoves = rapid.IntRange(1, 6).Draw(t, "max_moves")
	o.MaxComponentMoves = rapid.IntRange(1, 3).Draw(t, "max_component_moves")
	o.MaxDrainMoves = rapid.IntRange(1, 12).Draw(t, "max_drain_moves")
	o.MinGain = rapid.SampledFrom([]float64{0, 0.01, 0.1}).Draw(t, "min_gain")
	o.CoolDownMS = rapid.SampledFrom([]int{0, 2000, 20_000}).Draw(t, "cool_down_ms")
	o.SmoothingMS = rapid.SampledFrom([]int{0, 5000}).Draw(t, "smoothing_ms")
	return o
}

// drawWorld makes a world at rest.
func drawWorld(t *rapid.T, o Options, measures []Measure) *world {
	w := newWorld(o, rapid.SampledFrom(measures).Draw(t, "measure"), rapid.Uint64().Draw(t, "seed"))
	w.looks = rapid.IntRange(1, 4).Draw(t, "looks")
	powers := rapid.SampledFrom([][]float64{{1}, {1, 2, 4}}).Draw(t, "powers")
	for i := range rapid.IntRange(1, 7).Draw(t, "components") {
		c := w.component(uint64(rapid.IntRange(8, 40).Draw(t, "room")), powers[i%len(powers)])
		c.Rack = fmt.Sprint("r", i%3)
	}
	for range rapid.IntRange(0, 40).Draw(t, "things") {
		c := w.cs[rapid.IntRange(0, len(w.cs)-1).Draw(t, "holder")%max(1, len(w.cs)/2)]
		size := uint64(rapid.IntRange(1, 3).Draw(t, "size"))
		if c.Reserved+size > c.room {
			continue
		}
		c.Reserved += size
		x := w.thing(c, size, float64(rapid.IntRange(1000, 9000).Draw(t, "load")), true)
		if rapid.IntRange(0, 9).Draw(t, "avoids") == 0 {
			x.AvoidRacks = []string{"r1"}
		}
	}
	return w
}

// TestAWorldAtRestIsBalanced: the spread comes below the threshold or no move is left that gains, in few moves.
func TestAWorldAtRestIsBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		w := drawWorld(t, o, []Measure{Bytes, Threads, Rate, BusyCores})
		quiet := 0
		for n := 0; quiet < 15; n++ {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
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
		if w.last.Spread > o.High+0.001 {
			if left := w.gains(0.005); left != "" {
				t.Fatalf("spread %.3f and at rest, though this gains: %s", w.last.Spread, left)
			}
		}
	})
}

// TestNoiseMovesLittle: readings that vary by a fifth order next to nothing, for as long as they do.
func TestNoiseMovesLittle(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 2))
		o := DefaultOptions()
		o.CoolDownMS = 10_000
		w := newWorld(o, []Measure{Rate, BusyCores, QueueDelay}[seed%3], seed)
		w.noise, w.looks = 0.2, 3
		components := 2 + rng.IntN(5)
		for range components {
			w.component(1000, 1)
		}
		things := components + 1 + rng.IntN(20)
		for range things {
			w.thing(w.cs[rng.IntN(len(w.cs))], 1, float64(1000+rng.IntN(4000)), seed%2 == 0)
		}
		settled := 0
		for n := range 1000 {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if n == 100 {
				settled = w.moves
			}
		}
		t.Logf("seed %d: %s: %d components, %d things, %d moves in 100 looks, %d in 900 more, spread %.3f", seed, w.what, components, things, settled, w.moves-settled, CoV(w.bears()))
		if settled > 2*things || w.moves-settled > things/2+2 {
			t.Errorf("seed %d: %d moves of %d things in 100 looks, %d in 900 more", seed, settled, things, w.moves-settled)
		}
	}
}

// TestNoiseAloneIsNoGain: few large things that cannot be spread evenly stay where they are, though by accident a
// reading now and then makes a move look as if it gained.
func TestNoiseAloneIsNoGain(t *testing.T) {
	for seed := range uint64(10) {
		o := DefaultOptions()
		o.CoolDownMS = 4000
		w := newWorld(o, []Measure{Rate, BusyCores}[seed%2], seed)
		w.noise = 0.2
		components := int(2 + seed%3)
		for range components {
			w.component(1000, 1)
		}
		for i := range components + 1 {
			w.thing(w.cs[i%components], 1, 5000, seed%4 < 2)
		}
		for range 1000 {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if w.moves > 2 {
			t.Errorf("seed %d: %d moves of %d things that nothing can spread better", seed, w.moves, len(w.ts))
		}
	}
}

// TestDrainedComponentsAreEmpty if there is room.
func TestDrainedComponentsAreEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		o.Auto = rapid.Bool().Draw(t, "auto")
		w := drawWorld(t, o, []Measure{Bytes, Rate})
		for range 3 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		w.cs[0].Draining = true
		roomy := rapid.Bool().Draw(t, "a roomy one")
		if roomy {
			w.component(400, 1).Rack = "r9"
		}
		for range 300 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		left := 0
		for _, x := range w.ts {
			if x.Holder == w.cs[0].ID {
				left++
			}
		}
		if len(w.last.Drains) != 1 || w.last.Drains[0].Left != left {
			t.Fatalf("drains %+v, %d left", w.last.Drains, left)
		}
		if left > 0 && (roomy || len(w.last.Stuck)+w.last.MoreStuck != left) {
			t.Fatalf("%d things are left, stuck %+v", left, w.last.Stuck)
		}
		for _, s := range w.last.Stuck {
			if s.Text == "" || s.From != w.cs[0].ID {
				t.Fatalf("stuck %+v", s)
			}
		}
	})
}

// TestTheSameLooksGiveTheSamePlans in whatever order things and components are given.
func TestTheSameLooksGiveTheSamePlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		a := drawWorld(t, o, Measures)
		b := newWorld(o, a.what, 9)
		a.looks, b.looks, b.shuffle = 1, 1, true
		for _, c := range a.cs {
			d := *c
			b.cs = append(b.cs, &d)
		}
		for _, x := range a.ts {
			y := *x
			b.ts = append(b.ts, &y)
		}
		for n := range 40 {
			if n == 10 {
				a.cs[0].Draining, b.cs[0].Draining = true, true
			}
			if err := a.step(); err != nil {
				t.Fatal(err)
			}
			if err := b.step(); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a.last, b.last) {
				t.Fatalf("look %d:\n%+v\n%+v", n, a.last, b.last)
			}
		}
	})
}

// TestHotSpotsAreFollowed: loads that wander are spread better than without balancing, with few moves.
func TestHotSpotsAreFollowed(t *testing.T) {
	run := func(auto bool, seed uint64) (spread float64, moves int) {
		o := DefaultOptions()
		o.Auto, o.CoolDownMS = auto, 20_000
		w := newWorld(o, Rate, seed)
		w.noise, w.looks = 0.2, 3
		for range 6 {
			w.component(1000, 1)
		}
		for i := range 60 {
			w.thing(w.cs[i%6], 1, 1000, i%2 == 0)
		}
		for n := range 600 {
			hot := n / 100 * 10 // which ten things are hot moves every 200 s
			for i, x := range w.ts {
				if x.true = 1000; i%6 == hot/10%6 {
					x.true = 4000
				}
			}
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			spread += CoV(w.bears()) / 600
		}
		return spread, w.moves
	}
	for seed := range uint64(3) {
		without, none := run(false, seed)
		with, moves := run(true, seed)
		t.Logf("seed %d: mean spread %.3f without, %.3f with %d moves", seed, without, with, moves)
		if none != 0 || with > without/2 || moves > 6*60 {
			t.Errorf("seed %d: mean spread %.3f without and %.3f with balancing, %d and %d moves", seed, without, with, none, moves)
		}
	}
}

// TestAddingIsFollowedByRebalancing also where one more among many hardly changes the spread.
func TestAddingIsFollowedByRebalancing(t *testing.T) {
	for _, what := range []Measure{Bytes, Rate} {
		w := newWorld(DefaultOptions(), what, 1)
		for range 40 {
			c := w.component(100, 1)
			for range 10 {
				w.thing(c, 1, 1000, true)
			}
		}
		for range 20 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		if w.moves != 0 {
			t.Fatalf("%s: %d moves though all bear the same", what, w.moves)
		}
		w.b.SoonDrain(w.now + time.Hour) // not sooner than it is due
		if got := w.b.Next() - w.now; got != ms(w.o.IntervalMS) {
			t.Errorf("%s: the next look is in %v, want %d ms", what, got, w.o.IntervalMS)
		}
		w.b.Soon(w.now + 10*time.Millisecond)
		if got := w.b.Next() - w.now; got != QuickLook {
			t.Errorf("%s: the next look is in %v, want %v", what, got, QuickLook)
		}
		c := w.component(100, 1)
		for range 60 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			for _, mv := range w.last.Moves {
				if mv.To != c.ID || !strings.Contains(mv.Reason, string(c.ID)+" joined") {
					t.Fatalf("%s: %+v, want moves to %s alone", what, mv, c.ID)
				}
			}
		}
		if n := w.of(c) / 1000; n < 8 || n > 10 || w.moves != int(n) {
			t.Errorf("%s: %v things at the new one after %d moves, want 8 to 10", what, n, w.moves)
		}
	}
}

// TestDrainsAreLookedAtAtOnce when a move ended, with more moves at a time than balancing may have, and without new figures;
// nothing is balanced until there are some.
func TestDrainsAreLookedAtAtOnce(t *testing.T) {
	p, _ := placement.New("worst_fit")
	o := DefaultOptions()
	o.Measure, o.SettleMS = Threads, 0
	b := New(o, "lines", ByPolicy(p))
	cs := []Component{{ID: "p1", Alive: true, Draining: true}, {ID: "p2", Alive: true, Room: 1000}, {ID: "p3", Alive: true, Room: 1000}}
	var ts []Thing
	for i := range wire.PID(40) {
		ts = append(ts, Thing{ID: ThingID{Kind: wire.MoveProcess, PID: i + 1}, Holder: "p1", Size: 1, Load: Load{Threads: 1}, Measured: true})
	}
	ordered := func(plan Plan) (n int) {
		for _, mv := range plan.Moves {
			if !mv.Drain {
				t.Errorf("%+v, want only what drains", mv)
			}
			ts[mv.Thing.PID-1].To = mv.To
			n++
		}
		return n
	}
	now := time.Minute
	if n := ordered(b.Look(now, cs, ts)); n != o.MaxDrainMoves {
		t.Fatalf("%d moves, want %d", n, o.MaxDrainMoves)
	}
	// Five end, all at one component, which bears more than the other then.
	for i := range 5 {
		ts[i].Holder, ts[i].To = "p2", ""
	}
	b.SoonDrain(now + time.Millisecond)
	if got := b.Next() - now; got != DrainLook {
		t.Fatalf("the next look is in %v, want %v", got, DrainLook)
	}
	plan := b.Look(b.Next(), cs, ts)
	if n := ordered(plan); n != 5 || !plan.DrainsOnly {
		t.Errorf("%d moves, %v; want 5 in the place of those that ended", n, plan.DrainsOnly)
	}
	if got := b.Next() - now; got != QuickLook {
		t.Errorf("the next look is in %v, want one for balance in %v", got, QuickLook)
	}
	if plan = b.Look(b.Next(), cs, ts); plan.DrainsOnly || ordered(plan) != 0 {
		t.Errorf("%+v", plan)
	}
}

// TestOneHotComponentAmongMany is relieved although the spread of all is small.
func TestOneHotComponentAmongMany(t *testing.T) {
	w := newWorld(DefaultOptions(), Threads, 1)
	for i := range 60 {
		c := w.component(100, 1)
		for range 4 + 6*(1-min(i, 1)) {
			w.thing(c, 1, 100, true)
		}
	}
	for range 60 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.of(w.cs[0]) / 100; n > 5 || w.moves > 7 {
		t.Errorf("the hot one has %v things after %d moves, want 5", n, w.moves)
	}
}

func look(b *Balancer, at time.Duration, ops ...uint64) Plan {
	var cs []Component
	var ts []Thing
	for i, n := range ops {
		id := wire.NodeID(fmt.Sprint("m", i+1))
		cs = append(cs, Component{ID: id, Epoch: 1, Room: 100, Alive: true, Load: Load{Ops: n}, At: at})
		for j := range 4 {
			ts = append(ts, Thing{ID: ThingID{Kind: wire.MoveRegion, PID: wire.PID(i), Region: wire.RegionNo(j)}, Holder: id, Size: 1})
		}
	}
	return b.Look(at, cs, ts)
}

// TestRestartsCountFromZero: a counter that falls is no rate.
func TestRestartsCountFromZero(t *testing.T) {
	b := New(DefaultOptions(), "bytes", nil)
	sec := time.Second
	for i, tc := range []struct {
		m1, m2 uint64
		spread float64
	}{
		{1_000_000, 5, 0},      // one reading is no rate
		{1_010_000, 10_005, 0}, // 5000 a second both
		{7, 20_005, 0},         // m1 began again
		{10_007, 30_005, 0},
	} {
		p := look(b, time.Duration(i)*2*sec, tc.m1, tc.m2)
		if len(p.Moves) > 0 || math.Abs(p.Spread-tc.spread) > 1e-9 {
			t.Errorf("look %d: %+v, want spread %v and no move", i, p, tc.spread)
		}
	}
	if p := look(b, 6*sec, 10_007, 30_005); p.Spread != 0 { // the same heartbeats
		t.Errorf("the same readings again: %+v", p)
	}
	var p Plan
	for i := uint64(0); i < 10 && len(p.Moves) == 0; i++ {
		p = look(b, time.Duration(8+2*i)*sec, 10_007, 50_005+20_000*i)
	}
	if len(p.Moves) == 0 || !strings.HasPrefix(p.Moves[0].Reason, "rate: spread ") || p.Moves[0].From != "m2" {
		t.Errorf("m1 idle and m2 busy: %+v", p)
	}
	t.Log(p.Moves[0].Reason)
}

func TestStuckSaysWhatIsShort(t *testing.T) {
	p, _ := placement.New("best_fit")
	o := DefaultOptions()
	o.Measure = Bytes
	b := New(o, "bytes of memory", ByPolicy(p))
	ts := []Thing{{ID: ThingID{Kind: wire.MoveRegion, PID: 7, Region: 3}, Holder: "m1", Size: 100}}
	cs := []Component{{ID: "m1", Alive: true, Draining: true}, {ID: "m2", Alive: true, Room: 60, Rack: "r1"}, {ID: "m3", Room: 500}, {ID: "m4", Alive: true, Room: 30}}
	check := func(want string, short uint64) {
		t.Helper()
		got := b.Look(b.Next(), cs, ts)
		if len(got.Moves) != 0 || len(got.Stuck) != 1 || !strings.Contains(got.Stuck[0].Text, want) || got.Stuck[0].Short != short {
			t.Errorf("%+v, want %q, short by %d", got, want, short)
		}
	}
	check("bytes of memory: vRegion 3 of process 7 wants 100, m2 has the most room with 60: short by 40", 40)
	ts[0].Avoid, ts[0].AvoidRacks = []wire.NodeID{"m4"}, []string{"r1"}
	check("avoids all 2 other components", 0)
	ts[0].Fixed = "it is being recovered"
	check("it is being recovered", 0)
	cs[0].Alive = false
	check("m1 is silent", 0)
	cs, ts[0].Fixed = cs[:1], ""
	cs[0].Alive = true
	check("no other component is alive and does not drain", 0)
	ts[0].Holder, ts[0].To = "m9", "m1"
	if got := b.Look(b.Next(), cs, ts); len(got.Drains) != 1 || got.Drains[0].Left != 1 || len(got.Moves)+len(got.Stuck) != 0 {
		t.Errorf("what is on its way to m1: %+v", got)
	}
	ts[0].Holder, ts[0].To = "m1", ""
	// An order that was refused is given again, but not at once.
	ts[0].Avoid, ts[0].AvoidRacks = nil, nil
	cs = append(cs, Component{ID: "m2", Alive: true, Room: 100})
	for i, want := range []int{1, 0, 0, 1} {
		got := b.Look(time.Minute+time.Duration(i)*2*time.Second, cs, ts)
		if len(got.Moves) != want || len(got.Stuck) != 0 {
			t.Errorf("look %d: %+v, want %d moves", i, got, want)
		}
	}
}

func TestFairness(t *testing.T) {
	if CoV(nil) != 0 || Jain(nil) != 1 || CoV([]float64{0, 0}) != 0 || Jain([]float64{0, 0}) != 1 {
		t.Error("of nothing")
	}
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 20).Draw(t, "xs")
		var sum, square float64
		for _, x := range xs {
			sum, square = sum+x, square+x*x
		}
		n := float64(len(xs))
		if sum > 1e-3 {
			if got, want := Jain(xs), sum*sum/(n*square); math.Abs(got-want) > 1e-9 {
				t.Fatalf("Jain %v, want %v", got, want)
			}
		}
		if c := CoV(xs); c < 0 || c > math.Sqrt(n-1)+1e-9 {
			t.Fatalf("CoV %v of %d values", c, len(xs))
		}
	})
	if got := CoV([]float64{4, 0, 0, 0}); math.Abs(got-math.Sqrt(3)) > 1e-12 || math.Abs(Jain([]float64{4, 0, 0, 0})-0.25) > 1e-12 {
		t.Errorf("one has all: %v, %v", got, Jain([]float64{4, 0, 0, 0}))
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Fatal(err)
	}
	o := Options{High: math.NaN(), Low: 2, MinGain: -1, CoolDownMS: -1, SmoothingMS: -1, Second: QueueDelay, SecondWeight: -1, QueueWeight: 11}
	err := o.Validate()
	for _, want := range []string{"high: NaN, want 0.01 to 10", "low: 2, want", "min_gain: -1, want 0 to 1", "interval_ms: 0, want 100 to 3600000",
		"max_moves: 0, want 1 to 1024", "max_component_moves: 0", "max_drain_moves: 0, want 1 to 1024", "cool_down_ms: -1", "smoothing_ms: -1, want 0 to 3600000",
		`second: "queue_delay", want none or one of`, "second_weight: -1, want 0 to 1e12", "queue_weight: 11, want 0 to 10", "queue_full_us: 0, want 1 to 60000000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q", err, want)
		}
	}
	if _, err := ParseMeasure("cpu"); err == nil || err.Error() != `bad request: measure "cpu", want one of rate, queue_delay, bytes, threads, busy_cores` {
		t.Error(err)
	}
	if m, err := ParseMeasure("rate"); m != Rate || err != nil {
		t.Error(m, err)
	}
}

// BenchmarkLook is a look at a cluster of 1000 components and 100 000 things at rest.
func BenchmarkLook(b *testing.B) {
	w := newWorld(DefaultOptions(), Threads, 1)
	var cs []Component
	var ts []Thing
	for i := range 1000 {
		c := w.component(1000, 1)
		c.ID = wire.NodeID(fmt.Sprintf("m%04d", i))
		c.Load.Threads, c.Room = 100, 900
		cs = append(cs, c.Component)
	}
	for i := range 100_000 {
		t := w.thing(w.cs[i/100], 1, 1, true)
		t.Load.Threads = 1
		ts = append(ts, t.Thing)
	}
	for b.Loop() {
		w.now += time.Second
		for i := range cs {
			cs[i].At = w.now
		}
		w.b.Look(w.now, cs, ts)
	}
}

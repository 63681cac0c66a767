package heat

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestARateFollowsAndForgets: a step is followed to 63 % after Decay, whatever the intervals, and a thing that rests cools.
func TestARateFollowsAndForgets(t *testing.T) {
	for _, dt := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond} {
		var m Meter
		if m.Read(dt); m.Known() {
			t.Error("known after one reading, though it may have come in the middle")
		}
		m.Add(uint64(1000 * dt.Seconds()))
		if got := m.Read(dt); got != 1000 || !m.Known() {
			t.Errorf("first interval: %d, want 1000 a second", got)
		}
		for at := time.Duration(0); at < Decay; at += dt {
			m.Add(uint64(2000 * dt.Seconds()))
			m.Read(dt)
		}
		if got := m.Read(dt / 1000); math.Abs(float64(got)-1632) > 40 {
			t.Errorf("%v: a step from 1000 to 2000 stands at %d after %v, want about 1632", dt, got, Decay)
		}
		for at := time.Duration(0); at < 12*Decay; at += dt {
			m.Read(dt)
		}
		if got := m.Read(dt); got != 0 {
			t.Errorf("%v: %d a second after a long rest", dt, got)
		}
		m.Add(1e6)
		if got := m.Read(0); got != 0 || m.Known() {
			t.Errorf("begun again: %d", got)
		}
	}
}

func TestReader(t *testing.T) {
	var r Reader
	for i, tc := range []struct {
		at, dt time.Duration
		ok     bool
	}{
		{time.Hour, 0, true}, // the first
		{time.Hour + time.Second, time.Second, true},
		{time.Hour + time.Second, 0, false}, // no time has passed
		{time.Hour + time.Second + MaxGap, MaxGap, true},
		{time.Hour + 2*time.Second + 2*MaxGap, 0, true}, // too long ago
		{time.Hour + 3*time.Second + 2*MaxGap, time.Second, true},
	} {
		if dt, ok := r.Next(tc.at); dt != tc.dt || ok != tc.ok {
			t.Errorf("%d: %v, %t, want %v, %t", i, dt, ok, tc.dt, tc.ok)
		}
	}
}

// TestTheHottestAreKept: as sorting all would say, in whatever order they come.
func TestTheHottestAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 8).Draw(t, "max")
		ops := rapid.SliceOfN(rapid.Uint64Range(0, 20), 0, 30).Draw(t, "ops")
		top := NewTop(most)
		var want []wire.ThingLoad
		order := rapid.Permutation(indices(len(ops))).Draw(t, "order")
		for _, i := range order {
			x := wire.ThingLoad{PID: 1, Region: wire.RegionNo(i), Ops: ops[i]}
			top.Offer(x, true)
			if x.Kind = wire.MoveRegion; x.Ops > 0 {
				want = append(want, x)
			}
		}
		slices.SortFunc(want, hotter)
		all := len(want) <= most
		want = want[:min(most, len(want))]
		var l wire.Load
		top.Into(wire.MoveRegion, &l)
		if !slices.Equal(l.Hot, want) || slices.Equal(l.HotAll, []wire.MoveKind{wire.MoveRegion}) != all {
			t.Fatalf("%+v, want %+v, all: %t", l, want, all)
		}
		if top.Offer(wire.ThingLoad{}, false); top.All() {
			t.Fatal("what is not known may bear anything")
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

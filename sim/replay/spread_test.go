package replay

import (
	"math"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// TestSpreadBeforeAndAfter: m1 bears all until m2 joins and takes half of the rate.
func TestSpreadBeforeAndAfter(t *testing.T) {
	t0 := time.Unix(1000, 0)
	s := &spreads{}
	add := func(second int, m1, m2 uint64, two bool) {
		r := reading{at: t0.Add(time.Duration(second) * time.Second), loads: map[wire.NodeID]load{"m1": {1, wire.Load{Misses: m1}}}}
		if two {
			r.loads["m2"] = load{1, wire.Load{Misses: m2}}
		}
		s.readings[wire.GMM] = append(s.readings[wire.GMM], r)
	}
	add(0, 0, 0, true)
	add(1, 1000, 0, true)
	add(2, 2000, 0, true)
	add(3, 2500, 500, true) // moved between 2.5 and 3.5 s
	add(4, 3000, 1000, true)
	add(5, 3500, 1500, true)
	got := s.compare(t0.Add(2500*time.Millisecond), t0.Add(3500*time.Millisecond))
	if len(got) != 5 || got[0].Measure != "misses and flushes/s" || got[0].Role != "mcomponent" {
		t.Fatalf("%+v", got)
	}
	rate := got[0]
	if math.Abs(rate.Before.CoV-1) > 1e-9 || math.Abs(rate.Before.Jain-0.5) > 1e-9 {
		t.Errorf("before: %+v, want CoV 1 and Jain 0.5", rate.Before)
	}
	if rate.After.CoV != 0 || rate.After.Jain != 1 {
		t.Errorf("after: %+v, want CoV 0 and Jain 1", rate.After)
	}
	if whole := s.compare(time.Time{}, time.Time{})[0]; whole.Before != whole.After || whole.Before.CoV < 0.3 {
		t.Errorf("without moves: %+v", whole)
	}
}

// TestSpreadOfAComponentThatBeganAgain: a counter that fell with a new epoch counts from there.
func TestSpreadOfAComponentThatBeganAgain(t *testing.T) {
	t0 := time.Unix(1000, 0)
	var rs []reading
	for i, l := range []load{{1, wire.Load{Misses: 9000}}, {2, wire.Load{Misses: 0}}, {2, wire.Load{Misses: 100}}} {
		rs = append(rs, reading{t0.Add(time.Duration(i) * time.Second), map[wire.NodeID]load{"m1": l, "m2": {1, wire.Load{Misses: uint64(100 * i)}}}})
	}
	if got := spread(rs, true, func(l wire.Load) float64 { return float64(l.Misses + l.Flushes) }); got.CoV != 0 {
		t.Errorf("%+v, want both at 100/s", got)
	}
}

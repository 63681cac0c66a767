package report

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSeries: whatever is added, in whatever order, nothing is lost and the bound holds.
func TestSeries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSeries(time.Duration(rapid.Int64Range(1, int64(time.Second)).Draw(t, "finest")))
		want := Interval{}
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			from := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "from"))
			to := from + time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "long"))
			hits, faults := rapid.Uint64Range(0, 1e12).Draw(t, "hits"), rapid.Uint64Range(0, 1e12).Draw(t, "faults")
			x := Interval{hits + faults, hits, faults, rapid.Uint64Range(0, 1e15).Draw(t, "bytes")}
			s.Add(from, to, x)
			want = want.Plus(x)
			if x == (Interval{}) {
				continue // nothing is kept of it
			}
			if len(s.Intervals) > MaxIntervals || to > time.Duration(len(s.Intervals)+1)*s.width {
				t.Fatalf("%d intervals of %v for %v", len(s.Intervals), s.width, to)
			}
		}
		if got := s.Sum(); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
		for i, x := range s.Intervals {
			if x.Accesses != x.Hits+x.Faults {
				t.Fatalf("interval %d: %+v", i, x)
			}
		}
	})
}

func TestSeriesSpreads(t *testing.T) {
	s := NewSeries(10)
	s.Add(5, 25, Interval{20, 10, 10, 40})
	want := []Interval{{4, 2, 2, 10}, {10, 5, 5, 20}, {6, 3, 3, 10}}
	for i, x := range s.Intervals {
		if x != want[i] {
			t.Errorf("interval %d: %+v, want %+v", i, x, want[i])
		}
	}
	s.Add(10*MaxIntervals, 10*MaxIntervals+1, Interval{1, 1, 0, 0})
	if s.width != 20 || s.IntervalSeconds != 20e-9 || s.Intervals[0] != (Interval{14, 7, 7, 30}) || len(s.Intervals) != MaxIntervals/2+1 {
		t.Errorf("width %v, %d intervals, the first %+v", s.width, len(s.Intervals), s.Intervals[0])
	}
}

func TestEdge(t *testing.T) {
	for _, c := range [][2]int64{{0, 1}, {1, 2}, {9, 10}, {98, 99}, {99, 100}, {100, 110}, {109, 110}, {110, 120}, {13_999, 14_000}, {14_000, 15_000}, {999_999, 1_000_000}} {
		if got := Edge(c[0]); got != c[1] {
			t.Errorf("Edge(%d) = %d, want %d", c[0], got, c[1])
		}
	}
}

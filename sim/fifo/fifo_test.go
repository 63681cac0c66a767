package fifo

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/sim/units"
)

// TestServerIsAQueue compares with the definition: each job begins, in order, with the worker that is free first, and never
// before it arrives.
func TestServerIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 9).Draw(t, "workers")
		s := New(k)
		free := make([]time.Duration, k)
		var now, busy time.Duration
		for range rapid.IntRange(0, 60).Draw(t, "jobs") {
			now += time.Duration(rapid.IntRange(0, 300).Draw(t, "gap"))
			cost := time.Duration(rapid.IntRange(0, 1000).Draw(t, "cost"))
			first := 0
			for i, f := range free {
				if f < free[first] {
					first = i
				}
			}
			want := max(now, free[first])
			free[first] = want + cost
			busy += cost
			start, end := s.Serve(now, units.Of(cost))
			if start != want || end != want+cost {
				t.Fatalf("served %v to %v, want %v to %v", start, end, want, want+cost)
			}
			if err := s.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		if _, b := s.Stats(); b != busy {
			t.Fatalf("busy for %v, want %v", b, busy)
		}
	})
}

func TestFractionsAreCarried(t *testing.T) {
	s := New(1)
	var end time.Duration
	for range 1000 {
		_, end = s.Serve(0, 400)
	}
	if end != 400 {
		t.Errorf("1000 jobs of 0.4 ns end at %v, want 400ns", end)
	}
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, want) {
			t.Errorf("panic %q, want one with %q", text, want)
		}
	}()
	f()
}

func TestMisuseIsNamed(t *testing.T) {
	s := New(2)
	s.Serve(10, 0)
	mustPanic(t, "arrival at 9ns after one at 10ns", func() { s.Serve(9, 0) })
	mustPanic(t, "begins at 10ns ends at 9ns", func() { s.End(10, 9) })
	mustPanic(t, "0 workers", func() { New(0) })
	mustPanic(t, "had no job", func() { NewPool[int](1, 1).Release(0) })
}

func TestAnEndMayFollowFromTheStart(t *testing.T) {
	s := New(1)
	s.Serve(0, 5*units.Nanosecond)
	start := s.Start(1)
	s.End(start, 15)
	if again := s.Start(2); start != 5 || again != 15 {
		t.Errorf("jobs begin at %v and %v, want 5ns and 15ns", start, again)
	}
}

// TestPool: jobs begin in the order of arrival, each exactly once, no more at a time than there are workers, and none waits
// while a worker is free; what does not fit is refused.
func TestPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workers, limit := rapid.IntRange(1, 4).Draw(t, "workers"), rapid.IntRange(0, 40).Draw(t, "limit")
		p := NewPool[int](workers, limit)
		var now, wantBusy, wantQueued time.Duration
		next, began, running := 0, 0, 0
		var queue []int
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			d := time.Duration(rapid.IntRange(0, 9).Draw(t, "gap"))
			now += d
			wantBusy += d * time.Duration(running)
			wantQueued += d * time.Duration(len(queue))
			if running == 0 || rapid.Bool().Draw(t, "arrives") {
				want := Begin
				switch {
				case running < workers:
					running++
					began++
				case len(queue) < limit:
					want = Wait
					queue = append(queue, next)
				default:
					want = Refused
				}
				if got := p.Arrive(now, next); got != want {
					t.Fatalf("job %d: outcome %d, want %d", next, got, want)
				}
				next++
			} else {
				job, ok := p.Release(now)
				if ok != (len(queue) > 0) || ok && job != queue[0] {
					t.Fatalf("released to %d (%v), want the first of %v", job, ok, queue)
				}
				if ok {
					queue = queue[1:]
				} else {
					running--
				}
			}
			if err := p.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		if st := p.Stats(); next > 0 && (st.Busy != wantBusy || st.Queued != wantQueued) {
			t.Fatalf("%+v, want busy %v and queued %v", st, wantBusy, wantQueued)
		}
	})
}

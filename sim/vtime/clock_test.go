package vtime

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEventsRunInOrder(t *testing.T) {
	c := New()
	var got []uint32
	k := c.Handle("k", func(who uint32) { got = append(got, who) })
	c.At(20, k, 3)
	c.At(10, k, 1)
	c.At(10, k, 2)
	c.At(0, k, 0)
	if err := c.Run(Limits{}); err != nil || !slices.Equal(got, []uint32{0, 1, 2, 3}) || c.Now() != 20 || c.Events() != 4 {
		t.Errorf("ran %v until %v (%v), want 0 to 3 until 20ns", got, c.Now(), err)
	}
}

func TestLimitsAndStop(t *testing.T) {
	c := New()
	n := 0
	var k Kind
	k = c.Handle("tick", func(uint32) {
		if n++; n == 25 {
			c.Stop()
		}
		c.After(10, k, 0)
	})
	c.At(0, k, 0)
	if err := c.Run(Limits{Until: 95}); err != nil || n != 10 || c.Now() != 95 {
		t.Errorf("%d ticks until %v (%v), want 10 until 95ns", n, c.Now(), err)
	}
	if err := c.Run(Limits{Events: 5}); err != nil || n != 15 {
		t.Errorf("%d ticks (%v), want 5 more", n, err)
	}
	if err := c.Run(Limits{}); err != nil || n != 25 || c.Pending() != 1 {
		t.Errorf("%d ticks, %d pending (%v), want a stop at 25 that keeps what is scheduled", n, c.Pending(), err)
	}
	empty := New()
	if err := empty.Run(Limits{Until: time.Second}); err != nil || empty.Now() != time.Second {
		t.Errorf("an empty clock stands at %v (%v), want 1s", empty.Now(), err)
	}
}

func TestThePastIsNamed(t *testing.T) {
	for _, timer := range []bool{false, true} {
		c := New()
		k := c.Handle("link.deliver", func(who uint32) {
			if timer {
				c.Timer(c.Now()-1, Kind(0), who)
			} else {
				c.At(c.Now()-1, Kind(0), who)
			}
			c.At(c.Now()+1, Kind(0), who)
		})
		c.At(time.Microsecond, k, 7)
		err := c.Run(Limits{})
		var past *PastError
		want := `vtime: event "link.deliver" for 7 at 999ns lies before now, 1µs: want no event in the past`
		if !errors.As(err, &past) || err.Error() != want || c.Events() != 1 {
			t.Errorf("after %d events: %v, want %s", c.Events(), err, want)
		}
		if again := c.Run(Limits{}); again != err {
			t.Errorf("a second run: %v, want the same error", again)
		}
	}
	c := New()
	c.At(Horizon+1, c.Handle("late", func(uint32) {}), 0)
	if err := c.Run(Limits{}); err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("an event after the horizon: %v, want an error", err)
	}
}

func TestDeadlockSaysWhoWaits(t *testing.T) {
	c := New()
	calls := 0
	c.WhoWaits(func(report func(who, what string)) {
		calls++
		report("thread 3 of p1", "the fill of page 17")
	})
	k := c.Handle("k", func(uint32) {})
	c.At(5, k, 0)
	err := c.Run(Limits{})
	want := "vtime: deadlock at 5ns: no event is left, and\n  thread 3 of p1 waits for the fill of page 17"
	if err == nil || err.Error() != want || calls != 1 {
		t.Errorf("%v after %d reports, want %s", err, calls, want)
	}
	many := New()
	many.WhoWaits(func(report func(who, what string)) {
		for range 100 {
			report("a", "b")
		}
	})
	if err := many.Run(Limits{}); err == nil || !strings.HasSuffix(err.Error(), "and 68 more") {
		t.Errorf("%v, want 32 lines and the rest counted", err)
	}
}

// TestTimers compares with a table of what must run: cancelled ones do not, the others do once, at their moment, and a handle kept
// too long does nothing.
func TestTimers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New()
		type armed struct {
			timer Timer
			at    time.Duration
		}
		pending := map[uint32]armed{}
		var old []Timer
		ran := 0
		k := c.Handle("timer", func(who uint32) {
			a, ok := pending[who]
			if !ok || a.at != c.Now() {
				t.Fatalf("timer %d runs at %v, want one that is pending: %v", who, c.Now(), a)
			}
			delete(pending, who)
			old = append(old, a.timer)
			ran++
		})
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var next uint32
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				for range rng.IntN(40) {
					at := c.Now() + time.Duration(rng.IntN(1000))
					pending[next] = armed{c.Timer(at, k, next), at}
					next++
				}
			case 2:
				for who := range next {
					if a, ok := pending[who]; ok && rng.IntN(4) > 0 {
						if !c.Active(a.timer) || !c.Cancel(a.timer) || c.Cancel(a.timer) {
							t.Fatalf("timer %d cannot be cancelled exactly once", who)
						}
						delete(pending, who)
						old = append(old, a.timer)
					}
				}
				for _, o := range old {
					if c.Active(o) || c.Cancel(o) {
						t.Fatal("a timer that has ended is cancelled")
					}
				}
			case 3:
				if err := c.Run(Limits{Until: c.Now() + time.Duration(1+rng.IntN(300))}); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if c.Pending() != len(pending) {
				t.Fatalf("%d pending, want %d", c.Pending(), len(pending))
			}
		}
		if err := c.Run(Limits{}); err != nil || len(pending) != 0 {
			t.Fatalf("%d timers never ran (%v)", len(pending), err)
		}
	})
}

// TestCancelledTimersAreSwept: a deadline per call, always cancelled, does not fill the queue.
func TestCancelledTimersAreSwept(t *testing.T) {
	c := New()
	late := c.Handle("deadline", func(uint32) { t.Error("a cancelled timer runs") })
	for range 100_000 {
		c.Cancel(c.Timer(time.Hour, late, 0))
	}
	if c.queue.size > 2*deadMost+2 || len(c.timers.slots) > 4 {
		t.Errorf("%d events and %d slots after 100 000 cancelled timers", c.queue.size, len(c.timers.slots))
	}
	if c.Cancel(Timer{}) {
		t.Error("the zero Timer is cancelled")
	}
}

func TestStreams(t *testing.T) {
	draw := func(seed uint64, purpose string, index uint64) [4]uint64 {
		r := Stream(seed, purpose, index)
		return [4]uint64{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()}
	}
	first, again := draw(1, "jitter", 0), draw(1, "jitter", 0)
	if first != again {
		t.Error("one stream gives two sequences")
	}
	seen := map[[4]uint64]bool{}
	for _, purpose := range []string{"", "jitter", "loss", "jitte"} {
		for seed := range uint64(10) {
			for index := range uint64(10) {
				seen[draw(seed, purpose, index)] = true
			}
		}
	}
	if len(seen) != 400 {
		t.Errorf("%d different streams, want 400", len(seen))
	}
}

// TestHotPathsDoNotAllocate, in both shapes of the queue.
func TestHotPathsDoNotAllocate(t *testing.T) {
	for _, pending := range []int{2, 2000} {
		c := New()
		rng := rand.New(rand.NewPCG(1, 2))
		var k Kind
		k = c.Handle("k", func(who uint32) {
			c.Cancel(c.Timer(c.Now()+time.Second, k, who))
			c.After(time.Duration(rng.IntN(1000)), k, who)
		})
		for i := range pending {
			c.After(time.Duration(i), k, uint32(i))
		}
		run := func() {
			if err := c.Run(Limits{Events: 5000}); err != nil {
				t.Fatal(err)
			}
		}
		for range 40 {
			run()
		}
		if n := testing.AllocsPerRun(10, run); n > 0 {
			t.Errorf("%v allocations per 5000 events with %d pending, want 0", n, pending)
		}
	}
}

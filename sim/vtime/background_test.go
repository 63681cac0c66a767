package vtime

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// beat schedules an event in the background every period, for ever.
func beat(c *Clock, period time.Duration, do func()) {
	var k Kind
	k = c.Handle("beat", func(who uint32) {
		do()
		c.Background(c.Now()+period, k, who)
	})
	c.Background(period, k, 0)
}

func TestBackgroundKeepsNoRunGoing(t *testing.T) {
	c := New()
	beats := 0
	beat(c, 10, func() { beats++ })
	c.Go("sleeper", func(p *Proc) { p.Sleep(35) })
	if err := c.Run(Limits{}); err != nil || beats != 3 || c.Now() != 35 {
		t.Errorf("%d beats until %v (%v), want 3 until 35ns", beats, c.Now(), err)
	}
	if err := c.Run(Limits{}); err != nil || beats != 3 {
		t.Errorf("%d beats (%v), want none while nobody does anything", beats, err)
	}
	if err := c.Run(Limits{Until: 75}); err != nil || beats != 7 || c.Now() != 75 {
		t.Errorf("%d beats until %v (%v), want 7 until 75ns", beats, c.Now(), err)
	}
	c.Go("another", func(p *Proc) { p.Sleep(10) })
	if err := c.Run(Limits{}); err != nil || beats != 8 || c.Now() != 85 {
		t.Errorf("%d beats until %v (%v), want one more until 85ns", beats, c.Now(), err)
	}
	if err := c.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestBackgroundHidesNoDeadlock: who waits for what nobody brings is named, unless the model expects that an event in the background
// brings it.
func TestBackgroundHidesNoDeadlock(t *testing.T) {
	c := New()
	beats := 0
	s := Signal{Name: "a lost answer"}
	beat(c, 10, func() {
		if beats++; beats == 5 {
			s.Wake()
		}
	})
	ended := false
	c.Go("client", func(p *Proc) { p.Wait(&s); ended = true })
	var d *DeadlockError
	if err := c.Run(Limits{}); !errors.As(err, &d) || len(d.Waits) != 1 || d.Waits[0] != "client waits for a lost answer" || beats != 0 {
		t.Fatalf("%v after %d beats, want a deadlock at once", err, beats)
	}
	c.Expect(func() bool { return beats < 5 })
	if err := c.Run(Limits{}); err != nil || !ended || beats != 5 {
		t.Errorf("ended %v after %d beats (%v), want the fifth to wake it", ended, beats, err)
	}
}

// TestBackgroundIsCounted: whatever is scheduled, cancelled and run, the counts agree, and a run ends when nothing else is left.
func TestBackgroundIsCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New()
		left := 0 // not in the background
		k := c.Handle("one", func(uint32) { left-- })
		b := c.Handle("back", func(uint32) {})
		var timers []Timer
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			at := c.Now() + time.Duration(rapid.IntRange(0, 30).Draw(t, "at"))
			switch rapid.IntRange(0, 4).Draw(t, "do") {
			case 0:
				c.At(at, k, 0)
				left++
			case 1:
				c.Background(at, b, 0)
			case 2:
				timers = append(timers, c.Timer(at, k, 0))
				left++
			case 3:
				if len(timers) > 0 && c.Cancel(timers[0]) {
					left--
				}
				timers = timers[min(1, len(timers)):]
			case 4:
				if err := c.Run(Limits{Events: 3}); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if c.Pending()-c.back != left {
				t.Fatalf("%d events pending, %d of them in the background, want %d others", c.Pending(), c.back, left)
			}
		}
		if err := c.Run(Limits{}); err != nil || left != 0 || c.Pending() != c.back {
			t.Fatalf("%d events are left of %d pending (%v)", left, c.Pending(), err)
		}
	})
}

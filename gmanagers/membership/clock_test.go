package membership

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTheClockOfManagers: whoever leads, however long nothing is decided, and whenever a manager is started again, the time of a
// command is not before that of another one that it follows, nor ahead of the time that has passed.
func TestTheClockOfManagers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const managers, way = 3, 20
		var clocks [managers]Clock
		var started [managers]int64 // when it was started
		var now, state int64        // true time in ms; what the state remembers
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += rapid.Int64Range(1, 2000).Draw(t, "passes")
			i := rapid.IntRange(0, managers-1).Draw(t, "manager")
			local := func(i int) time.Duration { return time.Duration(now-started[i]) * time.Millisecond } // monotonic clocks have nothing in common
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0: // it is started again, and sees what its log has
				clocks[i], started[i] = Clock{}, now
				clocks[i].Saw(local(i), state)
			default: // it leads, and has a command applied, which the others see soon
				clocks[i].Saw(local(i), state)
				at := clocks[i].Now(local(i))
				if at < state {
					t.Fatalf("a command of %d ms after one of %d", at, state)
				}
				if at > now {
					t.Fatalf("%d ms after %d have passed", at, now)
				}
				state = at
				for j := range clocks {
					clocks[j].Saw(local(j)+rapid.SampledFrom([]time.Duration{0, way * time.Millisecond}).Draw(t, "way"), state)
				}
			}
		}
	})
}

// TestTimePassesWhileNothingIsDecided: a new leader counts the time in which it only listened.
func TestTimePassesWhileNothingIsDecided(t *testing.T) {
	var c Clock
	c.Saw(5*time.Second, 100)
	c.Saw(6*time.Second, 100)
	if got := c.Now(65 * time.Second); got != 60_100 {
		t.Errorf("%d ms, want 60100", got)
	}
	c.Saw(66*time.Second, 100_000) // the leader knows better
	c.Saw(67*time.Second, 99_000)
	if got := c.Now(68 * time.Second); got != 102_000 {
		t.Errorf("%d ms, want 102000", got)
	}
}

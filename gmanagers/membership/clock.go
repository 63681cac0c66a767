package membership

import "time"

// Clock is the time by which the managers decide, in ms: how long a vNode has waited. The clock of the wall may be set, by an hour, on
// one manager and not on the others, so it is for listings only. This one goes on with the monotonic clock of whoever leads, from
// what the last command said, which the state remembers; whoever leads next goes on from there, with the time that has passed on its
// own monotonic clock since it saw that. It never goes back, and stands while no manager runs. The zero value begins at 0. It is not
// safe for concurrent use.
type Clock struct {
	ms int64 // what the state remembered when it was new
	at time.Duration
}

// Saw notes what the state remembers. It is to be told often, also while another manager leads: until it has seen a command, time has
// not passed.
func (c *Clock) Saw(now time.Duration, ms int64) {
	if ms > c.Now(now) || c.at == 0 {
		c.ms, c.at = max(ms, c.ms), max(now, 1)
	}
}

// Now is the time.
func (c *Clock) Now(now time.Duration) int64 {
	if c.at == 0 {
		return c.ms
	}
	return c.ms + (now - c.at).Milliseconds()
}

package membership

import (
	"time"

	"splitkernel/netlayer/wire"
)

// MaxSwept bounds the things that one component is told to drop at a time; the rest follows with the next look.
const MaxSwept = 256

// Rounds says when a leader looks at what a component holds: when it joins, when it is heard again after a silence, and every so
// often. Make one with NewRounds for each term and group; it is not safe for concurrent use.
type Rounds struct {
	every time.Duration
	last  map[wire.NodeID]round // looked up, never ranged over
}

// round is when a component was looked at, and under which epoch of its membership.
type round struct {
	epoch wire.Epoch
	at    time.Duration
}

// NewRounds looks at each component every so often.
func NewRounds(every time.Duration) *Rounds {
	return &Rounds{every: every, last: map[wire.NodeID]round{}}
}

// Due reports whether a component is looked at now; heard says that it is heard of.
func (r *Rounds) Due(now time.Duration, e *Entry, heard bool) bool {
	id := e.Member.ID
	if !heard || e.Dead {
		delete(r.last, id) // looked at when it is heard again
		return false
	}
	if was, ok := r.last[id]; ok && was.epoch == e.Member.Epoch && now-was.at < r.every {
		return false
	}
	r.last[id] = round{e.Member.Epoch, now}
	return true
}

// Again has a component looked at once more: it holds more than it was told to drop at once.
func (r *Rounds) Again(id wire.NodeID) { delete(r.last, id) }

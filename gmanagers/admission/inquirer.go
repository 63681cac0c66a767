package admission

import (
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// Inquirer finds the holds of one participant that have been prepared for long. Make one with NewInquirer; it is not
// safe for concurrent use. Its clock decides only when to ask, never what becomes of a hold.
type Inquirer struct {
	patience time.Duration
	since    map[wire.PID]time.Duration
}

// NewInquirer returns an inquirer that asks about holds which it has seen prepared for patience.
func NewInquirer(patience time.Duration) *Inquirer {
	return &Inquirer{patience: patience, since: map[wire.PID]time.Duration{}}
}

// Due takes all that is prepared now and returns the questions to GPM, at most MaxBatch.
func (q *Inquirer) Due(now time.Duration, prepared []wire.PID) []Change {
	since := make(map[wire.PID]time.Duration, len(prepared))
	var due []wire.PID
	for _, pid := range prepared {
		at, ok := q.since[pid]
		if !ok {
			at = now
		}
		since[pid] = at
		if now-at >= q.patience {
			due = append(due, pid)
		}
	}
	q.since = since
	slices.Sort(due)
	changes := make([]Change, 0, min(len(due), MaxBatch))
	for _, pid := range due[:min(len(due), MaxBatch)] {
		changes = append(changes, Change{Verb: Ask, PID: pid})
	}
	return changes
}

// Resolve returns what a participant does with a hold after GPM's answer; false if GPM cannot tell.
func Resolve(o Outcome) (Step, bool) {
	switch o.Phase {
	case Committed, Running, Evicting:
		return Step{Verb: Commit, PID: o.PID}, true
	case Leaving, 0:
		return Step{Verb: Free, PID: o.PID}, true
	}
	return Step{}, false
}

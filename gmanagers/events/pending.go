package events

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/netlayer/wire"
)

// Pending are the events of what is held for vNodes whose admission is not decided, as replicated. They are told when it is
// committed and forgotten when it is given back: a vNode that waits for room is tried again and again, and what was held
// for an attempt in vain was decided by nobody. The zero value is empty.
type Pending struct {
	list []Event // ascending by PID, those of one PID in the order of Add
}

// Add keeps a copy of e until e.PID is told or dropped.
func (p *Pending) Add(e Event) {
	e.Candidates, e.Reason = slices.Clone(e.Candidates[:min(len(e.Candidates), MaxCandidates)]), cut(e.Reason, MaxReasonBytes)
	for i := range e.Candidates {
		e.Candidates[i].Why = cut(e.Candidates[i].Why, MaxWhyBytes)
	}
	i, _ := slices.BinarySearchFunc(p.list, e.PID+1, byPID)
	p.list = slices.Insert(p.list, i, e)
}

// Tell appends the events of a vNode to the log.
func (p *Pending) Tell(pid wire.PID, log *Log) {
	for _, e := range p.list[p.first(pid):p.first(pid+1)] {
		log.Append(e)
	}
	p.Drop(pid)
}

// Drop forgets the events of a vNode.
func (p *Pending) Drop(pid wire.PID) { p.list = slices.Delete(p.list, p.first(pid), p.first(pid+1)) }

func byPID(e Event, pid wire.PID) int { return cmp.Compare(e.PID, pid) }

func (p *Pending) first(pid wire.PID) int {
	i, _ := slices.BinarySearchFunc(p.list, pid, byPID)
	return i
}

// Save returns the events for a snapshot. Later changes of p do not show in it.
func (p *Pending) Save() []Event { return append([]Event{}, p.list...) } // never nil: equal states give equal snapshots

// LoadPending makes Pending of what Save returned.
func LoadPending(list []Event) Pending { return Pending{list} }

// CheckInvariants returns the first broken rule; held says of which vNodes there may be events.
func (p *Pending) CheckInvariants(held func(wire.PID) bool) error {
	for i := range p.list {
		e := &p.list[i]
		if i > 0 && p.list[i-1].PID > e.PID {
			return fmt.Errorf("events: those that wait for process %d are out of order", e.PID)
		}
		if !held(e.PID) {
			return fmt.Errorf("events: one of kind %s waits for process %d, for which nothing is held", e.Kind, e.PID)
		}
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

package movelist

import (
	"fmt"

	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// Holds is what a manager has at a component, so that a drain can be watched.
type Holds struct {
	Drains bool
	Things []Held // one for each kind that the manager moves, ascending
	Copies uint64 // of what others serve, and backup files of others, which are made elsewhere when it drains
	Stuck  string // what could not leave when it was looked at last, or whose move was undone last, while it drains; empty if nothing
}

// Held counts the things of one kind.
type Held struct {
	Kind     wire.MoveKind
	Things   uint64 // that are there, those on their way from there included; lost ones are not
	Leaving  uint64 // of these on their way
	Arriving uint64 // on their way there
}

// Left returns how many things and copies the component has, and how many things are on their way there.
func (h Holds) Left() (n uint64) {
	for _, t := range h.Things {
		n += t.Things + t.Arriving
	}
	return n + h.Copies
}

// Holds fills in what the list and the events know of id; the caller has counted things.
func (l *List) Holds(id wire.NodeID, drains bool, log *events.Log, things ...Held) Holds {
	h := Holds{Drains: drains, Things: things}
	for i := range l.moves {
		m := &l.moves[i]
		for j := range h.Things {
			t := &h.Things[j]
			switch {
			case m.Ended() || m.Req.Kind != t.Kind:
			case m.From == id:
				t.Leaving++
			case m.Req.To == id:
				t.Arriving++
			}
		}
	}
	if e, ok := log.LastOf(id, events.Stuck, events.Drained, events.Draining, events.Undrained, events.Registered); ok && e.Kind == events.Stuck && drains && h.Left() > 0 {
		h.Stuck = e.Reason
	} else if m := l.lastFrom(id); m != nil && m.State == wire.MoveUndone && drains && h.Left() > 0 {
		h.Stuck = fmt.Sprintf("%v: its move to %s was undone: %s", m.Thing(), m.Req.To, m.Text)
	}
	return h
}

// lastFrom returns the newest move from id that has ended and is remembered, nil if there is none.
func (l *List) lastFrom(id wire.NodeID) (last *Move) {
	for _, part := range [][]Move{l.history, l.moves} {
		for i := range part {
			if m := &part[i]; m.Ended() && m.From == id && (last == nil || m.Req.Move.No > last.Req.Move.No) {
				last = m
			}
		}
	}
	return last
}

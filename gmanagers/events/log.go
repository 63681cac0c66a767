package events

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"splitkernel/netlayer/wire"
)

// Log is the last events of a manager, as replicated. The zero value is empty.
type Log struct {
	ring []Event // grows to MaxEvents; then the event of number n is at (n-1) % MaxEvents
	last uint64  // the number of the last event
}

// Append gives e the next number and keeps a copy of it. Text that is too long is cut, candidates beyond MaxCandidates
// are left out. It allocates nothing once the ring is full, unless text must be cut.
func (l *Log) Append(e Event) {
	l.last++
	e.Seq = l.last
	candidates := e.Candidates[:min(len(e.Candidates), MaxCandidates)]
	e.Candidates, e.Reason = nil, cut(e.Reason, MaxReasonBytes)
	i := int((l.last - 1) % MaxEvents)
	if i == len(l.ring) {
		l.ring = append(l.ring, e)
	} else {
		e.Candidates = l.ring[i].Candidates[:0] // its memory
		l.ring[i] = e
	}
	slot := &l.ring[i]
	if cap(slot.Candidates) < len(candidates) {
		slot.Candidates = make([]Candidate, 0, len(candidates))
	}
	slot.Candidates = append(slot.Candidates, candidates...)
	for j := range slot.Candidates {
		slot.Candidates[j].Why = cut(slot.Candidates[j].Why, MaxWhyBytes)
	}
}

// cut shortens s to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Last returns the number of the last event, 0 if there was none.
func (l *Log) Last() uint64 { return l.last }

// Oldest returns the number of the oldest event that is remembered, Last + 1 if there is none.
func (l *Log) Oldest() uint64 { return l.last - uint64(len(l.ring)) + 1 }

// Page is the answer to a query for events.
type Page struct {
	Oldest uint64  // the number of the oldest event that is remembered: above since+1, some are gone that were asked for
	Last   uint64  // the number of the last event
	Events []Event // ascending by Seq
}

// Page returns the events after number since, at most limit and MaxPage of them; limit 0 is MaxPage. It shares nothing
// with the log.
func (l *Log) Page(since uint64, limit uint64) Page {
	p := Page{Oldest: l.Oldest(), Last: l.last}
	if limit == 0 || limit > MaxPage {
		limit = MaxPage
	}
	for n := max(since, p.Oldest-1); n < l.last && uint64(len(p.Events)) < limit; n++ {
		e := l.ring[n%MaxEvents]
		e.Candidates = append([]Candidate(nil), e.Candidates...)
		p.Events = append(p.Events, e)
	}
	return p
}

// CheckInvariants returns the first broken rule.
func (l *Log) CheckInvariants() error {
	if len(l.ring) > MaxEvents || uint64(len(l.ring)) > l.last || len(l.ring) < MaxEvents && uint64(len(l.ring)) != l.last {
		return fmt.Errorf("events: %d of %d events are held, at most %d", len(l.ring), l.last, MaxEvents)
	}
	for n := l.Oldest(); n <= l.last; n++ {
		if e := &l.ring[(n-1)%MaxEvents]; e.Seq != n {
			return fmt.Errorf("events: event %d is where %d belongs", e.Seq, n)
		} else if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

// check refuses what Append never keeps.
func (e *Event) check() error {
	long := max(len(e.Node), len(e.From), len(e.To), len(e.Policy), len(e.Unit))
	for _, c := range e.Candidates {
		long = max(long, len(c.ID), len(c.Why))
	}
	if e.Kind == 0 || len(e.Candidates) > MaxCandidates || len(e.Reason) > MaxReasonBytes || long > maxNameBytes {
		return fmt.Errorf("events: event %d of kind %d: %d candidates, reason of %d bytes, names up to %d bytes", e.Seq, e.Kind, len(e.Candidates), len(e.Reason), long)
	}
	return nil
}

// Joined appends that a component registered.
func (l *Log) Joined(ms int64, id wire.NodeID, epoch wire.Epoch) {
	kind := Registered
	if epoch > 1 {
		kind = Rejoined
	}
	l.Append(Event{MS: ms, Kind: kind, Node: id, Epoch: epoch})
}

// LastOf returns the newest event about a component of one of the kinds; false if none is remembered.
func (l *Log) LastOf(id wire.NodeID, kinds ...Kind) (Event, bool) {
	for n := l.last; n >= l.Oldest() && n > 0; n-- {
		if e := &l.ring[(n-1)%MaxEvents]; e.Node == id && slices.Contains(kinds, e.Kind) {
			return *e, true
		}
	}
	return Event{}, false
}

package movelist

import (
	"errors"
	"math"
	"strings"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

// Begins carries out the orders of a command, each by itself. Begin finds the giver and the taker, books room there and calls
// List.Begin, or refuses.
func (l *List) Begins(orders []Order, begin func(Order) (*Move, error)) ([]Begun, error) {
	if len(orders) > MaxBatch {
		return nil, wire.Errorf(wire.KindBadRequest, "%d moves, at most %d at a time", len(orders), MaxBatch)
	}
	out := make([]Begun, 0, len(orders))
	for _, o := range orders {
		m, err := l.begin(o, begin)
		if err != nil {
			out = append(out, Begun{Kind: wire.KindOf(err), Text: membership.TextOf(err)})
			continue
		}
		out = append(out, Begun{No: m.Req.Move.No, From: m.From, To: m.Req.To})
	}
	return out, nil
}

func (l *List) begin(o Order, begin func(Order) (*Move, error)) (*Move, error) {
	if err := o.Check(l.manager); err != nil {
		return nil, err
	}
	if m := l.Moving(o.Thing); m != nil {
		return nil, wire.Errorf(wire.KindBusy, "%v is moving from %s to %s already (move %d)", o.Thing, m.From, m.Req.To, m.Req.Move.No)
	}
	if err := l.Room(); err != nil {
		return nil, err
	}
	return begin(o)
}

// Giver says why who holds a thing under an epoch of it cannot give it away.
func (o Order) Giver(holder wire.NodeID, epoch wire.Epoch) error {
	switch {
	case o.From != "" && o.From != holder:
		return wire.Errorf(wire.KindStale, "%v is at %s, not at %s any more", o.Thing, holder, o.From)
	case o.To == holder:
		return wire.Errorf(wire.KindExists, "%v is at %s already", o.Thing, holder)
	case epoch > math.MaxUint32-3:
		return wire.Errorf(wire.KindNoRoom, "%v: its epochs are used up", o.Thing)
	}
	return nil
}

// Ends carries out the ends and the drops of a command. Ended changes the books of the state; it is called once for each
// move, when its end becomes known.
func (l *List) Ends(nowMS int64, ends []moves.End, drops []uint64, log *events.Log, ended func(*Move)) error {
	if len(ends)+len(drops) > MaxBatch {
		return wire.Errorf(wire.KindBadRequest, "%d ends and %d moves to drop, at most %d at a time", len(ends), len(drops), MaxBatch)
	}
	var errs []error
	for _, e := range ends {
		m, err := l.End(nowMS, e)
		if err != nil {
			errs = append(errs, err)
		} else if m != nil {
			ended(m)
			e := m.event(nowMS, events.MoveEnded)
			e.Amount, e.Epoch, e.Reason = m.Bytes, m.Epoch, m.Outcome()
			log.Append(e)
		}
	}
	for _, no := range drops {
		if err := l.Drop(no); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return wire.Errorf(wire.KindOf(errs[0]), "%s", membership.TextOf(errors.Join(errs...)))
	}
	return nil
}

func (m *Move) event(nowMS int64, k events.Kind) events.Event {
	return events.Event{
		MS: nowMS, Kind: k, PID: m.Req.PID, Region: m.Req.Region, Volume: m.Req.Volume, Move: m.Req.Move.No, From: m.From, To: m.Req.To,
	}
}

// BegunEvent tells that a move begins. Chosen is what the policy explained, if it chose the taker.
func (m *Move) BegunEvent(nowMS int64, o Order, chosen events.Event) events.Event {
	e := m.event(nowMS, events.MoveBegun)
	e.Epoch, e.Reason = m.Req.OldEpoch, m.Req.Kind.String()+" by "+strings.TrimPrefix(o.Cause.String(), "by_")
	if o.Reason != "" {
		e.Reason += ": " + o.Reason
	}
	if o.To == "" {
		e.Policy, e.Unit, e.Candidates = chosen.Policy, chosen.Unit, chosen.Candidates
		return e
	}
	e.Policy, e.Unit, e.Candidates = o.Policy, o.Unit, o.Candidates[:min(len(o.Candidates), MaxCandidates)]
	return e
}

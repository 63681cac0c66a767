package given

import (
	"fmt"

	"splitkernel/netlayer/wire"
)

// MaxMoves bounds the moves that are remembered. The oldest that has ended makes room for another.
const MaxMoves = 1024

// Move is one thing on its way to another component, as its giver drives it.
type Move interface {
	// Status says how far it has come. It may be called at any time, after the end too.
	Status() wire.MoveStatusRep
}

// Renewed is a Move whose order may come again with something new in it.
type Renewed interface {
	// Renew takes an order of the move that came again, perhaps late.
	Renew(req wire.MoveReq) error
}

// Book is the moves of one giver. The zero value is empty.
type Book[M Move] struct {
	known  map[wire.MoveID]M
	order  []wire.MoveID                // of known, the first to begin first
	forgot [wire.GSM + 1]wire.Forgotten // by manager
}

// Start begins a move by begin, unless it was begun before: the same order again changes nothing but what Renew does.
func (b *Book[M]) Start(req wire.MoveReq, begin func() (M, error)) error {
	if m, ok := b.known[req.Move]; ok {
		if r, ok := any(m).(Renewed); ok {
			return r.Renew(req)
		}
		return nil
	}
	if g := req.Move.Manager; g < wire.GPM || g > wire.GSM {
		return wire.Errorf(wire.KindBadRequest, "move of manager %d, want 1 to 3", g)
	} else if b.forgot[g].Has(req.Move.No) {
		return wire.Errorf(wire.KindStale, "move %d of %v has ended and was forgotten", req.Move.No, g)
	}
	if len(b.order) >= MaxMoves && !b.dropOldest() {
		return wire.Errorf(wire.KindBusy, "%d moves are under way, at most as many: retry", MaxMoves)
	}
	m, err := begin()
	if err != nil {
		return err
	}
	if b.known == nil {
		b.known = map[wire.MoveID]M{}
	}
	b.known[req.Move] = m
	b.order = append(b.order, req.Move)
	return nil
}

// dropOldest forgets the oldest move that has ended.
func (b *Book[M]) dropOldest() bool {
	for i, id := range b.order {
		if b.known[id].Status().State.Ended() {
			b.drop(i)
			return true
		}
	}
	return false
}

func (b *Book[M]) drop(i int) {
	delete(b.known, b.order[i])
	b.order = append(b.order[:i], b.order[i+1:]...)
}

// Find gives a move.
func (b *Book[M]) Find(id wire.MoveID) (M, error) {
	m, ok := b.known[id]
	if !ok {
		return m, wire.Errorf(wire.KindNotFound, "move %d of %v was not ordered here, or was forgotten", id.No, id.Manager)
	}
	return m, nil
}

// Status answers for one move.
func (b *Book[M]) Status(ref wire.MoveRef) (wire.MoveStatusRep, error) {
	m, err := b.Find(ref.Move)
	if err != nil {
		return wire.MoveStatusRep{}, err
	}
	return m.Status(), nil
}

// Forget forgets a move that has ended. One that is unknown is forgotten already.
func (b *Book[M]) Forget(ref wire.MoveRef) error {
	for i, id := range b.order {
		if id != ref.Move {
			continue
		}
		if s := b.known[id].Status(); !s.State.Ended() {
			return wire.Errorf(wire.KindBusy, "move %d of %v is %v and cannot be forgotten yet", id.No, id.Manager, s.State)
		}
		b.drop(i)
		break
	}
	if g := ref.Move.Manager; g >= wire.GPM && g <= wire.GSM {
		b.forgot[g].Forget(ref.Move.No)
	}
	return nil
}

// All gives the moves that are remembered, the first to begin first.
func (b *Book[M]) All() []M {
	out := make([]M, 0, len(b.order))
	for _, id := range b.order {
		out = append(out, b.known[id])
	}
	return out
}

// CheckInvariants reports a broken one, for tests.
func (b *Book[M]) CheckInvariants() error {
	if len(b.known) != len(b.order) || len(b.order) > MaxMoves {
		return fmt.Errorf("given: %d moves in %d places, at most %d", len(b.known), len(b.order), MaxMoves)
	}
	for _, id := range b.order {
		if _, ok := b.known[id]; !ok {
			return fmt.Errorf("given: move %d of %v has a place and is not known", id.No, id.Manager)
		}
	}
	return nil
}

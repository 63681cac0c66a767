package mcomponent

import (
	"context"
	"sync"

	"splitkernel/netlayer"
	"splitkernel/netlayer/given"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// move is one thing on its way to another component, as its giver drives it. It goes on by itself, in a goroutine that
// Component.wg counts, whether managers live or not.
type move = given.Move

// moves is what this component gives away, and gave. Its lock is held together with no other but those that Status takes.
type moves struct {
	mu   sync.Mutex
	book given.Book[move]
}

// start begins a move by begin, unless it was begun before.
func (m *moves) start(req wire.MoveReq, begin func(wire.MoveReq) (move, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Start(req, func() (move, error) { return begin(req) })
}

// status answers for one move.
func (m *moves) status(ref wire.MoveRef) (wire.MoveStatusRep, error) {
	m.mu.Lock()
	mv, err := m.book.Find(ref.Move)
	m.mu.Unlock()
	if err != nil {
		return wire.MoveStatusRep{}, err
	}
	return mv.Status(), nil
}

// forget forgets a move that has ended.
func (m *moves) forget(ref wire.MoveRef) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Forget(ref)
}

// giver gives the function that begins a move of a kind, by what this component can give away.
func (c *Component) giver(k wire.MoveKind) func(span.Work, wire.MoveReq) (move, error) {
	switch k {
	case wire.MoveRegion:
		return c.giveRegion
	case wire.MoveHome:
		return c.giveHome
	case wire.MoveCache:
		return c.startCacheMove
	}
	return nil
}

// moveOp serves the operations of moves that every kind of giver has.
func (c *Component) moveOp(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op == wire.OpMoveStart {
		var m wire.MoveReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		begin := c.giver(m.Kind)
		if begin == nil {
			return wire.Errorf(wire.KindBadRequest, "%s is an mComponent and does not move a %v", c.o.Node, m.Kind)
		}
		work := span.NewWork(ctx, c.o.Net.Spans, span.Internal, "give "+m.Kind.String(), span.Moving(&m)...)
		return c.moves.start(m, func(m wire.MoveReq) (move, error) { return begin(work, m) })
	}
	var m wire.MoveRef
	if err := wire.Unmarshal(req.Body, &m); err != nil {
		return err
	}
	if req.Op == wire.OpMoveForget {
		return c.moves.forget(m)
	}
	s, err := c.moves.status(m)
	if err == nil {
		rep.SetControl(s)
	}
	return err
}

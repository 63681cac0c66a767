package mcomponent

import (
	"sync"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// maxMoves bounds the moves that a giver remembers: those under way, and those that ended and that no manager has told it
// to forget. The oldest that has ended makes room for another.
const maxMoves = 1024

// move is one thing on its way to another component, as its giver drives it. It goes on by itself, in a goroutine that
// Component.wg counts, whether managers live or not.
type move interface {
	// status says how far it has come. It may be called at any time, after the end too.
	status() wire.MoveStatusRep
}

// moves is what this component gives away, and gave. Its lock is held together with no other but those that status takes.
type moves struct {
	mu     sync.Mutex
	known  map[wire.MoveID]move
	order  []wire.MoveID                // of known, the first to begin first
	forgot [wire.GSM + 1]wire.Forgotten // by manager
}

// start begins a move by begin, unless it was begun before: the same order again changes nothing.
func (m *moves) start(req wire.MoveReq, begin func(wire.MoveReq) (move, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.known[req.Move]; ok {
		return nil
	}
	if g := req.Move.Manager; g < wire.GPM || g > wire.GSM {
		return wire.Errorf(wire.KindBadRequest, "move of manager %d, want 1 to 3", g)
	} else if m.forgot[g].Has(req.Move.No) {
		return wire.Errorf(wire.KindStale, "move %d of %v has ended and was forgotten", req.Move.No, g)
	}
	if len(m.order) >= maxMoves && !m.dropOldest() {
		return wire.Errorf(wire.KindBusy, "%d moves are under way, at most as many: retry", maxMoves)
	}
	mv, err := begin(req)
	if err != nil {
		return err
	}
	if m.known == nil {
		m.known = map[wire.MoveID]move{}
	}
	m.known[req.Move] = mv
	m.order = append(m.order, req.Move)
	return nil
}

// dropOldest forgets the oldest move that has ended.
func (m *moves) dropOldest() bool {
	for i, id := range m.order {
		if m.known[id].status().State.Ended() {
			m.drop(i)
			return true
		}
	}
	return false
}

func (m *moves) drop(i int) {
	delete(m.known, m.order[i])
	m.order = append(m.order[:i], m.order[i+1:]...)
}

// status answers for one move.
func (m *moves) status(ref wire.MoveRef) (wire.MoveStatusRep, error) {
	m.mu.Lock()
	mv, ok := m.known[ref.Move]
	m.mu.Unlock()
	if !ok {
		return wire.MoveStatusRep{}, wire.Errorf(wire.KindNotFound, "move %d of %v was not ordered here, or was forgotten", ref.Move.No, ref.Move.Manager)
	}
	return mv.status(), nil
}

// forget forgets a move that has ended. One that is unknown is forgotten already.
func (m *moves) forget(ref wire.MoveRef) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, id := range m.order {
		if id != ref.Move {
			continue
		}
		if s := m.known[id].status(); !s.State.Ended() {
			return wire.Errorf(wire.KindBusy, "move %d of %v is %v and cannot be forgotten yet", id.No, id.Manager, s.State)
		}
		m.drop(i)
		break
	}
	if g := ref.Move.Manager; g >= wire.GPM && g <= wire.GSM {
		m.forgot[g].Forget(ref.Move.No)
	}
	return nil
}

// giver gives the function that begins a move of a kind, by what this component can give away.
func (c *Component) giver(k wire.MoveKind) func(wire.MoveReq) (move, error) {
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
func (c *Component) moveOp(req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op == wire.OpMoveStart {
		var m wire.MoveReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		begin := c.giver(m.Kind)
		if begin == nil {
			return wire.Errorf(wire.KindBadRequest, "%s is an mComponent and does not move a %v", c.o.Node, m.Kind)
		}
		return c.moves.start(m, begin)
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

package gpm

import (
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// lostInMove as Process.NodeEpoch says that the process was lost when it moved: no member has that epoch.
const lostInMove wire.Epoch = 0

// beginMoves carries out orders to move processes.
func (s *State) beginMoves(cmd Command) Result {
	begun, err := s.moves.Begins(cmd.Request.Orders, func(o movelist.Order) (*movelist.Move, error) { return s.beginMove(o, cmd) })
	if err == nil {
		err = movelist.TakeDown(cmd.Request.Notes, cmd.Stamp.NowMS, s.events, s.drains)
	}
	if err != nil {
		return failed(err)
	}
	return Result{Begun: begun}
}

// beginMove checks an order against the books and books threads and lines at the taker.
func (s *State) beginMove(o movelist.Order, cmd Command) (*movelist.Move, error) {
	i, ok := s.find(o.Thing.PID)
	if !ok {
		return nil, wire.Errorf(wire.KindNotFound, "process %d is not placed", o.Thing.PID)
	}
	p := &s.processes[i]
	switch {
	case p.Phase != admission.Running:
		return nil, wire.Errorf(wire.KindBusy, "process %d is not running: phase %v", p.PID, p.Phase)
	case p.Restarting:
		return nil, wire.Errorf(wire.KindBusy, "process %d is being restarted at %s", p.PID, p.Node)
	case p.NodeEpoch == lostInMove:
		return nil, wire.Errorf(wire.KindFailed, "process %d is %s", p.PID, s.fate(p))
	case !s.members.Current(p.Node, p.NodeEpoch):
		return nil, wire.Errorf(wire.KindFailed, "process %d was at %s under epoch %d and is lost: %s", p.PID, p.Node, p.NodeEpoch, s.members.Fate(p.Node, p.NodeEpoch))
	}
	if err := o.Giver(p.Node, p.Epoch); err != nil {
		return nil, err
	}
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return nil, err
	}
	spec := admission.VNodeSpec{Name: p.Name, Threads: p.Threads, ExCacheLines: p.ExCacheLines}
	key := placement.Hash(uint64(p.PID))
	ask := placement.Ask{Need: p.ExCacheLines, Threads: uint64(p.Threads), Key: key, Chance: placement.Hash(cmd.Stamp.Chance, key), After: s.turn}
	id, err := movelist.Taker(o, p.Node, s.apart, p.Groups(), policy, ask, &s.set, &s.note, func() string {
		var why membership.Refusals
		s.refuses(spec, p.Groups(), &why, &why, &why)
		return why.With("raise pcomponent.excache_bytes")
	})
	if err != nil {
		return nil, err
	}
	if o.To == "" && policy.Rotates {
		s.turn = id
	}
	giver, _ := s.members.Get(p.Node)
	to, _ := s.members.Get(id)
	m := s.moves.Begin(movelist.Move{
		Req: wire.MoveReq{OldEpoch: p.Epoch, To: to.ID, ToAddr: to.Addr}, From: p.Node, FromAddr: giver.Addr, FromEpoch: p.NodeEpoch, ToEpoch: to.Epoch, ToRack: to.Rack, Apart: p.Groups(),
		Size: p.ExCacheLines, Threads: p.Threads, BegunMS: cmd.Stamp.NowMS,
	}, o)
	s.bookMove(m, 1)
	s.events.Append(m.BegunEvent(cmd.Stamp.NowMS, o, s.note))
	return m, nil
}

// bookMove books, n times, what a move that is under way takes at its taker.
func (s *State) bookMove(m *movelist.Move, n uint64) {
	s.book(m.Req.To, m.ToEpoch, uint64(m.Threads), m.Size, m.Apart, n)
}

func (s *State) endMoves(cmd Command) Result {
	if err := s.moves.Ends(cmd.Stamp.NowMS, cmd.Request.Ends, cmd.Request.Drops, s.events, s.moved); err != nil {
		return failed(err)
	}
	s.room++ // what moved away left room
	return Result{}
}

// moved changes the books by the end of a move. A process that ended meanwhile has nothing to change.
func (s *State) moved(m *movelist.Move) {
	s.bookMove(m, less)
	i, ok := s.find(m.Req.PID)
	if !ok {
		return
	}
	p := &s.processes[i]
	if p.Node != m.From || p.NodeEpoch != m.FromEpoch || p.Epoch != m.Req.OldEpoch {
		return
	}
	if m.State != wire.MoveUndone {
		s.take(p, less)
	}
	switch m.State {
	case wire.MoveDone:
		p.Node, p.NodeEpoch, p.Epoch = m.Req.To, m.ToEpoch, m.Epoch
		s.take(p, 1)
	case wire.MoveUndone:
		p.Epoch = m.Epoch
	case wire.MoveLost:
		p.NodeEpoch = lostInMove
	}
}

// fate says how a process was lost.
func (s *State) fate(p *Process) string {
	if p.GaveUp != "" {
		return "lost, and it could not go on from a checkpoint at " + string(p.Node) + ": " + p.GaveUp
	}
	if p.NodeEpoch == lostInMove {
		return "lost when it moved from " + string(p.Node)
	}
	return "lost with " + string(p.Node) + ": " + s.members.Fate(p.Node, p.NodeEpoch)
}

// arrives reports whether a process moves to a pComponent that lives.
func (s *State) arrives(pid wire.PID) bool {
	m := s.moves.MovingOf(wire.MoveProcess, pid, 0)
	return m != nil && s.members.Current(m.Req.To, m.ToEpoch)
}

// Moves returns the list of moves. The caller changes nothing.
func (s *State) Moves() *movelist.List { return s.moves }

// checkMoves adds what moves under way take to the sums.
func (s *State) checkMoves(sums map[wire.NodeID]used) error {
	if err := s.moves.CheckInvariants(); err != nil {
		return fmt.Errorf("gpm: %w", err)
	}
	list := s.moves.Moves()
	for i := range list {
		m := &list[i]
		switch {
		case !s.members.Was(m.From, m.FromEpoch) || !s.members.Was(m.Req.To, m.ToEpoch):
			return fmt.Errorf("gpm: move %d from %q under epoch %d to %q under epoch %d, which never were", m.Req.Move.No, m.From, m.FromEpoch, m.Req.To, m.ToEpoch)
		case m.Size == 0 || m.Threads == 0:
			return fmt.Errorf("gpm: move %d of %d threads and %d lines", m.Req.Move.No, m.Threads, m.Size)
		case m.Ended() || !s.members.Current(m.Req.To, m.ToEpoch):
			continue
		}
		to, _ := s.members.Get(m.Req.To)
		u := sums[m.Req.To]
		if m.Size > to.Capacity.ExCacheLines-u.lines {
			return fmt.Errorf("gpm: move %d takes more than the %d lines of %q", m.Req.Move.No, to.Capacity.ExCacheLines, m.Req.To)
		}
		sums[m.Req.To] = used{u.threads + uint64(m.Threads), u.lines + m.Size}
	}
	return nil
}

// drains reports whether a pComponent drains.
func (s *State) drains(id wire.NodeID) bool {
	e, ok := s.members.Entry(id)
	return ok && e.Drain
}

// holds counts what a pComponent has.
func (s *State) holds(id wire.NodeID) movelist.Holds {
	h := movelist.Held{Kind: wire.MoveProcess}
	for i := range s.processes {
		if p := &s.processes[i]; p.Node == id && s.members.Current(id, p.NodeEpoch) {
			h.Things++
		}
	}
	return s.moves.Holds(id, s.drains(id), s.events, h)
}

// Each calls do with each process, ascending by PID. Do changes nothing and keeps nothing.
func (s *State) Each(do func(*Process)) {
	for i := range s.processes {
		do(&s.processes[i])
	}
}

// Placed is how many processes there are, in whatever phase.
func (s *State) Placed() int { return len(s.processes) }

// Used returns the threads and lines that are taken at a pComponent.
func (s *State) Used(id wire.NodeID) (threads, lines uint64) {
	u := s.used[id]
	return u.threads, u.lines
}

// Current reports whether id is registered under epoch and not dead.
func (s *State) Current(id wire.NodeID, epoch wire.Epoch) bool { return s.members.Current(id, epoch) }

// Turn counts the decisions about members.
func (s *State) Turn() uint64 { return s.members.Turn() }

// Avoid returns the components and racks that what has memberships must not come to, ascending.
func (s *State) Avoid(ms []apart.Member) (nodes []wire.NodeID, racks []string) {
	return s.apart.Avoid(ms)
}

// Clients fills in, of homes that are taken over, the epoch of the process and where its pComponent listens, as far as is known here.
func (s *State) Clients(listed []redundancy.Listed) {
	for i := range listed {
		l := &listed[i]
		if !l.Home || l.Stage != redundancy.Recover {
			continue
		}
		if j, ok := s.find(l.PID); ok {
			p := s.processes[j]
			if m, ok := s.members.Get(p.Node); ok && s.members.Current(p.Node, p.NodeEpoch) {
				l.Process, l.Client = p.Epoch, m.Addr
			}
		}
	}
}

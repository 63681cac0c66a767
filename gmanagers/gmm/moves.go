package gmm

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// beginMoves carries out orders to move vRegions and homes.
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

// beginMove checks an order against the books and books room at the taker: for a vRegion its size, for a home none, but it
// counts as one.
func (s *State) beginMove(o movelist.Order, cmd Command) (*movelist.Move, error) {
	t := o.Thing
	i, ok := s.find(t.PID)
	if !ok {
		return nil, wire.Errorf(wire.KindNotFound, "process %d has no home", t.PID)
	}
	p := s.processes[i]
	if p.Prepared {
		return nil, wire.Errorf(wire.KindBusy, "process %d is being admitted: wait until it runs", t.PID)
	}
	m := movelist.Move{From: p.Home, FromEpoch: p.NodeEpoch, Req: wire.MoveReq{OldEpoch: p.HomeEpoch}}
	set, at := &s.forHomes, p.homeSeat()
	if t.Kind == wire.MoveRegion {
		j, ok := p.findRegion(t.Region)
		if !ok {
			return nil, wire.Errorf(wire.KindNotFound, "process %d has no vRegion %d", t.PID, t.Region)
		}
		r := p.Regions[j]
		at = p.seat(j)
		m.From, m.FromEpoch, m.Req.OldEpoch, m.Size, set = r.Node, r.NodeEpoch, r.Epoch, s.regionBytes, &s.forRegions
		if h := s.moves.MovingOf(wire.MoveHome, t.PID, 0); h != nil {
			return nil, wire.Errorf(wire.KindBusy, "the home of process %d moves, its vRegions stay until then (move %d)", t.PID, h.Req.Move.No)
		}
		if !s.members.Current(p.Home, p.NodeEpoch) {
			return nil, s.lost(fmt.Sprintf("the home of process %d", t.PID), p.Home, p.NodeEpoch)
		}
		home, _ := s.members.Get(p.Home)
		m.Req.Via, m.Req.ViaAddr, m.Req.ViaEpoch = home.ID, home.Addr, p.HomeEpoch
	} else if r := s.moves.MovingOf(wire.MoveRegion, t.PID, 0); r != nil {
		return nil, wire.Errorf(wire.KindBusy, "vRegion %d of process %d moves, its home stays until then (move %d)", r.Req.Region, t.PID, r.Req.Move.No)
	}
	if !s.members.Current(m.From, m.FromEpoch) {
		return nil, s.lost(t.String(), m.From, m.FromEpoch)
	}
	if err := o.Giver(m.From, m.Req.OldEpoch); err != nil {
		return nil, err
	}
	if err := s.movable(p, &at); err != nil {
		return nil, err
	}
	to, err := s.taker(o, m.From, (*at.copies).Keeps(), p.Groups(), set, cmd)
	if err != nil {
		return nil, err
	}
	giver, _ := s.members.Get(m.From)
	m.FromAddr, m.Req.To, m.Req.ToAddr, m.ToEpoch, m.BegunMS = giver.Addr, to.ID, to.Addr, to.Epoch, cmd.Stamp.NowMS
	m.ToRack, m.Apart = to.Rack, p.Groups()
	begun := s.moves.Begin(m, o)
	s.book(begun, 1)
	s.events.Append(begun.BegunEvent(cmd.Stamp.NowMS, o, s.note))
	return begun, nil
}

// taker returns the mComponent that gets what from holds: the one that the order names if it can, else that of the policy. Keeps have
// copies of it, and do not get it.
func (s *State) taker(o movelist.Order, from wire.NodeID, keeps []wire.NodeID, ms []apart.Member, set *placement.Set, cmd Command) (wire.Member, error) {
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return wire.Member{}, err
	}
	if cmd.Overcommit < MinOvercommit || cmd.Overcommit > MaxOvercommit {
		return wire.Member{}, wire.Errorf(wire.KindBadRequest, "overcommit %d thousandths, want %d to %d", cmd.Overcommit, MinOvercommit, MaxOvercommit)
	}
	turn := &s.ownerTurn
	if set == &s.forHomes {
		turn = &s.homeTurn
	}
	key := placement.Hash(uint64(o.Thing.PID), uint64(o.Thing.Region), uint64(o.Thing.Kind))
	ask := placement.Ask{Need: s.regionBytes, Key: key, Chance: placement.Hash(cmd.Stamp.Chance, key), After: *turn, Avoid: keeps}
	id, err := movelist.Taker(o, from, s.apart, ms, policy, ask, set, &s.note, func() string { return s.refuses(ms, s.regionBytes, keeps) })
	if err != nil {
		return wire.Member{}, err
	}
	if o.To == "" && policy.Rotates {
		*turn = id
	}
	m, _ := s.members.Get(id)
	return m, nil
}

func (p *Process) findRegion(no wire.RegionNo) (int, bool) {
	return slices.BinarySearchFunc(p.Regions, no, func(r Region, no wire.RegionNo) int { return cmp.Compare(r.Region, no) })
}

// book adds n, 1 or -1, to what a move that is under way takes at its taker, as long as that is registered as then.
func (s *State) book(m *movelist.Move, n uint64) {
	if m.Req.Kind == wire.MoveRegion {
		s.own(m.Req.To, m.ToEpoch, m.Apart, n)
	} else {
		s.house(m.Req.To, m.ToEpoch, m.Apart, n)
	}
}

func (s *State) endMoves(cmd Command) Result {
	if err := s.moves.Ends(cmd.Stamp.NowMS, cmd.Request.Ends, cmd.Request.Drops, s.events, func(m *movelist.Move) { s.moved(m, cmd) }); err != nil {
		return failed(err)
	}
	return Result{}
}

// moved changes the books by the end of a move. A process that was freed meanwhile has nothing to change. What was lost, or is with somebody
// who is gone, is recovered if it has copies.
func (s *State) moved(m *movelist.Move, cmd Command) {
	s.book(m, less) // what is moved is booked as such below
	i, ok := s.find(m.Req.PID)
	if !ok {
		return
	}
	p := s.processes[i]
	t := p.homeSeat()
	if m.Req.Kind == wire.MoveRegion {
		j, ok := p.findRegion(m.Req.Region)
		if !ok {
			return
		}
		t = p.seat(j)
	}
	if *t.node != m.From || *t.nodeEpoch != m.FromEpoch || *t.epoch != m.Req.OldEpoch {
		return
	}
	if m.State != wire.MoveUndone {
		s.serve(p, &t, less)
	}
	was := *t.epoch
	switch m.State {
	case wire.MoveDone:
		*t.node, *t.nodeEpoch, *t.epoch = m.Req.To, m.ToEpoch, m.Epoch
		s.serve(p, &t, 1)
	case wire.MoveUndone:
		*t.epoch = m.Epoch
	case wire.MoveLost:
		*t.nodeEpoch = lostInMove
	}
	if c := *t.copies; c != nil {
		if *t.epoch != was && s.members.Current(*t.node, *t.nodeEpoch) {
			next := c.change()
			next.Config, next.Known = c.Config+1, false
			s.put(p, &t, next)
		}
		s.mend(p, t, c.Failure, cmd)
		if m.Req.Kind == wire.MoveHome { // vRegions have waited for it
			for j := range p.Regions {
				s.mend(p, p.seat(j), c.Failure, cmd)
			}
			s.copyChanges++
		}
		s.judge(p)
	}
}

// lostInMove as NodeEpoch says that a vRegion or a home was lost when it moved: no member has that epoch.
const lostInMove wire.Epoch = 0

// Moves returns the list of moves. The caller changes nothing.
func (s *State) Moves() *movelist.List { return s.moves }

// checkMoves adds what moves under way take to the counts of homes and vRegions.
func (s *State) checkMoves(homes, owned map[wire.NodeID]uint64) error {
	if err := s.moves.CheckInvariants(); err != nil {
		return fmt.Errorf("gmm: %w", err)
	}
	list := s.moves.Moves()
	for i := range list {
		m := &list[i]
		switch {
		case !s.members.Was(m.From, m.FromEpoch) || !s.members.Was(m.Req.To, m.ToEpoch):
			return fmt.Errorf("gmm: move %d from %q under epoch %d to %q under epoch %d, which never were", m.Req.Move.No, m.From, m.FromEpoch, m.Req.To, m.ToEpoch)
		case s.tellsAnother(m):
			return fmt.Errorf("gmm: move %d of vRegion %d tells the home %s under epoch %d, which is not that of process %d any more", m.Req.Move.No, m.Req.Region, m.Req.Via, m.Req.ViaEpoch, m.Req.PID)
		case m.Ended() || !s.members.Current(m.Req.To, m.ToEpoch):
		case m.Req.Kind == wire.MoveRegion:
			owned[m.Req.To]++
		default:
			homes[m.Req.To]++
		}
	}
	return nil
}

// tellsAnother reports whether the move under way of a vRegion names another home than the one that serves.
func (s *State) tellsAnother(m *movelist.Move) bool {
	i, ok := s.find(m.Req.PID)
	if !ok || m.Ended() || m.Req.Kind != wire.MoveRegion {
		return false
	}
	p := s.processes[i]
	return s.homeServes(p) && (m.Req.Via != p.Home || m.Req.ViaEpoch != p.HomeEpoch)
}

// drains reports whether a mComponent drains.
func (s *State) drains(id wire.NodeID) bool {
	e, ok := s.members.Entry(id)
	return ok && e.Drain
}

// holds counts what an mComponent has. It looks at every vRegion.
func (s *State) holds(id wire.NodeID) movelist.Holds {
	regions, homes := movelist.Held{Kind: wire.MoveRegion}, movelist.Held{Kind: wire.MoveHome}
	for _, p := range s.processes {
		if p.Home == id && s.members.Current(id, p.NodeEpoch) {
			homes.Things++
		}
		for i := range p.Regions {
			if r := &p.Regions[i]; r.Node == id && s.members.Current(id, r.NodeEpoch) {
				regions.Things++
			}
		}
	}
	h := s.moves.Holds(id, s.drains(id), s.events, regions, homes)
	h.Copies = s.keeps[id]
	return h
}

// Each calls do with each process, ascending by PID. Do changes nothing and keeps nothing.
func (s *State) Each(do func(*Process)) {
	for _, p := range s.processes {
		do(p)
	}
}

// Kept counts the copies and backups that an mComponent has.
func (s *State) Kept(id wire.NodeID) uint64 { return s.keeps[id] }

// Movable says why a vRegion, or the home, of a process must stay where it is.
func (s *State) Movable(p *Process, of redundancy.Part) error {
	t, ok := p.seatOf(of)
	if !ok {
		return nil
	}
	return s.movable(p, &t)
}

// RegionBytes returns the size of a vRegion, 0 before the first mComponent.
func (s *State) RegionBytes() uint64 { return s.regionBytes }

// Owned returns the vRegions for which room is taken at an mComponent, reserved ones included.
func (s *State) Owned(id wire.NodeID) uint64 { return s.owned[id] }

// Current reports whether id is registered under epoch and not dead.
func (s *State) Current(id wire.NodeID, epoch wire.Epoch) bool { return s.members.Current(id, epoch) }

// Turn counts the decisions about members.
func (s *State) Turn() uint64 { return s.members.Turn() }

// Avoid returns the components and racks that what has memberships must not come to, ascending.
func (s *State) Avoid(ms []apart.Member) (nodes []wire.NodeID, racks []string) {
	return s.apart.Avoid(ms)
}

// Own returns the components and racks to which what has memberships keeps if it can, ascending.
func (s *State) Own(ms []apart.Member) (nodes []wire.NodeID, racks []string) { return s.apart.Own(ms) }

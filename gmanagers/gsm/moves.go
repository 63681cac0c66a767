package gsm

import (
	"fmt"

	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// beginMoves carries out orders to move volumes and their buffer caches.
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

// beginMove checks an order against the books and books the bytes of a volume at the taker.
func (s *State) beginMove(o movelist.Order, cmd Command) (*movelist.Move, error) {
	i, ok := s.find(o.Thing.Volume)
	if !ok {
		return nil, wire.Errorf(wire.KindNotFound, "no volume %d", o.Thing.Volume)
	}
	v := s.volumes[i]
	other := wire.MoveVolume
	if o.Thing.Kind == wire.MoveVolume {
		other = wire.MoveCache
	}
	switch m := s.moves.MovingOf(other, 0, v.Volume); {
	case v.Prepared:
		return nil, wire.Errorf(wire.KindBusy, "volume %d is of process %d, which is being admitted: wait until it runs", v.Volume, v.PID)
	case v.Lost != 0:
		return nil, wire.Errorf(wire.KindFailed, "volume %d is lost: the %v did not survive its move", v.Volume, v.Lost)
	case m != nil:
		return nil, wire.Errorf(wire.KindBusy, "the %v of volume %d moves (move %d): wait for it", other, v.Volume, m.Req.Move.No)
	}
	m := movelist.Move{Req: wire.MoveReq{OldEpoch: v.Epoch}, BegunMS: cmd.Stamp.NowMS, Apart: v.Groups()}
	var err error
	if o.Thing.Kind == wire.MoveVolume {
		err = s.beginVolume(v, o, cmd, &m)
	} else {
		err = s.beginCache(v, o, cmd, &m)
	}
	if err != nil {
		return nil, err
	}
	begun := s.moves.Begin(m, o)
	s.book(begun, 1)
	s.events.Append(begun.BegunEvent(cmd.Stamp.NowMS, o, s.note))
	return begun, nil
}

// beginVolume fills in giver and taker of a volume.
func (s *State) beginVolume(v Volume, o movelist.Order, cmd Command, m *movelist.Move) error {
	if v.Copies.Replicated() {
		return wire.Errorf(wire.KindBadRequest, "volume %d has %d copies, which do not move: drain an sComponent to have its copy made elsewhere", v.Volume, v.Copies.Replicas)
	}
	if err := o.Giver(v.Storage, v.Epoch); err != nil {
		return err
	}
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return err
	}
	key := placement.Hash(uint64(v.Volume))
	ask := placement.Ask{Need: v.SizeBytes, Key: key, Chance: placement.Hash(cmd.Stamp.Chance, key), After: s.storageTurn}
	id, err := movelist.Taker(o, v.Storage, s.apart, v.Groups(), policy, ask, &s.set, &s.note, func() string { return s.refuses(v.SizeBytes, v.Groups(), nil) })
	if err != nil {
		return err
	}
	if o.To == "" && policy.Rotates {
		s.storageTurn = id
	}
	from, _ := s.members.Get(v.Storage)
	to, _ := s.members.Get(id)
	m.From, m.FromAddr, m.FromEpoch, m.Size, m.ToRack = from.ID, from.Addr, from.Epoch, v.SizeBytes, to.Rack
	m.Req.To, m.Req.ToAddr, m.ToEpoch, m.Req.Via, m.Req.ViaAddr = to.ID, to.Addr, to.Epoch, v.Cache, v.CacheAddr
	return nil
}

// beginCache fills in giver and taker of a buffer cache. It reserves nothing.
func (s *State) beginCache(v Volume, o movelist.Order, cmd Command, m *movelist.Move) error {
	if i := v.in(wire.ReplicaRemade); i >= 0 && v.Confirmed != v.Config { // the taker would have the copies as the giver knows them
		return wire.Errorf(wire.KindBusy, "volume %d: its copy at %s is made again, which %s may not know: retry", v.Volume, v.Replicas[i].Node, v.Cache)
	}
	if err := o.Giver(v.Cache, v.Epoch); err != nil {
		return err
	}
	policy, err := placement.New(cmd.CachePolicy)
	if err != nil {
		return err
	}
	key := placement.Hash(uint64(v.Volume), 1)
	ask := placement.Ask{Need: 1, Key: key, Chance: placement.Hash(cmd.Stamp.Chance, key), After: s.cacheTurn}
	id, err := movelist.Taker(o, v.Cache, s.apartCaches, v.Groups(), policy, ask, &s.cacheSet, &s.note, func() string {
		return fmt.Sprintf("%d mComponents are alive%s", len(s.caches), s.refusesCache(v.Groups()))
	})
	if err != nil {
		return err
	}
	n, _ := s.findCache(id)
	to := s.caches[n]
	if o.To == "" && policy.Rotates {
		s.cacheTurn = id
	}
	m.From, m.FromAddr = v.Cache, v.CacheAddr // under which epoch GMM knows
	m.Req.To, m.Req.ToAddr, m.ToEpoch = to.ID, to.Addr, to.Epoch
	m.ToRack = to.Rack
	return nil
}

// checkCache refuses what no manager of ours stamps.
func checkCache(l membership.Live) error {
	if l.ID == "" || len(l.ID) > membership.MaxIDBytes || l.Addr == "" || len(l.Addr) > membership.MaxAddrBytes || l.Epoch == 0 {
		return wire.Errorf(wire.KindBadRequest, "buffer cache %q at %q under epoch %d: want an id, an address and an epoch", l.ID, l.Addr, l.Epoch)
	}
	return nil
}

// countMove counts, n times, which is 1 or less, what a move that is under way takes at its taker.
func (s *State) countMove(m *movelist.Move, n uint64) {
	if m.Req.Kind == wire.MoveCache {
		s.countCached(m.Req.To, m.ToRack, m.Apart, n)
		return
	}
	s.countStored(m.Req.To, m.Size, m.Apart, n)
}

// book counts so and brings the candidates in line.
func (s *State) book(m *movelist.Move, n uint64) {
	s.countMove(m, n)
	if m.Req.Kind == wire.MoveCache {
		s.refreshCache(m.Req.To)
	} else {
		s.refresh(m.Req.To)
	}
}

func (s *State) endMoves(cmd Command) Result {
	if err := s.moves.Ends(cmd.Stamp.NowMS, cmd.Request.Ends, cmd.Request.Drops, s.events, s.moved); err != nil {
		return failed(err)
	}
	return Result{}
}

// moved changes the books by the end of a move. A volume that was freed meanwhile has nothing to change.
func (s *State) moved(m *movelist.Move) {
	s.book(m, less) // what is moved is booked as such below
	i, ok := s.find(m.Req.Volume)
	if !ok {
		return
	}
	v := &s.volumes[i]
	cache := m.Req.Kind == wire.MoveCache
	if v.Epoch != m.Req.OldEpoch || cache && v.Cache != m.From || !cache && v.Storage != m.From {
		return
	}
	switch {
	case m.State == wire.MoveLost:
		// The giver may be alive and end the move under any of its epochs, when nobody asks it any more: sComponents then refuse older ones.
		v.Lost, v.Epoch = m.Req.Kind, m.Req.UndoEpoch
	case m.State == wire.MoveUndone:
		v.Epoch = m.Epoch
	case cache:
		s.countCached(v.Cache, v.CacheRack, v.Groups(), less)
		s.refreshCache(v.Cache)
		v.Cache, v.CacheAddr, v.Epoch, v.CacheRack, v.CacheEpoch = m.Req.To, m.Req.ToAddr, m.Epoch, m.ToRack, m.ToEpoch
		v.Confirmed = 0 // the giver told it what it knew
		s.countCached(v.Cache, v.CacheRack, v.Groups(), 1)
		s.refreshCache(v.Cache)
	default:
		s.countStored(v.Storage, v.SizeBytes, v.Groups(), less)
		s.refresh(v.Storage)
		v.Storage, v.Epoch = m.Req.To, m.Epoch
		s.countStored(v.Storage, v.SizeBytes, v.Groups(), 1)
		s.refresh(v.Storage)
	}
}

// Moves returns the list of moves. The caller changes nothing.
func (s *State) Moves() *movelist.List { return s.moves }

// checkMoves returns the first broken rule of the moves; count sees to what they take.
func (s *State) checkMoves() error {
	if err := s.moves.CheckInvariants(); err != nil {
		return fmt.Errorf("gsm: %w", err)
	}
	list := s.moves.Moves()
	for i := range list {
		m := &list[i]
		if m.Req.Kind == wire.MoveVolume && (m.Size == 0 || !s.members.Was(m.From, m.FromEpoch) || !s.members.Was(m.Req.To, m.ToEpoch)) {
			return fmt.Errorf("gsm: move %d of %d bytes from %q under epoch %d to %q under epoch %d: nothing, or they never were", m.Req.Move.No, m.Size, m.From, m.FromEpoch, m.Req.To, m.ToEpoch)
		}
	}
	return nil
}

// drains reports whether an sComponent drains, or an mComponent as far as GMM has told.
func (s *State) drains(id wire.NodeID) bool {
	if i, ok := s.findGate(id); ok && s.gates[i].Until == UntilOpened {
		return true
	}
	e, ok := s.members.Entry(id)
	return ok && e.Drain
}

// Drains reports the same.
func (s *State) Drains(id wire.NodeID) bool { return s.drains(id) }

// holds counts what an sComponent has, or an mComponent of buffer caches.
func (s *State) holds(id wire.NodeID) movelist.Holds {
	volumes, caches := movelist.Held{Kind: wire.MoveVolume}, movelist.Held{Kind: wire.MoveCache}
	for i := range s.volumes {
		if s.volumes[i].StoredAt(id) {
			volumes.Things++
		}
		if s.volumes[i].Cache == id {
			caches.Things++
		}
	}
	h := s.moves.Holds(id, s.drains(id), s.events, volumes, caches)
	h.Copies = s.filed[id]
	return h
}

// Filed counts the backup files at an sComponent: those who write them leave it when it drains.
func (s *State) Filed(id wire.NodeID) uint64 { return s.filed[id] }

// Each calls do with each volume, ascending by id. Do changes nothing and keeps nothing.
func (s *State) Each(do func(*Volume)) {
	for i := range s.volumes {
		do(&s.volumes[i])
	}
}

// ReservedBytes returns the bytes that are taken at an sComponent.
func (s *State) ReservedBytes(id wire.NodeID) uint64 { return s.reserved[id] }

// Turn counts the decisions about members.
func (s *State) Turn() uint64 { return s.members.Turn() }

// Avoid returns the components and racks that what has memberships must not come to, ascending.
func (s *State) Avoid(ms []apart.Member) (nodes []wire.NodeID, racks []string) {
	return s.apart.Avoid(ms)
}

// AvoidCaches returns the same for buffer caches.
func (s *State) AvoidCaches(ms []apart.Member) (nodes []wire.NodeID, racks []string) {
	return s.apartCaches.Avoid(ms)
}

// Own returns the components and racks to which what has memberships keeps if it can, ascending.
func (s *State) Own(ms []apart.Member) (nodes []wire.NodeID, racks []string) { return s.apart.Own(ms) }

// Volumed returns how many volumes a vNode has.
func (s *State) Volumed(pid wire.PID) int { return len(s.of[pid]) }

package vcluster

import (
	"time"

	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// regionCopyOpen makes a place for a vRegion.
func (m *memory) regionCopyOpen(q wire.RegionCopyOpenReq) error {
	t := m.moves().taker
	in, isNew, err := t.Open(m.c.clock.Now(), q)
	if err != nil || !isNew {
		return err
	}
	if free := m.store.Free(); uint64(free) < q.Pages {
		return wire.Errorf(wire.KindNoMemory, "%s: %d pages are free, vRegion %d of process %d has %d; give the component more memory_bytes", m.o.ID, free, q.Region, q.PID, q.Pages)
	}
	if err := m.owners.Granted(q.PID, q.Region, q.Member); err != nil {
		return err // in the books it would be lost
	}
	if in.Slot, err = m.owners.Arrive(q.PID, q.Region, q.Epoch, q.From); err != nil {
		if old := t.Older(q.PID, q.Region, q.Epoch); old != nil {
			m.dropIncoming(t.Drop(old.Move))
			return wire.Errorf(wire.KindBusy, "%s frees an older copy of vRegion %d of process %d: retry", m.o.ID, q.Region, q.PID)
		}
		return err
	}
	t.Add(in)
	m.tend()
	return nil
}

// takeConfig goes on with the redundancy of a vRegion that has arrived: its holders hear of the new epoch before any flush is acknowledged.
func (m *memory) takeConfig(in *migrate.Incoming, epoch wire.Epoch) {
	if cfg := in.Config; cfg.Config > 0 {
		cfg.Epoch = epoch
		if cfg.Policy.Kind == wire.MemoryErasure { // what came is with its pComponent still, which sends it again
			m.store.FreeGroup(in.Slot, m.frames())
		}
		m.redundancy().configure(in.Slot, cfg, false)
	}
}

// regionCopy stores pages as they are at the giver.
func (m *memory) regionCopy(head wire.RegionCopy, pages []copied) error {
	in, err := m.moves().taker.Copy(m.c.clock.Now(), head)
	if err != nil {
		return err
	}
	_, first, n := m.owners.Bounds(in.Slot)
	for i := range pages {
		p := &pages[i]
		if p.Page < first || uint64(p.Page-first) >= n {
			return wire.Errorf(wire.KindBadRequest, "page %#x is not in vRegion %d", uint64(p.Page), in.Region)
		}
		if p.State == wire.PageAbsent {
			m.store.Remove(in.PID, p.Page)
			continue
		}
		if p.Pre != 0 {
			if err := m.keepComing(in, p); err != nil {
				return err
			}
			continue
		}
		f, ok := m.store.Put(in.Slot, in.PID, p.Page, pagestore.Content{Epoch: p.Epoch, Version: p.Version, Sum: p.Sum, Flushed: p.State == wire.PageFull})
		if !ok {
			return m.outOfMemory()
		}
		*m.at(f) = p.stamp
	}
	return nil
}

func (m *memory) regionCopyEnd(q wire.RegionCopyEndReq) error {
	t := m.moves().taker
	slot := t.SlotOf(q.Move)
	return t.Close(m.c.clock.Now(), q, m.store.GroupPages(slot), func(mapped []wire.MappedPart) error {
		if n := len(m.store.Keeps(slot)); uint64(n) < q.Keeps {
			return wire.Errorf(wire.KindBadRequest, "%s: %d pages came as they were at checkpoint %d, the giver keeps %d", m.o.ID, n, q.Kept.Cut.Number, q.Keeps)
		}
		return m.owners.CheckMapped(slot, mapped)
	})
}

func (m *memory) regionServe(q wire.MoveServeReq) error {
	defer m.moves().left.Broadcast()
	in, err := m.moves().taker.Serve(q)
	if in != nil {
		m.owners.Serve(in.Slot, in.Mapped)
		m.takeConfig(in, in.Epoch)
		m.goOn(in.Slot, in.PID, in.Region, in.Epoch, in.Kept)
	}
	return err
}

func (m *memory) regionDrop(q wire.MoveRef) error {
	defer m.moves().left.Broadcast()
	if in := m.moves().taker.Drop(q.Move); in != nil {
		m.dropIncoming(in)
	}
	return nil
}

// dropIncoming frees a copy that will not be served.
func (m *memory) dropIncoming(in *migrate.Incoming) { m.leave(in.Slot, "", 0) }

func mapOf(in *migrate.Incoming) vregion.Map {
	return vregion.Map{PID: in.PID, Epoch: in.Epoch, Addr: in.Addr, HeapStart: in.HeapStart, HeapEnd: in.HeapEnd, Mapped: in.Mapped, Owners: in.Owners, Configs: in.Configs, Backup: in.Backup, Kept: in.KeptMap}
}

func (m *memory) homeCopy(q wire.HomeCopyReq) error {
	t := m.moves().homeTaker
	in, isNew, err := t.Map(m.c.clock.Now(), q)
	if err != nil {
		return err
	}
	if isNew {
		if err := m.home.Granted(q.PID, m.o.ID, q.Member); err != nil {
			return err // in the books it would be lost
		}
		if err := m.home.Arrive(q.PID, q.From); err != nil {
			return err
		}
		t.Add(in)
		m.tend()
	}
	if in.Complete {
		if err := m.home.CheckMap(mapOf(in)); err != nil {
			in.Complete = false
			return err
		}
	}
	return nil
}

func (m *memory) homeServe(q wire.MoveServeReq) error {
	defer m.moves().left.Broadcast()
	in, err := m.moves().homeTaker.Serve(q)
	if in != nil {
		m.home.Install(mapOf(in), q.Epoch)
	}
	return err
}

func (m *memory) homeDrop(q wire.MoveRef) error {
	defer m.moves().left.Broadcast()
	if in := m.moves().homeTaker.Drop(q.Move); in != nil {
		m.home.Depart(in.PID)
	}
	return nil
}

// tend looks after what is on its way here, until nothing is.
func (m *memory) tend() {
	mv := m.moving
	if mv.tending {
		return
	}
	mv.tending = true
	every := time.Duration(migrate.DefaultOptions().IdleMS) * time.Millisecond / 4
	m.c.goAt(m.no, "what comes to "+string(m.o.ID), func(y *vtime.Proc) {
		for mv.taker.Len()+mv.homeTaker.Len() > 0 {
			if y.WaitFor(&mv.left, every) {
				continue
			}
			m.tendOnce(y, mv.taker, m.dropIncoming)
			m.tendOnce(y, mv.homeTaker, func(in *migrate.Incoming) { m.home.Depart(in.PID) })
		}
		mv.tending = false
	})
}

// tendOnce gives up copies of which nothing came for long.
func (m *memory) tendOnce(y *vtime.Proc, t *migrate.Taker, free func(*migrate.Incoming)) {
	for _, in := range t.Idle(m.c.clock.Now()) {
		drop := !in.Complete
		if !drop {
			s, err := m.askGiver(y, in)
			drop = !in.Gone && t.Asked(m.c.clock.Now(), in, s, err)
		}
		if drop && !in.Gone {
			free(t.Drop(in.Move))
		}
	}
}

// askGiver asks how a move stands.
func (m *memory) askGiver(y *vtime.Proc, in *migrate.Incoming) (wire.MoveState, error) {
	from := m.c.node(in.From)
	s, err := tell(y, m.c, wire.OpMoveStatus, m.no, from, sendPatience, wire.MoveRef{Move: in.Move}, func(q wire.MoveRef, done func(wire.MoveStatusRep, error)) {
		done(m.c.nodes[from].(giver).moveStatus(q))
	})
	return s.State, err
}

// adopt serves a vRegion that came by a move whose giver is gone, if it is complete and its home knows that it was handed over; else
// it drops what came. An error says that neither is done yet.
func (m *memory) adopt(req wire.MoveReq, done func(wire.MoveStatusRep, error)) {
	if req.Kind != wire.MoveRegion || req.To != m.o.ID {
		done(wire.MoveStatusRep{}, wire.Errorf(wire.KindBadRequest, "%s adopts vRegions that were to come to it, not a %v for %s", m.o.ID, req.Kind, req.To))
		return
	}
	lost := func(text string) { done(wire.MoveStatusRep{Move: req.Move, State: wire.MoveLost, Text: text}, nil) }
	epoch, t := migrate.AdoptEpoch(req), m.moves().taker
	for _, e := range []wire.Epoch{req.Epoch, epoch} {
		if _, err := m.owners.Serving(req.PID, req.Region, e); err == nil {
			done(wire.MoveStatusRep{Move: req.Move, State: wire.MoveDone, Epoch: e}, nil)
			return
		}
	}
	in, err := t.Adopting(req.Move)
	if err != nil {
		if in != nil {
			m.dropIncoming(in)
		}
		lost(err.Error())
		return
	}
	q := wire.RegionSwitchReq{PID: req.PID, Owner: wire.Owner{Region: req.Region, Node: m.o.ID, Addr: addr(m.o.ID), Epoch: epoch, Member: req.ToMember}, If: req.Epoch}
	m.c.goAt(m.no, "the adoption of what came by "+moveName(req), func(y *vtime.Proc) {
		defer m.moving.left.Broadcast()
		err := m.tellHome(y, &req, q)
		if err != nil && mayPass(wire.KindOf(err)) {
			done(wire.MoveStatusRep{}, err) // whether it has heard is unknown
			return
		}
		if err != nil {
			if in := t.Drop(req.Move); in != nil {
				m.dropIncoming(in)
			}
			lost(err.Error())
			return
		}
		if in := t.Adopted(req.Move); in != nil {
			m.takeConfig(in, epoch)
			m.owners.Adopt(in.Slot, in.Mapped, epoch)
			m.goOn(in.Slot, in.PID, in.Region, epoch, in.Kept)
		}
		if _, err := m.owners.Serving(req.PID, req.Region, epoch); err != nil {
			lost(err.Error())
			return
		}
		done(wire.MoveStatusRep{Move: req.Move, State: wire.MoveDone, Epoch: epoch, Text: "its giver is gone; what it had handed over is served"}, nil)
	})
}

// mayPass reports whether an error says nothing about what was asked for.
func mayPass(k wire.Kind) bool {
	switch k {
	case wire.KindNotLeader, wire.KindUnavailable, wire.KindTimeout, wire.KindBusy, wire.KindUnknownState:
		return true
	}
	return false
}

package vcluster

import (
	"fmt"

	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
)

// regionCut is the owner's side of a checkpoint: done when every holder has heard of it.
func (m *memory) regionCut(q wire.RegionCutReq, epoch wire.Epoch, done func(error)) {
	slot, ok, err := m.owners.Cut(q, epoch)
	if !ok {
		done(err)
		return
	}
	m.store.Cut(slot, q.Cut)
	m.tellCut(slot, q.PID, q.Region, wire.CutState{Known: true, Cut: q.Cut, Process: m.owners.Process(slot)}, false, done)
}

// regionRollback is the owner's side of the way back to one: done when every holder has gone back.
func (m *memory) regionRollback(q wire.RegionRollbackReq, epoch wire.Epoch, done func(error)) {
	if slot, here := m.owners.SlotOf(q.PID, q.Region); here {
		if err := vregion.LateRollback(q, m.store.NewestEpoch(slot)); err != nil {
			done(err)
			return
		}
	}
	slot, ok, err := m.owners.Rollback(q, epoch)
	if ok {
		_, _, err = m.store.Rollback(slot, q.Cut)
	}
	if !ok || err != nil {
		done(err)
		return
	}
	m.tellCut(slot, q.PID, q.Region, wire.CutState{Known: true, Cut: q.Cut, Process: q.Process}, true, done)
}

// tellCut tells what else is here of a vRegion, and its holders.
func (m *memory) tellCut(slot uint32, pid wire.PID, region wire.RegionNo, k wire.CutState, back bool, done func(error)) {
	r := m.red
	if r == nil {
		done(nil)
		return
	}
	tell, v := r.primary.Cut, r.recs[thing{pid, region}]
	r.holder.Own(slot, k, back)
	switch {
	case back:
		tell = r.primary.Rollback
		if v != nil {
			v.Rollback(k)
		}
	case v != nil:
		v.Cut(k)
	}
	r.perform(tell(m.c.clock.Now(), slot, k.Cut, k.Process, r.call(func(err *wire.Error) {
		if err != nil {
			done(err)
			return
		}
		done(nil)
	}), nil))
}

// kept is what is known here of the checkpoints of a vRegion.
func (m *memory) kept(slot uint32) (k wire.CutState) {
	k.Cut, k.Known = m.store.Checkpoint(slot)
	k.Process = m.owners.Process(slot)
	return k
}

// goOn takes over what its former owner knew of the checkpoints of a vRegion that is served here from now on.
func (m *memory) goOn(slot uint32, pid wire.PID, region wire.RegionNo, epoch wire.Epoch, k wire.CutState) {
	if k.Process > 0 {
		_, _, _ = m.owners.Cut(wire.RegionCutReq{PID: pid, Region: region, Cut: wire.Cut{Epoch: k.Process}}, epoch) // older epochs are refused
	}
	if k.Known {
		m.store.Cut(slot, k.Cut)
	}
	if at, ok := m.store.Checkpoint(slot); ok && m.red != nil {
		m.red.primary.Knows(slot, at)
	}
}

// replicaCut takes news of a checkpoint of what is held, or goes back to one.
func (m *memory) replicaCut(q wire.ReplicaCutReq, done func(struct{}, error)) {
	slot, ok, err := m.redundancy().holder.Cut(q)
	if ok && q.Back {
		_, _, err = m.store.Rollback(slot, q.Cut)
	} else if ok {
		m.store.Cut(slot, q.Cut)
	}
	done(struct{}{}, err)
}

// holdsCut has the store know what the holder knows.
func (m *memory) holdsCut(slot uint32) {
	if k := m.red.holder.Kept(slot); k.Known {
		m.store.Cut(slot, k.Cut)
	}
}

// sent is a page on its way to a holder.
type sent struct {
	write wire.ReplicaWrite
	stamp Stamp
}

// toSend gives a page as it is, and, if that is wanted, as it was at the last checkpoint.
func (r *redundant) toSend(e *replica.Effect) (list []sent) {
	m, q := r.m, e.Write
	if f, content, ok := m.store.Peek(q.PID, q.Page); ok && content.Flushed {
		q.ProcessEpoch, q.Version, q.Sum = content.Epoch, content.Version, content.Sum
		list = append(list, sent{q, *m.at(f)})
	} else if q.Flags&wire.ReplicaLost != 0 {
		list = append(list, sent{q, Stamp{}})
	}
	if !e.Kept {
		return list
	}
	q.Flags &^= wire.ReplicaLost
	if f, content, mark, ok := m.store.PeekKept(e.Slot, q.Page); ok {
		q.ProcessEpoch, q.Version, q.Sum, q.Pre = content.Epoch, content.Version, content.Sum, mark
		list = append(list, sent{q, *m.at(f)})
	} else if epoch, version, ok := r.primary.KeptLost(e.Slot, q.Page); ok {
		at, _ := m.store.Checkpoint(e.Slot)
		q.ProcessEpoch, q.Version, q.Pre, q.Flags = epoch, version, at.Pre(), q.Flags|wire.ReplicaLost
		list = append(list, sent{q, Stamp{}})
	}
	return list
}

// holdsKept keeps a page as it was at a checkpoint.
func (m *memory) holdsKept(slot uint32, w *wire.ReplicaWrite, stamp Stamp) {
	c := pagestore.Content{Epoch: w.ProcessEpoch, Version: w.Version, Sum: w.Sum, Flushed: true}
	switch f, act := m.store.Keep(slot, w.PID, w.Page, c, w.Pre); act {
	case pagestore.Apply:
		*m.at(f) = stamp
	case pagestore.Full:
		panic(fmt.Sprintf("vcluster: %s is to keep page %#x, and has no frame", m.o.ID, uint64(w.Page)))
	}
}

// peekHeld gives the frame of what is held of a page.
func (m *memory) peekHeld(pid wire.PID, region wire.RegionNo, it *replica.Item) (pagestore.Frame, bool) {
	if it.Pre == 0 {
		f, _, ok := m.store.Peek(pid, it.Page)
		return f, ok
	}
	slot, _ := m.owners.SlotOf(pid, region)
	f, _, _, ok := m.store.PeekKept(slot, it.Page)
	return f, ok
}

// take stores an entry that a recovery brings. ok is false if no frame is free.
func (r *redundant) take(v *recovery.Recovery, it *replica.Item, stamp Stamp) (stored, ok bool) {
	m, pid, slot := r.m, v.Req().Config.PID, v.Slot()
	_, now, have := m.store.Peek(pid, it.Page)
	have = have && now.Flushed && (now.Epoch > it.Epoch || now.Epoch == it.Epoch && now.Version >= it.Version)
	if m.store.Free() == 0 && it.State != wire.PageLost {
		if _, cuts := m.store.Checkpoint(slot); !have || cuts {
			return false, false
		}
	}
	as, mark := v.Take(it.PageEntry, have)
	lost := it.State == wire.PageLost
	switch {
	case as == recovery.Nothing:
	case as == recovery.Kept && lost:
		r.primary.LoseKept(slot, it.Page, it.Epoch, it.Version)
	case as == recovery.Kept:
		w := wire.ReplicaWrite{PID: pid, Page: it.Page, ProcessEpoch: it.Epoch, Version: it.Version, Sum: it.Sum, Pre: mark}
		m.holdsKept(slot, &w, stamp)
		r.pulled++
		return true, true
	case lost:
		r.primary.Lose(slot, it.Page, it.Epoch, it.Version)
	default:
		r.pulled++
		if f, act := m.store.Flush(slot, pid, it.Page, it.Epoch, it.Version, it.Sum); act == pagestore.Apply {
			*m.at(f) = stamp
			return true, true
		}
	}
	return false, true
}

// keepComing keeps a page that comes by a move. Until the end of the copy says more only the number of the checkpoint is known.
func (m *memory) keepComing(in *migrate.Incoming, p *copied) error {
	if at, ok := m.store.Checkpoint(in.Slot); !ok || int32(p.Pre-at.Pre()) > 0 {
		m.store.Cut(in.Slot, wire.Cut{Number: uint64(p.Pre) - 1})
	}
	f, act := m.store.Keep(in.Slot, in.PID, p.Page, pagestore.Content{Epoch: p.Epoch, Version: p.Version, Sum: p.Sum, Flushed: true}, p.Pre)
	switch act {
	case pagestore.Full:
		return m.outOfMemory()
	case pagestore.Apply:
		*m.at(f) = p.stamp
	}
	return nil
}

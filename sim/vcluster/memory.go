package vcluster

import (
	"fmt"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
)

// memory is an mComponent: the owner of vRegions, the home of processes, the buffer cache of volumes.
type memory struct {
	c     *Cluster
	o     *Node
	no    int32
	epoch wire.Epoch

	owners *vregion.Owners
	store  *pagestore.Store
	pages  []Stamp // by frame, as far as frames were used

	home  *vregion.Home
	calls map[uint64]func(vregion.Effect) // of the home
	call  uint64

	blocks blockCache
	log    replicaLog   // as a secondary
	moving *memoryMoves // what moves to and from it; nil if nothing did
	red    *redundant   // nil if nothing is redundant here

	misses, flushes, refused uint64
	waits                    waits
}

func newMemory(c *Cluster, o *Node, no int32) *memory {
	v := o.VRegion
	v.RegionBytes = c.o.RegionBytes
	m := &memory{
		c: c, o: o, no: no, owners: vregion.NewOwners(v, o.ID, o.MaxOwnedRegions),
		store: pagestore.NewGrowing(int(o.MemoryBytes / wire.PageSize)), home: vregion.NewHome(v), calls: map[uint64]func(vregion.Effect){},
	}
	m.blocks.init(m)
	return m
}

func (m *memory) load() wire.Load {
	s, p, b := m.store.Stats(), m.home.Stats(), m.blocks.cache.Stats()
	return wire.Load{
		Processes: uint32(p.Processes), Regions: uint32(m.owners.Regions()), ResidentBytes: uint64(s.Used) * wire.PageSize,
		Misses: m.misses, Flushes: m.flushes, MapOps: p.Calls, BlockOps: b.Reads + b.Writes + b.Flushes, BlockBytes: m.blocks.bytes,
		Homes: uint32(p.Processes), Volumes: uint32(b.Volumes),
	}
}

// page serves a miss, a flush, or both in one message: the miss first, as live. It is answered now, unless it says that it waits.
func (m *memory) page(i uint32) (waits bool) {
	z, q := &m.c.o.Sizes, m.c.msgs.at(i)
	q.back = z.Ack
	if q.op != wire.OpFlush {
		if m.red != nil && (m.red.waitsForPage(i) || m.red.waitsForShares(i)) {
			waits = true
		} else if q.err = m.miss(q.p.o.PID, q.p.o.Epoch, q.page, q.epoch, &q.stamp); q.err == nil {
			q.back = z.Page
		}
	}
	if q = m.c.msgs.at(i); q.op != wire.OpMiss {
		f := &q.flush
		slot, err := m.flush(q.p.o.PID, q.p.o.Epoch, f)
		f.err = err
		switch {
		case err == nil && m.red != nil && m.red.primary.Redundant(slot):
			if q.op == wire.OpMissFlush {
				m.red.answerLater(i, slot)
			} else {
				waits = true
				m.red.waitsForCopies(i, slot)
			}
		case q.op == wire.OpMissFlush:
			q.back += z.Ack
		}
	}
	return waits
}

func (m *memory) refuse(err error) *wire.Error {
	m.refused++
	return asWire(err)
}

func (m *memory) miss(pid wire.PID, process wire.Epoch, page wire.PageNo, epoch wire.Epoch, to *Stamp) *wire.Error {
	slot, v := m.owners.Check(pid, page, epoch)
	if v != vregion.Serve {
		return m.refuse(m.owners.Error(v, pid, page, epoch))
	}
	if m.owners.Superseded(slot, process) {
		return m.refuse(m.owners.SupersededError(slot, process))
	}
	if m.red != nil {
		if err := m.red.primary.Lost(slot, page); err != nil {
			return m.refuse(err)
		}
	}
	if _, _, here := m.store.Peek(pid, page); !here && m.red != nil && m.red.shares.Has(slot) {
		*to = Stamp{} // else it would have waited for its shares; zeros take no room here
	} else {
		f, _, act := m.store.Miss(slot, pid, page)
		if act == pagestore.Full {
			return m.refuse(m.outOfMemory())
		}
		b := m.at(f)
		if act == pagestore.Fresh {
			*b = Stamp{}
		}
		*to = *b
	}
	m.misses++
	if m.c.metered {
		m.owners.Count(slot)
	}
	m.tellServed(pid, page, epoch)
	return nil
}

func (m *memory) flush(pid wire.PID, process wire.Epoch, f *flushBody) (uint32, *wire.Error) {
	slot, v := m.owners.Check(pid, f.Page, f.epoch)
	if v != vregion.Serve {
		return 0, m.refuse(m.owners.Error(v, pid, f.Page, f.epoch))
	}
	if m.owners.Superseded(slot, process) {
		return 0, m.refuse(m.owners.SupersededError(slot, process))
	}
	if m.red != nil && m.red.primary.Flushing(slot, f.Page, process, f.ID) {
		m.flushes++
		return slot, nil
	}
	shared := m.red != nil && m.red.shares.Has(slot)
	if shared {
		if old, err := m.red.flushing(slot, pid, process, f); err != nil {
			return 0, m.refuse(err)
		} else if old {
			m.flushes++
			return slot, nil
		}
	}
	frame, act := m.store.Flush(slot, pid, f.Page, process, f.ID, 0)
	switch act {
	case pagestore.Full:
		return 0, m.refuse(m.outOfMemory())
	case pagestore.Apply:
		*m.at(frame) = f.stamp
		if shared {
			m.red.shares.Flushed(slot, f.Page, process, f.ID)
		}
		if m.c.metered {
			m.owners.Count(slot)
		}
	}
	m.flushes++
	m.tellServed(pid, f.Page, f.epoch)
	return slot, nil
}

// at gives the stamp of a frame.
func (m *memory) at(f pagestore.Frame) *Stamp {
	for int(f) >= len(m.pages) {
		m.pages = append(m.pages, Stamp{})
	}
	return &m.pages[f]
}

func (m *memory) outOfMemory() error {
	return wire.Errorf(wire.KindNoMemory, "%s: out of memory: all %d pages in use; give the component more memory_bytes or the process fewer pages", m.o.ID, m.o.MemoryBytes/wire.PageSize)
}

// homeOp gives an event to the home; done gets its reply.
func (m *memory) homeOp(event func(call uint64, out []vregion.Effect) []vregion.Effect, done func(vregion.Effect)) {
	m.call++
	m.calls[m.call] = done
	m.performHome(event(m.call, nil))
}

// performHome performs effects of the home.
func (m *memory) performHome(out []vregion.Effect) {
	for len(out) > 0 {
		e := out[0]
		out = out[1:]
		if e.Kind == vregion.Reply {
			done := m.calls[e.Call]
			delete(m.calls, e.Call)
			done(e)
			continue
		}
		if m.ownsIt(&e) && e.Attempt == 0 {
			var now *vregion.Result
			inside := true
			m.ownerHere(&e, func(r vregion.Result) {
				if inside {
					now = &r
				} else {
					m.performHome(m.home.Done(e.ID, r, nil))
				}
			})
			if inside = false; now != nil {
				out = m.home.Done(e.ID, *now, out)
			}
			continue
		}
		m.c.of(m.no, m.c.clock.Now()+e.Pause(), func() { m.effect(e) })
	}
}

func (m *memory) ownsIt(e *vregion.Effect) bool {
	switch e.Kind {
	case vregion.MapAt, vregion.UnmapAt, vregion.ExitAt, vregion.CutAt, vregion.RollbackAt:
		return e.Owner.Node == m.o.ID
	}
	return false
}

// effect performs an effect elsewhere, or here after a pause.
func (m *memory) effect(e vregion.Effect) {
	done := func(r vregion.Result) { m.performHome(m.home.Done(e.ID, r, nil)) }
	if m.ownsIt(&e) {
		m.ownerHere(&e, done)
		return
	}
	switch e.Kind {
	case vregion.AskOwner:
		m.c.gm.activate(m.no, e.PID, e.Region, func(a wire.Activated, err error) {
			done(vregion.Result{Owner: a.Owner, Config: a.Config, Home: a.Home, Err: err})
		})
	case vregion.MapAt:
		to := m.c.node(e.Owner.Node)
		control(m.c, wire.OpRegionMap, m.no, to, e.Map, func(q wire.RegionMapReq, reply func(struct{}, error)) {
			reply(struct{}{}, m.c.nodes[to].(*memory).regionMap(q))
		}, func(_ struct{}, err error) { done(vregion.Result{Err: atOwner(&e, err)}) })
	case vregion.UnmapAt:
		to := m.c.node(e.Owner.Node)
		control(m.c, wire.OpRegionUnmap, m.no, to, e.Unmap, func(q wire.RegionUnmapReq, reply func(wire.MunmapRep, error)) {
			m.c.nodes[to].(*memory).unmap(q, e.Owner.Epoch, func(n uint64, err error) { reply(wire.MunmapRep{Freed: n}, err) })
		}, func(r wire.MunmapRep, err error) { done(vregion.Result{Freed: r.Freed, Err: atOwner(&e, err)}) })
	case vregion.ExitAt:
		to := m.c.node(e.Owner.Node)
		control(m.c, wire.OpProcessExit, m.no, to, e.Exit, func(q wire.ProcessExitReq, reply func(struct{}, error)) {
			m.c.nodes[to].(*memory).ownerExit(q.PID)
			reply(struct{}{}, nil)
		}, func(_ struct{}, err error) { done(vregion.Result{Err: atOwner(&e, err)}) })
	case vregion.CutAt:
		to := m.c.node(e.Owner.Node)
		control(m.c, wire.OpRegionCut, m.no, to, e.Cut, func(q wire.RegionCutReq, reply func(struct{}, error)) {
			m.c.nodes[to].(*memory).regionCut(q, e.Owner.Epoch, func(err error) { reply(struct{}{}, err) })
		}, func(_ struct{}, err error) { done(vregion.Result{Err: atOwner(&e, err)}) })
	case vregion.RollbackAt:
		to := m.c.node(e.Owner.Node)
		control(m.c, wire.OpRegionRollback, m.no, to, e.Rollback, func(q wire.RegionRollbackReq, reply func(struct{}, error)) {
			m.c.nodes[to].(*memory).regionRollback(q, e.Owner.Epoch, func(err error) { reply(struct{}{}, err) })
		}, func(_ struct{}, err error) { done(vregion.Result{Err: atOwner(&e, err)}) })
	case vregion.TellClient:
		m.tellClient(&e, done)
	case vregion.BackupAt:
		m.backupTo(e, done)
	case vregion.TellHome:
		to, err := m.c.nodeAt(e.Owner.Addr)
		if err != nil {
			done(vregion.Result{Err: err})
			return
		}
		timed(m.c, wire.OpHomeSwitch, m.no, to, tellPatience, e.NewHome, func(q wire.HomeSwitchReq, reply func(struct{}, error)) {
			reply(struct{}{}, m.c.nodes[to].(*compute).homeSwitch(q))
		}, func(_ struct{}, err error) { done(vregion.Result{Err: err}) })
	default:
		panic(fmt.Sprintf("vcluster: the home asks for %v", e.Kind))
	}
}

// tellClient tells a pComponent who owns a vRegion of a process.
func (m *memory) tellClient(e *vregion.Effect, done func(vregion.Result)) {
	to, err := m.c.nodeAt(e.Owner.Addr)
	if err != nil {
		done(vregion.Result{Err: err})
		return
	}
	timed(m.c, wire.OpRegionSwitch, m.no, to, tellPatience, e.Switch, func(q wire.RegionSwitchReq, reply func(struct{}, error)) {
		reply(struct{}{}, m.c.nodes[to].(*compute).regionSwitch(q))
	}, func(_ struct{}, err error) { done(vregion.Result{Err: err}) })
}

func atOwner(e *vregion.Effect, err error) error {
	if err == nil {
		return nil
	}
	return wire.Errorf(wire.KindOf(err), "%v of vRegion %d at its owner %s: %v", e.Kind, e.Region, e.Owner.Node, err)
}

// ownerHere performs an effect for a vRegion that this mComponent owns.
func (m *memory) ownerHere(e *vregion.Effect, done func(vregion.Result)) {
	switch e.Kind {
	case vregion.MapAt:
		done(vregion.Result{Err: m.regionMap(e.Map)})
	case vregion.UnmapAt:
		m.unmap(e.Unmap, e.Owner.Epoch, func(freed uint64, err error) { done(vregion.Result{Freed: freed, Err: err}) })
	case vregion.ExitAt:
		m.ownerExit(e.PID)
		done(vregion.Result{})
	case vregion.CutAt:
		m.regionCut(e.Cut, e.Owner.Epoch, func(err error) { done(vregion.Result{Err: err}) })
	case vregion.RollbackAt:
		m.regionRollback(e.Rollback, e.Owner.Epoch, func(err error) { done(vregion.Result{Err: err}) })
	}
}

// regionMap is the owner's side of a mapping.
func (m *memory) regionMap(q wire.RegionMapReq) error {
	err := m.owners.Map(q)
	if err == nil && q.Config.Config > 0 {
		slot, _ := m.owners.Serving(q.PID, q.Region, q.RegionEpoch)
		m.redundancy().configure(slot, q.Config, true)
	}
	return err
}

// unmap is the owner's side of an unmapping: done when no holder has the pages either.
func (m *memory) unmap(q wire.RegionUnmapReq, epoch wire.Epoch, done func(uint64, error)) {
	slot, ok, err := m.owners.Unmap(q, epoch)
	if err != nil || !ok {
		done(0, err)
		return
	}
	first, n := wire.PageNo(q.Start>>wire.PageShift), q.Length>>wire.PageShift
	freed := m.store.Unmap(slot, q.PID, first, n)
	r := m.red
	if r == nil || !r.primary.Redundant(slot) {
		done(freed, nil)
		return
	}
	if v := r.recs[thing{q.PID, q.Region}]; v != nil {
		v.Unmapped(first, n)
	}
	r.holder.Forgot(slot, first, n) // of what was held of it before it was served here
	if r.shares.Has(slot) {
		freed = r.shares.Unmapped(slot, first, n)
		r.performShares(r.shares.Woken(nil))
	}
	r.perform(r.primary.Unmap(m.c.clock.Now(), slot, q.Start, q.Length, r.call(func(err *wire.Error) {
		if err != nil {
			done(0, err)
			return
		}
		done(freed, nil)
	}), nil))
}

func (m *memory) ownerExit(pid wire.PID) {
	if m.moving != nil {
		m.moving.taker.Exit(pid)
		m.moving.left.Broadcast()
	}
	slots := m.owners.Exit(pid, nil)
	if m.red != nil {
		m.red.holder.Exit(pid)
		for at := range m.red.held { // no order: each is deleted
			if at.pid == pid {
				delete(m.red.held, at)
			}
		}
		m.red.arm()
	}
	for _, slot := range slots {
		m.gaveUp(slot)
		m.red.gone(slot, true, wire.Errorf(wire.KindFailed, "process %d has ended", pid))
		m.store.FreeGroup(slot, int(m.o.MemoryBytes/wire.PageSize))
		m.owners.Release(slot)
	}
}

// What processes ask of their home.

func (m *memory) processCut(q wire.ProcessCutReq, done func(struct{}, error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.Cut(call, q, out) }, func(e vregion.Effect) { done(struct{}{}, e.Err) })
}

func (m *memory) processRollback(q wire.ProcessRollbackReq, done func(wire.ProcessRollbackRep, error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.Rollback(call, q, out) }, func(e vregion.Effect) {
		done(wire.ProcessRollbackRep{HeapEnd: e.Rep.Addr, Owners: e.Rep.Owners}, e.Err)
	})
}

func (m *memory) open(q wire.ProcessOpenReq, done func(struct{}, error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.OpenBacked(call, q, out) }, func(e vregion.Effect) { done(struct{}{}, e.Err) })
}

func (m *memory) mmap(q wire.MmapReq, done func(wire.MmapRep, error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.Mmap(call, q, out) }, func(e vregion.Effect) { done(e.Rep, e.Err) })
}

func (m *memory) munmap(q wire.MunmapReq, done func(wire.MunmapRep, error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.Munmap(call, q, out) }, func(e vregion.Effect) { done(wire.MunmapRep{Freed: e.Freed}, e.Err) })
}

func (m *memory) brk(q wire.BrkReq, done func(wire.MmapRep, error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.Brk(call, q, out) }, func(e vregion.Effect) { done(e.Rep, e.Err) })
}

func (m *memory) whose(q wire.OwnersReq, done func(wire.MmapRep, error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.Owners(call, q, out) }, func(e vregion.Effect) { done(e.Rep, e.Err) })
}

func (m *memory) exit(q wire.ProcessExitReq, done func(struct{}, error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.Exit(call, q, out) }, func(e vregion.Effect) { done(struct{}{}, e.Err) })
}

// whoWaits names what the home and the buffer cache owe.
func (m *memory) whoWaits(report func(who, what string)) {
	if n := len(m.calls); n > 0 {
		report(string(m.o.ID), fmt.Sprintf("the end of %d memory-map operations", n))
	}
	m.blocks.whoWaits(report)
}

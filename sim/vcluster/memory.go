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

// page serves a miss, a flush, or both in one message: the miss first, as live.
func (m *memory) page(q *message) {
	z := &m.c.o.Sizes
	q.back = z.Ack
	if q.op != wire.OpFlush {
		if q.err = m.miss(q.p.o.PID, q.page, q.epoch, &q.stamp); q.err == nil {
			q.back = z.Page
		}
	}
	if q.op != wire.OpMiss {
		f := &q.flush
		f.err = m.flush(q.p.o.PID, q.p.o.Epoch, f)
		if q.op == wire.OpMissFlush {
			q.back += z.Ack
		}
	}
}

func (m *memory) refuse(err error) *wire.Error {
	m.refused++
	return asWire(err)
}

func (m *memory) miss(pid wire.PID, page wire.PageNo, epoch wire.Epoch, to *Stamp) *wire.Error {
	slot, v := m.owners.Check(pid, page, epoch)
	if v != vregion.Serve {
		return m.refuse(m.owners.Error(v, pid, page, epoch))
	}
	f, _, act := m.store.Miss(slot, pid, page)
	if act == pagestore.Full {
		return m.refuse(m.outOfMemory())
	}
	b := m.at(f)
	if act == pagestore.Fresh {
		*b = Stamp{}
	}
	*to = *b
	m.misses++
	if m.c.metered {
		m.owners.Count(slot)
	}
	m.tellServed(pid, page, epoch)
	return nil
}

func (m *memory) flush(pid wire.PID, process wire.Epoch, f *flushBody) *wire.Error {
	slot, v := m.owners.Check(pid, f.Page, f.epoch)
	if v != vregion.Serve {
		return m.refuse(m.owners.Error(v, pid, f.Page, f.epoch))
	}
	frame, act := m.store.Flush(slot, pid, f.Page, process, f.ID, 0)
	switch act {
	case pagestore.Full:
		return m.refuse(m.outOfMemory())
	case pagestore.Apply:
		*m.at(frame) = f.stamp
		if m.c.metered {
			m.owners.Count(slot)
		}
	}
	m.flushes++
	m.tellServed(pid, f.Page, f.epoch)
	return nil
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
			out = m.home.Done(e.ID, m.ownerHere(&e), out)
			continue
		}
		m.c.of(m.no, m.c.clock.Now()+e.Pause(), func() { m.effect(e) })
	}
}

func (m *memory) ownsIt(e *vregion.Effect) bool {
	return (e.Kind == vregion.MapAt || e.Kind == vregion.UnmapAt || e.Kind == vregion.ExitAt) && e.Owner.Node == m.o.ID
}

// effect performs an effect elsewhere, or here after a pause.
func (m *memory) effect(e vregion.Effect) {
	done := func(r vregion.Result) { m.performHome(m.home.Done(e.ID, r, nil)) }
	if m.ownsIt(&e) {
		done(m.ownerHere(&e))
		return
	}
	switch e.Kind {
	case vregion.AskOwner:
		m.c.gm.activate(m.no, e.PID, e.Region, func(o wire.Owner, err error) { done(vregion.Result{Owner: o, Err: err}) })
	case vregion.MapAt:
		to := m.c.node(e.Owner.Node)
		control(m.c, wire.OpRegionMap, m.no, to, e.Map, func(q wire.RegionMapReq, reply func(struct{}, error)) {
			reply(struct{}{}, m.c.nodes[to].(*memory).owners.Map(q))
		}, func(_ struct{}, err error) { done(vregion.Result{Err: atOwner(&e, err)}) })
	case vregion.UnmapAt:
		to := m.c.node(e.Owner.Node)
		control(m.c, wire.OpRegionUnmap, m.no, to, e.Unmap, func(q wire.RegionUnmapReq, reply func(wire.MunmapRep, error)) {
			n, err := m.c.nodes[to].(*memory).unmap(q, e.Owner.Epoch)
			reply(wire.MunmapRep{Freed: n}, err)
		}, func(r wire.MunmapRep, err error) { done(vregion.Result{Freed: r.Freed, Err: atOwner(&e, err)}) })
	case vregion.ExitAt:
		to := m.c.node(e.Owner.Node)
		control(m.c, wire.OpProcessExit, m.no, to, e.Exit, func(q wire.ProcessExitReq, reply func(struct{}, error)) {
			m.c.nodes[to].(*memory).ownerExit(q.PID)
			reply(struct{}{}, nil)
		}, func(_ struct{}, err error) { done(vregion.Result{Err: atOwner(&e, err)}) })
	case vregion.TellClient:
		m.tellClient(&e, done)
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
func (m *memory) ownerHere(e *vregion.Effect) (r vregion.Result) {
	switch e.Kind {
	case vregion.MapAt:
		r.Err = m.owners.Map(e.Map)
	case vregion.UnmapAt:
		r.Freed, r.Err = m.unmap(e.Unmap, e.Owner.Epoch)
	case vregion.ExitAt:
		m.ownerExit(e.PID)
	}
	return r
}

func (m *memory) unmap(q wire.RegionUnmapReq, epoch wire.Epoch) (uint64, error) {
	slot, ok, err := m.owners.Unmap(q, epoch)
	if err != nil || !ok {
		return 0, err
	}
	return m.store.Unmap(slot, q.PID, wire.PageNo(q.Start>>wire.PageShift), q.Length>>wire.PageShift), nil
}

func (m *memory) ownerExit(pid wire.PID) {
	if m.moving != nil {
		m.moving.taker.Exit(pid)
		m.moving.left.Broadcast()
	}
	for _, slot := range m.owners.Exit(pid, nil) {
		m.gaveUp(slot)
		m.store.FreeGroup(slot, int(m.o.MemoryBytes/wire.PageSize))
		m.owners.Release(slot)
	}
}

// What processes ask of their home.

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

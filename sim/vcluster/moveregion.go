package vcluster

import (
	"fmt"
	"time"

	"splitkernel/gmanagers/movelist"
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/given"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/units"
	"splitkernel/sim/vtime"
)

// moveName names a move for whoever waits.
func moveName(r wire.MoveReq) string {
	t := movelist.Thing{Kind: r.Kind, PID: r.PID, Region: r.Region, Volume: r.Volume}
	return fmt.Sprintf("move %d of %v, %v to %s", r.Move.No, r.Move.Manager, t, r.To)
}

// regionMove is a vRegion on its way to another owner.
type regionMove struct {
	giving
	slot   uint32
	flying []*copying // in the order in which they were sent
	came   vtime.Signal
}

// copying is a message of pages that is under way.
type copying struct {
	id   uint64
	done bool
	err  error
}

// copied is a page in a message.
type copied struct {
	wire.PageEntry
	stamp Stamp
}

// giveRegion begins the move of a vRegion that is served here.
func (m *memory) giveRegion(req wire.MoveReq) (given.Move, error) {
	if err := m.checkEpochs(req); err != nil {
		return nil, err
	}
	if m.owners.Absent(req.PID, req.Region) {
		return pass(req, m.owners.Pass(req))
	}
	slot, err := m.owners.Serving(req.PID, req.Region, req.OldEpoch)
	if err == nil {
		err = m.red.stays(req.PID, req.Region, slot)
	}
	if err != nil {
		return nil, err
	}
	mv := m.moves()
	if old := mv.giving[slot]; old != nil {
		return nil, wire.Errorf(wire.KindBusy, "vRegion %d of process %d is moving to %s already", req.Region, req.PID, old.req.To)
	}
	v := &regionMove{giving: giving{m: m, req: req, to: m.c.node(req.To)}, slot: slot}
	v.came.Name = "the answer to a copy of pages by " + string(req.To)
	_, first, pages := m.owners.Bounds(slot)
	changes := pagestore.NewChanges(first, pages)
	m.store.Watch(slot, changes)
	mv.giving[slot] = v
	v.g = migrate.NewGiver(migrate.DefaultOptions(), req, changes)
	v.begin(v)
	return v, nil
}

// Renew has the move tell another home from now on, if the order names a newer one.
func (v *regionMove) Renew(req wire.MoveReq) error {
	if req.ViaEpoch > v.req.ViaEpoch {
		v.req.Via, v.req.ViaAddr, v.req.ViaEpoch = req.Via, req.ViaAddr, req.ViaEpoch
	}
	return nil
}

// exited says that the process has ended: the pages are being freed.
func (v *regionMove) exited() {
	v.freed = true
	v.unhook()
	v.wake.Wake()
}

// unhook ends the watch.
func (v *regionMove) unhook() {
	v.m.store.Unwatch(v.slot)
	delete(v.m.moving.giving, v.slot)
}

// held: an unmapping takes no time here.
func (v *regionMove) held() bool { return false }

func (v *regionMove) local(e migrate.Effect) error {
	m := v.m
	switch e.Kind {
	case migrate.Freeze:
		m.owners.Freeze(v.slot, v.req.To)
	case migrate.Thaw:
		m.owners.Thaw(v.slot, e.Epoch)
		v.unhook()
	case migrate.Lose:
		m.owners.Lose(v.slot)
		v.unhook()
	case migrate.Forget:
		v.unhook()
		to := v.req.To
		if e.Epoch == 0 {
			to = ""
		}
		m.leave(v.slot, to, e.Epoch)
	}
	return nil
}

// leave frees a vRegion that is not served here any more.
func (m *memory) leave(slot uint32, to wire.NodeID, epoch wire.Epoch) {
	m.red.gone(slot, false, wire.Errorf(wire.KindNotOwner, "the vRegion went from %s to %s", m.o.ID, to))
	m.owners.Leave(slot, to, epoch)
	m.store.FreeGroup(slot, m.frames())
	m.owners.Left(slot)
}

// frames is how many pages the component has room for.
func (m *memory) frames() int { return int(m.o.MemoryBytes / wire.PageSize) }

func (v *regionMove) message(y *vtime.Proc, e migrate.Effect) error {
	m, r, to := v.m, &v.req, v.m.c.nodes[v.to].(*memory)
	switch e.Kind {
	case migrate.Open:
		q := wire.RegionCopyOpenReq{Move: r.Move, Round: e.Round, PID: r.PID, Region: r.Region, Epoch: r.Epoch, Pages: uint64(m.store.GroupPages(v.slot) + len(m.store.Keeps(v.slot))), From: m.o.ID, FromAddr: addr(m.o.ID), Member: r.ToMember}
		return order(y, m.c, wire.OpRegionCopyOpen, m.no, v.to, sendPatience, q, to.regionCopyOpen)
	case migrate.Close:
		return v.close(y, e)
	case migrate.Serve:
		return order(y, m.c, wire.OpRegionServe, m.no, v.to, sendPatience, wire.MoveServeReq{Move: r.Move, Epoch: e.Epoch}, to.regionServe)
	case migrate.Drop:
		return order(y, m.c, wire.OpRegionDrop, m.no, v.to, sendPatience, wire.MoveRef{Move: r.Move}, to.regionDrop)
	case migrate.Tell:
		q := wire.RegionSwitchReq{PID: r.PID, Owner: wire.Owner{Region: r.Region, Node: r.To, Addr: r.ToAddr, Epoch: e.Epoch, Member: r.ToMember}, Undo: e.Undo}
		if e.Undo {
			q.Owner.Node, q.Owner.Addr, q.Owner.Member = m.o.ID, addr(m.o.ID), r.FromMember
		}
		return m.tellHome(y, r, q)
	}
	return nil
}

// tellHome tells the home of a process who owns a vRegion.
func (m *memory) tellHome(y *vtime.Proc, r *wire.MoveReq, q wire.RegionSwitchReq) error {
	if r.Via == m.o.ID {
		return wait(y, "a change of owner at this home", func(done func(error)) { m.switchOwner(q, done) })
	}
	via := m.c.node(r.Via)
	_, err := tell(y, m.c, wire.OpRegionSwitch, m.no, via, sendPatience, q, func(q wire.RegionSwitchReq, done func(struct{}, error)) {
		m.c.nodes[via].(*memory).switchOwner(q, func(err error) { done(struct{}{}, err) })
	})
	return err
}

// switchOwner is the home's side of a change of owner.
func (m *memory) switchOwner(q wire.RegionSwitchReq, done func(error)) {
	m.homeOp(func(call uint64, out []vregion.Effect) []vregion.Effect { return m.home.Switch(call, q, out) }, func(e vregion.Effect) { done(e.Err) })
}

// close sends the mapped parts, which nobody changes any more, in as many messages as they need.
func (v *regionMove) close(y *vtime.Proc, e migrate.Effect) error {
	var mapped []wire.MappedPart
	var cfg wire.RegionConfig
	if v.m.red != nil && !v.freed {
		cfg = v.m.red.primary.Config(v.slot)
	}
	pages, keeps, kept := 0, 0, wire.CutState{}
	if !v.freed {
		mapped, pages = v.m.owners.Mapped(v.slot), v.m.store.GroupPages(v.slot)
		kept, keeps = v.m.kept(v.slot), len(v.m.store.Keeps(v.slot))
	}
	parts := max((len(mapped)+wire.MaxMapEntries-1)/wire.MaxMapEntries, 1)
	for i := range parts {
		n := min(len(mapped), wire.MaxMapEntries)
		q := wire.RegionCopyEndReq{Move: v.req.Move, Round: e.Round, Part: uint32(i), Parts: uint32(parts), Mapped: mapped[:n], Pages: uint64(pages), Config: cfg, Kept: kept, Keeps: uint64(keeps)}
		mapped = mapped[n:]
		if err := order(y, v.m.c, wire.OpRegionCopyEnd, v.m.no, v.to, sendPatience, q, v.m.c.nodes[v.to].(*memory).regionCopyEnd); err != nil {
			return err
		}
	}
	return nil
}

// copy fills a message with pages as they are, and sends it: the giver looks each page up and reads it.
func (v *regionMove) copy(y *vtime.Proc, e migrate.Effect, out []migrate.Effect) []migrate.Effect {
	m, c := v.m, v.m.c
	var pages []copied
	full := 0
	for !v.freed {
		page, ok := v.g.Take(e.ID)
		if !ok {
			break
		}
		p := copied{PageEntry: wire.PageEntry{Page: page, State: wire.PageAbsent}}
		if f, content, ok := m.store.Peek(v.req.PID, page); ok {
			p.State = wire.PageZero
			if content.Flushed {
				p.State, p.Epoch, p.Version, p.Sum, p.stamp = wire.PageFull, content.Epoch, content.Version, content.Sum, *m.at(f)
				full++
			}
		}
		pages = append(pages, p)
		if f, content, mark, ok := m.store.PeekKept(v.slot, page); ok {
			pages = append(pages, copied{PageEntry: wire.PageEntry{Page: page, State: wire.PageFull, Epoch: content.Epoch, Version: content.Version, Sum: content.Sum, Pre: mark}, stamp: *m.at(f)})
			full++
		}
		if len(pages) >= wire.MaxCopyPages-1 {
			break
		}
	}
	if v.freed {
		return v.event(out, func(_ time.Duration, out []migrate.Effect) []migrate.Effect { return out }) // cancels
	}
	out = v.g.Filled(v.now(), e.ID, full*wire.PageSize, out)
	if len(pages) == 0 {
		return out
	}
	c.gather(y, v.m.no, len(pages), full)
	msg := &copying{id: e.ID}
	v.flying = append(v.flying, msg)
	head := wire.RegionCopy{Move: v.req.Move, Round: e.Round, Count: uint32(len(pages))}
	answered := func(err error) {
		msg.done, msg.err = true, err
		v.came.Wake()
	}
	heard := c.heard(wire.OpRegionCopy, v.to, sendPatience, answered)
	bytes := wire.HeaderLen + wire.RegionCopyHeadLen + len(pages)*wire.PageEntryLen + full*wire.PageSize
	to := c.nodes[v.to].(*memory)
	c.sendCopy(wire.OpRegionCopy, m.no, v.to, bytes, len(pages), full, func(done func(error)) { done(to.regionCopy(head, pages)) }, func(err error) {
		if heard() {
			answered(err)
		}
	})
	return out
}

// await waits for the answer to the oldest message of pages.
func (v *regionMove) await(y *vtime.Proc) (id uint64, err error, ok bool) {
	if len(v.flying) == 0 {
		return 0, nil, false
	}
	msg := v.flying[0]
	for !msg.done {
		y.Wait(&v.came)
	}
	v.flying = v.flying[1:]
	return msg.id, msg.err, true
}

// gather takes the time in which a giver looks pages or blocks up and reads those that have bytes.
func (c *Cluster) gather(y *vtime.Proc, node int32, entries, full int) {
	y.Sleep((units.Picos(entries) * c.o.Hardware.Processor.Lookup()).Duration())
	if full > 0 {
		now := c.clock.Now()
		y.Sleep(c.ports[node].dram.Move(now, uint64(full)*wire.PageSize) - now)
	}
}

// sendCopy sends pages or blocks, of which the receiver's worker looks each up and stores those that have bytes.
func (c *Cluster) sendCopy(op wire.Op, from, to int32, bytes, entries, full int, serve func(done func(error)), answer func(error)) {
	i := c.msgs.take()
	*c.msgs.at(i) = message{op: op, from: from, to: to, bytes: int32(bytes), entries: uint16(entries), full: uint16(full), serve: func(done func(int, func())) {
		serve(func(err error) {
			n := wire.HeaderLen
			if err != nil {
				n += len(err.Error())
			}
			done(n, func() { answer(err) })
		})
	}, fail: answer}
	c.post(i)
}

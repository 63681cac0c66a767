package mcomponent

import (
	"strings"
	"time"

	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// regionMove is a vRegion on its way to another owner.
type regionMove struct {
	giving
	slot   uint32
	to     *netlayer.Peer
	via    *netlayer.Peer // nil if this component is the home; with the lock
	flying []*copyMessage // in the order in which they were sent
	spare  []*copyMessage
	buf    []byte // room for a full message: one for all, which stays in the processor's cache, as Start writes it

	looked [2 * copyBatch]looked // a page may be there twice: as it is, and as it was at the last checkpoint
	taken  [copyBatch]wire.PageNo
	direct bool            // the kernel reads the pages where they are
	pieces [][]byte        // of a message that is sent so
	next   pagestore.Frame // the neighbour of the last of them
	sum    uint32          // of its pages
}

// looked is a page that was looked up for a copy.
type looked struct {
	page    wire.PageNo
	frame   pagestore.Frame
	content pagestore.Content
	have    bool
	mark    uint32 // as it was at this checkpoint
}

// copyMessage is a message of pages that is under way.
type copyMessage struct {
	id   uint64
	call netlayer.Call
	err  error // it could not be sent
}

// giveRegion begins the move of a vRegion that is served here.
func (c *Component) giveRegion(work span.Work, req wire.MoveReq) (move, error) {
	m := &regionMove{giving: giving{c: c, req: req, work: work, lock: &c.mu, wake: make(chan struct{}, 1)}}
	var err error
	if m.to, err = c.peer(req.ToAddr); err != nil {
		return nil, err
	}
	if req.To == c.o.Node || req.Epoch <= req.OldEpoch || req.UndoEpoch <= req.Epoch {
		return nil, wire.Errorf(wire.KindBadRequest, "move of vRegion %d of process %d from %s to %s under epochs %d, %d, %d", req.Region, req.PID, c.o.Node, req.To, req.OldEpoch, req.Epoch, req.UndoEpoch)
	}
	if m.via, err = c.homeOf(req); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owners.Absent(req.PID, req.Region) {
		return c.passed(work, req, c.owners.Pass(req))
	}
	if m.slot, err = c.owners.Serving(req.PID, req.Region, req.OldEpoch); err != nil {
		return nil, err
	}
	if c.giving[m.slot] != nil {
		return nil, wire.Errorf(wire.KindBusy, "vRegion %d of process %d is moving to %s already", req.Region, req.PID, c.giving[m.slot].req.To)
	}
	if v := c.recoveries[m.slot]; v != nil && !v.r.Ended() || len(c.replicas.primary.LostPages(m.slot, 1)) > 0 || c.replicas.primary.KeepsLost(m.slot) {
		return nil, wire.Errorf(wire.KindBusy, "vRegion %d of process %d is being recovered, or has lost pages: it stays", req.Region, req.PID)
	}
	// Within one process the bytes would be read by this program, which must not happen while it writes them.
	m.direct = !strings.HasPrefix(req.ToAddr, "inproc:")
	_, first, pages := c.owners.Bounds(m.slot)
	changes := pagestore.NewChanges(first, pages)
	c.store.Watch(m.slot, changes)
	c.giving[m.slot] = m
	m.g = &migrate.TapedGiver{Giver: migrate.NewGiver(c.o.Migrate, req, changes)}
	c.recordGiver(m.g, first, pages)
	m.begin(m)
	return m, nil
}

// homeOf gives the home that an order names, nil if that is here.
func (c *Component) homeOf(req wire.MoveReq) (*netlayer.Peer, error) {
	if req.Via == c.o.Node {
		return nil, nil
	}
	return c.peer(req.ViaAddr)
}

// Renew has the move tell another home from now on, if the order names a newer one.
func (m *regionMove) Renew(req wire.MoveReq) error {
	via, err := m.c.homeOf(req)
	if err != nil {
		return err
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	if req.ViaEpoch > m.req.ViaEpoch {
		m.req.Via, m.req.ViaAddr, m.req.ViaEpoch, m.via = req.Via, req.ViaAddr, req.ViaEpoch, via
	}
	return nil
}

// exited says that the process has ended: the pages are being freed. The lock is held.
func (m *regionMove) exited() {
	m.freed = true
	m.unhook()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// unhook ends the watch. The lock is held.
func (m *regionMove) unhook() {
	m.c.store.Unwatch(m.slot)
	delete(m.c.giving, m.slot)
}

func (m *regionMove) held() bool { return m.c.unmaps[m.slot] > 0 }

func (m *regionMove) local(e migrate.Effect) error {
	c := m.c
	switch e.Kind {
	case migrate.Freeze:
		c.owners.Freeze(m.slot, m.req.To)
	case migrate.Thaw:
		c.owners.Thaw(m.slot, e.Epoch)
		if cfg := c.replicas.primary.Config(m.slot); cfg.Config > 0 && e.Epoch > cfg.Epoch {
			cfg.Epoch = e.Epoch // its holders may have heard of the taker
			c.configure(m.slot, cfg, false)
		}
		m.unhook()
	case migrate.Lose:
		c.unprotect(m.slot, false, wire.Errorf(wire.KindFailed, "vRegion %d of process %d was lost on its way", m.req.Region, m.req.PID))
		c.owners.Lose(m.slot)
		m.unhook()
	case migrate.Forget:
		m.unhook()
		to := m.req.To
		if e.Epoch == 0 {
			to = ""
		}
		c.leave(m.slot, m.req.PID, m.req.Region, to, e.Epoch)
	}
	return nil
}

// leave frees a vRegion that is not served here any more. The lock is held, and given up between batches.
func (c *Component) leave(slot uint32, pid wire.PID, region wire.RegionNo, to wire.NodeID, epoch wire.Epoch) {
	c.unprotect(slot, false, wire.Errorf(wire.KindNotOwner, "%s does not own vRegion %d of process %d any more: ask its home for the owner", c.o.Node, region, pid))
	c.owners.Leave(slot, to, epoch)
	for c.store.FreeGroup(slot, freeBatch) == freeBatch {
		c.mu.Unlock()
		c.mu.Lock()
		if !c.owners.Leaving(slot, pid, region) {
			return // the process has ended: its exit frees the rest
		}
	}
	c.owners.Left(slot)
}

func (m *regionMove) message(e migrate.Effect) error {
	c, r := m.c, &m.req
	switch e.Kind {
	case migrate.Open:
		c.mu.Lock()
		pages := c.store.GroupPages(m.slot) + len(c.store.Keeps(m.slot))
		c.mu.Unlock()
		return m.send(m.to, wire.OpRegionCopyOpen, r.Epoch, wire.Marshal(wire.RegionCopyOpenReq{
			Move: r.Move, Round: e.Round, PID: r.PID, Region: r.Region, Epoch: r.Epoch, Pages: uint64(pages), From: c.o.Node, FromAddr: string(c.o.Addr), Member: r.ToMember}), sendTimeout)
	case migrate.Close:
		return m.close(e)
	case migrate.Serve:
		return m.send(m.to, wire.OpRegionServe, e.Epoch, wire.Marshal(wire.MoveServeReq{Move: r.Move, Epoch: e.Epoch}), sendTimeout)
	case migrate.Drop:
		return m.send(m.to, wire.OpRegionDrop, r.Epoch, wire.Marshal(wire.MoveRef{Move: r.Move}), sendTimeout)
	case migrate.Tell:
		q := wire.RegionSwitchReq{PID: r.PID, Owner: wire.Owner{Region: r.Region, Node: r.To, Addr: r.ToAddr, Epoch: e.Epoch, Member: r.ToMember}, Undo: e.Undo}
		if e.Undo {
			q.Owner.Node, q.Owner.Addr, q.Owner.Member = c.o.Node, string(c.o.Addr), r.FromMember
		}
		c.mu.Lock()
		via := m.via
		c.mu.Unlock()
		if via == nil {
			return c.switchOwner(q)
		}
		return m.send(via, wire.OpRegionSwitch, e.Epoch, wire.Marshal(q), sendTimeout)
	}
	return nil
}

// close sends the mapped parts, which nobody changes any more, in as many messages as they need.
func (m *regionMove) close(e migrate.Effect) error {
	m.c.mu.Lock()
	mapped, pages := m.c.owners.Mapped(m.slot), m.c.store.GroupPages(m.slot)
	cfg, kept, keeps := m.c.replicas.primary.Config(m.slot), m.c.kept(m.slot), len(m.c.store.Keeps(m.slot))
	if m.freed {
		mapped, pages, cfg, kept, keeps = nil, 0, wire.RegionConfig{}, wire.CutState{}, 0
	}
	m.c.mu.Unlock()
	parts := max((len(mapped)+wire.MaxMapEntries-1)/wire.MaxMapEntries, 1)
	for i := range parts {
		n := min(len(mapped), wire.MaxMapEntries)
		q := wire.RegionCopyEndReq{Move: m.req.Move, Round: e.Round, Part: uint32(i), Parts: uint32(parts), Mapped: mapped[:n], Pages: uint64(pages), Config: cfg, Kept: kept, Keeps: uint64(keeps)}
		mapped = mapped[n:]
		if err := m.send(m.to, wire.OpRegionCopyEnd, m.req.Epoch, wire.Marshal(q), sendTimeout); err != nil {
			return err
		}
	}
	return nil
}

// copyBatch is how many pages are copied under one hold of the lock, some microseconds: misses and flushes get through
// between the holds, and a hold for each page would cost more than the copy.
const copyBatch = 8

// copy fills a message with pages as they are, and sends it.
func (m *regionMove) copy(e migrate.Effect, out []migrate.Effect) []migrate.Effect {
	batch := min(2*m.c.o.Migrate.BatchPages, wire.MaxCopyPages) // entries; the giver counts pages
	full := wire.RegionCopyHeadLen + batch*wire.PageEntryLen    // where the pages begin
	if m.buf == nil {
		m.buf = make([]byte, full+batch*wire.PageSize)
	}
	entries, pages := m.buf[:wire.RegionCopyHeadLen], m.buf[full:full]
	direct := m.direct && !e.Exact
	m.pieces, m.sum = m.pieces[:0], 0
	m.c.mu.Lock()
	n, bytes := 0, 0
	for !m.freed {
		per := 1 // entries of a page at most
		if m.c.store.Keeping(m.slot) {
			per = 2
		}
		pagesTaken, k := m.lookUp(e.ID, min(copyBatch, (batch-n)/per))
		for i := range m.looked[:k] {
			l := &m.looked[i]
			entry := l.entry()
			entries = entry.Append(entries)
			switch {
			case entry.State != wire.PageFull:
				continue
			case direct:
				m.point(l)
			default:
				pages = m.c.appendPage(l.frame, pages)
			}
			bytes += wire.PageSize
		}
		if n += k; pagesTaken < copyBatch || batch-n < 2 {
			break
		}
		m.c.mu.Unlock()
		m.c.mu.Lock()
	}
	if m.freed {
		m.c.mu.Unlock()
		return m.event(out, func(_ time.Duration, out []migrate.Effect) []migrate.Effect { return out }) // cancels
	}
	out = m.g.Filled(m.now(), e.ID, bytes, out)
	m.c.mu.Unlock()
	if n == 0 {
		return out
	}
	wire.RegionCopy{Move: m.req.Move, Round: e.Round, Count: uint32(n)}.Append(m.buf[:0])
	msg := m.emptyMessage()
	msg.id = e.ID
	msg.call = netlayer.Call{Op: wire.OpRegionCopy, Epoch: m.req.Epoch, Body: entries, Page: pages, Timeout: sendTimeout}
	if direct {
		msg.call.Pages, msg.call.PageCRC, msg.call.HavePageCRC = m.pieces, m.sum, true
	}
	msg.err = m.to.Start(&msg.call)
	m.flying = append(m.flying, msg)
	return out
}

// lookUp takes the next pages of the message id, at most so many, and gives how many and how many entries they have. Looked up in one go, apart from the copy, they do not wait
// for memory one after the other. The lock is held, and must be until they are copied.
func (m *regionMove) lookUp(id uint64, most int) (taken, n int) {
	taken = m.g.TakeInto(id, m.taken[:most])
	for _, page := range m.taken[:taken] {
		l := &m.looked[n]
		n++
		l.page, l.mark = page, 0
		l.frame, l.content, l.have = m.c.store.Peek(m.req.PID, page)
		l = &m.looked[n]
		l.page = page
		if l.frame, l.content, l.mark, l.have = m.c.store.PeekKept(m.slot, page); l.have {
			n++
		}
	}
	return taken, n
}

// entry tells of a page as it is here.
func (l *looked) entry() wire.PageEntry {
	e := wire.PageEntry{Page: l.page, State: wire.PageAbsent, Pre: l.mark}
	switch {
	case l.have && l.content.Flushed:
		e.State, e.Epoch, e.Version, e.Sum = wire.PageFull, l.content.Epoch, l.content.Version, l.content.Sum
	case l.have:
		e.State = wire.PageZero
	}
	return e
}

// appendPage appends the bytes of a frame. The lock is held.
func (c *Component) appendPage(f pagestore.Frame, pages []byte) []byte {
	lock := &c.frames[f%stripes] // an apply that began before may still write
	lock.Lock()
	defer lock.Unlock()
	return append(pages, c.pages.Page(f)[:]...)
}

// point adds a page to the pieces of a message, where it is. It may change, or even be another's, before it is sent: then the bytes do not
// fit the sum, which is joined from those that came with the flushes, the taker refuses the message, and as whatever changes is marked, the
// pages are sent again.
func (m *regionMove) point(l *looked) {
	m.sum = wire.JoinPage(m.sum, l.content.Sum)
	if n := len(m.pieces); n > 0 && l.frame == m.next { // the neighbour of the last
		k := len(m.pieces[n-1]) / wire.PageSize
		m.pieces[n-1] = m.c.pages.Run(l.frame-pagestore.Frame(k), k+1)
		m.next++
		return
	}
	m.pieces, m.next = append(m.pieces, m.c.pages.Run(l.frame, 1)), l.frame+1
}

func (m *regionMove) emptyMessage() *copyMessage {
	if n := len(m.spare); n > 0 {
		msg := m.spare[n-1]
		m.spare = m.spare[:n-1]
		return msg
	}
	return &copyMessage{}
}

// await waits for the answer to the oldest message of pages.
func (m *regionMove) await() (id uint64, err error, ok bool) {
	if len(m.flying) == 0 {
		return 0, nil, false
	}
	msg := m.flying[0]
	m.flying = append(m.flying[:0], m.flying[1:]...)
	if err = msg.err; err == nil {
		err = m.to.Wait(&msg.call)
	}
	m.spare = append(m.spare, msg)
	return msg.id, err, true
}

// switchOwner is the home's side of a change of owner.
func (c *Component) switchOwner(q wire.RegionSwitchReq) error {
	if err := c.homeSlot(c.switches, "changes of owner wait for pComponents"); err != nil {
		return err
	}
	defer func() { <-c.switches }()
	return c.homeOp(func(h *vregion.TapedHome, call uint64, out []vregion.Effect) []vregion.Effect {
		return h.Switch(call, q, out)
	}).Err
}

func (c *Component) regionSwitch(req *netlayer.Request) error {
	return decoded(req, c.switchOwner)
}

package mcomponent

import (
	"time"

	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// shares are the vRegions that are served here and whose pages lie in shares at others. It is under Component.mu.
type shares struct {
	core   *erasure.Taped
	coders map[wire.MemoryPolicy]*erasure.Coder
	page   arena.Page // the one that was made last
	waits  map[uint64]shareWait
	last   uint64
	out    []erasure.Effect // of the last event, used again for the next
	wake   chan struct{}    // capacity 1: something is due sooner than the goroutine that waits for it knows
	armed  bool             // it knows that something is due
	runs   bool             // it runs
}

// shareWait is who waits for a page that is made of shares: a miss, or a holder that is filled.
type shareWait struct {
	miss lateMiss
	fill *replica.Effect
}

func newShares(o Options) shares {
	return shares{core: &erasure.Taped{Coordinator: erasure.New(o.erasure())}, coders: map[wire.MemoryPolicy]*erasure.Coder{}, waits: map[uint64]shareWait{}, wake: make(chan struct{}, 1)}
}

// coder gives the coder of a policy that GMM has checked. The lock is held.
func (c *Component) coder(p wire.MemoryPolicy) (*erasure.Coder, error) {
	if k := c.shares.coders[p]; k != nil {
		return k, nil
	}
	k, err := erasure.NewCoder(p)
	if err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%s: %v", c.o.Node, err)
	}
	c.shares.coders[p] = k
	return k, nil
}

// readShares has somebody wait for a page that lies in shares. The lock is held.
func (c *Component) readShares(slot uint32, page wire.PageNo, w shareWait) {
	s := &c.shares
	s.last++
	s.waits[s.last] = w
	c.performShares(s.core.Read(c.now(), slot, page, s.last, s.out[:0]))
}

// missShares serves a miss of a vRegion in shares, if its page is not with the owner: zeros at once, anything else later. The lock is held.
func (c *Component) missShares(slot uint32, m wire.Miss, req *netlayer.Request) (zeros bool, err error) {
	if c.shares.core.Absent(slot, m.Page) {
		return true, nil
	}
	d := req.Defer()
	if d == nil {
		return false, c.counts.refused(wire.Errorf(wire.KindBusy, "%s: too many misses wait for the shares of their pages: retry", c.o.Node))
	}
	c.readShares(slot, m.Page, shareWait{miss: lateMiss{d, m, req.Epoch}})
	return false, netlayer.ErrDeferred
}

// here reports whether a page of a vRegion in shares is with its owner. The lock is held.
func (c *Component) here(pid wire.PID, page wire.PageNo) bool {
	_, content, ok := c.store.Peek(pid, page)
	return ok && content.Flushed
}

// shareBuf is a share on its way to the page that is made of it.
type shareBuf struct{ b []byte }

// performShares performs effects: messages are given to a goroutine. The lock is held.
func (c *Component) performShares(out []erasure.Effect) {
	s := &c.shares
	s.out = nil // an answer may lead to another event
	var asks []erasure.Effect
	for i := 0; i < len(out); i++ {
		e := &out[i]
		switch e.Kind {
		case erasure.Ask:
			asks = append(asks, *e)
		case erasure.Decode:
			out = s.core.Decoded(c.now(), e.Slot, e.Page, c.decode(e), out)
		case erasure.Whole:
			r := &c.replicas
			c.performReplicas(r.primary.Listed(c.now(), e.Slot, s.core.Written(e.Slot), r.out[:0]))
		default:
			w := s.waits[e.Waiter]
			delete(s.waits, e.Waiter)
			c.shared(w, e)
		}
	}
	clear(out)
	s.out = out[:0]
	if len(asks) > 0 {
		c.wg.Go(func() { c.askShares(asks) })
	}
	if _, due := s.core.Due(); due && !s.armed {
		s.armed = true
		if !s.runs {
			s.runs = true
			c.wg.Go(c.watchShares)
		}
		signal(s.wake)
	}
}

// decode makes a page of its shares, and reports whether it is the one that was flushed. The lock is held.
func (c *Component) decode(e *erasure.Effect) bool {
	k, err := c.coder(c.shares.core.Policy(e.Slot))
	if err != nil {
		return false
	}
	var parts [wire.MaxHolders][]byte
	for i, s := range e.Shares {
		parts[i] = s.(*shareBuf).b
	}
	page := c.shares.page[:]
	return k.Page(page, e.Index, parts[:len(e.Shares)]) == nil && wire.Checksum(page) == e.Sum
}

// shared answers who waited for a page. The lock is held.
func (c *Component) shared(w shareWait, e *erasure.Effect) {
	if w.fill != nil {
		c.filled(w.fill, e)
		return
	}
	m := w.miss.miss
	slot, verdict := c.owners.Check(m.PID, m.Page, m.OwnerEpoch)
	switch {
	case verdict != vregion.Serve:
		w.miss.to.Answer(nil, c.counts.refused(c.owners.Error(verdict, m.PID, m.Page, m.OwnerEpoch)))
	case e.Kind == erasure.Fail:
		w.miss.to.Answer(nil, c.counts.refused(e.Err))
	case e.Kind == erasure.Page:
		c.owners.Count(slot)
		c.counts.sharedMisses.Add(1)
		w.miss.to.AnswerPage(c.shares.page[:], e.Sum)
	case c.here(m.PID, m.Page) || !c.shares.core.Has(slot):
		c.lateMiss(w.miss)
	case c.shares.core.Absent(slot, m.Page):
		c.owners.Count(slot)
		c.counts.sharedMisses.Add(1)
		w.miss.to.AnswerPage(zeroPage[:], wire.ZeroPageChecksum)
	default:
		c.readShares(slot, m.Page, w)
	}
}

var zeroPage arena.Page

// fillShare has a holder filled with its share of a page that is not with the owner. The lock is held.
func (c *Component) fillShare(e replica.Effect) {
	c.readShares(e.Slot, e.Write.Page, shareWait{fill: &e})
}

// filled goes on with it. The page is with the owner until its holder has its share. The lock is held.
func (c *Component) filled(w *replica.Effect, e *erasure.Effect) {
	r := &c.replicas
	a := replica.Answer{Err: e.Err}
	pid, page := w.Write.PID, w.Write.Page
	switch {
	case !r.primary.Awaits(w.ID): // there are other holders by now, or the page was unmapped
		return
	case e.Kind == erasure.Fail:
	case c.here(pid, page):
		c.performReplicas(append(r.out[:0], *w))
		return
	case e.Kind == erasure.Page:
		f, ok := c.store.Put(w.Slot, pid, page, pagestore.Content{Epoch: e.Epoch, Version: e.Version, Sum: e.Sum, Flushed: true})
		if ok {
			lock := &c.frames[f%stripes]
			lock.Lock()
			*c.pages.Page(f) = c.shares.page
			lock.Unlock()
			c.performReplicas(append(r.out[:0], *w))
			return
		}
		a.Err = wireError(c.outOfMemory())
	case c.shares.core.Has(w.Slot) && !c.shares.core.Absent(w.Slot, page):
		c.fillShare(*w)
		return
	}
	c.performReplicas(r.primary.Answered(c.now(), w.ID, a, r.out[:0]))
}

// shareCall is a question to a holder that is under way.
type shareCall struct {
	call netlayer.Call
	peer *netlayer.Peer
	err  error
	e    erasure.Effect
}

// askShares asks holders and gives what they answer to the core.
func (c *Component) askShares(es []erasure.Effect) {
	calls := make([]shareCall, len(es))
	for i := range calls {
		m, e := &calls[i], &es[i]
		m.e = *e
		if m.peer, m.err = c.peer(e.To.Addr); m.err != nil {
			continue
		}
		room := wire.ReplicaHeadLen + wire.PageEntryLen + wire.PageSize
		if e.Read.Flags&wire.ReplicaList != 0 {
			room = wire.ReplicaHeadLen + wire.MaxReplicaListed*wire.PageEntryLen
		}
		m.call = netlayer.Call{Op: wire.OpReplicaRead, Epoch: e.Read.OwnerEpoch, Body: e.Read.Append(nil), Reply: make([]byte, 0, room), Timeout: sendTimeout}
		m.err = m.peer.Start(&m.call)
	}
	for i := range calls {
		m := &calls[i]
		if m.err == nil {
			m.err = m.peer.Wait(&m.call)
		}
		var a erasure.Answer
		if m.err == nil {
			a, m.err = m.answer()
		}
		a.Err = wireError(m.err)
		c.mu.Lock()
		c.performShares(c.shares.core.Answered(c.now(), m.e.ID, a, c.shares.out[:0]))
		c.mu.Unlock()
	}
}

// answer reads what a holder answered.
func (m *shareCall) answer() (a erasure.Answer, err error) {
	head, bytes, ok := wire.ParseReplicaPages(m.call.Reply)
	list := m.e.Read.Flags&wire.ReplicaList != 0
	if !ok || !list && head.Count > 1 {
		return a, wire.Errorf(wire.KindBadRequest, "%s answered with what are no shares", m.e.To.Node)
	}
	a.Next, a.More = head.Next, head.More
	for i := range int(head.Count) {
		e := wire.CopyEntry(m.call.Reply, i)
		if list {
			a.Pages = append(a.Pages, e)
		} else {
			a.Have, a.Epoch, a.Version, a.Sum, a.Share = e.State == wire.PageFull, e.Epoch, e.Version, e.Sum, &shareBuf{bytes}
		}
	}
	return a, nil
}

// watchShares asks others where holders are slow, until the component ends.
func (c *Component) watchShares() {
	s := &c.shares
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		c.mu.Lock()
		c.performShares(s.core.Tick(c.now(), s.out[:0]))
		due, is := s.core.Due()
		s.armed = is
		now := c.now()
		c.mu.Unlock()
		if is {
			timer.Reset(max(due-now, 0))
		}
	}
}

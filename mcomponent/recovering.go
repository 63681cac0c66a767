package mcomponent

import (
	"math"
	"sync"
	"time"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// regionRecovery is a vRegion whose owner was lost and whose owner this component becomes. Its goroutine ends with the recovery or with the
// component; each message has one of its own, of which the core bounds the number. All fields are under Component.mu.
type regionRecovery struct {
	c       *Component
	r       *recovery.Taped
	slot    uint32
	waiters map[uint64]lateMiss
	last    uint64 // number of a waiter
	wake    chan struct{}
	gone    bool // its slot is another's
}

// lateMiss is a miss of a page that is not here yet.
type lateMiss struct {
	to      *netlayer.Deferred
	miss    wire.Miss
	process wire.Epoch
}

// recoverRegion obeys the order of GMM to become the owner of a vRegion that has lost its own, and tells how far that has come.
func (c *Component) recoverRegion(q wire.RegionRecoverReq) (wire.RegionRecoverRep, error) {
	cfg := &q.Config
	if q.Self != c.o.Node {
		return wire.RegionRecoverRep{}, wire.Errorf(wire.KindBadRequest, "%s is to recover a vRegion for %s", c.o.Node, q.Self)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.recovery(cfg.PID, cfg.Region); v != nil {
		old := v.r.Req().Config.Epoch
		if old == cfg.Epoch && v.r.Status(0, nil).State != wire.RecoverFailed {
			return v.changed(q)
		}
		if old > cfg.Epoch {
			return wire.RegionRecoverRep{}, wire.Errorf(wire.KindStale, "%s recovers vRegion %d of process %d under epoch %d, not %d", c.o.Node, cfg.Region, cfg.PID, old, cfg.Epoch)
		}
		v.cancel("another order has come")
		delete(c.recoveries, v.slot)
	} else if _, err := c.owners.Serving(cfg.PID, cfg.Region, cfg.Epoch); err == nil {
		return wire.RegionRecoverRep{State: wire.RecoverDone}, nil
	}
	if err := c.owners.Granted(cfg.PID, cfg.Region, q.Member); err != nil {
		return wire.RegionRecoverRep{}, err
	}
	bare := false
	if cfg.Policy.Kind == wire.MemoryErasure { // who serves it holds no share of it
		slot, held, err := c.replicas.holder.Drop(wire.ReplicaRef{PID: cfg.PID, Region: cfg.Region, Epoch: cfg.Epoch, Config: cfg.Config})
		if err != nil {
			return wire.RegionRecoverRep{}, err
		}
		if held {
			c.leave(slot, cfg.PID, cfg.Region, "", 0)
		}
	} else if _, had, err := c.replicas.holder.Promote(cfg.PID, cfg.Region, cfg.Epoch, cfg.Config); err != nil {
		return wire.RegionRecoverRep{}, err
	} else {
		bare = !had
	}
	slot, err := c.owners.Recover(cfg.PID, cfg.Region, cfg.Epoch, q.Via)
	if err != nil {
		return wire.RegionRecoverRep{}, err
	}
	_, first, pages := c.owners.Bounds(slot)
	v := &regionRecovery{c: c, r: c.newRecovery(recovery.TapeHead{Options: c.o.recovery(), Req: q, Slot: slot, First: first, Pages: pages, Addr: string(c.o.Addr), Bare: bare}), slot: slot, waiters: map[uint64]lateMiss{}, wake: make(chan struct{}, 1)}
	c.recoveries[slot] = v
	v.perform(v.r.Begin(c.now(), nil))
	c.wg.Go(v.run)
	return v.status(), nil
}

// changed takes the order again: of a newer configuration if a source or a holder has died since. The lock is held.
func (v *regionRecovery) changed(q wire.RegionRecoverReq) (wire.RegionRecoverRep, error) {
	c, cfg := v.c, &q.Config
	if cfg.Config <= v.r.Req().Config.Config || v.r.Ended() {
		return v.status(), nil
	}
	if cfg.Policy.Kind != wire.MemoryErasure {
		if _, _, err := c.replicas.holder.Promote(cfg.PID, cfg.Region, cfg.Epoch, cfg.Config); err != nil {
			return wire.RegionRecoverRep{}, err
		}
	}
	v.perform(v.r.Changed(c.now(), q, nil))
	signal(v.wake)
	if v.r.Status(0, nil).State == wire.RecoverServing {
		c.configure(v.slot, q.Config, false)
	}
	return v.status(), nil
}

// recovery gives the recovery of a vRegion, also one that has ended, or nil. The lock is held.
func (c *Component) recovery(pid wire.PID, region wire.RegionNo) *regionRecovery {
	for _, v := range c.recoveries { // there is one at most: no order
		if cfg := v.r.Req().Config; cfg.PID == pid && cfg.Region == region {
			return v
		}
	}
	return nil
}

// status tells how far it has come. The lock is held.
func (v *regionRecovery) status() wire.RegionRecoverRep {
	lost := v.c.replicas.primary.LostPages(v.slot, math.MaxInt)
	return v.r.Status(uint64(len(lost)), lost[:min(len(lost), wire.MaxLostNamed)])
}

// run waits for pauses to end.
func (v *regionRecovery) run() {
	c := v.c
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		if !v.gone {
			v.perform(v.r.Tick(c.now(), nil))
		}
		due, pauses := v.r.Due()
		ended := v.gone || v.r.Ended()
		c.mu.Unlock()
		if ended {
			return
		}
		if pauses {
			timer.Reset(max(due-c.now(), 0))
		}
		select {
		case <-c.ctx.Done():
			return
		case <-v.wake:
		case <-timer.C:
		}
	}
}

// cancel ends it, because its slot is given up. The lock is held.
func (v *regionRecovery) cancel(why string) {
	if v.gone {
		return
	}
	v.perform(v.r.Cancel(why, nil))
	v.gone = true
	signal(v.wake)
}

// perform performs effects. The lock is held: messages are given to goroutines.
func (v *regionRecovery) perform(out []recovery.Effect) {
	c := v.c
	for len(out) > 0 {
		e := out[0]
		out = out[1:]
		switch e.Kind {
		case recovery.Serve:
			c.owners.Serve(v.slot, e.Mapped)
			q := v.r.Req()
			if q.Config.Policy.Kind == wire.MemorySync {
				c.replicas.holder.Forget(q.Config.PID, q.Config.Region) // full copies, which are the owner's now
			}
			c.configure(v.slot, q.Config, false)
			c.goOn(v.slot, q.Config.PID, q.Config.Region, q.Config.Epoch, e.Kept)
		case recovery.Wake:
			m := v.waiters[e.Waiter]
			delete(v.waiters, e.Waiter)
			c.lateMiss(m)
		case recovery.Complete:
			q := v.r.Req()
			c.replicas.holder.Forget(q.Config.PID, q.Config.Region)
			c.saveLogs()
			if !c.shares.core.Has(v.slot) {
				c.performReplicas(c.replicas.primary.Listed(c.now(), v.slot, append(c.store.Flushes(v.slot), c.store.Keeps(v.slot)...), c.replicas.out[:0]))
			}
			c.log.Info("recovered a vRegion", "pid", q.Config.PID, "region", q.Config.Region, "epoch", q.Config.Epoch, "pages", v.r.Status(0, nil).Done)
			signal(v.wake)
		case recovery.Pull:
			c.wg.Go(func() { v.pull(e) })
		default:
			c.wg.Go(func() {
				a := v.ask(e)
				c.mu.Lock()
				defer c.mu.Unlock()
				v.answered(e.ID, a)
			})
		}
	}
}

// answered gives the core an answer. The lock is held.
func (v *regionRecovery) answered(id uint64, a recovery.Answer) {
	if v.gone {
		return
	}
	v.perform(v.r.Answered(v.c.now(), id, a, nil))
	signal(v.wake) // there may be a pause to wait for, or an end
}

// ask performs a message without pages.
func (v *regionRecovery) ask(e recovery.Effect) (a recovery.Answer) {
	c, q := v.c, v.r.Req()
	var err error
	switch {
	case e.Kind == recovery.Fence && e.To.Node == c.o.Node:
		c.mu.Lock()
		a.Pages, a.Kept = uint64(c.store.GroupPages(v.slot)), c.replicas.holder.Kept(v.slot)
		c.mu.Unlock()
	case e.Kind == recovery.Fence:
		var rep wire.ReplicaOpenRep
		if err = c.askOther(e.To.Addr, wire.OpReplicaOpen, e.Open.Epoch, e.Open, &rep); err == nil {
			a.Pages, a.Kept = rep.Pages, rep.Kept
		}
	case e.Kind == recovery.Tell && q.Via == c.o.Node:
		err = c.switchOwner(e.Switch)
	case e.Kind == recovery.Tell:
		err = c.askOther(q.ViaAddr, wire.OpRegionSwitch, e.Switch.Owner.Epoch, e.Switch, nil)
	case e.Kind == recovery.Parts && q.Via == c.o.Node:
		c.homeMu.Lock()
		a.Parts, err = c.home.Parts(e.Parts)
		c.homeMu.Unlock()
	case e.Kind == recovery.Parts:
		err = c.askOther(q.ViaAddr, wire.OpRegionParts, e.Parts.Epoch, e.Parts, &a.Parts)
	}
	a.Err = wireError(err)
	return a
}

// askOther sends one control message, once: what follows from its failure is decided by a core.
func (c *Component) askOther(addr string, op wire.Op, epoch wire.Epoch, req, rep any) error {
	p, err := c.peer(addr)
	if err != nil {
		return err
	}
	call := netlayer.Call{Op: op, Epoch: epoch, Body: wire.Marshal(req), Timeout: sendTimeout}
	if err := p.Do(&call); err != nil || rep == nil {
		return err
	}
	return wire.Unmarshal(call.Reply, rep)
}

// pullCalls are messages that bring pages, with the memory for their answers.
var pullCalls = sync.Pool{New: func() any { return new(netlayer.Call) }}

// pull asks a source for pages and takes them.
func (v *regionRecovery) pull(e recovery.Effect) {
	c := v.c
	call := pullCalls.Get().(*netlayer.Call)
	defer pullCalls.Put(call)
	frames := c.reserve(e)
	err := func() error {
		if e.To.Node == c.o.Node { // what is in memory of the log is here; what is in its file comes as from another
			c.mu.Lock()
			items, head, err := c.replicas.holder.Read(e.Read, nil)
			c.mu.Unlock()
			if err == nil {
				call.Reply, err = c.heldPages(e.Read, items, head)
			}
			return err
		}
		p, err := c.peer(e.To.Addr)
		if err != nil {
			return err
		}
		*call = netlayer.Call{Op: wire.OpReplicaRead, Epoch: e.Read.OwnerEpoch, Body: e.Read.Append(call.Body[:0]), Reply: call.Reply[:0], Timeout: sendTimeout}
		if frames != nil {
			q := e.Read
			q.Flags |= wire.ReplicaAside
			call.Body, call.Pieces = q.Append(call.Body[:0]), frames.pieces
		}
		return p.Do(call)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	a := recovery.Answer{Err: wireError(err)}
	switch {
	case err != nil:
	case frames != nil && call.N > 0:
		a = v.takeAside(e, call.Reply, frames, call.N)
	default:
		a = v.take(e, call.Reply)
	}
	if call.Pieces = nil; frames != nil {
		c.unplace(frames, 0)
	}
	v.answered(e.ID, a)
}

// take stores pages that came. The lock is held, and given up after each copyBatch of them.
func (v *regionRecovery) take(e recovery.Effect, body []byte) (a recovery.Answer) {
	c := v.c
	head, pages, ok := wire.ParseReplicaPages(body)
	if !ok || head.Bytes != wire.PageSize && len(pages) > 0 {
		return recovery.Answer{Err: wire.Errorf(wire.KindBadRequest, "%s answered with what are no pages", e.To.Node)}
	}
	pid := v.r.Req().Config.PID
	for i := range int(head.Count) {
		if i > 0 && i%copyBatch == 0 {
			c.mu.Unlock()
			c.mu.Lock()
		}
		if v.gone {
			return recovery.Answer{Err: wire.Errorf(wire.KindNotFound, "the vRegion is not here any more")}
		}
		entry := wire.CopyEntry(body, i)
		var page []byte
		if entry.State == wire.PageFull {
			if len(pages) < wire.PageSize {
				return recovery.Answer{Err: wire.Errorf(wire.KindBadRequest, "%s answered with fewer pages than it names", e.To.Node)}
			}
			page, pages = pages[:wire.PageSize], pages[wire.PageSize:]
		}
		_, content, have := c.store.Peek(pid, entry.Page)
		_, cuts := c.store.Checkpoint(v.slot) // then one more may be kept
		if page != nil && (!have || cuts) && c.store.Free() == 0 {
			return recovery.Answer{Err: wireError(c.outOfMemory())}
		}
		newer := have && content.Flushed && (content.Epoch > entry.Epoch || content.Epoch == entry.Epoch && content.Version >= entry.Version)
		switch as, mark := v.r.Take(entry, newer); {
		case as == recovery.Nothing:
			continue
		case as == recovery.Kept && page == nil:
			c.replicas.primary.LoseKept(v.slot, entry.Page, entry.Epoch, entry.Version)
			continue
		case page == nil:
			c.replicas.primary.Lose(v.slot, entry.Page, entry.Epoch, entry.Version)
			continue
		case as == recovery.Kept:
			if err := c.keepPage(v.slot, pid, entry, mark, page); err != nil {
				return recovery.Answer{Err: wireError(err)}
			}
			continue
		}
		f, _ := c.store.Put(v.slot, pid, entry.Page, pagestore.Content{Epoch: entry.Epoch, Version: entry.Version, Sum: entry.Sum, Flushed: true})
		lock := &c.frames[f%stripes]
		lock.Lock()
		*c.pages.Page(f) = arena.Page(page)
		lock.Unlock()
	}
	return recovery.Answer{Next: head.Next, More: head.More, Count: int(head.Count)}
}

// recovering asks whether a miss must wait for its page to come. Then it is answered later. The lock is held.
func (c *Component) recovering(slot uint32, m wire.Miss, req *netlayer.Request) (waits bool, err error) {
	v := c.recoveries[slot]
	if v == nil || v.gone || v.r.Ended() || v.r.Here(m.Page) {
		return false, nil
	}
	d := req.Defer()
	if d == nil {
		return true, wire.Errorf(wire.KindBusy, "%s: too many misses wait for pages that are not here yet: retry", c.o.Node)
	}
	v.last++
	late := lateMiss{d, m, req.Epoch}
	v.waiters[v.last] = late
	waits, out := v.r.Miss(c.now(), m.Page, v.last, nil)
	if !waits {
		delete(v.waiters, v.last)
		c.lateMiss(late)
	}
	v.perform(out)
	return true, netlayer.ErrDeferred
}

// lateMiss answers a miss whose page is here now, as any other. The lock is held.
func (c *Component) lateMiss(w lateMiss) {
	m := w.miss
	slot, verdict := c.owners.Check(m.PID, m.Page, m.OwnerEpoch)
	if verdict != vregion.Serve {
		w.to.Answer(nil, c.counts.refused(c.owners.Error(verdict, m.PID, m.Page, m.OwnerEpoch)))
		return
	}
	if c.owners.Superseded(slot, w.process) { // it went back meanwhile
		w.to.Answer(nil, c.counts.refused(c.owners.SupersededError(slot, w.process)))
		return
	}
	if err := c.replicas.primary.Lost(slot, m.Page); err != nil {
		w.to.Answer(nil, err)
		return
	}
	f, sum, act := c.store.Miss(slot, m.PID, m.Page)
	if act == pagestore.Full {
		w.to.Answer(nil, c.counts.refused(c.outOfMemory()))
		return
	}
	c.owners.Count(slot)
	lock := &c.frames[f%stripes]
	lock.Lock()
	defer lock.Unlock()
	page := c.pages.Page(f)
	if act == pagestore.Fresh {
		*page = arena.Page{}
	}
	w.to.AnswerPage(page[:], sum)
}

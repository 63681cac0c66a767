package mcomponent

import (
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// processCut serves process_cut: a checkpoint of a process that lives here is durable.
func (c *Component) processCut(req *netlayer.Request) error {
	return homeCall(c, req, nil, (*vregion.TapedHome).Cut)
}

// processRollback serves process_rollback.
func (c *Component) processRollback(req *netlayer.Request, rep *netlayer.Reply) error {
	return homeCall(c, req, rep, (*vregion.TapedHome).Rollback)
}

// laterDone takes a request without a reply that waits for holders; nil if it cannot be answered later.
func laterDone(req *netlayer.Request) func() func(error) {
	return func() func(error) {
		d := req.Defer()
		if d == nil {
			return nil
		}
		return func(err error) { d.Answer(nil, err) }
	}
}

// regionCut is the owner's side of a checkpoint. What the one before kept is dropped under one hold of the lock: some 50 ns a page. If holders must hear of it
// later gives what is called when they have, as with regionUnmap.
func (c *Component) regionCut(req wire.RegionCutReq, epoch wire.Epoch, later func() func(error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, ok, err := c.owners.Cut(req, epoch)
	if !ok {
		return err
	}
	c.store.Cut(slot, req.Cut)
	k := wire.CutState{Known: true, Cut: req.Cut, Process: c.owners.Process(slot)}
	c.replicas.holder.Own(slot, k, false) // of what was held of it before it was served here
	if v := c.recoveries[slot]; v != nil && !v.gone {
		v.r.Cut(k)
	}
	return c.tellHolders(slot, later, func(call uint64, out []replica.Effect) []replica.Effect {
		return c.replicas.primary.Cut(c.now(), slot, k.Cut, k.Process, call, out)
	})
}

// regionRollback is the owner's side of a rollback. Nobody sees half of it: the lock is held throughout.
func (c *Component) regionRollback(req wire.RegionRollbackReq, epoch wire.Epoch, later func() func(error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slot, here := c.owners.SlotOf(req.PID, req.Region); here {
		if err := vregion.LateRollback(req, c.store.NewestEpoch(slot)); err != nil {
			return err
		}
	}
	slot, ok, err := c.owners.Rollback(req, epoch)
	if !ok {
		return err
	}
	restored, freed, err := c.store.Rollback(slot, req.Cut)
	if err != nil {
		return err
	}
	c.counts.pagesRestored.Add(uint64(restored))
	c.log.Info("a vRegion went back to a checkpoint", "pid", req.PID, "region", req.Region, "process_epoch", req.Process, "checkpoint", req.Cut.Number, "restored", restored, "freed", freed)
	k := wire.CutState{Known: true, Cut: req.Cut, Process: req.Process}
	c.replicas.holder.Own(slot, k, true)
	if v := c.recoveries[slot]; v != nil && !v.gone {
		v.r.Rollback(k)
	}
	return c.tellHolders(slot, later, func(call uint64, out []replica.Effect) []replica.Effect {
		return c.replicas.primary.Rollback(c.now(), slot, k.Cut, k.Process, call, out)
	})
}

// tellHolders has an answer wait for the holders of a vRegion, if it has some. The lock is held.
func (c *Component) tellHolders(slot uint32, later func() func(error), tell func(call uint64, out []replica.Effect) []replica.Effect) error {
	r := &c.replicas
	if !r.primary.Redundant(slot) {
		return nil
	}
	done := later()
	if done == nil {
		return wire.Errorf(wire.KindBusy, "%s: too many requests wait for copies of pages: retry", c.o.Node)
	}
	c.performReplicas(tell(r.wait(waiter{done: done}), r.out[:0]))
	return netlayer.ErrDeferred
}

// kept is what is known here of the checkpoints of a vRegion. The lock is held.
func (c *Component) kept(slot uint32) (k wire.CutState) {
	k.Cut, k.Known = c.store.Checkpoint(slot)
	k.Process = c.owners.Process(slot)
	return k
}

// goOn takes over what its former owner knew of the checkpoints of a vRegion that is served here from now on. The lock is held.
func (c *Component) goOn(slot uint32, pid wire.PID, region wire.RegionNo, epoch wire.Epoch, k wire.CutState) {
	if k.Process > 0 {
		_, _, _ = c.owners.Cut(wire.RegionCutReq{PID: pid, Region: region, Cut: wire.Cut{Epoch: k.Process}}, epoch) // older epochs are refused
	}
	if k.Known {
		c.store.Cut(slot, k.Cut)
	}
	if at, ok := c.store.Checkpoint(slot); ok && c.replicas.primary.Redundant(slot) {
		c.replicas.primary.Knows(slot, at)
	}
}

// replicaCut takes news of a checkpoint of a vRegion that is held, or goes back to one.
func (c *Component) replicaCut(q wire.ReplicaCutReq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, ok, err := c.replicas.holder.Cut(q)
	switch {
	case err != nil || !ok:
		return err
	case q.Back:
		_, _, err = c.store.Rollback(slot, q.Cut)
	default:
		c.store.Cut(slot, q.Cut)
	}
	return err
}

// keepPage has a group keep a page as it was at a checkpoint, whose bytes are page. The lock is held.
func (c *Component) keepPage(slot uint32, pid wire.PID, e wire.PageEntry, mark uint32, page []byte) error {
	f, act := c.store.Keep(slot, pid, e.Page, pagestore.Content{Epoch: e.Epoch, Version: e.Version, Sum: e.Sum, Flushed: true}, mark)
	switch act {
	case pagestore.Full:
		return c.outOfMemory()
	case pagestore.Apply:
		lock := &c.frames[f%stripes]
		lock.Lock()
		*c.pages.Page(f) = arena.Page(page)
		lock.Unlock()
	}
	return nil
}

// keepComing keeps a page that comes by a move. Until the end of the copy says more only the number of the checkpoint is known. The lock is held.
func (c *Component) keepComing(in *migrate.Incoming, e wire.PageEntry, page []byte) error {
	if at, ok := c.store.Checkpoint(in.Slot); !ok || int32(e.Pre-at.Pre()) > 0 {
		c.store.Cut(in.Slot, wire.Cut{Number: uint64(e.Pre) - 1})
	}
	return c.keepPage(in.Slot, in.PID, e, e.Pre, page)
}

// addKept adds a page as it was at the last checkpoint to a message to a holder, if it changed since. The lock is held.
func (c *Component) addKept(e *replica.Effect, add func(wire.PageEntry, pagestore.Frame)) {
	page := e.Write.Page
	if f, content, mark, ok := c.store.PeekKept(e.Slot, page); ok {
		add(wire.PageEntry{Page: page, State: wire.PageFull, Epoch: content.Epoch, Version: content.Version, Sum: content.Sum, Pre: mark}, f)
	} else if epoch, version, ok := c.replicas.primary.KeptLost(e.Slot, page); ok {
		at, _ := c.store.Checkpoint(e.Slot)
		add(wire.PageEntry{Page: page, State: wire.PageLost, Epoch: epoch, Version: version, Pre: at.Pre()}, 0)
	}
}

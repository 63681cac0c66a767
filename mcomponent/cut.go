package mcomponent

import (
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
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

// regionCut is the owner's side of a checkpoint. What the one before kept is dropped under one hold of the lock: some 50 ns a page.
func (c *Component) regionCut(req wire.RegionCutReq, epoch wire.Epoch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, ok, err := c.owners.Cut(req, epoch)
	if ok {
		c.store.Cut(slot, req.Cut)
	}
	return err
}

// regionRollback is the owner's side of a rollback. Nobody sees half of it: the lock is held throughout.
func (c *Component) regionRollback(req wire.RegionRollbackReq, epoch wire.Epoch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, ok, err := c.owners.Rollback(req, epoch)
	if !ok {
		return err
	}
	restored, freed, err := c.store.Rollback(slot, req.Cut)
	if err == nil {
		c.counts.pagesRestored.Add(uint64(restored))
		c.log.Info("a vRegion went back to a checkpoint", "pid", req.PID, "region", req.Region, "process_epoch", req.Process, "checkpoint", req.Cut.Number, "restored", restored, "freed", freed)
	}
	return err
}

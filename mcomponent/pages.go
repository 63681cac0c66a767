package mcomponent

import (
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// miss sends a page with the checksum that came with it.
func (c *Component) miss(req *netlayer.Request, rep *netlayer.Reply) error {
	m, ok := wire.ParseMiss(req.Body)
	if !ok {
		return badBody(req)
	}
	to := (*arena.Page)(rep.Page(wire.PageSize)) // may grow the buffer, so not under the locks
	c.workers.enter()
	defer c.workers.leave()

	c.mu.Lock()
	slot, v := c.owners.Check(m.PID, m.Page, m.OwnerEpoch)
	if v != vregion.Serve {
		err := c.owners.Error(v, m.PID, m.Page, m.OwnerEpoch)
		c.mu.Unlock()
		return c.counts.refused(err)
	}
	if c.owners.Superseded(slot, req.Epoch) {
		err := c.owners.SupersededError(slot, req.Epoch)
		c.mu.Unlock()
		return c.counts.refused(err)
	}
	if len(c.recoveries) > 0 {
		if waits, err := c.recovering(slot, m, req); waits {
			c.mu.Unlock()
			return err
		}
	}
	if err := c.replicas.primary.Lost(slot, m.Page); err != nil {
		c.mu.Unlock()
		return err
	}
	if c.shares.core.Has(slot) && !c.here(m.PID, m.Page) {
		zeros, err := c.missShares(slot, m, req)
		if zeros {
			c.owners.Count(slot)
			c.counts.sharedMisses.Add(1)
		}
		c.mu.Unlock()
		if zeros {
			*to = arena.Page{}
			rep.SetPageCRC(wire.ZeroPageChecksum)
		}
		return err
	}
	f, sum, act := c.store.Miss(slot, m.PID, m.Page)
	if act == pagestore.Full {
		err := c.outOfMemory()
		c.mu.Unlock()
		return c.counts.refused(err)
	}
	c.owners.Count(slot)
	flip := false
	if c.o.Inject.FlipByteAtMiss > 0 && act == pagestore.Hit && c.store.Flushed(f) {
		c.seen.FlipByteAtMiss++
		flip = c.seen.FlipByteAtMiss == c.o.Inject.FlipByteAtMiss
	}
	lock := &c.frames[f%stripes]
	lock.Lock() // before mu is given up, so that no later apply overtakes this copy, and the frame stays this page's
	c.mu.Unlock()
	page := c.pages.Page(f)
	if act == pagestore.Fresh {
		*page = arena.Page{}
	}
	if flip {
		page[uint64(m.Page)%wire.PageSize] ^= 0x40
	}
	*to = *page
	lock.Unlock()
	rep.SetPageCRC(sum)
	return nil
}

// flush stores a page if it is newer than what is here.
func (c *Component) flush(req *netlayer.Request) error {
	m, ok := wire.ParseFlush(req.Body)
	if !ok || len(req.Page) != wire.PageSize {
		return badBody(req)
	}
	c.workers.enter()
	defer c.workers.leave()

	c.mu.Lock()
	slot, v := c.owners.Check(m.PID, m.Page, m.OwnerEpoch)
	if v != vregion.Serve {
		err := c.owners.Error(v, m.PID, m.Page, m.OwnerEpoch)
		c.mu.Unlock()
		return c.counts.refused(err)
	}
	if c.owners.Superseded(slot, m.ProcessEpoch) {
		err := c.owners.SupersededError(slot, m.ProcessEpoch)
		c.mu.Unlock()
		return c.counts.refused(err)
	}
	if c.o.Inject.DropFlushAt > 0 {
		if c.seen.DropFlushAt++; c.seen.DropFlushAt == c.o.Inject.DropFlushAt {
			c.mu.Unlock()
			return nil
		}
	}
	redundant := c.replicas.primary.Redundant(slot)
	if redundant && c.replicas.primary.Flushing(slot, m.Page, m.ProcessEpoch, m.Version) {
		c.mu.Unlock()
		return nil // older than a version that is lost
	}
	shared := c.shares.core.Has(slot)
	if shared {
		switch c.shares.core.Flushing(slot, m.Page, m.ProcessEpoch, m.Version) {
		case erasure.Unknown:
			c.performShares(c.shares.core.Seek(slot, m.Page, c.shares.out[:0]))
			c.mu.Unlock()
			return c.counts.refused(wire.Errorf(wire.KindBusy, "%s does not know yet what was written to vRegion of page %#x of process %d: retry", c.o.Node, uint64(m.Page)<<wire.PageShift, m.PID))
		case erasure.Older: // what is newer may not be everywhere yet
			err := c.replicate(slot, m.Page, req)
			c.mu.Unlock()
			return err
		}
	}
	f, act := c.store.Flush(slot, m.PID, m.Page, m.ProcessEpoch, m.Version, req.PageCRC)
	if act == pagestore.Full {
		err := c.outOfMemory()
		c.mu.Unlock()
		return c.counts.refused(err)
	}
	lock := &c.frames[f%stripes]
	if act == pagestore.Apply {
		c.owners.Count(slot)
		if shared {
			c.shares.core.Flushed(slot, m.Page, m.ProcessEpoch, m.Version)
		}
		lock.Lock()
	}
	var err error
	if redundant { // an old one waits as well: what is newer may not be everywhere yet
		err = c.replicate(slot, m.Page, req)
	}
	c.mu.Unlock()
	if act == pagestore.Apply {
		*c.pages.Page(f) = arena.Page(req.Page)
		lock.Unlock()
	}
	return err
}

// outOfMemory is the error of who finds no frame. The lock is held.
func (c *Component) outOfMemory() error {
	pages := c.o.MemoryBytes / wire.PageSize
	size, unit := c.o.MemoryBytes>>10, "KiB"
	if c.o.MemoryBytes%(1<<20) == 0 {
		size, unit = c.o.MemoryBytes>>20, "MiB"
	}
	if kept := c.store.Stats().PreImages; kept > 0 {
		return wire.Errorf(wire.KindNoMemory, "%s: out of memory: capacity %d %s, all %d pages in use, %d of them as they were at the last checkpoints; give the component more memory_bytes, or have processes make checkpoints more often",
			c.o.Node, size, unit, pages, kept)
	}
	return wire.Errorf(wire.KindNoMemory, "%s: out of memory: capacity %d %s, all %d pages in use; give the component more memory_bytes or the process fewer pages", c.o.Node, size, unit, pages)
}

func badBody(req *netlayer.Request) error {
	return wire.Errorf(wire.KindBadRequest, "%v: a body of %d and a page of %d bytes do not fit the operation", req.Op, len(req.Body), len(req.Page))
}

// freeBatch is how many pages are freed under one hold of the lock, so that a large munmap does not stall misses.
const freeBatch = 4096

// regionMap is the owner's side of a mapping.
func (c *Component) regionMap(req wire.RegionMapReq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.owners.Map(req); err != nil || req.Config.Config == 0 {
		return err
	}
	slot, err := c.owners.Serving(req.PID, req.Region, req.RegionEpoch)
	if err == nil {
		c.configure(slot, req.Config, true)
	}
	return err
}

// regionUnmap is the owner's side of an unmapping. From its first step on no page of the range is served, so the pages may
// be freed in batches.
// epoch is the one under which the home knows this owner. If holders must do the same, later is asked for what is called when they have; it
// does not wait. Then the error is netlayer.ErrDeferred, or, if later gives nothing, busy: the pages are free, and who asks again waits.
func (c *Component) regionUnmap(req wire.RegionUnmapReq, epoch wire.Epoch, later func() func(freed uint64, err error)) (freed uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, ok, err := c.owners.Unmap(req, epoch)
	if err != nil || !ok {
		return 0, err
	}
	freed = c.freeRange(slot, req)
	if c.shares.core.Has(slot) {
		freed = c.shares.core.Unmapped(slot, wire.PageNo(req.Start>>wire.PageShift), req.Length>>wire.PageShift)
		c.performShares(c.shares.core.Woken(c.shares.out[:0]))
	}
	if _, err := c.owners.Serving(req.PID, req.Region, epoch); err != nil || !c.replicas.primary.Redundant(slot) {
		return freed, nil
	}
	done := later()
	if done == nil {
		return freed, wire.Errorf(wire.KindBusy, "%s: too many requests wait for copies of pages: retry", c.o.Node)
	}
	c.replicateUnmap(slot, req.Start, req.Length, func(err error) { done(freed, err) })
	return freed, netlayer.ErrDeferred
}

// freeRange frees the pages of a range that is unmapped. The lock is held, and given up between batches.
func (c *Component) freeRange(slot uint32, req wire.RegionUnmapReq) (freed uint64) {
	first, n := wire.PageNo(req.Start>>wire.PageShift), req.Length>>wire.PageShift
	if v := c.recoveries[slot]; v != nil && !v.gone {
		v.r.Unmapped(first, n)
	}
	c.replicas.holder.Forgot(slot, first, n) // of what was held of it before it was served here
	for {
		k := min(n, freeBatch)
		freed += c.store.Unmap(slot, req.PID, first, k)
		first, n = first+wire.PageNo(k), n-k
		if n == 0 {
			return freed
		}
		if c.store.GroupPages(slot) <= freeBatch { // what is left is found faster by the group than by the range
			return freed + c.store.Unmap(slot, req.PID, first, n)
		}
		c.unmaps[slot]++ // a move waits for this before its last round ends
		c.mu.Unlock()
		c.mu.Lock()
		if c.unmaps[slot]--; c.unmaps[slot] == 0 {
			delete(c.unmaps, slot)
		}
	}
}

// ownerExit frees what a process has in the vRegions that this mComponent owns.
func (c *Component) ownerExit(pid wire.PID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taker.Exit(pid)
	c.replicas.holder.Exit(pid)
	for _, slot := range c.owners.Exit(pid, nil) {
		c.unprotect(slot, true, wire.Errorf(wire.KindFailed, "process %d has ended", pid))
		if m := c.giving[slot]; m != nil {
			m.exited()
		}
		for c.store.FreeGroup(slot, freeBatch) == freeBatch {
			c.mu.Unlock()
			c.mu.Lock()
		}
		c.owners.Release(slot)
	}
	c.saveLogs() // there may be none any more
}

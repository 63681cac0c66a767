package mcomponent

import (
	"time"

	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// now is the clock of what is on its way here.
func (c *Component) now() time.Duration { return time.Since(c.t0) }

// regionCopyOpen makes a place for a vRegion.
func (c *Component) regionCopyOpen(m wire.RegionCopyOpenReq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, isNew, err := c.taker.Open(c.now(), m)
	if err != nil || !isNew {
		return err
	}
	if s := c.store.Stats(); uint64(s.Capacity-s.Used) < m.Pages {
		return wire.Errorf(wire.KindNoMemory, "%s: %d pages are free, vRegion %d of process %d has %d; give the component more memory_bytes", c.o.Node, s.Capacity-s.Used, m.Region, m.PID, m.Pages)
	}
	if in.Slot, err = c.owners.Arrive(m.PID, m.Region, m.Epoch, m.From); err != nil {
		if old := c.taker.Older(m.PID, m.Region, m.Epoch); old != nil {
			c.dropIncoming(c.taker.Drop(old.Move))
			return wire.Errorf(wire.KindBusy, "%s frees an older copy of vRegion %d of process %d: retry", c.o.Node, m.Region, m.PID)
		}
		return err
	}
	c.taker.Add(in)
	c.tend()
	c.populate(m.Pages)
	return nil
}

// populateFrames is how many frames the kernel is asked for at once: about half a millisecond.
const populateFrames = 256

// populate has the kernel give memory for the frames that so many pages will take, beside their copy: a fault for each of them, in the
// middle of the copy, takes longer than the rest of storing it. Several may run, and what they ask for too much is given later or was
// given before. The lock is held.
func (c *Component) populate(pages uint64) {
	first, end := c.store.Untouched(int(min(pages, uint64(c.pages.Frames()))))
	if end-first < populateFrames {
		return
	}
	c.wg.Go(func() {
		for at := first; at < end && c.ctx.Err() == nil; at += populateFrames {
			if !c.pages.Populate(at, min(at+populateFrames, end)) {
				return
			}
		}
	})
}

// regionCopy stores pages as they are at the giver. The lock is given up after each copyBatch of them.
func (c *Component) regionCopy(req *netlayer.Request) error {
	head, at, ok := wire.ParseRegionCopy(req.Body)
	if !ok {
		return badBody(req)
	}
	c.workers.enter()
	defer c.workers.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	in, err := c.taker.Copy(c.now(), head)
	if err != nil {
		return err
	}
	_, first, pages := c.owners.Bounds(in.Slot)
	for i := range int(head.Count) {
		if i%copyBatch == 0 {
			if i > 0 {
				c.mu.Unlock()
				c.mu.Lock()
			}
			for k := i; k < min(i+copyBatch, int(head.Count)); k++ { // brings the index into the cache: see lookUp
				c.store.Peek(in.PID, wire.CopyEntry(req.Body, k).Page)
			}
		}
		e := wire.CopyEntry(req.Body, i)
		switch {
		case !in.Open(head.Round): // since the lock was given up
			return wire.Errorf(wire.KindStale, "round %d of move %d is over", head.Round, head.Move.No)
		case e.Page < first || uint64(e.Page-first) >= pages:
			return wire.Errorf(wire.KindBadRequest, "page %#x is not in vRegion %d", uint64(e.Page), in.Region)
		case e.State == wire.PageAbsent:
			c.store.Remove(in.PID, e.Page)
			continue
		}
		f, ok := c.store.Put(in.Slot, in.PID, e.Page, pagestore.Content{Epoch: e.Epoch, Version: e.Version, Sum: e.Sum, Flushed: e.State == wire.PageFull})
		if !ok {
			return c.outOfMemory()
		}
		lock := &c.frames[f%stripes] // the frame may be another page's of a moment ago, which is still being sent
		lock.Lock()
		if e.State == wire.PageFull {
			*c.pages.Page(f) = arena.Page(req.Body[at : at+wire.PageSize])
			at += wire.PageSize
		} else {
			*c.pages.Page(f) = arena.Page{}
		}
		lock.Unlock()
	}
	return nil
}

func (c *Component) regionCopyEnd(m wire.RegionCopyEndReq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot := c.taker.SlotOf(m.Move)
	return c.taker.Close(c.now(), m, c.store.GroupPages(slot), func(mapped []wire.MappedPart) error { return c.owners.CheckMapped(slot, mapped) })
}

func (c *Component) regionServe(m wire.MoveServeReq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, err := c.taker.Serve(m)
	if in != nil {
		c.owners.Serve(in.Slot, in.Mapped)
	}
	return err
}

func (c *Component) regionDrop(m wire.MoveRef) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in := c.taker.Drop(m.Move); in != nil {
		c.dropIncoming(in)
	}
	return nil
}

// dropIncoming frees a copy that will not be served. The lock is held, and given up between batches.
func (c *Component) dropIncoming(in *migrate.Incoming) { c.leave(in.Slot, in.PID, in.Region, "", 0) }

func (c *Component) homeCopy(m wire.HomeCopyReq) error {
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	in, isNew, err := c.homeTaker.Map(c.now(), m)
	if err != nil {
		return err
	}
	if isNew {
		if err := c.home.Arrive(m.PID, m.From); err != nil {
			return err
		}
		c.homeTaker.Add(in)
		c.tend()
	}
	if in.Complete {
		if err := c.home.CheckMap(mapOf(in)); err != nil {
			in.Complete = false
			return err
		}
	}
	return nil
}

func mapOf(in *migrate.Incoming) vregion.Map {
	return vregion.Map{PID: in.PID, Epoch: in.Epoch, Addr: in.Addr, HeapStart: in.HeapStart, HeapEnd: in.HeapEnd, Mapped: in.Mapped, Owners: in.Owners}
}

func (c *Component) homeServe(m wire.MoveServeReq) error {
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	in, err := c.homeTaker.Serve(m)
	if in != nil {
		c.home.Install(mapOf(in), m.Epoch)
	}
	return err
}

func (c *Component) homeDrop(m wire.MoveRef) error {
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	if in := c.homeTaker.Drop(m.Move); in != nil {
		c.home.Depart(in.PID)
	}
	return nil
}

// tend starts the goroutine that looks after what is on its way here, unless it runs. It ends when nothing is.
func (c *Component) tend() {
	if !c.tending.CompareAndSwap(false, true) {
		return
	}
	c.wg.Go(func() {
		every := max(time.Duration(c.o.Migrate.IdleMS)*time.Millisecond/4, time.Millisecond)
		for c.pause(every) {
			left := c.tendRegions() + c.tendHomes()
			if left > 0 {
				continue
			}
			c.tending.Store(false)
			c.mu.Lock()
			left = c.taker.Len()
			c.mu.Unlock()
			c.homeMu.Lock()
			left += c.homeTaker.Len()
			c.homeMu.Unlock()
			if left == 0 || !c.tending.CompareAndSwap(false, true) {
				return // nothing is left, or what came meanwhile has started another
			}
		}
	})
}

// tendRegions gives up copies of which nothing came for long, and reports how many are left.
func (c *Component) tendRegions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range c.taker.Idle(c.now()) {
		drop := !in.Complete
		if !drop {
			c.mu.Unlock()
			s, err := c.askGiver(in)
			c.mu.Lock()
			drop = !in.Gone && c.taker.Asked(c.now(), in, s, err)
		}
		if drop && !in.Gone {
			c.log.Warn("gave up a vRegion on its way here", "pid", in.PID, "region", in.Region, "from", in.From)
			c.dropIncoming(c.taker.Drop(in.Move))
		}
	}
	return c.taker.Len()
}

func (c *Component) tendHomes() int {
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	for _, in := range c.homeTaker.Idle(c.now()) {
		drop := !in.Complete
		if !drop {
			c.homeMu.Unlock()
			s, err := c.askGiver(in)
			c.homeMu.Lock()
			drop = !in.Gone && c.homeTaker.Asked(c.now(), in, s, err)
		}
		if drop && !in.Gone {
			c.log.Warn("gave up a memory map on its way here", "pid", in.PID, "from", in.From)
			c.home.Depart(c.homeTaker.Drop(in.Move).PID)
		}
	}
	return c.homeTaker.Len()
}

// askGiver asks how a move stands. No lock is held.
func (c *Component) askGiver(in *migrate.Incoming) (wire.MoveState, error) {
	p, err := c.peer(in.FromAddr)
	if err != nil {
		return 0, err
	}
	call := netlayer.Call{Op: wire.OpMoveStatus, Body: wire.Marshal(wire.MoveRef{Move: in.Move}), Timeout: sendTimeout}
	if err := p.Do(&call); err != nil {
		return 0, err
	}
	var s wire.MoveStatusRep
	err = wire.Unmarshal(call.Reply, &s)
	return s.State, err
}

package mcomponent

import (
	"sync"
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
	if free := c.store.Free(); uint64(free) < m.Pages {
		return wire.Errorf(wire.KindNoMemory, "%s: %d pages are free, vRegion %d of process %d has %d; give the component more memory_bytes", c.o.Node, free, m.Region, m.PID, m.Pages)
	}
	if err := c.owners.Granted(m.PID, m.Region, m.Member); err != nil {
		return err // in the books it would be lost
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

// placement is the frames into which the pages of one message are read.
type placement struct {
	frames []pagestore.Frame
	pieces [][]byte
	buf    [wire.MaxCopyPages]pagestore.Frame
}

var placements = sync.Pool{New: func() any { return new(placement) }}

// placeRegionCopy gives the frames for a message of pages, if there are enough and the message is one that regionCopy would take. Until
// then no page has them, so that nobody sees bytes of a message that is cut short or corrupt. Otherwise regionCopy copies the pages, or
// says what is wrong.
func (c *Component) placeRegionCopy(req *netlayer.Request, n int) [][]byte {
	head, full, ok := wire.ParseRegionCopy(req.Body)
	if !ok || full*wire.PageSize != n {
		return nil
	}
	p := placements.Get().(*placement)
	p.frames = p.buf[:full]
	c.mu.Lock()
	_, err := c.taker.Copy(c.now(), head)
	// Pages that are here already need none but these, which get free one by one, so zeros beside them could find none.
	ok = err == nil && c.store.Free() >= int(head.Count) && c.store.Reserve(p.frames)
	c.mu.Unlock()
	if !ok {
		placements.Put(p)
		return nil
	}
	return c.place(req, p)
}

// place gives the memory of frames that were reserved for the pages of a message.
func (c *Component) place(req *netlayer.Request, p *placement) [][]byte {
	full := len(p.frames)
	for at := 0; at < full; { // neighbours are read in one go
		end := at + 1
		for end < full && p.frames[end] == p.frames[end-1]+1 {
			end++
		}
		p.pieces = append(p.pieces, c.pages.Run(p.frames[at], end-at))
		at = end
	}
	for _, f := range p.frames {
		c.settle(f)
	}
	if req != nil {
		req.Placed = p
	}
	return p.pieces
}

// settle waits until the bytes of a frame are used no more by who found it to be a page's that it is not any more: such a page may still be
// sent. Who comes later finds no page that has the frame.
func (c *Component) settle(f pagestore.Frame) {
	lock := &c.frames[f%stripes]
	lock.Lock()
	defer lock.Unlock()
}

// unplace gives back what placeRegionCopy gave, but for the frames that were used.
func (c *Component) unplace(p *placement, used int) {
	if left := p.frames[used:]; len(left) > 0 {
		c.store.Release(left)
	}
	clear(p.pieces)
	p.pieces = p.pieces[:0]
	placements.Put(p)
}

// regionCopy stores pages as they are at the giver. The lock is given up after each copyBatch of them.
func (c *Component) regionCopy(req *netlayer.Request) (err error) {
	p, _ := req.Placed.(*placement)
	head, full, ok := wire.ParseRegionCopy(req.Body)
	if !ok || p == nil && full*wire.PageSize != len(req.Page) {
		return badBody(req)
	}
	c.workers.enter()
	defer c.workers.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	at, left := 0, 0 // pages of the payload that were looked at, and of them those whose frame was not used
	if p != nil {
		defer func() {
			left += copy(p.frames[left:], p.frames[at:])
			p.frames = p.frames[:left]
			c.unplace(p, 0)
		}()
	}
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
		case e.Pre != 0:
			page := req.Page
			if p != nil {
				page = c.pages.Page(p.frames[at])[:]
				p.frames[left] = p.frames[at]
				left++
			} else {
				page = page[at*wire.PageSize : (at+1)*wire.PageSize]
			}
			at++
			if err := c.keepComing(in, e, page); err != nil {
				return err
			}
			continue
		}
		content := pagestore.Content{Epoch: e.Epoch, Version: e.Version, Sum: e.Sum, Flushed: e.State == wire.PageFull}
		if content.Flushed && p != nil {
			c.store.Install(in.Slot, in.PID, e.Page, content, p.frames[at])
			at++
			continue
		}
		f, ok := c.store.Put(in.Slot, in.PID, e.Page, content)
		if !ok {
			return c.outOfMemory()
		}
		lock := &c.frames[f%stripes] // the frame may be another page's of a moment ago, which is still being sent
		lock.Lock()
		if content.Flushed {
			*c.pages.Page(f) = arena.Page(req.Page[at*wire.PageSize:])
			at++
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
	return c.taker.Close(c.now(), m, c.store.GroupPages(slot), func(mapped []wire.MappedPart) error {
		if n := len(c.store.Keeps(slot)); uint64(n) < m.Keeps {
			return wire.Errorf(wire.KindBadRequest, "%s: %d pages of vRegion came as they were at checkpoint %d, the giver keeps %d", c.o.Node, n, m.Kept.Cut.Number, m.Keeps)
		}
		return c.owners.CheckMapped(slot, mapped)
	})
}

func (c *Component) regionServe(m wire.MoveServeReq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, err := c.taker.Serve(m)
	if in != nil {
		c.owners.Serve(in.Slot, in.Mapped)
		c.protectAgain(in, m.Epoch)
		c.goOn(in.Slot, in.PID, in.Region, m.Epoch, in.Kept)
	}
	return err
}

// protectAgain goes on with the holders of a vRegion that came here, under the epoch under which it is served: no flush is acknowledged before they have heard
// of it. The lock is held.
func (c *Component) protectAgain(in *migrate.Incoming, epoch wire.Epoch) {
	if cfg := in.Config; cfg.Config > 0 {
		cfg.Epoch = epoch
		if cfg.Policy.Kind == wire.MemoryErasure { // what came is with its pComponent still, which sends it again
			for c.store.FreeGroup(in.Slot, freeBatch) == freeBatch {
			}
		}
		c.configure(in.Slot, cfg, false)
	}
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
		if err := c.home.Granted(m.PID, c.o.Node, m.Member); err != nil {
			return err // in the books it would be lost
		}
		if err := c.home.Arrive(m.PID, m.From); err != nil {
			return err
		}
		c.homeTaker.Add(in)
		c.tend()
	}
	if in.Complete {
		if err := c.home.CheckMap(mapOf(in)); err != nil {
			c.homeTaker.Reject(in)
			return err
		}
	}
	return nil
}

func mapOf(in *migrate.Incoming) vregion.Map {
	return vregion.Map{PID: in.PID, Epoch: in.Epoch, Addr: in.Addr, HeapStart: in.HeapStart, HeapEnd: in.HeapEnd, Mapped: in.Mapped, Owners: in.Owners, Configs: in.Configs, Backup: in.Backup, Kept: in.KeptMap}
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

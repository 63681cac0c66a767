package mcomponent

import (
	"bytes"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// replicaOpen makes this component a holder of a vRegion, or tells it of a newer configuration.
func (c *Component) replicaOpen(q wire.ReplicaOpenReq, from wire.NodeID) (rep wire.ReplicaOpenRep, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.replicas.holder
	o, err := h.Open(q)
	switch {
	case err != nil:
		return rep, err
	case o.New:
		slot, err := c.owners.Hold(q.PID, q.Region, q.Epoch, from)
		if err != nil {
			return rep, err
		}
		h.Add(q, slot)
		o.Slot = slot
	case o.Free:
		for c.store.FreeGroup(o.Slot, freeBatch) == freeBatch { // at once: what comes next would be freed with it
		}
	}
	if k := h.Kept(o.Slot); k.Known {
		c.store.Cut(o.Slot, k.Cut)
	}
	return o.Rep, nil
}

// replicaWrite takes one page.
func (c *Component) replicaWrite(req *netlayer.Request, rep *netlayer.Reply) error {
	w, ok := wire.ParseReplicaWrite(req.Body)
	if !ok {
		return badBody(req)
	}
	c.workers.enter()
	defer c.workers.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	if want := c.replicas.holder.ShareBytes(w.PID, w.Page); (w.Flags&wire.ReplicaLost == 0) != (len(req.Page) == want) {
		return badBody(req)
	}
	defer c.saveLogs()
	skipped, _, act, err := c.hold(w, req.Page, nil)
	if act == replica.Wait {
		page := bytes.Clone(req.Page)
		return c.waitForRoom(req, w.PID, w.Page, 1, err, func() ([]byte, replica.Action, error) {
			skipped, _, act, err := c.hold(w, page, nil)
			if skipped {
				return wire.ReplicaSkipped, act, err
			}
			return nil, act, err
		})
	}
	if skipped {
		rep.AppendBody(wire.ReplicaSkipped)
	}
	return err
}

// hold takes one page: from its bytes, or from a frame that was reserved and has them. used says that the frame is the page's now. The
// lock is held.
func (c *Component) hold(w wire.ReplicaWrite, page []byte, from *pagestore.Frame) (skipped, used bool, act replica.Action, err error) {
	room := from != nil && w.Pre == 0 || c.store.Free() > 0
	slot, act, err := c.replicas.holder.Write(w, room)
	if err != nil {
		return false, false, act, err
	}
	switch act {
	case replica.Discard:
		c.store.Remove(w.PID, w.Page)
	case replica.Skip, replica.Aside:
		if w.Pre == 0 {
			c.store.Unmap(slot, w.PID, w.Page, 1)
			return act == replica.Skip, false, act, nil
		}
	case replica.Keep:
		if from != nil {
			page = c.pages.Page(*from)[:]
		}
		if err := c.keepPage(slot, w.PID, wire.PageEntry{Page: w.Page, Epoch: w.ProcessEpoch, Version: w.Version, Sum: w.Sum}, w.Pre, page); err != nil {
			panic("mcomponent: a page that is to be kept finds no frame, though there was room")
		}
	case replica.Store:
		if line, at, n := c.replicas.holder.Place(slot, w.Page); n < wire.PageSize {
			f, ok := c.store.Put(slot, w.PID, line, pagestore.Content{Flushed: true})
			if !ok {
				panic("mcomponent: a share that is to be stored finds no frame, though there was room")
			}
			lock := &c.frames[f%stripes]
			lock.Lock()
			copy(c.pages.Page(f)[at:at+n], page)
			lock.Unlock()
			return false, false, act, nil
		}
		content := pagestore.Content{Epoch: w.ProcessEpoch, Version: w.Version, Sum: w.Sum, Flushed: true}
		if from != nil {
			c.store.Install(slot, w.PID, w.Page, content, *from)
			return false, true, act, nil
		}
		f, ok := c.store.Put(slot, w.PID, w.Page, content)
		if !ok {
			panic("mcomponent: a page that is to be stored finds no frame, though there was room")
		}
		lock := &c.frames[f%stripes]
		lock.Lock()
		*c.pages.Page(f) = arena.Page(page)
		lock.Unlock()
	}
	return false, false, act, nil
}

// replicaWrites takes several pages. The lock is given up after each copyBatch of them.
func (c *Component) replicaWrites(req *netlayer.Request, rep *netlayer.Reply) error {
	p, _ := req.Placed.(*placement)
	w, full, ok := wire.ParseReplicaWrites(req.Body)
	if !ok {
		return badBody(req)
	}
	c.workers.enter()
	defer c.workers.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	share := c.replicas.holder.ShareBytes(w.PID, wire.CopyEntry(req.Body, 0).Page)
	if p == nil && full*share != len(req.Page) {
		return badBody(req)
	}
	defer c.saveLogs()
	in := incoming{w: w, body: req.Body, pages: req.Page, share: share}
	if p != nil {
		in.frames = p.frames
		defer func() {
			in.kept += copy(p.frames[in.kept:], p.frames[in.at:])
			p.frames = p.frames[:in.kept]
			c.unplace(p, 0)
		}()
	}
	act, err := c.holdPages(&in)
	if act == replica.Wait && p == nil { // what is here already is found again as old
		later := incoming{w: w, body: bytes.Clone(req.Body), pages: bytes.Clone(req.Page), share: share, i: in.i, at: in.at, skips: in.skips, skipped: in.skipped}
		return c.waitForRoom(req, w.PID, wire.CopyEntry(in.body, 0).Page, full, err, func() ([]byte, replica.Action, error) {
			act, err := c.holdPages(&later)
			return later.answer(), act, err
		})
	}
	rep.AppendBody(in.answer())
	return err
}

// incoming is a message of pages of which some are taken.
type incoming struct {
	w       wire.ReplicaWrites
	body    []byte
	pages   []byte            // the payload, unless it is in frames
	share   int               // bytes of each page of it
	frames  []pagestore.Frame // those that are not used are moved to the front
	i       int               // entries that were looked at
	at      int               // and pages
	kept    int               // frames that are not used
	skips   [wire.MaxReplicaPages]byte
	skipped bool
}

// answer tells which pages were skipped, if any were.
func (in *incoming) answer() []byte {
	if !in.skipped {
		return nil
	}
	return in.skips[:in.w.Count]
}

// holdPages takes the pages of a message from the one on that in.i says, up to one that cannot be taken. The lock is held, and given up
// after each copyBatch of them.
func (c *Component) holdPages(in *incoming) (act replica.Action, err error) {
	w := &in.w
	for first := in.i; in.i < int(w.Count); in.i++ {
		i := in.i
		if i%copyBatch == 0 || i == first {
			if i > first {
				c.mu.Unlock()
				c.mu.Lock()
			}
			for k := i; k < min(i+copyBatch, int(w.Count)); k++ { // brings both indexes into the cache: see lookUp
				page := wire.CopyEntry(in.body, k).Page
				c.store.Peek(w.PID, page)
				c.replicas.holder.Has(w.PID, page)
			}
		}
		e := wire.CopyEntry(in.body, i)
		one := wire.ReplicaWrite{PID: w.PID, Page: e.Page, OwnerEpoch: w.OwnerEpoch, ProcessEpoch: e.Epoch, Version: e.Version, Config: w.Config, Barrier: w.Barrier, Sum: e.Sum, Pre: e.Pre}
		if e.State == wire.PageLost {
			one.Flags = wire.ReplicaLost
		}
		var skip, used bool
		switch {
		case e.State == wire.PageLost:
			skip, _, _, err = c.hold(one, nil, nil)
		case in.frames != nil:
			f := in.frames[in.at]
			in.at++
			if skip, used, act, err = c.hold(one, nil, &f); !used {
				in.frames[in.kept] = f
				in.kept++
			}
		default:
			if c.replicas.holder.ShareBytes(one.PID, one.Page) != in.share { // it was opened or dropped since the message began
				return 0, wire.Errorf(wire.KindBusy, "%s: vRegion of page %#x of process %d changed while it was written: retry", c.o.Node, uint64(one.Page)<<wire.PageShift, one.PID)
			}
			page := in.pages[in.at*in.share:]
			if skip, _, act, err = c.hold(one, page[:in.share], nil); err == nil {
				in.at++
			}
		}
		if err != nil {
			return act, err
		}
		if skip {
			in.skips[i], in.skipped = 1, true
		}
	}
	return 0, nil
}

// placeReplicaWrites gives the frames for a message of pages, if there are enough. Otherwise they are copied, or refused one by one.
func (c *Component) placeReplicaWrites(req *netlayer.Request, n int) [][]byte {
	w, full, ok := wire.ParseReplicaWrites(req.Body)
	if !ok || full*wire.PageSize != n {
		return nil
	}
	c.mu.Lock()
	p := placements.Get().(*placement)
	p.frames = p.buf[:full]
	// Who waits for room in a log must not have frames meanwhile.
	ok = c.store.Free() >= int(w.Count) && c.replicas.holder.Fits(w.PID, wire.CopyEntry(req.Body, 0).Page, int(w.Count)) && c.store.Reserve(p.frames)
	c.mu.Unlock()
	if !ok {
		placements.Put(p)
		return nil
	}
	return c.place(req, p)
}

// replicaUnmap frees a range of a vRegion that is held.
func (c *Component) replicaUnmap(q wire.ReplicaUnmapReq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, ok, err := c.replicas.holder.Unmap(q)
	if err != nil || !ok {
		return err
	}
	c.saveLogs()
	// At once, for a page that is written after the answer must stay.
	first, n := c.replicas.holder.Freed(slot, wire.PageNo(q.Start>>wire.PageShift), q.Length>>wire.PageShift)
	c.store.Unmap(slot, q.PID, first, n)
	return nil
}

// replicaDrop forgets what is held of a vRegion.
func (c *Component) replicaDrop(ref wire.ReplicaRef) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, ok, err := c.replicas.holder.Drop(ref)
	if err != nil || !ok {
		return err
	}
	c.leave(slot, ref.PID, ref.Region, "", 0)
	c.saveLogs()
	return nil
}

// replicaRead gives pages that are held.
func (c *Component) replicaRead(req *netlayer.Request, rep *netlayer.Reply) error {
	q, ok := wire.ParseReplicaRead(req.Body)
	if !ok {
		return badBody(req)
	}
	c.workers.enter()
	defer c.workers.leave()
	c.mu.Lock()
	items, head, err := c.replicas.holder.Read(q, nil)
	if err == nil && q.Flags&wire.ReplicaList == 0 && head.Bytes < wire.PageSize {
		rep.SetBody(c.appendShares(q.PID, head, items))
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if q.Flags&wire.ReplicaList == 0 && anySaved(items) {
		return c.readLater(req, q, items, head)
	}
	if q.Flags == wire.ReplicaAside && head.Bytes == wire.PageSize && !anyKept(items) {
		return c.answerAside(q, items, head, rep)
	}
	n := wire.ReplicaHeadLen + len(items)*wire.PageEntryLen
	for i := range items {
		if items[i].State == wire.PageFull {
			n += int(head.Bytes)
		}
	}
	body := head.Append(rep.Body(n)[:0])
	for i := range items {
		body = items[i].PageEntry.Append(body)
	}
	if q.Flags&wire.ReplicaList == 0 {
		// What was written or freed since it was listed is listed anew by whoever asks again: a page of another version does not go out.
		c.mu.Lock()
		for i := range items {
			if i > 0 && i%copyBatch == 0 {
				c.mu.Unlock()
				c.mu.Lock()
			}
			it := &items[i]
			if it.State != wire.PageFull {
				continue
			}
			f, ok := c.peekHeld(q, it)
			if !ok {
				c.mu.Unlock()
				return c.changed(it.Page)
			}
			body = c.appendPage(f, body)
		}
		c.mu.Unlock()
	}
	if len(body) != n {
		panic("mcomponent: an answer to replica_read has another length than its entries say")
	}
	return nil
}

// peekHeld finds the frame of a page that is held, as it is or as it was at the last checkpoint, if it is still the version that was listed. The lock is held.
func (c *Component) peekHeld(q wire.ReplicaRead, it *replica.Item) (pagestore.Frame, bool) {
	f, content, ok := c.store.Peek(q.PID, it.Page)
	if it.Pre != 0 {
		slot, _ := c.owners.SlotOf(q.PID, q.Region)
		f, content, _, ok = c.store.PeekKept(slot, it.Page)
	}
	return f, ok && content.Epoch == it.Epoch && content.Version == it.Version
}

// anyKept reports whether there are pages as they were at a checkpoint: then there may be more pages than were asked for.
func anyKept(items []replica.Item) bool {
	for i := range items {
		if items[i].Pre != 0 {
			return true
		}
	}
	return false
}

// appendShares makes the answer to who asks for shares. The lock is held.
func (c *Component) appendShares(pid wire.PID, head wire.ReplicaPages, items []replica.Item) []byte {
	body := head.Append(make([]byte, 0, wire.ReplicaHeadLen+len(items)*(wire.PageEntryLen+int(head.Bytes))))
	for i := range items {
		body = items[i].PageEntry.Append(body)
	}
	for i := range items {
		line, at, n := c.replicas.holder.PlaceOf(pid, items[i].Page)
		f, _, ok := c.store.Peek(pid, line)
		if !ok {
			panic("mcomponent: a share that is held has no frame")
		}
		lock := &c.frames[f%stripes]
		lock.Lock()
		body = append(body, c.pages.Page(f)[at:at+n]...)
		lock.Unlock()
	}
	return body
}

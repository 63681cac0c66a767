package mcomponent

import (
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
	if !ok || (w.Flags&wire.ReplicaLost == 0) != (len(req.Page) == wire.PageSize) {
		return badBody(req)
	}
	c.workers.enter()
	defer c.workers.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	skipped, _, err := c.hold(w, req.Page, nil)
	if skipped {
		rep.AppendBody(wire.ReplicaSkipped)
	}
	return err
}

// hold takes one page: from its bytes, or from a frame that was reserved and has them. used says that the frame is the page's now. The
// lock is held.
func (c *Component) hold(w wire.ReplicaWrite, page []byte, from *pagestore.Frame) (skipped, used bool, err error) {
	room := from != nil && w.Pre == 0 || c.store.Free() > 0
	slot, act, err := c.replicas.holder.Write(w, room)
	if err != nil {
		return false, false, err
	}
	switch act {
	case replica.Discard:
		c.store.Remove(w.PID, w.Page)
	case replica.Skip, replica.Aside:
		if w.Pre == 0 {
			c.store.Unmap(slot, w.PID, w.Page, 1)
			return act == replica.Skip, false, nil
		}
	case replica.Keep:
		if from != nil {
			page = c.pages.Page(*from)[:]
		}
		if err := c.keepPage(slot, w.PID, wire.PageEntry{Page: w.Page, Epoch: w.ProcessEpoch, Version: w.Version, Sum: w.Sum}, w.Pre, page); err != nil {
			panic("mcomponent: a page that is to be kept finds no frame, though there was room")
		}
	case replica.Store:
		content := pagestore.Content{Epoch: w.ProcessEpoch, Version: w.Version, Sum: w.Sum, Flushed: true}
		if from != nil {
			c.store.Install(slot, w.PID, w.Page, content, *from)
			return false, true, nil
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
	return false, false, nil
}

// replicaWrites takes several pages. The lock is given up after each copyBatch of them.
func (c *Component) replicaWrites(req *netlayer.Request, rep *netlayer.Reply) error {
	p, _ := req.Placed.(*placement)
	w, full, ok := wire.ParseReplicaWrites(req.Body)
	if !ok || p == nil && full*wire.PageSize != len(req.Page) {
		return badBody(req)
	}
	c.workers.enter()
	defer c.workers.leave()
	var skips [wire.MaxReplicaPages]byte
	skipped := false
	c.mu.Lock()
	defer c.mu.Unlock()
	at, kept := 0, 0 // pages of the payload that were looked at, and of them those whose frame was not used
	if p != nil {
		defer func() {
			kept += copy(p.frames[kept:], p.frames[at:])
			p.frames = p.frames[:kept]
			c.unplace(p, 0)
		}()
	}
	for i := range int(w.Count) {
		if i%copyBatch == 0 && i > 0 {
			c.mu.Unlock()
			c.mu.Lock()
		}
		e := wire.CopyEntry(req.Body, i)
		one := wire.ReplicaWrite{PID: w.PID, Page: e.Page, OwnerEpoch: w.OwnerEpoch, ProcessEpoch: e.Epoch, Version: e.Version, Config: w.Config, Barrier: w.Barrier, Sum: e.Sum, Pre: e.Pre}
		if e.State == wire.PageLost {
			one.Flags = wire.ReplicaLost
		}
		var skip, used bool
		var err error
		switch {
		case e.State == wire.PageLost:
			skip, _, err = c.hold(one, nil, nil)
		case p != nil:
			f := p.frames[at]
			at++
			if skip, used, err = c.hold(one, nil, &f); !used {
				p.frames[kept] = f
				kept++
			}
		default:
			page := req.Page[at*wire.PageSize:]
			at++
			skip, _, err = c.hold(one, page[:wire.PageSize], nil)
		}
		if err != nil {
			return err
		}
		if skip {
			skips[i], skipped = 1, true
		}
	}
	if skipped {
		rep.AppendBody(skips[:w.Count])
	}
	return nil
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
	ok = c.store.Free() >= int(w.Count) && c.store.Reserve(p.frames)
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
	// At once, for a page that is written after the answer must stay.
	c.store.Unmap(slot, q.PID, wire.PageNo(q.Start>>wire.PageShift), q.Length>>wire.PageShift)
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
	c.mu.Unlock()
	if err != nil {
		return err
	}
	body := head.Append(make([]byte, 0, wire.ReplicaHeadLen+len(items)*(wire.PageEntryLen+int(head.Bytes))))
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
			f, content, ok := c.store.Peek(q.PID, it.Page)
			if it.Pre != 0 {
				slot, _ := c.owners.SlotOf(q.PID, q.Region)
				f, content, _, ok = c.store.PeekKept(slot, it.Page)
			}
			if !ok || content.Epoch != it.Epoch || content.Version != it.Version {
				c.mu.Unlock()
				return wire.Errorf(wire.KindBusy, "%s: page %#x changed while it was read: retry", c.o.Node, uint64(it.Page)<<wire.PageShift)
			}
			body = c.appendPage(f, body)
		}
		c.mu.Unlock()
	}
	rep.SetBody(body)
	return nil
}

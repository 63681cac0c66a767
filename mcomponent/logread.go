package mcomponent

import (
	"time"

	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// maxFileReads bounds the requests that read backup files at once; each reads at most wire.MaxReplicaPages pages.
const maxFileReads = 16

// anySaved reports whether pages have to be read from a file.
func anySaved(items []replica.Item) bool {
	for i := range items {
		if items[i].Saved {
			return true
		}
	}
	return false
}

// readLater answers a request for pages of which some are in a backup file, when they were read.
func (c *Component) readLater(req *netlayer.Request, q wire.ReplicaRead, items []replica.Item, head wire.ReplicaPages) error {
	l := &c.replicas.file
	select {
	case l.reading <- struct{}{}:
	default:
		return wire.Errorf(wire.KindBusy, "%s: %d requests read its backup file: retry", c.o.Node, maxFileReads)
	}
	d := req.Defer()
	if d == nil {
		<-l.reading
		return wire.Errorf(wire.KindBusy, "%s: too many requests wait: retry", c.o.Node)
	}
	c.wg.Go(func() {
		defer func() { <-l.reading }()
		body, err := c.heldPages(q, items, head)
		d.Answer(body, err)
	})
	return netlayer.ErrDeferred
}

// savedRead is one page that is read from a file.
type savedRead struct {
	call netlayer.Call
	body [wire.BlockLen]byte
	err  error
}

// heldPages gives the answer to a replica_read: entries, and behind them the bytes of the pages that are here, from memory or from a file. What is
// nowhere any more is told as lost.
func (c *Component) heldPages(q wire.ReplicaRead, items []replica.Item, head wire.ReplicaPages) ([]byte, error) {
	pages := make([]byte, len(items)*wire.PageSize)
	at := func(i int) []byte { return pages[i*wire.PageSize : (i+1)*wire.PageSize] }
	if err := c.readFile(q, items, at); err != nil {
		return nil, err
	}
	c.mu.Lock()
	for i := range items {
		if i > 0 && i%copyBatch == 0 {
			c.mu.Unlock()
			c.mu.Lock()
		}
		it := &items[i]
		if it.State != wire.PageFull || it.Saved {
			continue
		}
		f, content, ok := c.store.Peek(q.PID, it.Page)
		if !ok || content.Epoch != it.Epoch || content.Version != it.Version {
			c.mu.Unlock()
			return nil, c.changed(it.Page)
		}
		c.appendPage(f, at(i)[:0])
	}
	c.mu.Unlock()
	body := head.Append(make([]byte, 0, wire.ReplicaHeadLen+len(items)*(wire.PageEntryLen+wire.PageSize)))
	for i := range items {
		body = items[i].PageEntry.Append(body)
	}
	for i := range items {
		if items[i].State == wire.PageFull {
			body = append(body, at(i)...)
		}
	}
	return body, nil
}

func (c *Component) changed(page wire.PageNo) error {
	return wire.Errorf(wire.KindBusy, "%s: page %#x changed while it was read: retry", c.o.Node, uint64(page)<<wire.PageShift)
}

// readFile reads the pages that are in files. Those of which a file has something else become lost.
func (c *Component) readFile(q wire.ReplicaRead, items []replica.Item, at func(int) []byte) error {
	h := c.replicas.holder
	reads := make([]savedRead, len(items))
	for i := range items {
		it, r := &items[i], &reads[i]
		if !it.Saved {
			continue
		}
		c.mu.Lock()
		f, open, ok := h.FileAt(it.File)
		c.mu.Unlock()
		var p *netlayer.Peer
		if p, r.err = c.peer(f.Addr); !ok || r.err != nil || !open {
			continue // judged below
		}
		k := wire.Block{Volume: f.Volume, VolumeEpoch: f.Epoch, Offset: uint64(it.Block) * wire.PageSize, Length: wire.PageSize}
		r.call = netlayer.Call{Op: wire.OpBlockRead, Epoch: f.Epoch, Body: k.Append(r.body[:0]), Into: at(i), Timeout: time.Duration(c.o.StorageTimeoutMS) * time.Millisecond}
		r.err = p.Start(&r.call)
		if r.err == nil {
			defer p.Wait(&r.call) // also if another failed: its bytes are ours until then
		}
	}
	for i := range items {
		it, r := &items[i], &reads[i]
		if !it.Saved {
			continue
		}
		c.mu.Lock()
		f, open, ok := h.FileAt(it.File)
		if ok && !open {
			h.Reopen(it.File)
			c.saveLogs()
		}
		c.mu.Unlock()
		switch {
		case !ok:
			return c.changed(it.Page)
		case r.call.Op == 0 && r.err == nil:
			return wire.Errorf(wire.KindBusy, "%s: its backup file at %s is being opened: retry", c.o.Node, f.Storage)
		case r.err == nil:
			p, err := c.peer(f.Addr)
			if err != nil {
				return err
			}
			r.err = p.Wait(&r.call)
		}
		if err := c.judge(q, it, f, r, at(i)); err != nil {
			return err
		}
	}
	return nil
}

// judge looks at what a file gave for a page.
func (c *Component) judge(q wire.ReplicaRead, it *replica.Item, f wire.ReplicaFile, r *savedRead, page []byte) error {
	h := c.replicas.holder
	switch k := wire.KindOf(r.err); {
	case r.err == nil && r.call.N == wire.PageSize && wire.Checksum(page) == it.Sum:
		return nil
	case r.err == nil || k == wire.KindCorrupt:
		c.mu.Lock()
		defer c.mu.Unlock()
		if !h.Unread(q.PID, q.Region, *it) {
			return c.changed(it.Page)
		}
		c.log.Error("a page of a log is lost: its backup file does not have it", "pid", q.PID, "region", q.Region, "page", uint64(it.Page), "version", it.Version, "storage", f.Storage, "volume", f.Volume, "cause", r.err)
		it.State, it.Sum, it.Saved = wire.PageLost, 0, false
		return nil
	case k == wire.KindFailed || k == wire.KindNotFound || k == wire.KindStale:
		c.mu.Lock()
		defer c.mu.Unlock()
		h.Reopen(it.File)
		c.saveLogs()
		return wire.Errorf(wire.KindBusy, "%s: its backup file at %s has to be opened anew: %v: retry", c.o.Node, f.Storage, r.err)
	}
	return wire.Errorf(wire.KindUnavailable, "%s: its backup file at %s: %v", c.o.Node, f.Storage, r.err)
}

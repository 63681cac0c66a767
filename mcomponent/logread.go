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
	peer *netlayer.Peer // nil if it was not asked
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
		f, ok := c.peekHeld(q, it)
		if !ok {
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
func (c *Component) readFile(q wire.ReplicaRead, items []replica.Item, at func(int) []byte) (err error) {
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
		if !ok || !open {
			continue // which is judged below
		}
		if r.peer, r.err = c.peer(f.Addr); r.err != nil {
			continue
		}
		k := wire.Block{Volume: f.Volume, VolumeEpoch: f.Epoch, Offset: uint64(it.Block) * wire.PageSize, Length: wire.PageSize}
		r.call = netlayer.Call{Op: wire.OpBlockRead, Epoch: f.Epoch, Body: k.Append(r.body[:0]), Into: at(i), Timeout: time.Duration(c.o.StorageTimeoutMS) * time.Millisecond}
		if r.err = r.peer.Start(&r.call); r.err != nil {
			r.peer = nil
		}
	}
	for i := range items { // all of them, for until they end their bytes are not ours
		if r := &reads[i]; r.peer != nil {
			r.err = r.peer.Wait(&r.call)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.saveLogs() // a file may have to be opened
	for i := range items {
		it, r := &items[i], &reads[i]
		if !it.Saved {
			continue
		}
		lost, refused := replica.Judge(h, q, *it, r.peer != nil && r.call.N == wire.PageSize && wire.Checksum(at(i)) == it.Sum, r.err)
		if refused != nil {
			return wire.Errorf(wire.KindOf(refused), "%s: %v", c.o.Node, refused)
		}
		if lost {
			c.log.Error("a page of a log is lost: its backup file does not have it", "pid", q.PID, "region", q.Region, "page", uint64(it.Page), "version", it.Version, "volume", it.File, "cause", r.err)
			it.State, it.Sum, it.Saved = wire.PageLost, 0, false
		}
	}
	return nil
}

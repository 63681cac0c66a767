package mcomponent

import (
	"context"
	"errors"
	"sync"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// blockCall is a request to the buffer cache that waits for its reply. The bytes are those of the server's request and
// reply, which hold until it has been answered; so it is always waited for, and every storage operation has a timeout.
type blockCall struct {
	op    wire.Op // 0 for an attach or a detach
	k     wire.Block
	page  []byte // of a write: the payload; of a read: where the reply goes
	first int    // of a write: the sector of the block where the payload begins
	sums  [wire.SectorsPerPage]uint32
	done  chan error // capacity 1
	crc   uint32     // of a read
	in    span.Context
}

var blockCalls = sync.Pool{New: func() any { return &blockCall{done: make(chan error, 1)} }}

func newBlockCall(in span.Context, op wire.Op, k wire.Block) *blockCall {
	b := blockCalls.Get().(*blockCall)
	b.op, b.k, b.in = op, k, in
	return b
}

func (b *blockCall) free() {
	b.page = nil
	blockCalls.Put(b)
}

// waitsFor reports whether b cannot be answered before the storage operation e has ended.
func (b *blockCall) waitsFor(e *buffercache.Effect) bool {
	if b == nil || e.Volume != b.k.Volume {
		return false
	}
	switch e.Kind {
	case buffercache.ReadStorage:
		return b.op == wire.OpBlockRead && e.Block == b.k.Offset/wire.PageSize
	case buffercache.MarkStorage:
		return b.op == wire.OpBlockWrite
	case buffercache.FlushStorage:
		return b.op == wire.OpBlockFlush
	}
	return false
}

// traceOf is the trace to which a storage operation belongs: that of the first request that waits for it, for a flush its write-backs, too. cacheMu is held.
func (c *Component) traceOf(e *buffercache.Effect) (in span.Context) {
	if c.traced == 0 {
		return in
	}
	first := uint64(0)
	for call, b := range c.calls { // the lowest number counts: the order does not matter
		waits := b.waitsFor(e) || b.op == wire.OpBlockFlush && e.Kind == buffercache.WriteStorage && e.Volume == b.k.Volume
		if b.in.Trace != 0 && waits && (first == 0 || call < first) {
			first, in = call, b.in
		}
	}
	return in
}

// storageCall is one storage operation with its bytes.
type storageCall struct {
	op   buffercache.Effect
	k    wire.Block // the body, but for an attach
	call netlayer.Call
	body [wire.BlockLen]byte
	page arena.Page
	sums [wire.SectorsPerPage]uint32
	in   span.Context // of a request that waits for it
}

var storageCalls = sync.Pool{New: func() any { return new(storageCall) }}

// cacheEvent gives an event to the cache. It is never kept, so that it costs no allocation.
type cacheEvent func(k *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect

// cacheOp gives an event to the cache and waits for its reply. With a now that is false nothing is done and the error is
// netlayer.ErrWouldWait.
func (c *Component) cacheOp(b *blockCall, now func(k *buffercache.Taped) bool, event cacheEvent) error {
	c.cacheMu.Lock()
	if now != nil && !now(c.cache) {
		c.cacheMu.Unlock()
		return netlayer.ErrWouldWait
	}
	c.cacheCall++
	call := c.cacheCall
	c.calls[call] = b
	if b.in.Trace != 0 {
		c.traced++
	}
	c.effects = event(c.cache, call, c.effects[:0])
	own := c.performCache(c.effects, nil, b)
	c.cacheMu.Unlock()
	switch {
	case own == nil:
	case len(b.done) > 0: // answered already, for example because its volume has failed
		c.wg.Go(func() { c.storage(own) })
	default:
		c.storage(own)
	}
	return <-b.done
}

// blockSlot takes a place among the block requests that may wait, or refuses as busy: every one of them holds a worker of the server.
func (c *Component) blockSlot(id wire.VolumeID) error {
	c.slotsMu.Lock()
	defer c.slotsMu.Unlock()
	if c.slots >= maxBlockWaits || c.slotsOf[id] >= maxVolumeWaits {
		c.counts.blockRefused.Add(1)
		return wire.Errorf(wire.KindBusy, "%s: %d block requests of volume %d wait for its sComponent, at most %d, and %d of all volumes, at most %d: retry",
			c.o.Node, c.slotsOf[id], id, maxVolumeWaits, c.slots, maxBlockWaits)
	}
	c.slots++
	c.slotsOf[id]++
	return nil
}

func (c *Component) freeBlockSlot(id wire.VolumeID) {
	c.slotsMu.Lock()
	defer c.slotsMu.Unlock()
	c.slots--
	if c.slotsOf[id]--; c.slotsOf[id] == 0 {
		delete(c.slotsOf, id)
	}
}

// blockRead fills the reply from the cache. Inline is only what the cache holds.
func (c *Component) blockRead(in span.Context, k wire.Block, rep *netlayer.Reply, inline bool) error {
	b := newBlockCall(in, wire.OpBlockRead, k)
	defer b.free()
	b.page = rep.Page(int(k.Length))
	now := func(ch *buffercache.Taped) bool { return !inline || ch.ReadsNow(k) }
	err := c.cacheOp(b, now, func(ch *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
		return ch.Read(call, k, out)
	})
	if err == nil {
		rep.SetPageCRC(b.crc)
	}
	return err
}

// blockWrite puts the payload into the cache. Inline is only what finds a block and needs no mark.
func (c *Component) blockWrite(in span.Context, k wire.Block, page []byte, inline bool) error {
	if len(page) != int(k.Length) || k.Length == 0 {
		return wire.Errorf(wire.KindBadRequest, "volume %d: a write of %d bytes with a payload of %d", k.Volume, k.Length, len(page))
	}
	b := newBlockCall(in, wire.OpBlockWrite, k)
	defer b.free()
	b.page = page
	// The sums stand at their sectors' places in the block, as CopyIn names sectors by place.
	b.first = int(k.Offset % wire.PageSize / wire.SectorSize)
	wire.SectorChecksums(b.sums[b.first:], page)
	now := func(ch *buffercache.Taped) bool { return !inline || ch.WritesNow(k) }
	return c.cacheOp(b, now, func(ch *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
		return ch.Write(call, k, out)
	})
}

func (c *Component) blockFlush(in span.Context, k wire.Block) error {
	b := newBlockCall(in, wire.OpBlockFlush, k)
	defer b.free()
	return c.cacheOp(b, nil, func(ch *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
		return ch.Flush(call, k, out)
	})
}

// volumeOp is an attach or a detach.
func (c *Component) volumeOp(event cacheEvent) error {
	b := newBlockCall(span.Context{}, 0, wire.Block{})
	defer b.free()
	defer c.pruneGroups() // of a volume that has left
	return c.cacheOp(b, nil, event)
}

// performCache performs effects. cacheMu is held. fetched is what a ReadStorage brought, for its Fill. Storage operations
// get goroutines, but for one that b waits for: that is returned, for b's own goroutine.
func (c *Component) performCache(out []buffercache.Effect, fetched *storageCall, b *blockCall) (own *storageCall) {
	for i := range out {
		e := &out[i]
		switch e.Kind {
		case buffercache.CopyIn:
			c.copyIn(e)
		case buffercache.Fill:
			c.each(e.Mask, func(s int) {
				copy(c.sector(e.Slot, s), fetched.page[s*wire.SectorSize:(s+1)*wire.SectorSize])
				c.sums[int(e.Slot)*wire.SectorsPerPage+s] = fetched.sums[s]
			})
		case buffercache.CopyOut:
			r := c.calls[e.Call]
			off, n := e.Mask.Range()
			copy(r.page, c.blocks.Page(e.Slot)[off:off+n])
			first := int(e.Slot)*wire.SectorsPerPage + off/wire.SectorSize
			r.crc = wire.JoinSectors(c.sums[first : first+n/wire.SectorSize])
			c.answer(e.Call, nil)
		case buffercache.Reply:
			c.answer(e.Call, e.Err)
		default:
			s := storageCalls.Get().(*storageCall)
			s.op = *e
			c.prepare(s)
			if own == nil && b.waitsFor(e) {
				own = s
			} else {
				c.wg.Go(func() { c.storage(s) })
			}
		}
	}
	return own
}

func (c *Component) sector(slot uint32, s int) []byte {
	return c.blocks.Page(slot)[s*wire.SectorSize : (s+1)*wire.SectorSize]
}

func (c *Component) each(m buffercache.Mask, f func(s int)) {
	for s := range wire.SectorsPerPage {
		if m&(1<<s) != 0 {
			f(s)
		}
	}
}

// copyIn moves sectors of a write's payload into the cache. The mask may miss sectors that a newer write brought before;
// the payload begins at the sector of the lowest that the request named.
func (c *Component) copyIn(e *buffercache.Effect) {
	b := c.calls[e.Call]
	c.each(e.Mask, func(s int) {
		copy(c.sector(e.Slot, s), b.page[(s-b.first)*wire.SectorSize:]) // one sector: the shorter of the two
		c.sums[int(e.Slot)*wire.SectorsPerPage+s] = b.sums[s]
	})
}

func (c *Component) answer(call uint64, err error) {
	b := c.calls[call]
	delete(c.calls, call)
	if b.in.Trace != 0 {
		c.traced--
	}
	b.done <- err
}

// prepare fills in the request of a storage operation; of a write also the bytes, which may change in the cache while it
// is under way, and the checksum that came with them.
func (c *Component) prepare(s *storageCall) {
	e := &s.op
	s.k = wire.Block{Volume: e.Volume, Version: e.Version, Offset: e.Block * wire.PageSize}
	s.call.Page, s.call.Into, s.call.HavePageCRC = nil, nil, false
	s.call.Timeout = time.Duration(c.o.StorageTimeoutMS) * time.Millisecond
	s.in = c.traceOf(e)
	switch e.Kind {
	case buffercache.AttachStorage:
		s.call.Op = wire.OpVolumeAttach
	case buffercache.MarkStorage:
		s.call.Op = wire.OpBlockWrite // of length 0: docs/storage.md
	case buffercache.FlushStorage:
		s.call.Op = wire.OpBlockFlush
	case buffercache.ReadStorage:
		s.call.Op, s.call.Into, s.k.Length = wire.OpBlockRead, s.page[:], wire.PageSize
	case buffercache.WriteStorage:
		if e.Copies { // of whose mask there may be holes
			copy(s.page[:], c.blocks.Page(e.Slot)[:])
			first := int(e.Slot) * wire.SectorsPerPage
			if s.call.HavePageCRC = e.Mask == buffercache.All; s.call.HavePageCRC {
				s.call.PageCRC = wire.JoinSectors(c.sums[first : first+wire.SectorsPerPage])
			}
			return
		}
		off, n := e.Mask.Range()
		s.call.Op, s.k.Length = wire.OpBlockWrite, uint32(n)
		s.k.Offset += uint64(off)
		copy(s.page[:n], c.blocks.Page(e.Slot)[off:])
		first := int(e.Slot)*wire.SectorsPerPage + off/wire.SectorSize
		s.call.Page = s.page[:n]
		s.call.PageCRC, s.call.HavePageCRC = wire.JoinSectors(c.sums[first:first+n/wire.SectorSize]), true
	}
	s.address()
}

// address writes the body for where the volume is.
func (s *storageCall) address() {
	at := s.op.Place
	if s.op.Kind == buffercache.AttachStorage {
		m := s.op.Attach
		m.Epoch, m.Storage, m.StorageAddr, m.ClientAddr = at.Epoch, at.Storage, at.Addr, ""
		s.call.Body = wire.Marshal(m)
		return
	}
	s.k.VolumeEpoch = at.Epoch
	s.call.Body = s.k.Append(s.body[:0])
}

// storage performs one storage operation and tells the cache its outcome. All of them are idempotent.
func (c *Component) storage(s *storageCall) {
	defer storageCalls.Put(s)
	e := &s.op
	began := time.Now()
	var err error
	if e.Copies {
		err = c.copiesStorage(s)
	} else {
		err = c.callStorage(s)
	}
	c.metrics.storage[e.Kind-1].Observe(time.Since(began).Seconds())
	if err == nil && e.Kind == buffercache.ReadStorage {
		if s.call.N != wire.PageSize {
			err = wire.Errorf(wire.KindInternal, "volume %d: %s sent %d bytes of block %d, want %d", e.Volume, e.Place.Storage, s.call.N, e.Block, wire.PageSize)
		} else {
			wire.SectorChecksums(s.sums[:], s.page[:])
		}
	}
	if err != nil {
		at := string(e.Place.Storage)
		if e.Copies {
			at = "its copies"
		}
		err = wire.Errorf(wire.KindOf(err), "volume %d: %v at %s: %v", e.Volume, e.Kind, at, err)
		c.counts.storageErrors.Add(1)
		c.log.Warn("a storage operation failed", "volume", e.Volume, "operation", e.Kind, "storage", e.Place.Storage, "block", e.Block, "cause", err)
	}
	c.cacheMu.Lock()
	c.effects = c.cache.Done(e.ID, err, c.effects[:0])
	c.performCache(c.effects, s, nil)
	c.cacheMu.Unlock()
}

// callStorage sends a request until it is answered for good.
func (c *Component) callStorage(s *storageCall) error {
	crc := s.call.PageCRC
	began := time.Now()
	for {
		p, err := c.peer(s.op.Place.Addr)
		if err == nil {
			s.call.PageCRC = crc // completion puts the reply's there
			err = p.DoIn(s.in, &s.call)
		}
		if err == nil {
			return nil
		}
		c.cacheMu.Lock()
		at, wait, again := c.cache.Again(s.op.ID, s.op.Place, wire.KindOf(err), time.Since(began))
		c.cacheMu.Unlock()
		switch {
		case again && at != s.op.Place:
			s.op.Place = at
			s.address()
			continue
		case !again || c.ctx.Err() != nil:
			return err
		}
		select {
		case <-time.After(wait):
		case <-c.ctx.Done(): // stopping: one last try, so that a flush at the end is not given up for a pause
		}
	}
}

// detachAll writes back and flushes every volume, as long as ctx lasts.
func (c *Component) detachAll(ctx context.Context) error {
	c.cacheMu.Lock()
	refs := c.cache.Volumes()
	c.cacheMu.Unlock()
	done := make(chan error, 1)
	c.wg.Go(func() {
		var errs []error
		for _, ref := range refs {
			errs = append(errs, c.volumeOp(func(k *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
				return k.Detach(call, ref, out)
			}))
		}
		done <- errors.Join(errs...)
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return wire.Errorf(wire.KindTimeout, "%s: dirty blocks could not all be flushed: %v", c.o.Node, context.Cause(ctx))
	}
}

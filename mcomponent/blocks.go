package mcomponent

import (
	"context"
	"errors"
	"sync"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// storageTries bounds how often a request is sent to an sComponent that cannot be reached or is busy; storagePause is the
// first pause between, which doubles: 5 tries wait 150 ms in all, the restart of a process.
const (
	storageTries = 5
	storagePause = 10 * time.Millisecond
)

// blockCall is a request to the buffer cache that waits for its reply. The bytes are those of the server's request and
// reply, which hold until it has been answered; so it is always waited for, and every storage operation has a timeout.
type blockCall struct {
	page  []byte // of a write: the payload; of a read: where the reply goes
	first int    // of a write: the sector of the block where the payload begins
	sums  [wire.SectorsPerPage]uint32
	done  chan error // capacity 1
	crc   uint32     // of a read
}

var blockCalls = sync.Pool{New: func() any { return &blockCall{done: make(chan error, 1)} }}

// storageCall is the bytes of one storage operation.
type storageCall struct {
	call netlayer.Call
	body [wire.BlockLen]byte
	page arena.Page
	sums [wire.SectorsPerPage]uint32
}

var storageCalls = sync.Pool{New: func() any { return new(storageCall) }}

// cacheOp gives an event to the cache and waits for its reply.
func (c *Component) cacheOp(b *blockCall, event func(k *buffercache.Cache, call uint64, out []buffercache.Effect) []buffercache.Effect) error {
	c.cacheMu.Lock()
	c.cacheCall++
	call := c.cacheCall
	c.calls[call] = b
	c.performCache(event(c.cache, call, nil), nil)
	c.cacheMu.Unlock()
	return <-b.done
}

// blockRead fills the reply from the cache.
func (c *Component) blockRead(k wire.Block, rep *netlayer.Reply) error {
	b := blockCalls.Get().(*blockCall)
	defer blockCalls.Put(b)
	b.page = rep.Page(int(k.Length))
	err := c.cacheOp(b, func(ch *buffercache.Cache, call uint64, out []buffercache.Effect) []buffercache.Effect {
		return ch.Read(call, k, out)
	})
	b.page = nil
	if err == nil {
		rep.SetPageCRC(b.crc)
	}
	return err
}

// blockWrite puts the payload into the cache.
func (c *Component) blockWrite(k wire.Block, page []byte) error {
	if len(page) != int(k.Length) || k.Length == 0 {
		return wire.Errorf(wire.KindBadRequest, "volume %d: a write of %d bytes with a payload of %d", k.Volume, k.Length, len(page))
	}
	b := blockCalls.Get().(*blockCall)
	defer blockCalls.Put(b)
	b.page = page
	// The sums stand at their sectors' places in the block, as CopyIn names sectors by place.
	b.first = int(k.Offset % wire.PageSize / wire.SectorSize)
	wire.SectorChecksums(b.sums[b.first:], page)
	err := c.cacheOp(b, func(ch *buffercache.Cache, call uint64, out []buffercache.Effect) []buffercache.Effect {
		return ch.Write(call, k, out)
	})
	b.page = nil
	return err
}

// simpleCacheOp is a call without bytes: flush, attach, detach.
func (c *Component) simpleCacheOp(event func(k *buffercache.Cache, call uint64, out []buffercache.Effect) []buffercache.Effect) error {
	b := blockCalls.Get().(*blockCall)
	defer blockCalls.Put(b)
	return c.cacheOp(b, event)
}

// performCache performs effects. cacheMu is held. fetched is what a ReadStorage brought, for its Fill.
func (c *Component) performCache(out []buffercache.Effect, fetched *storageCall) {
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
			b := c.calls[e.Call]
			off, n := e.Mask.Range()
			copy(b.page, c.blocks.Page(e.Slot)[off:off+n])
			first := int(e.Slot)*wire.SectorsPerPage + off/wire.SectorSize
			b.crc = wire.JoinSectors(c.sums[first : first+n/wire.SectorSize])
			c.answer(e.Call, nil)
		case buffercache.Reply:
			c.answer(e.Call, e.Err)
		default:
			s := storageCalls.Get().(*storageCall)
			c.prepare(s, e)
			op := *e
			c.wg.Go(func() { c.storage(s, op) })
		}
	}
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
	b.done <- err
}

// prepare fills in the request of a storage operation; of a write also the bytes, which may change in the cache while it
// is under way, and the checksum that came with them.
func (c *Component) prepare(s *storageCall, e *buffercache.Effect) {
	k := wire.Block{Volume: e.Volume, VolumeEpoch: e.Epoch, Version: e.Version, Offset: e.Block * wire.PageSize}
	s.call.Page, s.call.Into, s.call.HavePageCRC = nil, nil, false
	s.call.Timeout = time.Duration(c.o.StorageTimeoutMS) * time.Millisecond
	switch e.Kind {
	case buffercache.AttachStorage:
		s.call.Op, s.call.Body = wire.OpVolumeAttach, wire.Marshal(e.Attach)
		return
	case buffercache.MarkStorage:
		s.call.Op = wire.OpBlockWrite // of length 0: docs/storage.md
	case buffercache.FlushStorage:
		s.call.Op = wire.OpBlockFlush
	case buffercache.ReadStorage:
		s.call.Op, s.call.Into, k.Length = wire.OpBlockRead, s.page[:], wire.PageSize
	case buffercache.WriteStorage:
		off, n := e.Mask.Range()
		s.call.Op, k.Length = wire.OpBlockWrite, uint32(n)
		k.Offset += uint64(off)
		copy(s.page[:n], c.blocks.Page(e.Slot)[off:])
		first := int(e.Slot)*wire.SectorsPerPage + off/wire.SectorSize
		s.call.Page = s.page[:n]
		s.call.PageCRC, s.call.HavePageCRC = wire.JoinSectors(c.sums[first:first+n/wire.SectorSize]), true
	}
	s.call.Body = k.Append(s.body[:0])
}

// storage performs one storage operation and tells the cache its outcome. All of them are idempotent.
func (c *Component) storage(s *storageCall, e buffercache.Effect) {
	defer storageCalls.Put(s)
	began := time.Now()
	err := c.callStorage(s, e.Addr)
	c.metrics.storage[e.Kind-1].Observe(time.Since(began).Seconds())
	if err == nil && e.Kind == buffercache.ReadStorage {
		if s.call.N != wire.PageSize {
			err = wire.Errorf(wire.KindInternal, "volume %d: %s sent %d bytes of block %d, want %d", e.Volume, e.Storage, s.call.N, e.Block, wire.PageSize)
		} else {
			wire.SectorChecksums(s.sums[:], s.page[:])
		}
	}
	if err != nil {
		err = wire.Errorf(wire.KindOf(err), "volume %d: %v at %s: %v", e.Volume, e.Kind, e.Storage, err)
		c.counts.storageErrors.Add(1)
		c.log.Warn("a storage operation failed", "volume", e.Volume, "operation", e.Kind, "storage", e.Storage, "block", e.Block, "cause", err)
	}
	c.cacheMu.Lock()
	c.performCache(c.cache.Done(e.ID, err, nil), s)
	c.cacheMu.Unlock()
}

func (c *Component) callStorage(s *storageCall, addr string) error {
	p, err := c.peer(addr)
	if err != nil {
		return err
	}
	crc := s.call.PageCRC
	for try, pause := 1, storagePause; ; try, pause = try+1, 2*pause {
		s.call.PageCRC = crc // completion puts the reply's there
		err = p.Do(&s.call)
		if kind := wire.KindOf(err); err == nil || try == storageTries || c.ctx.Err() != nil || kind != wire.KindUnavailable && kind != wire.KindBusy {
			return err
		}
		select {
		case <-time.After(pause):
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
			errs = append(errs, c.simpleCacheOp(func(k *buffercache.Cache, call uint64, out []buffercache.Effect) []buffercache.Effect {
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

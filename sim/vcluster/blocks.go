package vcluster

import (
	"fmt"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer/wire"
)

// sectors are the stamps of a block.
type sectors [wire.SectorsPerPage]Stamp

// blockCache is the buffer cache of an mComponent.
type blockCache struct {
	m     *memory
	cache *buffercache.Cache
	slots []sectors
	call  uint64
	calls map[uint64]*blockCall
	ops   int    // storage operations under way
	bytes uint64 // of the requests of processes

	copies   map[wire.VolumeID]*copies     // of volumes that have several
	attached map[wire.VolumeID]*attachment // of these
}

// blockCall is a request that waits for its reply.
type blockCall struct {
	data  sectors // of a write: what it brings; of a read: what the reply gets; at the sectors' places in the block
	reply func(error)
}

func (b *blockCache) init(m *memory) {
	b.m, b.cache, b.calls = m, buffercache.NewGrowing(m.o.BufferCache), map[uint64]*blockCall{}
	b.copies, b.attached = map[wire.VolumeID]*copies{}, map[wire.VolumeID]*attachment{}
}

// slot gives the sectors of a slot of the cache; they grow with the slots that were used.
func (b *blockCache) slot(n uint32) *sectors {
	for int(n) >= len(b.slots) {
		b.slots = append(b.slots, sectors{})
	}
	return &b.slots[n]
}

// event gives an event to the cache.
func (b *blockCache) event(q *blockCall, do func(call uint64, out []buffercache.Effect) []buffercache.Effect) {
	b.call++
	b.calls[b.call] = q
	b.perform(do(b.call, nil), nil)
	b.left()
}

// perform performs effects. fetched is what a ReadStorage brought, for its Fill.
func (b *blockCache) perform(out []buffercache.Effect, fetched *sectors) {
	for i := range out {
		e := &out[i]
		switch e.Kind {
		case buffercache.CopyIn:
			each(e.Mask, func(s int) { b.slot(e.Slot)[s] = b.calls[e.Call].data[s] })
		case buffercache.Fill:
			each(e.Mask, func(s int) { b.slot(e.Slot)[s] = fetched[s] })
		case buffercache.CopyOut:
			each(e.Mask, func(s int) { b.calls[e.Call].data[s] = b.slot(e.Slot)[s] })
			b.answer(e.Call, nil)
		case buffercache.Reply:
			b.answer(e.Call, e.Err)
		default:
			op := &storageOp{b: b, e: *e, began: b.m.c.clock.Now()}
			if e.Kind == buffercache.WriteStorage {
				op.data = *b.slot(e.Slot)
			}
			b.ops++
			op.send()
		}
	}
}

func (b *blockCache) answer(call uint64, err error) {
	q := b.calls[call]
	delete(b.calls, call)
	// An answer leaves after what the event does, so that nobody sees half of it.
	b.m.c.after(0, func() { q.reply(err) })
}

func each(m buffercache.Mask, f func(s int)) {
	for s := range wire.SectorsPerPage {
		if m&(1<<s) != 0 {
			f(s)
		}
	}
}

func (b *blockCache) whoWaits(report func(who, what string)) {
	if len(b.calls) > 0 {
		report(string(b.m.o.ID), fmt.Sprintf("%d requests to its buffer cache, %d storage operations", len(b.calls), b.ops))
	}
}

// storageOp is a storage operation under way.
type storageOp struct {
	b     *blockCache
	e     buffercache.Effect
	data  sectors
	began time.Duration
}

func (o *storageOp) send() {
	c, e := o.b.m.c, &o.e
	if o.many() {
		if g := o.b.copies[e.Volume]; e.Kind == buffercache.AttachStorage {
			q := e.Attach
			q.Epoch = e.Place.Epoch
			o.b.attachCopies(q, e.ID, o.done)
		} else if g != nil {
			g.send(o)
		} else {
			c.after(0, func() { o.done(wire.Errorf(wire.KindNotOwner, "volume %d is not attached here any more", e.Volume)) })
		}
		return
	}
	to := c.node(e.Place.Storage)
	k := wire.Block{Volume: e.Volume, VolumeEpoch: e.Place.Epoch, Version: e.Version, Offset: e.Block * wire.PageSize}
	switch e.Kind {
	case buffercache.AttachStorage:
		q := e.Attach
		q.Epoch, q.Storage, q.StorageAddr, q.ClientAddr = e.Place.Epoch, e.Place.Storage, e.Place.Addr, ""
		control(c, wire.OpVolumeAttach, o.b.m.no, to, q, func(q wire.VolumeAttachReq, done func(struct{}, error)) {
			c.nodes[to].(*storage).attach(q, func(err error) { done(struct{}{}, err) })
		}, func(_ struct{}, err error) { o.done(err) })
	case buffercache.MarkStorage:
		o.block(wire.OpBlockWrite, to, k)
	case buffercache.FlushStorage:
		o.block(wire.OpBlockFlush, to, k)
	case buffercache.ReadStorage:
		k.Length = wire.PageSize
		o.block(wire.OpBlockRead, to, k)
	case buffercache.WriteStorage:
		off, n := e.Mask.Range()
		k.Offset, k.Length = k.Offset+uint64(off), uint32(n)
		o.block(wire.OpBlockWrite, to, k)
	}
}

// block sends a block request to the sComponent.
func (o *storageOp) block(op wire.Op, to int32, k wire.Block) {
	blockRequest(o.b.m.c, op, o.b.m.no, to, k, &o.data, func(q *blockCall) { o.b.m.c.nodes[to].(*storage).block(op, k, q) }, o.done)
}

// blockRequest sends a block request with the stamps of its sectors, which an answer to a read replaces.
func blockRequest(c *Cluster, op wire.Op, from, to int32, k wire.Block, data *sectors, serve func(q *blockCall), done func(error)) {
	n := int(c.o.Sizes.BlockToMemory)
	if _, cached := c.nodes[to].(*storage); cached {
		n = int(c.o.Sizes.BlockToStorage)
	}
	if op == wire.OpBlockWrite {
		n += int(k.Length)
	}
	q := &blockCall{data: *data}
	c.send(op, from, to, n, func(answer func(int, func())) {
		q.reply = func(err error) {
			back := int(c.o.Sizes.Ack)
			if err != nil {
				back += len(err.Error())
			} else if op == wire.OpBlockRead {
				back += int(k.Length)
			}
			answer(back, func() {
				if err == nil && op == wire.OpBlockRead {
					each(buffercache.MaskOf(k), func(s int) { data[s] = q.data[s] })
				}
				done(err)
			})
		}
		serve(q)
	}, done)
}

// done takes the outcome of a storage operation. If the volume has moved meanwhile it goes to the new place: what the old one says is
// then no answer.
func (o *storageOp) done(err error) {
	c := o.b.m.c
	if err != nil && !o.many() { // several copies were asked for as long as that helps
		kind := wire.KindOf(err)
		if kind == wire.KindTimeout { // it was lost, which a live connection would make good
			kind = wire.KindUnavailable
		}
		if at, wait, again := o.b.cache.Again(o.e.ID, o.e.Place, kind, c.clock.Now()-o.began); again {
			o.e.Place = at
			c.of(o.b.m.no, c.clock.Now()+wait, o.send)
			return
		}
	}
	if err != nil {
		err = wire.Errorf(wire.KindOf(err), "volume %d: %v at %s: %v", o.e.Volume, o.e.Kind, o.e.Place.Storage, err)
	}
	o.b.ops--
	o.b.perform(o.b.cache.Done(o.e.ID, err, nil), &o.data)
	o.b.left()
}

// What processes ask of the buffer cache of their volumes.

func (m *memory) block(op wire.Op, k wire.Block, q *blockCall) {
	b := &m.blocks
	b.bytes += uint64(k.Length)
	if f := m.c.o.Served; f != nil {
		reply := q.reply
		q.reply = func(err error) {
			if err == nil {
				f(Served{Node: m.o.ID, Thing: wire.MoveCache, Volume: k.Volume, Epoch: k.VolumeEpoch})
			}
			reply(err)
		}
	}
	b.event(q, func(call uint64, out []buffercache.Effect) []buffercache.Effect {
		switch op {
		case wire.OpBlockRead:
			return b.cache.Read(call, k, out)
		case wire.OpBlockWrite:
			return b.cache.Write(call, k, out)
		}
		return b.cache.Flush(call, k, out)
	})
}

func (m *memory) attach(q wire.VolumeAttachReq, done func(error)) {
	b := &m.blocks
	b.event(&blockCall{reply: done}, func(call uint64, out []buffercache.Effect) []buffercache.Effect { return b.cache.Attach(call, q, out) })
}

func (m *memory) detach(q wire.VolumeRef, done func(error)) {
	b := &m.blocks
	b.event(&blockCall{reply: done}, func(call uint64, out []buffercache.Effect) []buffercache.Effect { return b.cache.Detach(call, q, out) })
}

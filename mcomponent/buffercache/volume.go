package buffercache

import (
	"slices"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

type volumeState uint8

const (
	attaching volumeState = 1
	attached  volumeState = 2
	detaching volumeState = 3 // its last flush is under way
	failed    volumeState = 4 // serves no more; waits to be detached
)

// flushWaiter is a flush, or a detach or attach that flushes first. It is done when every write up to seq is durable.
type flushWaiter struct {
	call uint64
	seq  uint64
	gen  uint64
}

// volume is an attached volume.
type volume struct {
	req   wire.VolumeAttachReq // as the client knows it; its epoch may be older than that of at
	state volumeState
	at    Place // where its storage operations go

	frozen   error  // the buffer cache is moving: what requests are answered
	quiet    uint64 // the call that waits until nothing is under way; 0 is none
	underway int    // storage operations

	first        uint32 // its dirty blocks, none of them being written back, oldest write first
	last         uint32
	dirty        int // blocks dirty or being written back
	blocks       int // all cached blocks
	writing      []uint32
	writeVersion uint64 // of the last write-back

	gen      uint64 // generation of the next write
	written  uint64 // newest generation with a write
	marked   uint64 // newest generation announced
	synced   uint64 // newest generation completed
	marking  bool
	toMark   []flushWaiter // writes that wait for the mark of their generation
	flushing []flushWaiter // flushes that wait for write-backs
	syncing  []flushWaiter // flushes covered by the FlushStorage under way

	acks []ack // writes that are acknowledged once they are at the sComponents, the first first

	requests heat.Meter
	bytes    heat.Meter

	writeErr  error // the last write-back failed: writers are refused until a flush tries again; one writer, if it may pass by itself
	failErr   error // state failed
	waiters   []uint64
	next      *wire.VolumeAttachReq // attach under a newer epoch, to be done after the detach
	detachers []uint64
}

// ack is a write of a volume that is written through.
type ack struct {
	call    uint64
	gen     uint64
	slot    uint32
	started bool // a write-back that carries it is under way
}

// copies reports whether the volume has several copies. They get whole blocks, in one write each: what the cache does not have of
// one is taken from them.
func (v *volume) copies() bool { return len(v.req.Replicas) > 0 }

func newVolume(req wire.VolumeAttachReq) *volume {
	return &volume{req: req, at: Place{req.Epoch, req.Storage, req.StorageAddr}, state: attaching, first: none, last: none, gen: 1}
}

// wanted reports whether the oldest dirty block is needed by a flush.
func (v *volume) wanted(head *block) bool {
	return slices.ContainsFunc(v.flushing, func(w flushWaiter) bool { return head.seq <= w.seq })
}

// Attach makes this cache the buffer cache of a volume. Attaching again under the same epoch succeeds; under a newer one
// everything is first flushed under the older.
func (c *Cache) Attach(call uint64, req wire.VolumeAttachReq, out []Effect) []Effect {
	req.SizeBytes = (req.SizeBytes + wire.PageSize - 1) &^ (wire.PageSize - 1)
	v := c.volumes[req.Volume]
	if e, ok := c.left[req.Volume]; ok && req.Epoch < e {
		return reply(call, wire.Errorf(wire.KindStale, "volume %d: its buffer cache has moved away from here under epoch %d, this is epoch %d", req.Volume, e, req.Epoch), out)
	}
	switch {
	case v == nil:
		if len(c.order) >= c.opt.MaxVolumes {
			return reply(call, wire.Errorf(wire.KindBusy, "%d volumes are attached, at most max_volumes %d", len(c.order), c.opt.MaxVolumes), out)
		}
		v = newVolume(req)
		c.volumes[req.Volume] = v
		i, _ := slices.BinarySearch(c.order, req.Volume)
		c.order = slices.Insert(c.order, i, req.Volume)
		v.waiters = append(v.waiters, call)
		req.Process = 0 // the sComponent knows of no processes
		return c.begin(Effect{Kind: AttachStorage, Attach: req}, v, none, out)
	case req.Epoch < v.req.Epoch:
		return reply(call, stale(v, req.Epoch), out)
	case req.Process != 0 && req.Process < v.req.Process:
		return reply(call, outlived(v, req.Process), out)
	case v.frozen != nil:
		return reply(call, v.frozen, out)
	case req.Epoch == v.at.Epoch && v.at != v.placed() && v.at == (Place{req.Epoch, req.Storage, req.StorageAddr}):
		v.req = req // the volume has moved, and this client has heard of it from GSM
		return c.Attach(call, req, out)
	case req.Epoch > v.req.Epoch && req.Epoch <= v.at.Epoch && v.state != failed:
		return reply(call, wire.Errorf(wire.KindStale, "volume %d: attach at %s under epoch %d, it is at %s under epoch %d", req.Volume, req.Storage, req.Epoch, v.at.Storage, v.at.Epoch), out)
	case req.Epoch == v.req.Epoch && !same(req, v.req):
		return reply(call, wire.Errorf(wire.KindExists, "volume %d is attached under epoch %d with other properties", req.Volume, req.Epoch), out)
	case req.Epoch == v.req.Epoch && v.state == attached:
		v.req.ClientAddr = req.ClientAddr // whoever came last is told of moves
		v.req.Process = max(v.req.Process, req.Process)
		v.configure(req)
		return reply(call, nil, out)
	case req.Epoch == v.req.Epoch && v.state == attaching:
		v.waiters = append(v.waiters, call)
		return out
	case v.state == detaching && (v.next == nil || wire.SameAttach(*v.next, req)):
		v.next = &req // after the detach
		v.waiters = append(v.waiters, call)
		return out
	case v.state == detaching || v.state == attaching:
		return reply(call, wire.Errorf(wire.KindBusy, "volume %d is being attached or detached under epoch %d: retry", req.Volume, v.req.Epoch), out)
	case v.state == failed:
		c.drop(v)
		return c.Attach(call, req, out)
	}
	v.next = &req
	v.waiters = append(v.waiters, call)
	v.state = detaching
	return c.pump(c.flushAll(v, 0, out))
}

// outlived is the error of a process that goes on elsewhere from a checkpoint.
func outlived(v *volume, e wire.Epoch) error {
	return wire.Errorf(wire.KindFailed, "volume %d: its process goes on elsewhere under epoch %d: this is epoch %d", v.req.Volume, v.req.Process, e)
}

// Configure notes the copies of a volume, if they are newer than what is known: whoever takes the buffer cache over is told.
func (c *Cache) Configure(req wire.VolumeAttachReq) {
	if v := c.volumes[req.Volume]; v != nil {
		v.configure(req)
	}
}

func (v *volume) configure(req wire.VolumeAttachReq) {
	if v.copies() && len(req.Replicas) > 0 && req.Config > v.req.Config {
		v.req.Replicas, v.req.Config, v.req.WriteQuorum, v.req.ReadQuorum = req.Replicas, req.Config, req.WriteQuorum, req.ReadQuorum
	}
}

// Has reports whether a volume is known here, whatever its state.
func (c *Cache) Has(id wire.VolumeID) bool { return c.volumes[id] != nil }

// same reports whether two requests of one epoch mean the same volume. A process that came from another pComponent names
// itself, and the storage as it was when the volume was placed: it may have moved since.
func same(a, b wire.VolumeAttachReq) bool { return a.SizeBytes == b.SizeBytes }

// Detach writes back and flushes what is dirty and forgets the volume. The detach of an unknown volume succeeds. If the
// data cannot be written the reply is an error and the volume stays attached; a failed volume is forgotten with an error, which
// is one of wire.KindNotOwner, of no second detach here, if it has another buffer cache.
func (c *Cache) Detach(call uint64, ref wire.VolumeRef, out []Effect) []Effect {
	v := c.volumes[ref.Volume]
	switch {
	case v == nil:
		return reply(call, nil, out)
	case ref.Epoch < v.req.Epoch:
		return reply(call, stale(v, ref.Epoch), out)
	case ref.Process != 0 && ref.Process < v.req.Process:
		return reply(call, outlived(v, ref.Process), out)
	case v.frozen != nil:
		return reply(call, v.frozen, out)
	case v.state == failed:
		err := v.failErr
		c.drop(v)
		return reply(call, err, out)
	case v.state == attaching:
		return reply(call, wire.Errorf(wire.KindBusy, "volume %d is being attached: retry", ref.Volume), out)
	}
	v.detachers = append(v.detachers, call)
	if v.state == detaching {
		return out
	}
	v.state = detaching
	return c.pump(c.flushAll(v, 0, out))
}

func stale(v *volume, e wire.Epoch) error {
	return wire.Errorf(wire.KindStale, "volume %d: epoch %d, want at least %d", v.req.Volume, e, v.req.Epoch)
}

// Flush makes every write that was acknowledged before it durable.
func (c *Cache) Flush(call uint64, k wire.Block, out []Effect) []Effect {
	v, err := c.serving(k)
	if err != nil {
		return reply(call, err, out)
	}
	c.stats.Flushes++
	c.count(k)
	return c.pump(c.flushAll(v, call, out))
}

// flushAll queues a flush of everything written so far. Call 0 is a detach's.
func (c *Cache) flushAll(v *volume, call uint64, out []Effect) []Effect {
	v.writeErr = nil // a flush is what tries again
	if v.synced >= v.written {
		return c.flushed(v, call, nil, out) // nothing was written since the last flush that succeeded
	}
	w := flushWaiter{call: call, seq: c.seq, gen: v.written}
	v.gen = v.written + 1 // the next write opens a new generation
	v.flushing = append(v.flushing, w)
	return out
}

// flushed ends one flush.
func (c *Cache) flushed(v *volume, call uint64, err error, out []Effect) []Effect {
	if call != 0 {
		return reply(call, err, out)
	}
	return c.detached(v, err, out)
}

// detached ends a detach, or goes on with the attach under a newer epoch.
func (c *Cache) detached(v *volume, err error, out []Effect) []Effect {
	next, waiters, detachers := v.next, v.waiters, v.detachers
	v.next, v.waiters, v.detachers = nil, nil, nil
	if err != nil {
		if v.state == detaching {
			v.state = attached
		}
		for _, call := range append(detachers, waiters...) {
			out = reply(call, err, out)
		}
		return out
	}
	if v.quiet != 0 { // reads may be under way still, and it is not here any more
		out = reply(v.quiet, wire.Errorf(wire.KindNotFound, "volume %d was detached before it was still", v.req.Volume), out)
	}
	c.drop(v)
	for _, call := range detachers {
		out = reply(call, nil, out)
	}
	for _, call := range waiters {
		out = c.Attach(call, *next, out)
	}
	return out
}

// settle issues the mark and the flush of v that are due.
func (c *Cache) settle(v *volume, out []Effect) []Effect {
	if len(v.toMark) > 0 && !v.marking {
		v.marking = true
		c.stats.Marks++
		out = c.begin(Effect{Kind: MarkStorage, Version: v.toMark[len(v.toMark)-1].gen}, v, none, out)
	}
	if v.quiet != 0 && v.underway == 0 {
		out = reply(v.quiet, nil, out)
		v.quiet = 0
	}
	if len(v.flushing) == 0 || len(v.syncing) > 0 {
		return out
	}
	oldest := ^uint64(0)
	if v.first != none {
		oldest = c.blocks[v.first].seq
	}
	for _, s := range v.writing {
		oldest = min(oldest, c.blocks[s].writeSeq)
	}
	unmarked := ^uint64(0) // the flush of a generation comes after its mark, or the mark would outlive it
	if len(v.toMark) > 0 {
		unmarked = v.toMark[0].gen
	}
	n := 0
	for n < len(v.flushing) && v.flushing[n].seq < oldest && v.flushing[n].gen < unmarked { // in the order of seq and gen
		n++
	}
	if n == 0 {
		return out
	}
	v.syncing = append(v.syncing, v.flushing[:n]...)
	v.flushing = slices.Delete(v.flushing, 0, n)
	c.stats.StorageFlushes++
	return c.begin(Effect{Kind: FlushStorage, Version: v.syncing[n-1].gen}, v, none, out)
}

// marksDone answers the writes whose generation has been announced, or all of them with the error.
func (c *Cache) marksDone(v *volume, gen uint64, err error, out []Effect) []Effect {
	v.marking = false
	if err == nil {
		v.marked = max(v.marked, gen)
	}
	keep := v.toMark[:0]
	for _, w := range v.toMark {
		if err == nil && w.gen > gen {
			keep = append(keep, w)
			continue
		}
		if w.call != 0 {
			out = reply(w.call, err, out)
		}
	}
	v.toMark = keep
	return out
}

// syncDone answers the flushes that a FlushStorage covered.
func (c *Cache) syncDone(v *volume, gen uint64, err error, out []Effect) []Effect {
	covered := v.syncing
	v.syncing = nil
	if err == nil {
		v.synced = max(v.synced, gen)
	}
	for _, w := range covered {
		out = c.flushed(v, w.call, err, out)
	}
	return out
}

// fail makes a volume serve no more: its sComponent has refused it for good, or it has another buffer cache (a cause of
// wire.KindNotOwner). What was not flushed is lost, by name.
func (c *Cache) fail(v *volume, cause error, out []Effect) []Effect {
	if v.state == failed {
		return out
	}
	if v.failErr = cause; wire.KindOf(cause) != wire.KindNotOwner {
		v.failErr = wire.Errorf(wire.KindFailed, "volume %d failed under epoch %d: %v", v.req.Volume, v.req.Epoch, cause)
	}
	v.state = failed
	v.next = nil
	var calls []uint64
	for _, w := range slices.Concat(v.toMark, v.syncing, v.flushing) {
		if w.call != 0 {
			calls = append(calls, w.call)
		}
	}
	v.toMark, v.flushing, v.syncing = nil, nil, nil
	for _, a := range v.acks {
		calls = append(calls, a.call)
	}
	v.acks = nil
	if v.quiet != 0 {
		calls = append(calls, v.quiet)
		v.quiet = 0
	}
	detachers := v.detachers
	calls = append(append(calls, v.waiters...), detachers...)
	v.waiters, v.detachers = nil, nil
	c.forget(v)
	for _, call := range calls {
		out = reply(call, v.failErr, out)
	}
	if len(detachers) > 0 {
		c.drop(v)
	}
	return out
}

// forget drops every cached block of v. Blocks with a storage operation under way leave the index now and are freed when it ends.
func (c *Cache) forget(v *volume) {
	if v.blocks == 0 {
		return
	}
	for s := range c.blocks {
		b := &c.blocks[s]
		if b.v != v || b.orphan {
			continue
		}
		if b.dirty|b.writing != 0 && v.state == failed {
			c.stats.LostBlocks++
		}
		c.leave(uint32(s))
		c.index.Delete(uint64(v.req.Volume), b.number)
		b.orphan = true
		c.setDirty(b, 0, 0)
		c.freeIfIdle(uint32(s))
	}
}

// drop forgets a volume altogether.
func (c *Cache) drop(v *volume) {
	c.forget(v)
	if c.volumes[v.req.Volume] == v {
		delete(c.volumes, v.req.Volume)
		i, _ := slices.BinarySearch(c.order, v.req.Volume)
		c.order = slices.Delete(c.order, i, i+1)
	}
}

// Unflushed reports whether writes of a volume were acknowledged that are not on any disk for sure.
func (c *Cache) Unflushed(id wire.VolumeID) bool {
	v := c.volumes[id]
	return v != nil && !v.req.Through && v.synced < v.written
}

// Volumes lists the attached volumes by id.
func (c *Cache) Volumes() []wire.VolumeRef {
	refs := make([]wire.VolumeRef, len(c.order))
	for i, id := range c.order {
		refs[i] = wire.VolumeRef{Volume: id, Epoch: c.volumes[id].req.Epoch}
	}
	return refs
}

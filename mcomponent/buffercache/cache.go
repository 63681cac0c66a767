package buffercache

import (
	"fmt"
	"slices"

	"splitkernel/mcomponent/pairindex"
	"splitkernel/netlayer/wire"
)

const none = ^uint32(0)

// block is one slot of the cache.
type block struct {
	v        *volume // nil: free
	number   uint64
	valid    Mask
	dirty    Mask // not at the sComponent; a subset of valid
	writing  Mask // being written back; what is written meanwhile is in dirty
	reading  bool
	orphan   bool   // out of the index: its volume is gone, its storage operation is not
	runs     int    // WriteStorages outstanding
	writeErr error  // the first of theirs
	seq      uint64 // of the oldest write in dirty
	writeSeq uint64 // of the oldest write in writing
	readers  []request
	versions [wire.SectorsPerPage]uint64 // of the last write of each sector, while cached

	prev, next uint32 // in the dirty list of its volume or the free list
	list       listKind
}

type listKind uint8

const (
	listNone  listKind = 0
	listClean listKind = 1
	listDirty listKind = 2
)

// request is a read or write that waits.
type request struct {
	call  uint64
	k     wire.Block
	write bool
}

// started is a storage operation under way.
type started struct {
	kind    EffectKind
	v       *volume
	slot    uint32
	mask    Mask
	version uint64
	failed  int // attempts at the place where it is now
	lost    int // of them that were not answered in time
}

// Cache is the core. Use one goroutine at a time.
type Cache struct {
	opt      Options
	blocks   []block
	index    *pairindex.Index // (volume, block) -> slot
	free     uint32
	fresh    uint32 // slots from here on were never used
	evictor  evictor
	volumes  map[wire.VolumeID]*volume // looked up; order is what is ranged over
	order    []wire.VolumeID
	left     map[wire.VolumeID]wire.Epoch // buffer caches that moved away, by the epoch under which; looked up
	leftIDs  []wire.VolumeID              // of left, the first to leave first
	inFlight map[uint64]started
	lastID   uint64
	seq      uint64 // of the last write
	writes   int    // blocks being written back
	reads    int    // blocks being read
	waiting  []request
	stats    Stats
}

// New makes a cache. opt has been validated.
func New(opt Options) *Cache {
	return &Cache{opt: opt, blocks: make([]block, opt.Blocks), index: pairindex.New(opt.Blocks), free: none,
		volumes: map[wire.VolumeID]*volume{}, left: map[wire.VolumeID]wire.Epoch{}, inFlight: map[uint64]started{}, stats: Stats{Capacity: opt.Blocks}}
}

// NewGrowing makes a cache whose own memory grows with the most blocks that it ever held, as pagestore.NewGrowing does.
func NewGrowing(opt Options) *Cache {
	c := New(Options{})
	c.opt, c.stats.Capacity = opt, opt.Blocks
	return c
}

// Stats returns the counts.
func (c *Cache) Stats() Stats {
	s := c.stats
	s.Volumes, s.Waiting = len(c.order), len(c.waiting)
	return s
}

func reply(call uint64, err error, out []Effect) []Effect {
	return append(out, Effect{Kind: Reply, Call: call, Err: err})
}

// serving finds the volume of a request and checks epoch and bounds.
func (c *Cache) serving(k wire.Block) (*volume, error) {
	v := c.volumes[k.Volume]
	switch {
	case v == nil || v.state == attaching || v.state == detaching:
		return nil, wire.Errorf(wire.KindNotOwner, "volume %d is not attached here", k.Volume)
	case v.state == failed:
		return nil, v.failErr
	case k.VolumeEpoch < v.req.Epoch:
		return nil, stale(v, k.VolumeEpoch)
	case k.Process != 0 && k.Process < v.req.Process:
		return nil, outlived(v, k.Process)
	case v.frozen != nil:
		return nil, v.frozen
	case k.VolumeEpoch > v.at.Epoch:
		return nil, wire.Errorf(wire.KindNotOwner, "volume %d is attached here under epoch %d, not %d", k.Volume, v.at.Epoch, k.VolumeEpoch)
	case uint64(k.Length) > v.req.SizeBytes || k.Offset > v.req.SizeBytes-uint64(k.Length):
		return nil, wire.Errorf(wire.KindBadRequest, "volume %d: %d bytes at offset %d, its size is %d", k.Volume, k.Length, k.Offset, v.req.SizeBytes)
	}
	return v, nil
}

// Read reads sectors of one block.
func (c *Cache) Read(call uint64, k wire.Block, out []Effect) []Effect {
	c.stats.Reads++
	c.count(k)
	return c.submit(request{call: call, k: k}, out)
}

// Write writes sectors of one block. It is acknowledged when it is in the cache and announced at the sComponent.
func (c *Cache) Write(call uint64, k wire.Block, out []Effect) []Effect {
	c.stats.Writes++
	c.count(k)
	return c.submit(request{call: call, k: k, write: true}, out)
}

// ReadsNow reports whether a Read of k would be answered by the effects that it returns, with bytes or an error.
func (c *Cache) ReadsNow(k wire.Block) bool {
	if _, err := c.serving(k); err != nil || k.Length == 0 {
		return true
	}
	s, ok := c.index.Get(uint64(k.Volume), k.Offset/wire.PageSize)
	m := MaskOf(k)
	return ok && c.blocks[s].valid&m == m
}

// WritesNow reports whether a Write of k would be answered by the effects that it returns: it needs neither a mark nor a
// block that is not there.
func (c *Cache) WritesNow(k wire.Block) bool {
	v, err := c.serving(k)
	if err != nil || k.Length == 0 || v.writeErr != nil && !v.req.Through {
		return true
	}
	s, ok := c.index.Get(uint64(k.Volume), k.Offset/wire.PageSize)
	switch {
	case v.marked < v.gen || v.req.Through:
		return false
	case ok:
		return c.blocks[s].dirty|c.blocks[s].writing != 0 || !c.dirtyFull(v)
	case len(c.waiting) > 0 || c.dirtyFull(v):
		return false
	}
	return c.free != none || int(c.fresh) < c.opt.Blocks || c.evictor.clean > 0
}

func (c *Cache) submit(r request, out []Effect) []Effect {
	if v := c.volumes[r.k.Volume]; r.write && v != nil && v.req.Through {
		v.writeErr = nil // its writers hear of each write what became of it, and each new one is another try
	}
	blocked, out := c.attempt(r, len(c.waiting) > 0, out)
	if blocked {
		if len(c.waiting) >= c.opt.MaxWaiters {
			c.stats.RefusedBusy++
			return reply(r.call, wire.Errorf(wire.KindBusy, "%d requests wait for a block of the buffer cache, at most max_block_waiters %d", len(c.waiting), c.opt.MaxWaiters), out)
		}
		c.stats.Waits++
		c.waiting = append(c.waiting, r)
	}
	return c.pump(out)
}

// attempt serves r, or reports that it must wait for a block. queued says that others wait, so r may not take a slot before them.
func (c *Cache) attempt(r request, queued bool, out []Effect) (blocked bool, _ []Effect) {
	v, err := c.serving(r.k)
	if err == nil && r.k.Length == 0 {
		err = wire.Errorf(wire.KindBadRequest, "volume %d: a block request of 0 bytes", r.k.Volume)
	}
	if err == nil && r.write && v.writeErr != nil {
		if err = v.writeErr; passes(err) {
			v.writeErr = nil // who is refused has it tried again, or nobody would who never flushes
		}
	}
	if err != nil {
		return false, reply(r.call, err, out)
	}
	s, ok := c.index.Get(uint64(r.k.Volume), r.k.Offset/wire.PageSize)
	if r.write && c.dirtyFull(v) && (!ok || c.blocks[s].dirty|c.blocks[s].writing == 0) {
		return true, out
	}
	if !ok {
		if queued {
			return true, out
		}
		if s, ok = c.allocate(v, r.k.Offset/wire.PageSize); !ok {
			return true, out
		}
	} else {
		c.evictor.policy.Touch(s)
	}
	if r.write {
		return false, c.write(s, r, out)
	}
	return false, c.read(s, r, out)
}

// passes reports whether a write-back may succeed later that failed so, without anybody's doing.
func passes(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindUnavailable, wire.KindTimeout, wire.KindBusy:
		return true
	}
	return false
}

func (c *Cache) read(s uint32, r request, out []Effect) []Effect {
	b := &c.blocks[s]
	m := MaskOf(r.k)
	if b.valid&m == m {
		c.stats.Hits++
		return append(out, Effect{Kind: CopyOut, Call: r.call, Slot: s, Mask: m})
	}
	b.readers = append(b.readers, r)
	if b.reading {
		c.stats.Coalesced++
		return out
	}
	c.stats.Misses++
	c.stats.StorageReads++
	b.reading = true
	c.reads++
	c.relist(s)
	return c.begin(Effect{Kind: ReadStorage, Block: b.number, Slot: s, Mask: All}, b.v, s, out)
}

func (c *Cache) write(s uint32, r request, out []Effect) []Effect {
	b := &c.blocks[s]
	v := b.v
	var apply Mask
	m := MaskOf(r.k)
	for i := range b.versions {
		if m&(1<<i) != 0 && r.k.Version >= b.versions[i] { // equal: a retry, which brings the same bytes
			apply |= 1 << i
			b.versions[i] = r.k.Version
		}
	}
	if apply == 0 {
		c.stats.OldWrites++
		c.relist(s)
		if v.req.Through && b.dirty|b.writing != 0 { // what is newer is on its way
			v.acks = append(v.acks, ack{call: r.call, gen: v.gen, slot: s, started: b.dirty == 0})
			return out
		}
		return reply(r.call, nil, out)
	}
	c.seq++
	if b.dirty == 0 {
		b.seq = c.seq
	}
	b.valid |= apply
	c.setDirty(b, b.dirty|apply, b.writing)
	c.relist(s)
	v.written = v.gen
	// What an older version would have brought is not copied: apply may have holes, CopyIn takes any mask.
	out = append(out, Effect{Kind: CopyIn, Call: r.call, Slot: s, Mask: apply})
	if v.req.Through {
		v.acks = append(v.acks, ack{call: r.call, gen: v.gen, slot: s})
		r.call = 0
	}
	switch {
	case v.marked < v.gen:
	case r.call == 0:
		return out
	default:
		return reply(r.call, nil, out)
	}
	v.toMark = append(v.toMark, flushWaiter{call: r.call, gen: v.gen})
	return out
}

// begin starts a storage operation.
func (c *Cache) begin(e Effect, v *volume, slot uint32, out []Effect) []Effect {
	c.lastID++
	e.ID, e.Volume, e.Place, e.Copies = c.lastID, v.req.Volume, v.at, v.copies()
	v.underway++
	c.inFlight[e.ID] = started{e.Kind, v, slot, e.Mask, e.Version, 0, 0}
	return append(out, e)
}

// Done reports the end of the storage operation id. The bytes of a read that succeeded are at hand while the Fill is performed.
func (c *Cache) Done(id uint64, err error, out []Effect) []Effect {
	op, ok := c.inFlight[id]
	if !ok {
		return out
	}
	delete(c.inFlight, id)
	v := op.v
	v.underway--
	over := op.kind != AttachStorage && wire.KindOf(err) == wire.KindStale
	if over { // its clients go on at the other one, once they have been told
		err = superseded(v, err)
	}
	switch op.kind {
	case AttachStorage:
		out = c.attachDone(v, err, out)
	case ReadStorage:
		out = c.readDone(op, id, err, out)
	case WriteStorage:
		out = c.writeDone(op, err, out)
	case MarkStorage:
		if v.state != failed {
			out = c.marksDone(v, op.version, err, out)
		}
	case FlushStorage:
		if v.state != failed {
			out = c.syncDone(v, op.version, err, out)
		}
	}
	if err != nil && op.kind != AttachStorage && (over || final(err)) && c.volumes[v.req.Volume] == v {
		out = c.fail(v, err, out)
	}
	return c.pump(out)
}

// final reports whether the sComponent will never serve the volume again.
func final(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindFailed, wire.KindNotFound:
		return true
	}
	return false
}

// superseded is the error of a volume that has another buffer cache: this one was taken for dead, was not, and heard of it from the
// sComponents. What it holds unflushed is lost, of which the other one tells (docs/failures.md).
func superseded(v *volume, cause error) error {
	return wire.Errorf(wire.KindNotOwner, "volume %d has another buffer cache than this one under epoch %d: %v", v.req.Volume, v.at.Epoch, cause)
}

func (c *Cache) attachDone(v *volume, err error, out []Effect) []Effect {
	waiters := v.waiters
	v.waiters = nil
	switch {
	case err == nil:
		v.state = attached
	case wire.KindOf(err) == wire.KindFailed: // for good: who uses it is told why, and who attaches it may try again
		v.state, v.failErr = failed, err
	default:
		c.drop(v)
	}
	for _, call := range waiters {
		out = reply(call, err, out)
	}
	return out
}

func (c *Cache) readDone(op started, id uint64, err error, out []Effect) []Effect {
	b := &c.blocks[op.slot]
	b.reading = false
	c.reads--
	readers := b.readers
	b.readers = readers[:0] // nobody adds to it before this returns
	if b.orphan {
		if err = op.v.failErr; err == nil {
			err = wire.Errorf(wire.KindNotOwner, "volume %d was detached while block %d was read", op.v.req.Volume, b.number)
		}
	} else if err == nil {
		// What was written meanwhile is newer than what was read.
		if fill := All &^ b.valid; fill != 0 {
			out = append(out, Effect{Kind: Fill, ID: id, Slot: op.slot, Mask: fill})
			b.valid = All
		}
	}
	for _, r := range readers {
		if m := MaskOf(r.k); err != nil && (b.orphan || b.valid&m != m) {
			out = reply(r.call, err, out)
		} else {
			out = append(out, Effect{Kind: CopyOut, Call: r.call, Slot: op.slot, Mask: m})
		}
	}
	c.relist(op.slot)
	return out
}

func (c *Cache) writeDone(op started, err error, out []Effect) []Effect {
	b := &c.blocks[op.slot]
	if err != nil && b.writeErr == nil {
		b.writeErr = err
	}
	if b.runs--; b.runs > 0 {
		return out
	}
	c.writes--
	err, b.writeErr = b.writeErr, nil
	v := op.v
	if i := slices.Index(v.writing, op.slot); i >= 0 {
		v.writing = slices.Delete(v.writing, i, i+1)
	}
	if b.orphan {
		b.writing = 0
		c.freeIfIdle(op.slot)
		return out
	}
	if err == nil {
		c.setDirty(b, b.dirty, 0)
		c.relist(op.slot)
		return v.acknowledge(op.slot, out)
	}
	c.stats.WriteErrors++
	c.setDirty(b, b.dirty|b.writing, 0)
	b.seq = b.writeSeq // never newer than what was written meanwhile
	c.relist(op.slot)
	v.writeErr = err
	for _, a := range v.acks {
		out = reply(a.call, err, out)
	}
	v.acks = nil
	waiters := v.flushing
	v.flushing = nil
	for _, w := range waiters {
		out = c.flushed(v, w.call, err, out)
	}
	return out
}

// acknowledge answers the writes that a write-back has brought to the sComponents, but for those whose generation is not announced.
func (v *volume) acknowledge(slot uint32, out []Effect) []Effect {
	keep := v.acks[:0]
	for _, a := range v.acks {
		switch {
		case a.slot != slot || !a.started:
			keep = append(keep, a)
		case a.gen > v.marked:
			v.toMark = append(v.toMark, flushWaiter{call: a.call, gen: a.gen})
		default:
			out = reply(a.call, nil, out)
		}
	}
	v.acks = keep
	return out
}

// pump does what has become possible: requests that wait, write-backs, marks and flushes.
func (c *Cache) pump(out []Effect) []Effect {
	for {
		if len(c.waiting) > 0 {
			queue := c.waiting
			c.waiting = nil
			var keep []request
			for _, r := range queue {
				var blocked bool
				if blocked, out = c.attempt(r, false, out); blocked {
					keep = append(keep, r)
				}
			}
			c.waiting = append(keep, c.waiting...)
		}
		out = c.writeBack(out)
		if len(c.waiting) == 0 || c.writes > 0 || c.reads > 0 {
			break
		}
		// Nothing under way will free a block: every dirty block belongs to a volume that cannot be written.
		r := c.waiting[0]
		c.waiting = slices.Delete(c.waiting, 0, 1)
		c.stats.RefusedBusy++
		out = reply(r.call, wire.Errorf(wire.KindBusy, "the buffer cache is full of blocks that cannot be written back: %v", c.anyWriteErr()), out)
	}
	for _, id := range c.order {
		out = c.settle(c.volumes[id], out)
	}
	return out
}

func (c *Cache) anyWriteErr() error {
	for _, id := range c.order {
		if err := c.volumes[id].writeErr; err != nil {
			return fmt.Errorf("volume %d: %w", id, err)
		}
	}
	return nil
}

// dirtyLimit is how many blocks may be dirty: the rest stays for reads, whatever the disks do.
func (c *Cache) dirtyLimit() int { return max(1, c.opt.Blocks*3/4) }

// dirtyFull reports whether one more dirty block of v must wait for a write-back.
func (c *Cache) dirtyFull(v *volume) bool {
	return c.stats.Dirty >= c.dirtyLimit() || v.dirty >= max(1, c.dirtyLimit()/len(c.order))
}

// writeBack starts write-backs, the oldest write first: of what flushes wait for, and of anything while requests wait for
// blocks or more than half the cache is dirty.
func (c *Cache) writeBack(out []Effect) []Effect {
	for c.writes < c.opt.Window {
		var pick *volume
		for _, id := range c.order {
			v := c.volumes[id]
			if v.first == none || v.state == failed {
				continue
			}
			head := &c.blocks[v.first]
			pressed := v.writeErr == nil && (v.req.Through || len(c.waiting) > 0 || c.stats.Dirty > c.opt.Blocks/2)
			if (v.wanted(head) || pressed) && (pick == nil || head.seq < c.blocks[pick.first].seq) {
				pick = v
			}
		}
		if pick == nil {
			return out
		}
		out = c.startWrite(pick.first, out)
	}
	return out
}

// startWrite writes back the dirty sectors of one block, each run of them by itself. Clean valid sectors between dirty
// ones go along: they are what the sComponent has, and one write is cheaper than two.
func (c *Cache) startWrite(s uint32, out []Effect) []Effect {
	b := &c.blocks[s]
	v := b.v
	v.writeVersion++
	v.writing = append(v.writing, s)
	c.writes++
	b.writeSeq = b.seq
	dirty := b.dirty
	c.setDirty(b, 0, dirty)
	c.relist(s)
	for i := range v.acks {
		v.acks[i].started = v.acks[i].started || v.acks[i].slot == s
	}
	if v.copies() {
		b.runs = 1
		c.stats.StorageWrites++
		return c.begin(Effect{Kind: WriteStorage, Block: b.number, Slot: s, Mask: b.valid, Version: v.writeVersion}, v, s, out)
	}
	for cover := joined(dirty, b.valid); cover != 0; {
		var run Mask
		run, cover = cover.nextRun()
		b.runs++
		c.stats.StorageWrites++
		out = c.begin(Effect{Kind: WriteStorage, Block: b.number, Slot: s, Mask: run, Version: v.writeVersion}, v, s, out)
	}
	return out
}

// joined adds to dirty the valid sectors that lie between two dirty ones without a hole.
func joined(dirty, valid Mask) Mask {
	cover := Mask(0)
	for rest := valid; rest != 0; {
		var run Mask
		run, rest = rest.nextRun()
		if d := dirty & run; d != 0 {
			low := d & -d
			high := d
			high |= high >> 1
			high |= high >> 2
			high |= high >> 4 // all bits up to the highest of d
			cover |= high &^ (low - 1)
		}
	}
	return cover
}

// allocate takes a slot: a free one, else that of the clean block that the policy names.
func (c *Cache) allocate(v *volume, number uint64) (uint32, bool) {
	s := c.free
	switch {
	case s != none:
		c.free = c.blocks[s].next
	case int(c.fresh) < c.opt.Blocks:
		if int(c.fresh) == len(c.blocks) { // one that grows
			c.blocks = append(c.blocks, block{})
		}
		s = c.fresh
		c.fresh++
	default:
		var ok bool
		if s, ok = c.victim(v, number); !ok {
			return 0, false
		}
		b := &c.blocks[s]
		c.index.Delete(uint64(b.v.req.Volume), b.number)
		b.v.blocks--
		c.stats.Used--
		c.stats.Evictions++
	}
	readers := c.blocks[s].readers[:0]
	c.blocks[s] = block{v: v, number: number, prev: none, next: none, readers: readers}
	c.index.Put(uint64(v.req.Volume), number, s)
	c.enter(s, v, number)
	v.blocks++
	c.stats.Used++
	return s, true
}

// freeIfIdle gives back the slot of a block that is out of the index, once no storage operation uses it.
func (c *Cache) freeIfIdle(s uint32) {
	b := &c.blocks[s]
	if b.reading || b.runs > 0 {
		return
	}
	b.v.blocks--
	c.stats.Used--
	*b = block{next: c.free, prev: none}
	c.free = s
}

// setDirty changes the masks and the counts of dirty blocks.
func (c *Cache) setDirty(b *block, dirty, writing Mask) {
	was, is := b.dirty|b.writing != 0, dirty|writing != 0
	b.dirty, b.writing = dirty, writing
	if was != is {
		d := 1
		if was {
			d = -1
		}
		c.stats.Dirty += d
		b.v.dirty += d
	}
}

// relist puts a block into the list where its state belongs, after any change of its state.
func (c *Cache) relist(s uint32) {
	b := &c.blocks[s]
	if b.orphan {
		c.freeIfIdle(s)
		return
	}
	want := listNone
	switch {
	case b.dirty != 0 && b.writing == 0:
		want = listDirty
	case b.dirty|b.writing != 0 || b.reading:
	case b.valid == 0: // a read failed: nothing is known about the block
		c.leave(s)
		c.index.Delete(uint64(b.v.req.Volume), b.number)
		c.freeIfIdle(s)
		return
	default:
		want = listClean
	}
	if b.list == want {
		return
	}
	c.unlist(s)
	switch want {
	case listClean:
		c.setClean(s, true)
	case listDirty:
		c.insertDirty(s)
	}
}

// insertDirty puts a block into its volume's list by the age of its oldest write. New writes are newest, so the search
// from the end is short.
func (c *Cache) insertDirty(s uint32) {
	b := &c.blocks[s]
	v := b.v
	at := v.last
	for at != none && c.blocks[at].seq > b.seq {
		at = c.blocks[at].prev
	}
	b.list, b.prev = listDirty, at
	if at == none {
		b.next = v.first
		v.first = s
	} else {
		b.next = c.blocks[at].next
		c.blocks[at].next = s
	}
	if b.next == none {
		v.last = s
	} else {
		c.blocks[b.next].prev = s
	}
}

func (c *Cache) unlist(s uint32) {
	b := &c.blocks[s]
	switch b.list {
	case listNone:
		return
	case listClean:
		c.setClean(s, false)
		return
	}
	head, tail := &b.v.first, &b.v.last
	if b.prev != none {
		c.blocks[b.prev].next = b.next
	} else {
		*head = b.next
	}
	if b.next != none {
		c.blocks[b.next].prev = b.prev
	} else {
		*tail = b.prev
	}
	b.list, b.prev, b.next = listNone, none, none
}

package buffercache

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// maxOperations bounds the storage operations that a state may name, and the calls of each list of a volume: the cache has one of them for
// each request of the component's callers, whom their workers bound.
const maxOperations = 1 << 20

// AppendState appends all that the cache knows, from which ReadState makes it again: what it does then is what this one does. The same
// state has the same bytes.
func (c *Cache) AppendState(b []byte) []byte {
	var w tape.Coder
	w.Write(b)
	c.code(&w)
	return w.Written()
}

// ReadState makes the cache that AppendState has written. A cache of other options, or a state that cannot be, is an error.
func ReadState(opt Options, b []byte) (*Cache, error) {
	c := NewGrowing(opt)
	var r tape.Coder
	r.Read(b)
	c.code(&r)
	if err := r.End(); err != nil {
		return nil, err
	}
	return c, c.CheckInvariants()
}

// AppendTaped appends the state of the cache, and of its tape: what the next record leaves out.
func (c *Cache) AppendTaped(b []byte, last Last) []byte {
	var w tape.Coder
	w.Write(b)
	last.code(&w)
	return c.AppendState(w.Written())
}

// ReadTaped makes the cache that AppendTaped has written, and gives what its next record leaves out.
func (h *TapeHead) ReadTaped(b []byte) (c *Cache, last Last, err error) {
	if err := h.Options.Validate(); err != nil {
		return nil, last, err
	}
	var r tape.Coder
	r.Read(b)
	last.code(&r)
	if r.Err() != nil {
		return nil, last, r.Err()
	}
	c, err = ReadState(h.Options, b[len(b)-r.Rest():])
	return c, last, err
}

func (l *Last) code(c *tape.Coder) {
	tape.Num(c, &l.call)
	tape.Num(c, &l.volume)
	tape.Num(c, &l.epoch)
	tape.Num(c, &l.sector)
	tape.Num(c, &l.version)
}

// code goes over the whole state: volumes, those that are gone but have operations under way last; blocks, by slot; operations, by id.
func (c *Cache) code(w *tape.Coder) {
	vs := volumes{w: w}
	if !w.Reads() {
		vs.of(c)
	}
	known := len(c.order)
	tape.Below(w, &known, uint64(c.opt.MaxVolumes)+1)
	tape.List(w, &vs.list, maxOperations, func(v **volume) {
		if w.Reads() {
			*v = &volume{}
		}
		(*v).code(w)
	})
	if w.Reads() {
		c.know(w, vs.list, known)
	}
	used := c.blocks[:c.fresh] // the others were never used
	tape.List(w, &used, c.opt.Blocks, func(b *block) { b.code(w, &vs) })
	slot(w, &c.free)
	if w.Reads() {
		c.blocks, c.fresh = used, uint32(len(used))
	}

	ids := make([]uint64, 0, len(c.inFlight))
	for id := range c.inFlight {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	tape.List(w, &ids, maxOperations, func(id *uint64) {
		tape.Num(w, id)
		op := c.inFlight[*id]
		op.code(w, &vs)
		if c.inFlight[*id] = op; op.v == nil {
			w.Fail("operation %d is of no volume", *id)
		}
	})
	tape.Num(w, &c.lastID)
	tape.Num(w, &c.seq)
	tape.List(w, &c.waiting, c.opt.MaxWaiters, func(r *request) { r.code(w) })
	tape.List(w, &c.leftIDs, maxLeft, func(id *wire.VolumeID) {
		tape.Num(w, id)
		e := c.left[*id]
		tape.Num(w, &e)
		c.left[*id] = e
	})
	c.stats.code(w)
	c.evictor.code(w, c)
	if w.Reads() && w.Err() == nil {
		c.derive(w)
	}
}

// know enters the volumes that were read, of which so many are known by their ids.
func (c *Cache) know(w *tape.Coder, list []*volume, known int) {
	if known > len(list) {
		w.Fail("%d volumes are known of %d", known, len(list))
		return
	}
	for i, v := range list[:known] {
		if id := v.req.Volume; i > 0 && id <= c.order[i-1] {
			w.Fail("volume %d is out of order", id)
			return
		}
		c.order = append(c.order, v.req.Volume)
		c.volumes[v.req.Volume] = v
	}
}

// derive makes what follows from the rest. Links that lead nowhere, or in a circle, are found here, so that CheckInvariants may follow them.
func (c *Cache) derive(w *tape.Coder) {
	if len(c.left) != len(c.leftIDs) {
		w.Fail("%d volumes have left, in %d places", len(c.left), len(c.leftIDs))
		return
	}
	n := uint32(len(c.blocks))
	inRange := func(s uint32) bool { return s == none || s < n }
	for s := range c.blocks {
		b := &c.blocks[s]
		if !inRange(b.prev) || !inRange(b.next) {
			w.Fail("block %d is linked to %d and %d of %d", s, b.prev, b.next, n)
			return
		}
		if b.v == nil {
			continue
		}
		if b.reading {
			c.reads++
		}
		if b.runs > 0 {
			c.writes++
		}
		b.v.blocks++
		if !b.orphan {
			if b.dirty|b.writing != 0 {
				b.v.dirty++
			}
			if _, ok := c.index.Get(uint64(b.v.req.Volume), b.number); ok || c.volumes[b.v.req.Volume] != b.v {
				w.Fail("block %d of volume %d is there twice, or its volume is not", b.number, b.v.req.Volume)
				return
			}
			c.index.Put(uint64(b.v.req.Volume), b.number, uint32(s))
		}
	}
	for _, op := range c.inFlight {
		op.v.underway++
		onBlock := op.kind == ReadStorage || op.kind == WriteStorage
		if onBlock != (op.slot < n) || onBlock && c.blocks[op.slot].v != op.v {
			w.Fail("an operation is on block %d of %d, or not on one of its volume", op.slot, n)
			return
		}
	}
	listed := 0
	chain := func(kind listKind, v *volume, first, last uint32) bool {
		prev := none
		for s := first; s != none; s = c.blocks[s].next {
			if listed++; s >= n || listed > int(n) || c.blocks[s].prev != prev || c.blocks[s].list != kind || kind == listDirty && c.blocks[s].v != v {
				return false
			}
			prev = s
		}
		return prev == last
	}
	ok := true
	for _, id := range c.order {
		v := c.volumes[id]
		ok = ok && chain(listDirty, v, v.first, v.last) && !slices.ContainsFunc(v.writing, func(s uint32) bool { return s >= n || c.blocks[s].v != v })
	}
	for s := c.free; ok && s != none; {
		listed++
		if ok = s < n && listed <= int(n) && c.blocks[s].v == nil; ok {
			s = c.blocks[s].next
		}
	}
	if !ok {
		w.Fail("a list of blocks leads out of itself")
	}
}

// volumes numbers the volumes of a state from 1 on; 0 is none.
type volumes struct {
	w      *tape.Coder
	list   []*volume
	number map[*volume]uint32
	last   *volume // whose number was asked for last, for most blocks have their neighbour's
	lastN  uint32
}

// of lists all volumes that something refers to.
func (vs *volumes) of(c *Cache) {
	vs.number = map[*volume]uint32{}
	add := func(v *volume) {
		if v != nil && vs.number[v] == 0 {
			vs.list = append(vs.list, v)
			vs.number[v] = uint32(len(vs.list))
		}
	}
	for _, id := range c.order {
		add(c.volumes[id])
	}
	for s := range c.blocks {
		if s == 0 || c.blocks[s].v != c.blocks[s-1].v {
			add(c.blocks[s].v)
		}
	}
	var gone []uint64 // only operations know their volume
	for id, op := range c.inFlight {
		if vs.number[op.v] == 0 {
			gone = append(gone, id)
		}
	}
	slices.SortFunc(gone, cmp.Compare)
	for _, id := range gone {
		add(c.inFlight[id].v)
	}
}

// ref goes over a reference to a volume.
func (vs *volumes) ref(v **volume) {
	if *v != vs.last {
		vs.last, vs.lastN = *v, vs.number[*v]
	}
	n := vs.lastN
	if tape.Below(vs.w, &n, uint64(len(vs.list))+1); vs.w.Reads() && n > 0 {
		*v = vs.list[n-1]
	}
}

// slot goes over the number of a block, or none.
func slot(w *tape.Coder, s *uint32) {
	n := *s + 1
	tape.Num(w, &n)
	*s = n - 1
}

// code goes over a block. Most are clean: then nothing is under way, and when it was written says nothing any more.
func (b *block) code(w *tape.Coder, vs *volumes) {
	vs.ref(&b.v)
	slot(w, &b.prev)
	slot(w, &b.next)
	if b.v == nil {
		return
	}
	tape.Num(w, &b.number)
	tape.Num(w, &b.valid)
	differs := uint8(0) // sectors whose version is not that of the one before
	for i := 1; i < len(b.versions); i++ {
		if b.versions[i] != b.versions[i-1] {
			differs |= 1 << i
		}
	}
	tape.Num(w, &differs)
	tape.Num(w, &b.versions[0])
	for i := 1; i < len(b.versions); i++ {
		if differs&(1<<i) != 0 {
			tape.Num(w, &b.versions[i])
		} else {
			b.versions[i] = b.versions[i-1]
		}
	}
	clean := b.list == listClean
	if w.Bool(&clean); clean {
		b.list = listClean
		return
	}
	tape.Below(w, &b.list, uint64(listDirty)+1)
	tape.Num(w, &b.dirty)
	tape.Num(w, &b.writing)
	w.Bool(&b.reading)
	w.Bool(&b.orphan)
	tape.Below(w, &b.runs, wire.SectorsPerPage+1)
	tapes.Error(w, &b.writeErr)
	if b.dirty != 0 { // else it was written before, and is set when it is written again
		tape.Num(w, &b.seq)
	}
	if b.writing != 0 {
		tape.Num(w, &b.writeSeq)
	}
	tape.List(w, &b.readers, maxOperations, func(r *request) { r.code(w) })
	if b.list == listClean {
		w.Fail("block %d is clean and not", b.number)
	}
}

func (r *request) code(w *tape.Coder) {
	tape.Num(w, &r.call)
	k := &r.k
	tape.Num(w, &k.Volume)
	tape.Num(w, &k.VolumeEpoch)
	tape.Num(w, &k.Process)
	tape.Num(w, &k.Version)
	tape.Num(w, &k.Offset)
	tape.Below(w, &k.Length, wire.PageSize+1)
	w.Bool(&r.write)
}

func (op *started) code(w *tape.Coder, vs *volumes) {
	tape.Below(w, &op.kind, uint64(FlushStorage)+1)
	vs.ref(&op.v)
	slot(w, &op.slot)
	tape.Num(w, &op.mask)
	tape.Num(w, &op.version)
}

func (f *flushWaiter) code(w *tape.Coder) {
	tape.Num(w, &f.call)
	tape.Num(w, &f.seq)
	tape.Num(w, &f.gen)
}

func (v *volume) code(w *tape.Coder) {
	tapes.Message(w, &v.req)
	tape.Below(w, &v.state, uint64(failed)+1)
	tape.Num(w, &v.at.Epoch)
	tape.Text(w, &v.at.Storage)
	tape.Text(w, &v.at.Addr)
	tapes.Error(w, &v.frozen)
	tape.Num(w, &v.quiet)
	slot(w, &v.first)
	slot(w, &v.last)
	tape.List(w, &v.writing, maxOperations, func(s *uint32) { tape.Num(w, s) })
	for _, n := range []*uint64{&v.writeVersion, &v.gen, &v.written, &v.marked, &v.synced} {
		tape.Num(w, n)
	}
	w.Bool(&v.marking)
	for _, l := range []*[]flushWaiter{&v.toMark, &v.flushing, &v.syncing} {
		tape.List(w, l, maxOperations, func(f *flushWaiter) { f.code(w) })
	}
	tape.List(w, &v.acks, maxOperations, func(a *ack) {
		tape.Num(w, &a.call)
		tape.Num(w, &a.gen)
		slot(w, &a.slot)
		w.Bool(&a.started)
	})
	v.requests.Code(w)
	v.bytes.Code(w)
	tapes.Error(w, &v.writeErr)
	tapes.Error(w, &v.failErr)
	for _, l := range []*[]uint64{&v.waiters, &v.detachers} {
		tape.List(w, l, maxOperations, func(call *uint64) { tape.Num(w, call) })
	}
	tapes.Optional(w, &v.next, func(m *wire.VolumeAttachReq) { tapes.Message(w, m) })
	if v.state == 0 || v.state == failed && v.failErr == nil || len(v.waiters) > 0 && v.state == detaching && v.next == nil {
		w.Fail("volume %d in state %d", v.req.Volume, v.state)
	}
}

func (s *Stats) code(w *tape.Coder) {
	for _, n := range []*int{&s.Used, &s.Dirty} {
		tape.Below(w, n, 1<<31)
	}
	for _, n := range []*uint64{&s.Reads, &s.Writes, &s.Flushes, &s.Hits, &s.Misses, &s.Coalesced, &s.Evictions, &s.StorageReads, &s.StorageWrites, &s.StorageFlushes,
		&s.Marks, &s.Waits, &s.RefusedBusy, &s.OldWrites, &s.WriteErrors, &s.LostBlocks} {
		tape.Num(w, n)
	}
}

// Show describes the cache for people: what it counted, and each volume.
func (c *Cache) Show() string {
	text := fmt.Sprintf("%+v\n%d storage operations under way, %d requests wait for a block\n", c.Stats(), len(c.inFlight), len(c.waiting))
	for _, id := range c.order {
		v := c.volumes[id]
		text += fmt.Sprintf("volume %d: %v under epoch %d at %s under epoch %d, %d blocks, %d of them dirty, %d operations under way, generation %d, synced %d",
			id, v.state, v.req.Epoch, v.at.Storage, v.at.Epoch, v.blocks, v.dirty, v.underway, v.gen, v.synced)
		for _, e := range []struct {
			what string
			err  error
		}{{"frozen", v.frozen}, {"cannot write", v.writeErr}, {"failed", v.failErr}} {
			if e.err != nil {
				text += fmt.Sprintf("; %s: %v", e.what, e.err)
			}
		}
		text += "\n"
	}
	return text
}

func (s volumeState) String() string {
	return [...]string{"?", "attaching", "attached", "detaching", "failed"}[min(int(s), 4)]
}

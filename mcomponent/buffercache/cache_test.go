package buffercache

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

const (
	testVolumes = 2
	testBlocks  = 5 // per volume
	testSectors = testBlocks * wire.SectorsPerPage
)

// sector is the model's content of a sector: the version of the write that brought it; 0 is never written.
type sector = uint64

// storage models one volume at its sComponent.
type storage struct {
	now, durable [testSectors]sector
	blockVersion [testBlocks]uint64
	open, synced uint64 // generations
	broken       bool   // refuses writes, as a full disk does
}

type pendingCall struct {
	k        wire.Block
	kind     string
	version  uint64
	atLeast  [wire.SectorsPerPage]sector // of a read: acknowledged when it was issued
	snapshot [testSectors]sector         // of a flush or detach
}

type op struct {
	e    Effect
	data [wire.SectorsPerPage]sector // of a write
}

// world drives a Cache with sectors that hold one number each.
type world struct {
	t        *rapid.T
	c        *Cache
	slots    [][wire.SectorsPerPage]sector
	store    [testVolumes + 1]storage
	acked    [testVolumes + 1][testSectors]sector
	epoch    [testVolumes + 1]wire.Epoch
	up       [testVolumes + 1]bool
	through  [testVolumes + 1]bool // writes are acknowledged once they are at the sComponents
	copies   [testVolumes + 1]bool // there are several
	calls    map[uint64]*pendingCall
	ops      []op
	lastCall uint64
	version  uint64
	fetched  [wire.SectorsPerPage]sector
	fails    bool
	answered int
}

func newWorld(t *rapid.T, opt Options) *world {
	w := &world{t: t, c: New(opt), slots: make([][wire.SectorsPerPage]sector, opt.Blocks), calls: map[uint64]*pendingCall{}}
	if rapid.Bool().Draw(t, "growing") {
		w.c = NewGrowing(opt)
	}
	for v := wire.VolumeID(1); v <= testVolumes; v++ {
		w.through[v], w.copies[v] = rapid.Bool().Draw(t, "through"), rapid.Bool().Draw(t, "copies")
		w.attach(v)
	}
	return w
}

func (w *world) attach(v wire.VolumeID) {
	w.epoch[v]++
	call := w.call(&pendingCall{kind: "attach", k: wire.Block{Volume: v}})
	req := wire.VolumeAttachReq{Volume: v, Epoch: w.epoch[v], SizeBytes: testBlocks * wire.PageSize, Storage: "s1", Through: w.through[v]}
	if w.copies[v] {
		req.Storage, req.Config, req.WriteQuorum, req.ReadQuorum = "", 1, 2, 1
		req.Replicas = []wire.VolumeReplica{{Node: "s1", State: wire.ReplicaInSync}, {Node: "s2", State: wire.ReplicaInSync}}
	}
	w.do(w.c.Attach(call, req, nil))
}

func (w *world) call(p *pendingCall) uint64 {
	w.lastCall++
	w.calls[w.lastCall] = p
	return w.lastCall
}

func base(k wire.Block) int { return int(k.Offset / wire.PageSize * wire.SectorsPerPage) }

// do performs effects and then checks the laws that hold at every moment.
func (w *world) do(out []Effect) {
	for _, e := range out {
		switch e.Kind {
		case CopyIn:
			p := w.calls[e.Call]
			if e.Mask&^MaskOf(p.k) != 0 {
				w.t.Fatalf("copy in of %08b for a write of %08b", e.Mask, MaskOf(p.k))
			}
			w.each(e.Mask, func(i int) { w.slots[e.Slot][i] = p.version })
		case Fill:
			w.each(e.Mask, func(i int) { w.slots[e.Slot][i] = w.fetched[i] })
		case CopyOut:
			p := w.answer(e.Call)
			w.each(e.Mask, func(i int) {
				if got := w.slots[e.Slot][i]; got < p.atLeast[i] {
					w.t.Fatalf("read of %+v: sector %d has version %d, but %d was acknowledged before", p.k, i, got, p.atLeast[i])
				}
			})
		case Reply:
			w.reply(e)
		case WriteStorage:
			if _, rest := e.Mask.nextRun(); e.Copies != w.copies[e.Volume] || rest != 0 && !e.Copies {
				w.t.Fatalf("a write-back of sectors %08b, to several copies %t", e.Mask, e.Copies)
			}
			w.ops = append(w.ops, op{e: e, data: w.slots[e.Slot]})
		default:
			w.ops = append(w.ops, op{e: e})
		}
	}
	if err := w.c.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
	for v := 1; v <= testVolumes; v++ {
		if s := &w.store[v]; s.open == 0 {
			for i, a := range w.acked[v] {
				if s.now[i] < a {
					w.t.Fatalf("volume %d is not marked, but sector %d is at version %d of %d acknowledged: a lost cache would serve an older block silently", v, i, s.now[i], a)
				}
			}
		}
	}
}

func (w *world) each(m Mask, f func(i int)) {
	for i := range wire.SectorsPerPage {
		if m&(1<<i) != 0 {
			f(i)
		}
	}
}

func (w *world) answer(call uint64) *pendingCall {
	p, ok := w.calls[call]
	if !ok {
		w.t.Fatalf("call %d was answered twice or never made", call)
	}
	delete(w.calls, call)
	w.answered++
	return p
}

func (w *world) reply(e Effect) {
	p := w.answer(e.Call)
	v := p.k.Volume
	switch {
	case e.Err != nil:
		if !w.fails && p.kind != "late" && wire.KindOf(e.Err) != wire.KindNotOwner && wire.KindOf(e.Err) != wire.KindNotFound && wire.KindOf(e.Err) != wire.KindBusy {
			w.t.Fatalf("%s of %+v: %v", p.kind, p.k, e.Err)
		}
	case p.kind == "quiet":
		for _, o := range w.ops {
			if o.e.Volume == v {
				w.t.Fatalf("volume %d is said to be quiet, and a %v is under way", v, o.e.Kind)
			}
		}
	case p.kind == "write":
		w.each(MaskOf(p.k), func(i int) {
			a := &w.acked[v][base(p.k)+i]
			*a = max(*a, p.version)
			if got := w.store[v].now[base(p.k)+i]; w.through[v] && got < p.version {
				w.t.Fatalf("a write of %+v was acknowledged with version %d at the sComponents, want %d", p.k, got, p.version)
			}
		})
	case p.kind == "flush" || p.kind == "clean" || p.kind == "detach":
		for i, a := range p.snapshot {
			if w.store[v].durable[i] < a {
				w.t.Fatalf("%s of volume %d was acknowledged with sector %d durable at version %d, want %d", p.kind, v, i, w.store[v].durable[i], a)
			}
		}
		if p.kind == "detach" {
			w.up[v] = false
		}
	case p.kind == "attach":
		w.up[v] = true
	}
}

// complete ends one storage operation, with a failure if one is drawn. A write that fails may have been done or not.
func (w *world) complete() {
	i := rapid.IntRange(0, len(w.ops)-1).Draw(w.t, "completed")
	o := w.ops[i]
	w.ops = append(w.ops[:i:i], w.ops[i+1:]...)
	s := &w.store[o.e.Volume]
	var err error
	if w.fails && rapid.IntRange(0, 4).Draw(w.t, "fails") == 0 {
		err = wire.Errorf(wire.KindUnavailable, "drawn")
	}
	if s.broken && o.e.Kind == WriteStorage {
		err = wire.Errorf(wire.KindNoSpace, "disk full")
	}
	perform := err == nil || o.e.Kind != ReadStorage && !s.broken && rapid.Bool().Draw(w.t, "done before it failed")
	at := int(o.e.Block * wire.SectorsPerPage)
	switch {
	case !perform:
	case o.e.Kind == AttachStorage:
		s.open, s.synced, s.blockVersion = 0, 0, [testBlocks]uint64{}
	case o.e.Kind == MarkStorage:
		if o.e.Version > s.synced {
			s.open = max(s.open, o.e.Version)
		}
	case o.e.Kind == ReadStorage:
		copy(w.fetched[:], s.now[at:])
	case o.e.Kind == WriteStorage:
		if o.e.Version >= s.blockVersion[o.e.Block] {
			s.blockVersion[o.e.Block] = o.e.Version
			w.each(o.e.Mask, func(i int) { s.now[at+i] = o.data[i] })
		}
	case o.e.Kind == FlushStorage:
		s.durable = s.now
		s.synced = max(s.synced, o.e.Version)
		if s.open <= o.e.Version {
			s.open = 0
		}
	}
	w.do(w.c.Done(o.e.ID, err, nil))
}

func (w *world) drain() {
	for len(w.ops) > 0 {
		w.complete()
	}
	if len(w.calls) != 0 {
		w.t.Fatalf("%d calls are unanswered and nothing is under way: %+v", len(w.calls), w.c.Stats())
	}
}

func (w *world) step() {
	v := wire.VolumeID(rapid.IntRange(1, testVolumes).Draw(w.t, "volume"))
	first := rapid.IntRange(0, testSectors-1).Draw(w.t, "sector")
	n := rapid.IntRange(1, wire.SectorsPerPage-first%wire.SectorsPerPage).Draw(w.t, "sectors")
	k := wire.Block{Volume: v, VolumeEpoch: w.epoch[v], Offset: uint64(first) * wire.SectorSize, Length: uint32(n) * wire.SectorSize}
	switch rapid.IntRange(0, 12).Draw(w.t, "op") {
	case 0, 1, 2:
		p := &pendingCall{kind: "read", k: k}
		copy(p.atLeast[:], w.acked[v][base(k):])
		w.promised(w.c.ReadsNow(k), func(call uint64) []Effect { return w.c.Read(call, k, nil) }, p)
	case 3, 4, 5, 6:
		w.version++
		k.Version = w.version
		p := &pendingCall{kind: "write", k: k, version: w.version}
		w.promised(w.c.WritesNow(k), func(call uint64) []Effect { return w.c.Write(call, k, nil) }, p)
	case 7, 8:
		k.Length = 0
		w.do(w.c.Flush(w.call(&pendingCall{kind: "flush", k: k, snapshot: w.acked[v]}), k, nil))
	case 9:
		if w.up[v] {
			w.do(w.c.Detach(w.call(&pendingCall{kind: "detach", k: k, snapshot: w.acked[v]}), wire.VolumeRef{Volume: v, Epoch: w.epoch[v]}, nil))
		} else {
			w.attach(v)
		}
	case 10: // its buffer cache begins to move
		w.do(w.c.Freeze(v, wire.Errorf(wire.KindBusy, "volume %d moves", v), nil))
		k.Length = 0
		w.do(w.c.Clean(w.call(&pendingCall{kind: "clean", k: k, snapshot: w.acked[v]}), v, nil))
	case 11:
		w.do(w.c.Quiet(w.call(&pendingCall{kind: "quiet", k: k}), v, nil))
	case 12: // and cannot
		w.c.Thaw(v, w.epoch[v])
		w.do(nil)
	}
}

// promised gives an event and checks that what was to be answered now is.
func (w *world) promised(now bool, event func(call uint64) []Effect, p *pendingCall) {
	call := w.call(p)
	w.do(event(call))
	if _, waits := w.calls[call]; now && waits {
		w.t.Fatalf("%s of %+v waits, and it was said to be answered now", p.kind, p.k)
	}
}

func options(t *rapid.T) Options {
	return Options{Blocks: rapid.IntRange(1, 8).Draw(t, "blocks"), Window: rapid.IntRange(1, 4).Draw(t, "window"), MaxWaiters: rapid.IntRange(1, 10).Draw(t, "max_waiters"), MaxVolumes: testVolumes,
		Policy: rapid.SampledFrom(append(Policies(), "", "lru", "lru", "lru")).Draw(t, "policy")}
}

// TestAgreesWithABytePerSector: in any interleaving of calls and storage operations, a read never returns less than what was
// acknowledged, a flush is acknowledged only when all of it is durable, every call is answered once, and a volume with
// acknowledged writes that its sComponent does not have is marked there at every moment, so losing the cache is never silent.
func TestAgreesWithABytePerSector(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, options(t))
		w.fails = rapid.Bool().Draw(t, "failures")
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			if len(w.ops) > 0 && rapid.Bool().Draw(t, "complete") {
				w.complete()
			} else {
				w.step()
			}
		}
		w.drain()
	})
}

// TestAFullDiskStopsOnlyItsOwnWriters: while the storage of volume 1 refuses writes, volume 2 goes on.
func TestAFullDiskStopsOnlyItsOwnWriters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := options(t)
		opt.Blocks = rapid.IntRange(4, 10).Draw(t, "blocks of both")
		w := newWorld(t, opt)
		w.drain()
		w.fails, w.store[1].broken = true, true
		for i := range uint64(60) {
			w.version++
			k := wire.Block{Volume: 1, VolumeEpoch: 1, Version: w.version, Offset: i % testBlocks * wire.PageSize, Length: wire.PageSize}
			w.do(w.c.Write(w.call(&pendingCall{kind: "late", k: k}), k, nil))
		}
		for len(w.ops) > 0 {
			i := len(w.ops) - 1
			o := w.ops[i]
			w.ops = w.ops[:i]
			var err error
			if o.e.Kind == WriteStorage {
				err = wire.Errorf(wire.KindNoSpace, "disk full")
			}
			w.do(w.c.Done(o.e.ID, err, nil))
		}
		w.fails = false
		k := wire.Block{Volume: 2, VolumeEpoch: 1, Length: wire.PageSize}
		for i := range uint64(3 * testBlocks) {
			w.version++
			k.Version, k.Offset = w.version, i%testBlocks*wire.PageSize
			w.do(w.c.Write(w.call(&pendingCall{kind: "write", k: k, version: w.version}), k, nil))
			w.finishVolume2()
			if w.acked[2][base(k)] != w.version {
				t.Fatalf("a write of volume 2 was not acknowledged while volume 1's disk is full")
			}
		}
		k.Length = 0
		w.do(w.c.Flush(w.call(&pendingCall{kind: "flush", k: k, snapshot: w.acked[2]}), k, nil))
		w.finishVolume2()
	})
}

func (w *world) finishVolume2() {
	for len(w.ops) > 0 {
		w.complete()
	}
}

// TestWhatIsAnsweredNow names the cases in which a request must not be sent to a worker, and those in which it must.
func TestWhatIsAnsweredNow(t *testing.T) {
	c := New(Options{Blocks: 4, Window: 1, MaxWaiters: 4, MaxVolumes: 1})
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Version: 1, Offset: 512, Length: 512}
	check := func(when string, reads, writes bool) {
		t.Helper()
		if c.ReadsNow(k) != reads || c.WritesNow(k) != writes {
			t.Errorf("%s: read %v, write %v, want %v and %v", when, c.ReadsNow(k), c.WritesNow(k), reads, writes)
		}
	}
	check("a volume that is not attached", true, true)
	out := c.Attach(1, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: 1 << 20}, nil)
	c.Done(out[0].ID, nil, nil)
	check("a generation without a mark", false, false)
	out = c.Write(2, k, nil)
	check("written, the mark under way", true, false)
	c.Done(out[1].ID, nil, nil)
	check("written and marked", true, true)
	k.Length = 1024
	check("half of it cached", false, true)
	k.Offset = wire.PageSize
	check("another block", false, true)
	for range 2 {
		k.Offset += wire.PageSize
		c.Write(3, k, nil)
	}
	check("the last dirty block there may be", true, true)
	k.Offset += wire.PageSize
	check("more would be dirty than may be", false, false)
	k.Offset = 1 << 20
	check("behind the end", true, true)
}

func TestASectorWriteNeedsNoRead(t *testing.T) {
	c := New(DefaultOptions())
	out := c.Attach(1, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: 1 << 20}, nil)
	c.Done(out[0].ID, nil, nil)
	out = c.Write(2, wire.Block{Volume: 1, VolumeEpoch: 1, Offset: 512, Length: 1024}, nil)
	if len(out) != 2 || out[0].Kind != CopyIn || out[0].Mask != 0b110 || out[1].Kind != MarkStorage {
		t.Fatalf("write of two sectors: %+v", out)
	}
}

// A cache that was taken for dead hears from the storage that there is another one. What it does not know it does not answer: its clients
// go on at the other one. What was not flushed is lost, and a detach must not say otherwise.
func TestACacheThatHasASuccessorIsNotTheOwner(t *testing.T) {
	begin := func() *Cache {
		c := New(DefaultOptions())
		out := c.Attach(1, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: 1 << 20}, nil)
		c.Done(out[0].ID, nil, nil)
		return c
	}
	refused := func(what string, out []Effect) {
		t.Helper()
		if len(out) != 1 || out[0].Kind != Reply || wire.KindOf(out[0].Err) != wire.KindNotOwner {
			t.Fatalf("%s: %+v, want to be told that this is not the owner", what, out)
		}
	}
	block := wire.Block{Volume: 1, VolumeEpoch: 1, Length: 4096}
	stale := wire.Errorf(wire.KindStale, "epoch 2 was seen")

	c := begin()
	out := c.Write(2, block, nil)
	out = c.Done(out[1].ID, nil, nil)
	if len(out) != 1 || out[0].Kind != Reply || out[0].Err != nil {
		t.Fatalf("after the mark: %+v", out)
	}
	out = c.Flush(3, block, nil)
	refused("the flush", c.Done(out[0].ID, stale, nil))
	refused("a read after it", c.Read(4, block, nil))
	if s := c.Stats(); s.LostBlocks != 1 || s.Used != 0 {
		t.Fatalf("stats: %+v", s)
	}
	refused("the detach", c.Detach(5, wire.VolumeRef{Volume: 1, Epoch: 1}, nil))
	if c.Stats().Volumes != 0 {
		t.Fatal("the volume is known after the detach")
	}
	refused("a read after the detach", c.Read(6, block, nil))
	if err := c.CheckInvariants(); err != nil {
		t.Fatal(err)
	}

	c = begin()
	out = c.Read(2, block, nil)
	refused("a read under way", c.Done(out[0].ID, stale, nil))
	c = begin()
	out = c.Write(2, block, nil)
	refused("a write that waits for its mark", c.Done(out[1].ID, stale, nil))
}

// TestWhatWasLostInAMoveIsDropped: a volume whose buffer cache was lost on its way elsewhere is not held still any more, so that whoever finds
// that it is gone can drop it.
func TestWhatWasLostInAMoveIsDropped(t *testing.T) {
	c := New(DefaultOptions())
	out := c.Attach(1, wire.VolumeAttachReq{Volume: 7, Epoch: 1, SizeBytes: wire.PageSize, Storage: "s1"}, nil)
	c.Done(out[0].ID, nil, nil)
	c.Freeze(7, wire.Errorf(wire.KindBusy, "it is moving"), nil)
	answer := func(what string, out []Effect) error {
		t.Helper()
		for _, e := range out {
			if e.Kind == Reply {
				return e.Err
			}
		}
		t.Fatalf("%s is not answered: %+v", what, out)
		return nil
	}
	if err := answer("a discard", c.Discard(2, 7, 9, nil)); wire.KindOf(err) != wire.KindBusy {
		t.Errorf("while it moves: %v, want busy", err)
	}
	c.Lose(7, wire.Errorf(wire.KindFailed, "it was lost"), nil)
	if err := answer("a discard", c.Discard(3, 7, 9, nil)); err != nil || len(c.Volumes()) != 0 {
		t.Errorf("when it is lost: %v, and %v are here", err, c.Volumes())
	}
	if err := c.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestWritersGoOnWhenTheStorageIsBack: a write-back that failed because the sComponent was away for a while refuses a writer, who tries again
// and never flushes; what may not pass by itself refuses until a flush.
func TestWritersGoOnWhenTheStorageIsBack(t *testing.T) {
	for _, kind := range []wire.Kind{wire.KindUnavailable, wire.KindTimeout, wire.KindNoSpace} {
		c := New(Options{Blocks: 4, Window: 4, MaxWaiters: 4, MaxVolumes: 1})
		out := c.Attach(1, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: 1 << 20}, nil)
		c.Done(out[0].ID, nil, nil)
		k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: wire.PageSize}
		call := uint64(2)
		write := func() []Effect {
			call++
			k.Version++
			return c.Write(call, k, nil)
		}
		var writes []Effect
		for range 3 { // the third makes more than half of the cache dirty
			for _, e := range write() {
				switch e.Kind {
				case MarkStorage:
					for _, e := range c.Done(e.ID, nil, nil) {
						if e.Kind == WriteStorage {
							writes = append(writes, e)
						}
					}
				case WriteStorage:
					writes = append(writes, e)
				}
			}
			k.Offset += wire.PageSize
		}
		if len(writes) == 0 {
			t.Fatal("nothing is written back")
		}
		for _, e := range writes {
			c.Done(e.ID, wire.Errorf(kind, "the storage is away"), nil)
		}
		out = write()
		if out[0].Kind != Reply || wire.KindOf(out[0].Err) != kind {
			t.Fatalf("%v: a writer gets %+v", kind, out)
		}
		tried := slices.ContainsFunc(out, func(e Effect) bool { return e.Kind == WriteStorage })
		if passes := kind != wire.KindNoSpace; tried != passes {
			t.Errorf("%v: written back again: %v, want %v: %+v", kind, tried, passes, out)
		}
		for _, e := range out[1:] {
			c.Done(e.ID, nil, nil)
		}
		if err := write()[0].Err; (err != nil) != (kind == wire.KindNoSpace) {
			t.Errorf("%v: the next writer gets %v", kind, err)
		}
		if err := c.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
}

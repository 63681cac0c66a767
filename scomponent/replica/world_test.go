package replica

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/volume"
)

// content is a block: a tag for each sector.
type content [wire.SectorsPerPage]uint32

func (c content) sum() uint32 {
	s := uint32(17)
	for _, t := range c {
		s = s*16777619 ^ t
	}
	return s
}

// stored is a block on a disk, with what lies in its entry.
type stored struct {
	bytes   content
	version wire.BlockVersion
	sum     uint32
}

func (s stored) whole() bool { return s.bytes.sum() == s.sum || s == stored{} }

// disk is an sComponent with one copy: the real core, and blocks of which some are not synced.
type disk struct {
	node    wire.NodeID
	vol     *volume.Volume
	durable volume.Meta
	synced  map[uint64]stored
	cached  map[uint64]stored // what the process reads; written and not synced where it differs
	up      bool
	life    int // of the process: messages to an older one are lost
	boots   byte
	gone    bool // for good
	empty   bool // it runs, and has no volume
}

func (d *disk) read(b uint64) stored {
	if s, ok := d.cached[b]; ok {
		return s
	}
	return d.synced[b]
}

func (d *disk) persist(p volume.Persist) {
	if p != volume.Nothing {
		d.vol.Header()
	}
	if p == volume.Synced {
		d.durable = d.vol.Meta()
	}
}

// serve answers a message. crash has the process die between the bytes of a write and its entry.
func (d *disk) serve(e Effect, page content, epoch wire.Epoch, crash bool) (a Answer) {
	k := wire.ReplicaBlock{Volume: 1, Epoch: epoch, Block: e.Block, Version: e.Version, Flags: e.Flags, Count: e.Count}
	one := func(b uint64, verify bool) wire.BlockCopy {
		s := d.read(b)
		c := wire.BlockCopy{Version: s.version, Sum: s.sum, State: wire.CopyGood}
		if verify && !s.whole() {
			c.State = wire.CopyCorrupt
		}
		return c
	}
	if d.empty {
		return Answer{Err: wire.Errorf(wire.KindNotFound, "volume 1 is not at %s", d.node)}
	}
	switch e.Kind {
	case SendAttach:
		var p volume.Persist
		if a.Attach, p, a.Err = d.vol.CopyAttach(e.Attach); a.Err == nil {
			d.persist(p)
		}
	case SendRead:
		if _, a.Err = d.vol.CopyRead(k); a.Err == nil {
			a.Copy = one(e.Block, e.Flags&wire.ReplicaNoPage == 0 || e.Flags&wire.ReplicaVerify != 0)
		}
	case SendVersions:
		var n uint64
		if n, a.Err = d.vol.CopyRead(k); a.Err == nil {
			for b := range n {
				a.Copies = append(a.Copies, one(e.Block+b, e.Flags&wire.ReplicaVerify != 0))
			}
		}
	case SendWrite:
		there := d.read(e.Block)
		var apply bool
		if apply, a.Err = d.vol.CopyWrite(k, there.version, true); a.Err == nil && apply {
			if crash {
				there.bytes = page
				d.cached[e.Block] = there
				return a
			}
			d.cached[e.Block] = stored{page, e.Version, page.sum()}
		}
	case SendMark:
		var p volume.Persist
		_, p, a.Err = d.vol.Write(wire.Block{Volume: 1, VolumeEpoch: epoch, Version: e.Number})
		d.persist(p)
	case SendFlush:
		b := wire.Block{Volume: 1, VolumeEpoch: epoch, Version: e.Number}
		if _, a.Err = d.vol.Flush(b); a.Err == nil {
			for n, s := range d.cached {
				d.synced[n] = s
			}
			clear(d.cached)
			d.durable = d.vol.Meta()
			d.persist(d.vol.Flushed(b))
		}
	}
	return a
}

// power has the machine lose its power: of what was not synced, some bytes and some entries are there.
func (d *disk) power(rng *rand.Rand) {
	blocks := make([]uint64, 0, len(d.cached))
	for b := range d.cached {
		blocks = append(blocks, b)
	}
	slices.Sort(blocks)
	for _, b := range blocks {
		old, s := d.synced[b], d.cached[b]
		switch rng.IntN(4) {
		case 0:
			old = s
		case 1: // torn
			copy(old.bytes[:rng.IntN(8)], s.bytes[:])
		case 2: // the entry alone
			old.version, old.sum = s.version, s.sum
		}
		d.synced[b] = old
	}
	clear(d.cached)
	d.boots++
	d.stop()
	d.vol = nil
}

func (d *disk) stop() { d.up, d.life = false, d.life+1 }

func (d *disk) start() {
	m := d.durable
	if d.vol != nil {
		m = d.vol.Meta()
	}
	d.vol, d.up = volume.New(m, volume.BootID{d.boots}), true
}

type event struct {
	at time.Duration
	no int
	do func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].no < q[j].no
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// request is an operation that the world's buffer cache has under way.
type request struct {
	kind  opKind
	block uint64
	page  content
	mask  uint8
	gen   uint64
}

// world is a volume of some blocks, its buffer cache and sComponents whose machines and links fail.
type world struct {
	t       rapid.TB
	rng     *rand.Rand
	opt     Options
	now     time.Duration
	q       events
	no      int
	disks   map[wire.NodeID]*disk
	nodes   []wire.NodeID
	cut     map[wire.NodeID]bool
	faulty  bool // messages are lost, doubled and late
	g       *Taped
	tapes   *tapedtest.Tapes // nil: none
	life    int              // of the buffer cache
	req     wire.VolumeAttachReq
	inst    uint64
	opID    uint64
	open    map[uint64]*request // under way
	gone    map[uint64]*request // ended, not released
	pages   map[uint64]content  // what messages brought
	is      []content           // last acknowledged
	maybe   [][]content         // of writes that failed, in their order: each may come to light until a newer one did, or one that was acknowledged
	busy    []bool
	gen     uint64
	marked  bool
	unsaved bool // something was acknowledged and not flushed
	broken  error
	reads   int
	fills   int
	remakes int  // of those that were made again where they were
	frail   bool // one copy is lost, and others lack something: nothing more may be lost until all are sound
}

func (w *world) after(d time.Duration, do func()) {
	w.no++
	heap.Push(&w.q, event{w.now + d, w.no, do})
}

func (w *world) volumeOf(node wire.NodeID) *disk {
	m, err := volume.Check(wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: uint64(len(w.is)) * wire.PageSize}, volume.BootID{})
	if err != nil {
		w.t.Fatal(err)
	}
	d := &disk{node: node, durable: m, synced: map[uint64]stored{}, cached: map[uint64]stored{}}
	d.start()
	return d
}

// attach begins a new buffer cache under the next epoch.
func (w *world) attach() {
	w.life++
	w.req.Epoch++
	w.inst++
	clear(w.open)
	clear(w.gone)
	clear(w.pages)
	for b := range w.busy {
		w.busy[b] = false
	}
	w.gen, w.marked, w.broken = 1, false, nil
	h := TapeHead{Node: "m1", Options: w.opt, Attach: w.req, Instance: w.inst, Now: w.now}
	if w.g = (&Taped{Group: h.Make()}); w.tapes != nil {
		w.g.Record(w.tapes, w.g.Group, TapeKind, &h)
	}
	w.opID++
	w.open[w.opID] = &request{kind: opAttach}
	w.perform(w.g.Attach(w.now, w.opID, nil))
}

func (w *world) perform(out []Effect) {
	for i := range out {
		e := out[i]
		switch e.Kind {
		case Take:
			r := w.any(e.Op)
			for s := range r.page {
				if e.Mask&(1<<s) == 0 {
					r.page[s] = w.pages[e.ID][s]
				}
			}
		case Finish:
			r := w.open[e.Op]
			if r == nil {
				w.t.Fatalf("operation %d ended twice, or never was", e.Op)
			}
			delete(w.open, e.Op)
			w.gone[e.Op] = r
			w.ended(r, e.Err)
		case Release:
			if w.open[e.Op] != nil {
				w.t.Fatalf("operation %d was released before its end", e.Op)
			}
			delete(w.gone, e.Op)
		default:
			w.send(e)
		}
	}
	if err := w.g.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

// any gives a request by its operation; those that a group makes for itself are made here.
func (w *world) any(id uint64) *request {
	if r := w.open[id]; r != nil {
		return r
	}
	if w.gone[id] == nil {
		w.gone[id] = &request{kind: opRepair}
	}
	return w.gone[id]
}

func (w *world) send(e Effect) {
	life, d := w.life, w.disks[e.To]
	var page content
	if e.Kind == SendWrite {
		page = w.any(e.Op).page
	}
	epoch := w.req.Epoch
	delay := time.Duration(w.rng.IntN(3)+1) * time.Millisecond
	answer := func(a Answer, after time.Duration, page content) {
		w.after(after, func() {
			if w.life == life {
				w.pages[e.ID] = page
				w.perform(w.g.Answered(w.now, e.ID, a, nil))
				delete(w.pages, e.ID)
			}
		})
	}
	lost := func() { // also when nobody is there: a call that is not answered in time
		answer(Answer{Err: wire.Errorf(wire.KindTimeout, "no answer of %s", e.To)}, 60*time.Millisecond, content{})
	}
	if d == nil || !d.up || w.cut[e.To] {
		if w.cut[e.To] {
			lost()
		} else {
			answer(Answer{Err: wire.Errorf(wire.KindUnavailable, "%s is down", e.To)}, delay, content{})
		}
		return
	}
	if w.faulty && w.rng.IntN(40) == 0 {
		delay += time.Duration(w.rng.IntN(300)) * time.Millisecond
	}
	copies := 1
	if w.faulty && w.rng.IntN(40) == 0 {
		copies = w.rng.IntN(3) // 0: lost
	}
	if copies == 0 {
		lost()
	}
	to := d.life
	for n := range copies {
		w.after(delay+time.Duration(n*w.rng.IntN(200))*time.Millisecond, func() {
			if d.life != to || w.cut[e.To] {
				if n == 0 {
					lost()
				}
				return
			}
			w.frail = w.frail && !w.sound()
			crash := w.faulty && !w.frail && e.Kind == SendWrite && w.rng.IntN(200) == 0
			a := d.serve(e, page, epoch, crash)
			if crash {
				d.stop()
				w.after(time.Duration(w.rng.IntN(200))*time.Millisecond, d.start)
				lost()
				return
			}
			if n > 0 {
				return
			}
			if w.faulty && w.rng.IntN(60) == 0 {
				lost() // the answer
				return
			}
			answer(a, time.Millisecond, d.read(e.Block).bytes)
		})
	}
}

// ended takes the end of an operation.
func (w *world) ended(r *request, err error) {
	if err != nil && (w.g.Over() != nil || r.kind == opAttach) {
		w.broken = err
		return
	}
	switch r.kind {
	case opRead:
		w.busy[r.block] = false
		if err != nil {
			w.checkLoss(err)
			return
		}
		w.reads++
		if r.page == w.is[r.block] {
			return
		}
		i := slices.Index(w.maybe[r.block], r.page)
		if i < 0 {
			w.t.Fatalf("block %d was read as %v, want %v", r.block, r.page, w.is[r.block])
		}
		w.is[r.block] = r.page // it came to light, and stays
		w.maybe[r.block] = w.maybe[r.block][i+1:]
	case opWrite:
		w.busy[r.block] = false
		if err != nil {
			w.maybe[r.block] = append(w.maybe[r.block], r.page)
			// A buffer cache keeps what it could not write and writes it again, with other bytes or the same.
			return
		}
		w.is[r.block], w.unsaved = r.page, true
		w.maybe[r.block] = nil
	case opMark:
		w.marked = err == nil
	case opFlush:
		if err == nil && r.gen == w.gen-1 {
			w.unsaved = len(w.open) > 0 && w.unsaved
		}
	}
}

// checkLoss accepts only errors of copies that cannot be reached: nothing here is beyond what the copies promise to survive.
func (w *world) checkLoss(err error) {
	if k := wire.KindOf(err); k != wire.KindUnavailable {
		w.t.Fatalf("a read ended with %v", err)
	}
}

// step begins an operation of the buffer cache.
func (w *world) step() {
	b := uint64(w.rng.IntN(len(w.is)))
	w.opID++
	switch n := w.rng.IntN(12); {
	case n == 0:
		for _, r := range w.open {
			if r.kind == opFlush || r.kind == opWrite || r.kind == opMark {
				return
			}
		}
		w.gen++
		w.marked = false
		w.open[w.opID] = &request{kind: opFlush, gen: w.gen - 1}
		w.perform(w.g.Flush(w.now, w.opID, w.gen-1, nil))
	case w.busy[b]:
	case n < 6:
		w.busy[b] = true
		w.open[w.opID] = &request{kind: opRead, block: b}
		w.perform(w.g.Read(w.now, w.opID, b, nil))
	case !w.marked:
		for _, r := range w.open {
			if r.kind == opMark || r.kind == opFlush {
				return
			}
		}
		w.open[w.opID] = &request{kind: opMark}
		w.perform(w.g.Mark(w.now, w.opID, w.gen, nil))
	default:
		for _, r := range w.open {
			if r.kind == opFlush {
				return
			}
		}
		r := &request{kind: opWrite, block: b, mask: 0xff}
		if w.rng.IntN(3) == 0 && len(w.maybe[b]) == 0 { // of a block that may be one or the other nobody can say what a part makes of it
			r.mask = uint8(w.rng.IntN(255) + 1)
		}
		r.page = w.is[b]
		for s := range r.page {
			if r.mask&(1<<s) != 0 {
				r.page[s] = w.rng.Uint32()
			} else {
				r.page[s] = 0 // to be taken from the copies
			}
		}
		w.busy[b] = true
		w.open[w.opID] = r
		w.perform(w.g.Write(w.now, w.opID, b, r.mask, nil))
	}
}

// sound reports whether every copy has everything and can be reached.
func (w *world) sound() bool {
	if w.broken != nil || !w.g.ready {
		return false
	}
	for _, s := range w.g.sites {
		if !s.attached || s.behind || s.need != needNone || !s.complete() || s.at.State.Fills() {
			return false
		}
	}
	for _, r := range w.req.Replicas {
		if !w.disks[r.Node].up {
			return false
		}
	}
	for _, m := range w.maybe {
		if len(m) > 0 {
			return false
		}
	}
	return w.whole() && !slices.Contains(w.busy, true)
}

// whole reports whether no copy has lost anything that it acknowledged, though it may not have been sent everything.
func (w *world) whole() bool {
	for _, s := range w.g.sites {
		if s.behind || s.need == needAll && s.at.State == wire.ReplicaInSync {
			return false
		}
	}
	for _, r := range w.req.Replicas {
		d := w.disks[r.Node]
		if d.gone || d.vol == nil || d.vol.Meta().Boot != (volume.BootID{d.boots}) { // restarted, and not attached since
			return false
		}
		for b, s := range d.synced {
			if _, over := d.cached[b]; !over && !s.whole() {
				return false
			}
		}
		for _, s := range d.cached {
			if !s.whole() {
				return false
			}
		}
	}
	return true
}

// fault has something fail. What loses bytes happens to one copy at a time, and only while all others are sound.
func (w *world) fault() {
	node := w.nodes[w.rng.IntN(len(w.nodes))]
	d := w.disks[node]
	later := time.Duration(w.rng.IntN(600)) * time.Millisecond
	switch w.rng.IntN(8) {
	case 0, 1:
		w.cut[node] = true
		w.after(later, func() { w.cut[node] = false })
	case 2, 3:
		if d.up {
			d.stop()
			w.after(later, func() {
				if !d.gone && !d.up {
					d.start()
				}
			})
		}
	case 4:
		if w.sound() {
			d.power(w.rng)
			w.after(later, func() {
				if !d.gone && !d.up {
					d.start()
				}
			})
		}
	case 5:
		if b := uint64(w.rng.IntN(len(w.is))); w.sound() {
			if s := d.read(b); s != (stored{}) {
				s.bytes[w.rng.IntN(8)] ^= 1
				if _, ok := d.cached[b]; ok {
					d.cached[b] = s
				} else {
					d.synced[b] = s
				}
			}
		}
	case 6:
		w.replace(node)
	case 7: // the buffer cache dies; another one begins
		if w.broken == nil && w.g.ready {
			for _, r := range w.open {
				if r.kind == opWrite && r.mask != 0xff {
					return // what it would make of the block is not known to this test
				}
			}
			for _, r := range w.open { // one a block: the order does not matter
				if r.kind == opWrite {
					w.maybe[r.block] = append(w.maybe[r.block], r.page)
				}
			}
			w.attach()
		}
	}
}

// replace has a copy filled that takes the place of another, which may be gone for good.
func (w *world) replace(node wire.NodeID) {
	i := slices.IndexFunc(w.req.Replicas, func(r wire.VolumeReplica) bool { return r.Node == node })
	if i < 0 || len(w.req.Replicas) > int(w.opt.Batch) || slices.ContainsFunc(w.req.Replicas, func(r wire.VolumeReplica) bool { return r.State != wire.ReplicaInSync }) {
		return
	}
	if w.rng.IntN(2) == 0 {
		w.remake(i, node)
		return
	}
	if w.rng.IntN(2) == 0 && w.sound() {
		w.disks[node].gone = true
		w.disks[node].stop()
	}
	fresh := wire.NodeID(fmt.Sprintf("s%d", len(w.nodes)+1))
	w.nodes = append(w.nodes, fresh)
	w.disks[fresh] = w.volumeOf(fresh)
	w.req.Replicas = slices.Clone(w.req.Replicas)
	w.req.Replicas[i].State = wire.ReplicaLeaving
	w.req.Replicas = append(w.req.Replicas, wire.VolumeReplica{Node: fresh, Member: 1, State: wire.ReplicaFilling})
	w.req.Config++
	w.perform(w.g.Configure(w.now, w.req, nil))
}

// remake has a copy made again where it was, if so many others have all that they acknowledged that a read may ask them. Perhaps what it
// ever acknowledged is gone, also what another copy lacks; its volume is made some time after the buffer cache knows.
func (w *world) remake(i int, node wire.NodeID) {
	others := 0
	for k, s := range w.g.sites {
		if k != i && s.attached && !s.behind {
			others++
		}
	}
	if others < int(w.req.ReadQuorum) || w.frail {
		return
	}
	if w.rng.IntN(2) == 0 && w.whole() {
		w.frail = true
		w.lose(node)
	}
	if w.tellRemade(node); w.disks[node].gone {
		w.after(time.Duration(w.rng.IntN(300))*time.Millisecond, func() { w.makeAgain(node) })
	}
}

// settleFill swaps a copy that was filled.
func (w *world) settleFill() {
	i := slices.IndexFunc(w.req.Replicas, func(r wire.VolumeReplica) bool {
		return r.State == wire.ReplicaLeaving || r.State == wire.ReplicaRemade
	})
	if s := w.g.Status(); i < 0 || s.Config != w.req.Config || !s.InSync || w.rng.IntN(3) == 0 {
		return
	}
	w.fills++
	w.req.Replicas = slices.Clone(w.req.Replicas)
	if last := len(w.req.Replicas) - 1; w.req.Replicas[i].State == wire.ReplicaRemade {
		w.remakes++
	} else {
		w.req.Replicas[i] = w.req.Replicas[last]
		w.req.Replicas = w.req.Replicas[:last]
	}
	w.req.Replicas[i].State = wire.ReplicaInSync
	w.req.Config++
	w.perform(w.g.Configure(w.now, w.req, nil))
}

// run goes on until the given time.
func (w *world) run(until time.Duration) {
	for len(w.q) > 0 && w.q[0].at <= until {
		e := heap.Pop(&w.q).(event)
		w.now = e.at
		e.do()
		if at, ok := w.g.Wake(); ok && at <= w.now {
			w.perform(w.g.Tick(w.now, nil))
		}
	}
	w.now = until
	w.perform(w.g.Tick(w.now, nil))
}

// TestWorld: reads return what was written last, whatever fails of what the copies promise to survive; when all is well again every
// copy has everything; and what was flushed survives the loss of every copy that may be lost at once.
func TestWorld(t *testing.T) {
	var total Stats
	fills, remakes, caches, lost, again := 0, 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 5))
		shape := [][3]int{{2, 2, 1}, {3, 2, 2}, {3, 2, 2}, {3, 3, 1}, {4, 3, 2}, {5, 3, 3}}[rng.IntN(6)]
		w := &world{t: t, rng: rng, opt: DefaultOptions(), disks: map[wire.NodeID]*disk{}, cut: map[wire.NodeID]bool{}, open: map[uint64]*request{}, gone: map[uint64]*request{},
			pages: map[uint64]content{}, is: make([]content, 1+rng.IntN(20))}
		w.opt.Patience, w.opt.Window, w.opt.Batch, w.opt.Missed, w.opt.Stragglers = 400*time.Millisecond, 1+rng.IntN(4), 1+rng.IntN(8), 1+rng.IntN(8), 1+rng.IntN(8)
		w.opt.ScrubEvery, w.opt.ScrubPause = time.Second, time.Millisecond
		w.busy = make([]bool, len(w.is))
		w.maybe = make([][]content, len(w.is))
		w.req = wire.VolumeAttachReq{Volume: 1, SizeBytes: uint64(len(w.is)) * wire.PageSize, Config: 1, WriteQuorum: uint8(shape[1]), ReadQuorum: uint8(shape[2]), Through: true}
		for i := range shape[0] {
			node := wire.NodeID(fmt.Sprintf("s%d", i+1))
			w.nodes = append(w.nodes, node)
			w.disks[node] = w.volumeOf(node)
			w.req.Replicas = append(w.req.Replicas, wire.VolumeReplica{Node: node, Member: 1, State: wire.ReplicaInSync})
		}
		if rng.IntN(16) == 0 {
			w.tapes = &tapedtest.Tapes{}
		}
		w.attach()
		w.faulty = true
		for range 60 {
			w.run(w.now + time.Duration(rng.IntN(20))*time.Millisecond)
			if w.broken != nil {
				if !errors.Is(w.broken, wire.ErrUnavailable) {
					t.Fatalf("the buffer cache failed: %v", w.broken)
				}
				w.attach()
			}
			if w.g.ready {
				w.step()
				w.settleFill()
			}
			if rng.IntN(6) == 0 && shape[0] > shape[1] {
				w.fault()
			}
		}
		// All heals: progress is demanded.
		w.faulty = false
		clear(w.cut)
		for _, n := range w.nodes {
			if d := w.disks[n]; !d.up && !d.gone {
				d.start()
			}
		}
		for k := 0; ; k++ {
			w.run(w.now + 200*time.Millisecond)
			if w.broken != nil {
				if !errors.Is(w.broken, wire.ErrUnavailable) {
					t.Fatalf("the buffer cache failed: %v", w.broken)
				}
				w.attach()
			}
			if w.g.ready {
				w.settleFill()
			}
			for b := range w.is { // as a buffer cache does that could not write
				if w.g.ready && !w.busy[b] && len(w.maybe[b]) > 0 {
					w.opID++
					w.busy[b] = true
					r := &request{kind: opWrite, block: uint64(b), mask: 0xff, page: content{w.rng.Uint32()}}
					w.open[w.opID] = r
					w.perform(w.g.Write(w.now, w.opID, uint64(b), 0xff, nil))
				}
			}
			if w.sound() && !slices.ContainsFunc(w.req.Replicas, func(r wire.VolumeReplica) bool { return r.State != wire.ReplicaInSync }) && len(w.open) == 0 {
				break
			}
			if k > 100 {
				t.Fatalf("after 20 s without faults: %+v, %d operations, %d messages under way, walk %+v\n%s", w.g.Status(), len(w.open), len(w.g.sends), w.g.walk, w.g.Show())
			}
		}
		w.opID++
		w.gen++
		w.open[w.opID] = &request{kind: opFlush, gen: w.gen - 1}
		w.perform(w.g.Flush(w.now, w.opID, w.gen-1, nil))
		w.run(w.now + time.Second)
		if len(w.open) > 0 || w.broken != nil {
			t.Fatalf("the flush has not ended: %v", w.broken)
		}
		// Machines lose power, and as many copies as may be are lost; another buffer cache reads everything.
		for i, r := range w.req.Replicas {
			w.disks[r.Node].power(rng)
			if i >= shape[0]-shape[1] || i >= shape[0]-max(shape[2], shape[0]/2+1) {
				w.disks[r.Node].start()
			} else {
				lost++
			}
		}
		total = sumOf(total, w.g.stats)
		w.attach()
		w.run(w.now + time.Second)
		for b := range w.is {
			w.opID++
			w.busy[b] = true
			w.open[w.opID] = &request{kind: opRead, block: uint64(b)}
			w.perform(w.g.Read(w.now, w.opID, uint64(b), nil))
		}
		was := w.reads
		w.run(w.now + time.Second)
		if w.broken != nil || w.reads-was != len(w.is) {
			t.Fatalf("after the loss of copies %d of %d blocks were read: %v\n%s", w.reads-was, len(w.is), w.broken, w.g.Show())
		}
		if w.tapes != nil {
			again++
			w.tapes.Again(t, rng, remake)
		}
		fills += w.fills
		remakes += w.remakes
		caches += w.life - 2
	})
	t.Logf("%+v; %d fills, %d of them made again, %d buffer caches died, %d copies lost at the end", total, fills, remakes, caches, lost)
	if total.WriteBacks == 0 || total.Repaired == 0 || total.Corrupt == 0 || total.CaughtUp == 0 || total.Missed == 0 || fills == remakes || remakes == 0 || caches == 0 || lost == 0 || again == 0 {
		t.Error("the worlds were too kind")
	}
}

func remake(_ string, head []byte) (taped.Core, error) {
	h, err := taped.Read[TapeHead](head)
	if err != nil {
		return nil, err
	}
	return h.New()
}

func sumOf(a, b Stats) Stats {
	a.Reads += b.Reads
	a.Writes += b.Writes
	a.Flushes += b.Flushes
	a.WriteBacks += b.WriteBacks
	a.Repaired += b.Repaired
	a.Corrupt += b.Corrupt
	a.Scrubs += b.Scrubs
	a.Waits += b.Waits
	a.Missed += b.Missed
	a.CaughtUp += b.CaughtUp
	a.Unrepaired += b.Unrepaired
	return a
}

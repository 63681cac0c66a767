package excache

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is everything round a cache that a compute component has, with every
// order of events open: threads that make accesses, an owner that holds pages and
// applies flushes by version, messages that are late, repeated and out of order,
// fills that fail, ranges that are unmapped. The bytes of a frame are one stamp.
// Whatever happens, an access must see the last write (law 3).
type world struct {
	t      rapid.TB
	c      *Cache
	draw   func(n int) int // a choice of 0..n-1
	pages  int
	frames []uint64 // the stamp in each frame

	want    map[uint64]uint64 // by page: the last write
	owner   map[uint64]uint64 // by page: what the owner has
	version map[uint64]uint64 // by page: the flush that the owner applied last
	stamps  uint64

	flushes []sentFlush // ordered and not acknowledged
	applied []sentFlush // acknowledged: the network may bring them once more
	fills   []fill
	threads []thread
	cursor  uint32 // of a final write-back under way

	count Stats // counted from outside
}

type sentFlush struct {
	FlushOrder
	stamp   uint64 // what the frame held when it was ordered
	applied bool
}

type fill struct {
	line    uint32
	frame   uint32
	page    uint64
	waitFor uint64 // the flush that comes first; 0 = none
}

// thread is in the middle of an access if it has one.
type thread struct {
	busy    bool
	page    uint64
	write   bool
	pinned  bool // on line, with the fill in flight or ended
	line    uint32
	failed  bool   // the fill that it waited for has failed
	stallOn uint64 // waits for this flush; 0 = none
}

// poison marks a frame whose bytes nobody may use.
const poison = ^uint64(0)

func newWorld(t rapid.TB, o Options, threads, pages int, draw func(int) int) *world {
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, c: c, draw: draw, pages: pages,
		frames:  make([]uint64, c.Frames()),
		want:    map[uint64]uint64{},
		owner:   map[uint64]uint64{},
		version: map[uint64]uint64{},
		threads: make([]thread, threads),
	}
}

// step makes one random event happen, if it can.
func (w *world) step() {
	switch w.draw(16) {
	case 0, 1, 2, 3, 4, 5:
		w.run(w.draw(len(w.threads)))
	case 6, 7, 8:
		w.endFill(w.draw(8) == 0)
	case 9, 10:
		w.applyFlush()
	case 11, 12:
		w.ackFlush()
	case 13:
		w.repeatFlush()
	case 14:
		if w.draw(4) == 0 {
			w.unmap()
		}
	case 15:
		if w.draw(4) == 0 {
			w.writeBack()
		}
	}
	w.check()
}

func (w *world) check() {
	if err := w.c.CheckInvariants(); err != nil {
		w.t.Fatalf("%v", err)
	}
	got := w.c.Stats()
	if got != w.count {
		w.t.Fatalf("the cache counts %+v, the world %+v", got, w.count)
	}
	if n := w.c.Flushing(); n != len(w.flushes) {
		w.t.Fatalf("%d flushes pending, the world waits for %d", n, len(w.flushes))
	}
}

// run lets a thread go on as far as it can: it is the loop of the package
// documentation, cut where it waits.
func (w *world) run(i int) {
	th := &w.threads[i]
	if !th.busy {
		*th = thread{busy: true, page: uint64(w.draw(w.pages)), write: w.draw(2) == 0}
	}
	switch {
	case th.failed: // the fill was given up: this access ends in an error
		*th = thread{}
		return
	case th.pinned:
		if w.c.Valid(th.line) {
			if p := w.c.Page(th.line); p != th.page {
				w.t.Fatalf("line %d pinned for page %d holds page %d", th.line, th.page, p)
			}
			w.use(th, w.c.Complete(th.line, th.write))
		}
		return
	case th.stallOn != 0 && w.waiting(th.stallOn):
		return
	}
	th.stallOn = 0
	if frame, ok := w.c.Hit(th.page, th.write); ok {
		w.count.Hits++
		w.countAccess(th)
		w.use(th, frame)
		return
	}
	before := w.c.Stats()
	m := w.c.Miss(th.page, th.write)
	switch m.Kind {
	case StallFlush, StallLine:
		if after := w.c.Stats(); after != before || m.HasFlush || m.Evicted {
			w.t.Fatalf("a stall counted or evicted: %+v, %+v before, %+v after", m, before, after)
		}
		if m.Kind == StallFlush && !w.waiting(m.StallOn) {
			w.t.Fatalf("page %d waits for flush %d, which is not pending", th.page, m.StallOn)
		}
		if own, ok := w.c.PendingFlush(th.page); m.Kind == StallFlush && len(w.flushes) < w.c.Options().FlushFrames && (!ok || own.ID != m.StallOn) {
			w.t.Fatalf("page %d waits for flush %d, its own is %+v, %t, and there is room for more", th.page, m.StallOn, own, ok)
		}
		th.stallOn = m.StallOn
		return
	case MissPresent:
		w.t.Fatalf("page %d is present after Hit said no", th.page)
	}
	w.countAccess(th)
	w.count.Misses++
	count(&w.count.Evictions, m.Evicted)
	if m.HasFlush {
		if m.Flush.Page != m.EvictedPage {
			w.t.Fatalf("page %d was evicted and page %d is flushed", m.EvictedPage, m.Flush.Page)
		}
		w.count.Flushes++
		w.send(m.Flush)
	}
	th.pinned, th.line = true, m.Line
	switch m.Kind {
	case MissFill:
		w.noFlushReads(m.Frame)
		w.frames[m.Frame] = poison
		f := fill{line: m.Line, frame: m.Frame, page: th.page}
		if m.HasFlush && m.Flush.MustAckFirst {
			f.waitFor = m.Flush.ID
		}
		w.fills = append(w.fills, f)
		// p-local as the fault protocol has it: the owner has nothing of the page.
		_, there := w.owner[th.page]
		w.c.CountFill(m.Line, !there)
		count(&w.count.PLocal, !there)
		count(&w.count.Fetches, there)
	case MissCoalesced:
		w.count.Coalesced++
		if !slices.ContainsFunc(w.fills, func(f fill) bool { return f.line == m.Line && f.page == th.page }) {
			w.t.Fatalf("page %d coalesced on line %d, which nobody fills with it", th.page, m.Line)
		}
	case MissTakeBack:
		w.count.VictimHits++
		if m.Copy {
			w.noFlushReads(m.Frame)
			w.frames[m.Frame] = w.frames[m.CopyFrom]
		}
		w.noFlushReads(m.Frame)
		if w.frames[m.Frame] != w.want[th.page] {
			w.t.Fatalf("page %d taken back with stamp %d, want %d", th.page, w.frames[m.Frame], w.want[th.page])
		}
	}
}

// noFlushReads: a frame that will be written must not be read by a flush.
func (w *world) noFlushReads(frame uint32) {
	for _, f := range w.flushes {
		if f.Frame == frame {
			w.t.Fatalf("frame %d is used again while flush %d of page %d reads it", frame, f.ID, f.Page)
		}
	}
}

func (w *world) countAccess(th *thread) {
	w.count.Accesses++
	count(&w.count.Reads, !th.write)
	count(&w.count.Writes, th.write)
}

// use is the access itself.
func (w *world) use(th *thread, frame uint32) {
	if got := w.frames[frame]; got != w.want[th.page] {
		w.t.Fatalf("page %d in frame %d has stamp %d, want %d", th.page, frame, got, w.want[th.page])
	}
	if th.write {
		w.noFlushReads(frame)
		w.stamps++
		w.frames[frame], w.want[th.page] = w.stamps, w.stamps
	}
	*th = thread{}
}

func (w *world) waiting(id uint64) bool {
	return slices.ContainsFunc(w.flushes, func(f sentFlush) bool { return f.ID == id })
}

func (w *world) send(o FlushOrder) {
	for _, f := range w.flushes {
		if o.ID <= f.ID || o.Frame == f.Frame {
			w.t.Fatalf("flush %+v was ordered after %+v", o, f)
		}
	}
	if w.frames[o.Frame] == poison {
		w.t.Fatalf("flush %+v sends a frame that was never filled", o)
	}
	w.flushes = append(w.flushes, sentFlush{FlushOrder: o, stamp: w.frames[o.Frame]})
	if p, ok := w.c.PendingFlush(o.Page); !ok || p != o {
		w.t.Fatalf("flush %+v was ordered, the newest of its page is %+v, %t", o, p, ok)
	}
}

// endFill ends one fill that may end.
func (w *world) endFill(fail bool) {
	if len(w.fills) == 0 {
		return
	}
	at := w.draw(len(w.fills))
	f := w.fills[at]
	if f.waitFor != 0 && w.waiting(f.waitFor) {
		return
	}
	w.fills = slices.Delete(w.fills, at, at+1)
	if !fail {
		w.frames[f.frame] = w.owner[f.page]
		w.c.Filled(f.line)
		return
	}
	w.c.FillFailed(f.line)
	for i := range w.threads {
		if th := &w.threads[i]; th.pinned && th.line == f.line {
			w.c.Unpin(th.line)
			*th = thread{busy: true, failed: true}
		}
	}
}

// apply is what the owner does with a flush: only what is newer counts.
func (w *world) apply(f sentFlush) {
	if w.version[f.Page] < f.ID {
		w.version[f.Page], w.owner[f.Page] = f.ID, f.stamp
	}
}

func (w *world) applyFlush() {
	if len(w.flushes) == 0 {
		return
	}
	f := &w.flushes[w.draw(len(w.flushes))]
	if w.frames[f.Frame] != f.stamp {
		w.t.Fatalf("the frame of flush %d changed from %d to %d before its acknowledgement", f.ID, f.stamp, w.frames[f.Frame])
	}
	w.apply(*f)
	f.applied = true
}

func (w *world) ackFlush() {
	if len(w.flushes) == 0 {
		return
	}
	if at := w.draw(len(w.flushes)); w.flushes[at].applied {
		w.ack(at)
	}
}

func (w *world) ack(at int) {
	f := w.flushes[at]
	w.flushes = slices.Delete(w.flushes, at, at+1)
	w.applied = append(w.applied, f)
	w.c.FlushAcked(f.ID)
}

// repeatFlush: the network brings an old flush, or an old acknowledgement, again.
func (w *world) repeatFlush() {
	if len(w.applied) == 0 {
		return
	}
	f := w.applied[w.draw(len(w.applied))]
	w.apply(f)
	w.c.FlushAcked(f.ID)
}

// unmap drops a range as munmap does, when nothing of it is under way.
func (w *world) unmap() {
	first := uint64(w.draw(w.pages))
	last := first + uint64(w.draw(w.pages))
	if w.draw(4) == 0 {
		last = ^uint64(0) // to the end of everything
	}
	inRange := func(page uint64) bool { return first <= page && page <= last }
	order, pending := w.c.PendingIn(first, last)
	if i := slices.IndexFunc(w.flushes, func(f sentFlush) bool { return inRange(f.Page) }); pending != (i >= 0) || pending && order != w.flushes[i].FlushOrder {
		w.t.Fatalf("PendingIn(%d, %d) = %+v, %t, the world waits for %+v", first, last, order, pending, w.flushes)
	}
	pinned := slices.ContainsFunc(w.threads, func(th thread) bool { return th.pinned && inRange(th.page) })
	if got := w.c.PinnedIn(first, last); got != pinned {
		w.t.Fatalf("PinnedIn(%d, %d) = %t, the threads say %t", first, last, got, pinned)
	}
	if pending || pinned {
		return
	}
	previous, any := uint64(0), false
	w.c.Drop(first, last, func(page uint64) {
		if !inRange(page) || any && page <= previous {
			w.t.Fatalf("Drop(%d, %d) visits page %d after %d", first, last, page, previous)
		}
		previous, any = page, true
	})
	for page := range uint64(w.pages) {
		if inRange(page) {
			delete(w.want, page)
			delete(w.owner, page)
		}
	}
}

// writeBack makes one step of a final write-back.
func (w *world) writeBack() WritebackKind {
	b := w.c.NextDirty(w.cursor)
	w.cursor = b.Next
	switch b.Kind {
	case WritebackFlush:
		w.count.FinalFlushes++
		w.send(b.Flush)
	case WritebackStallFlush:
		if !w.waiting(b.StallOn) {
			w.t.Fatalf("the write-back waits for flush %d, which is not pending", b.StallOn)
		}
	case WritebackDone:
		w.cursor = 0
	}
	return b.Kind
}

// heal ends everything that is under way, within a bound, writes back what is
// dirty, and demands that the owner then has the last write of every page.
func (w *world) heal() {
	rounds := 0
	settle := func(done func() bool) {
		for ; !done(); rounds++ {
			if rounds > 1000*(1+len(w.threads)) {
				w.t.Fatalf("no progress: threads %+v, fills %+v, flushes %+v", w.threads, w.fills, w.flushes)
			}
			w.endFill(false)
			for i := range w.flushes {
				w.apply(w.flushes[i])
			}
			for len(w.flushes) > 0 {
				w.ack(0)
			}
			for i := range w.threads {
				if w.threads[i].busy {
					w.run(i)
				}
			}
			w.check()
		}
	}
	settle(func() bool {
		return len(w.fills) == 0 && !slices.ContainsFunc(w.threads, func(th thread) bool { return th.busy })
	})
	w.cursor = 0
	settle(func() bool { return w.writeBack() == WritebackDone })
	settle(func() bool { return len(w.flushes) == 0 })
	for page := range uint64(w.pages) {
		if w.owner[page] != w.want[page] {
			w.t.Fatalf("after the final write-back the owner has %d of page %d, want %d", w.owner[page], page, w.want[page])
		}
	}
	if b := w.c.NextDirty(0); b.Kind != WritebackDone {
		w.t.Fatalf("after the final write-back: %+v", b)
	}
	s := w.c.Stats()
	if s.Misses != s.PLocal+s.Fetches+s.Coalesced+s.VictimHits || s.Accesses != s.Hits+s.Misses {
		w.t.Fatalf("the counts do not add up: %+v", s)
	}
}

// drawWorld draws a small cache and its surroundings, crowded enough that lines,
// flushing frames and pages are fought for.
func drawWorld(t rapid.TB, name, mechanism string, draw func(n int) int) *world {
	o := DefaultOptions()
	o.Policy, o.Mechanism = name, mechanism
	o.Ways = 1 + draw(5)
	o.Lines = o.Ways << draw(3)
	o.SweepEvery = 1 + draw(20)
	o.VictimLines = 1 + draw(4)
	o.FlushFrames = 1 + draw(6)
	return newWorld(t, o, 1+draw(6), o.Lines+1+draw(o.Lines+4), draw)
}

// TestManyThreads runs random worlds for every policy and mechanism. The seed of a
// world is in the name of its test.
func TestManyThreads(t *testing.T) {
	const worlds, events = 100, 600
	for _, name := range policyNames() {
		for _, mechanism := range Mechanisms() {
			for seed := range few(name, worlds) {
				t.Run(fmt.Sprintf("%s/%s/%d", name, mechanism, seed), func(t *testing.T) {
					w := drawWorld(t, name, mechanism, rand.New(rand.NewPCG(seed, 0)).IntN)
					for range events {
						w.step()
					}
					w.heal()
				})
			}
		}
	}
}

// FuzzWorld lets the fuzzer choose the cache and every event.
func FuzzWorld(f *testing.F) {
	names := policyNames()
	for kind := range byte(3 * len(names)) {
		rng := rand.New(rand.NewPCG(uint64(kind), 0))
		choices := make([]byte, 1000)
		for i := range choices {
			choices[i] = byte(rng.Uint32())
		}
		choices[0], choices[1] = kind, kind // the policy, and the mechanism mod 3
		f.Add(choices)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The data are the choices; when they are used up the world heals.
		draw := func(n int) int {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int(b) % n
		}
		w := drawWorld(t, names[draw(len(names))], Mechanisms()[draw(3)], draw)
		for steps := 0; len(data) > 0 && steps < 2000; steps++ {
			w.step()
		}
		w.heal()
	})
}

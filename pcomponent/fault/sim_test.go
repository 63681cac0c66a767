package fault

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/prefetch"
)

// content is what a page holds in this world: which page it is and which write was the last.
type content struct {
	page    wire.PageNo
	version uint64
}

// message is on its way to an owner (reply false) or back.
type message struct {
	fetch  bool
	ahead  uint64 // of a prefetch, which is a fetch: its id
	thread int
	page   wire.PageNo
	frame  uint32
	id     uint64  // of a flush
	data   content // of a flush, or of the reply to a fetch
	before content // of a flush that was applied: what it replaced
	was    uint64  // and its version
	owner  wire.NodeID
	epoch  wire.Epoch
	reply  bool
	err    *wire.Error
}

// world is a shell whose messages arrive in any order, are lost, or are answered twice, all from one seed.
type world struct {
	t       *rapid.T
	rng     *rand.Rand
	core    *Taped
	tape    *heldTape
	now     time.Duration
	frames  []content
	store   map[wire.PageNo]content // at the owners
	applied map[wire.PageNo]uint64  // newest flush that an owner applied
	owner   map[wire.RegionNo]wire.Owner
	wire    []message
	blocked []bool
	access  []struct {
		page  wire.PageNo
		write bool
	}
	want    map[wire.PageNo]uint64
	asked   []wire.PageNo
	failed  error
	lossy   bool
	ends    int
	handled int
	brought map[uint64]wire.PageNo // prefetched, by id; nil: not kept
}

// perform does as a shell must: whatever moves bytes or sends comes first, in order, then the threads go on.
func (w *world) perform(out []Effect) {
	for len(out) > 0 {
		var threads []Effect
		for _, e := range out {
			switch e.Kind {
			case Zero:
				w.frames[e.Frame] = content{}
			case Copy:
				w.frames[e.Frame] = w.frames[e.From]
			case Fetch:
				w.wire = append(w.wire, message{fetch: true, thread: e.Thread, page: e.Page, frame: e.Frame, owner: e.Owner.Node, epoch: e.Owner.Epoch})
				if e.Piggyback {
					w.wire = append(w.wire, message{page: e.Flush.Page, id: e.Flush.ID, data: w.frames[e.Flush.Frame], owner: e.Owner.Node, epoch: e.FlushEpoch})
				}
			case Prefetch:
				if w.brought != nil {
					w.brought[e.On] = e.Page
				}
				w.wire = append(w.wire, message{fetch: true, ahead: e.On, thread: e.Thread, page: e.Page, frame: e.Frame, owner: e.Owner.Node, epoch: e.Owner.Epoch})
			case Write:
				w.wire = append(w.wire, message{page: e.Flush.Page, id: e.Flush.ID, data: w.frames[e.Flush.Frame], owner: e.Owner.Node, epoch: e.Owner.Epoch})
			case AskOwner:
				w.asked = append(w.asked, e.Page)
			case Park:
				w.blocked[e.Thread] = true
			case Fail:
				w.failed = e.Err
			case Done, Retry:
				threads = append(threads, e)
			}
		}
		out = nil
		for _, e := range threads {
			w.blocked[e.Thread] = false
			if e.Kind == Retry {
				w.perform(w.begin(e.Thread))
				continue
			}
			frame, more := w.core.Finish(e.Thread, nil)
			w.touch(e.Thread, frame)
			out = append(out, more...)
		}
	}
	if err := w.core.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

// touch performs an access and checks what is there.
func (w *world) touch(t int, frame uint32) {
	a := w.access[t]
	got, want := w.frames[frame], content{}
	if v := w.want[a.page]; v > 0 {
		want = content{a.page, v}
	}
	if got != want {
		w.t.Fatalf("thread %d finds %+v at page %d, want %+v", t, got, a.page, want)
	}
	if a.write {
		w.want[a.page]++
		w.frames[frame] = content{a.page, w.want[a.page]}
	}
	w.ends++
}

// begin starts thread t's access, or starts it anew.
func (w *world) begin(t int) []Effect {
	a := w.access[t]
	w.core.Run(t)
	if frame, ok := w.core.Hit(a.page, a.write); ok {
		w.tape.hits = append(w.tape.hits, hit{t, a.page, a.write})
		w.touch(t, frame)
		return nil
	}
	w.blocked[t] = true
	return w.core.Fault(w.now, t, a.page, a.write, nil)
}

// deliver takes one message, whichever, a step further.
func (w *world) deliver() {
	i := w.rng.IntN(len(w.wire))
	m := w.wire[i]
	w.wire = append(w.wire[:i], w.wire[i+1:]...)
	if m.reply {
		w.handled++
		if m.fetch {
			if m.err == nil {
				w.frames[m.frame] = m.data
			}
			if m.ahead != 0 {
				w.perform(w.core.Prefetched(w.now, m.ahead, m.err, nil))
				return
			}
			w.perform(w.core.Fetched(w.now, m.thread, m.err, nil))
		} else {
			w.perform(w.core.FlushDone(w.now, m.id, m.err, nil))
		}
		return
	}
	m.reply = true
	lost := w.lossy && w.rng.IntN(8) == 0
	switch {
	case lost && w.rng.IntN(2) == 0: // before it arrived
		m.err = wire.ErrUnavailable
	case w.owner[w.core.Region(m.page)].Node != m.owner || w.owner[w.core.Region(m.page)].Epoch != m.epoch:
		m.err = wire.ErrNotOwner
	default:
		if m.fetch {
			m.data = w.store[m.page]
		} else if m.id > w.applied[m.page] {
			m.before, m.was = w.store[m.page], w.applied[m.page]
			w.applied[m.page], w.store[m.page] = m.id, m.data
		}
		if lost { // after it was applied
			m.err = wire.ErrTimeout
		}
	}
	w.wire = append(w.wire, m)
}

// moved tells the process of a new owner. What older owners answered and is still on its way is void: pages that come are
// wrong, and flushes that they acknowledge did not go along.
func (w *world) moved(r wire.RegionNo) {
	for i := range w.wire {
		m := &w.wire[i]
		switch {
		case w.core.Region(m.page) != r || !m.reply:
		case m.fetch:
			m.data = content{page: m.page, version: 1 << 40}
		case m.err == nil && m.was < w.applied[m.page] && m.id == w.applied[m.page]:
			w.store[m.page], w.applied[m.page] = m.before, m.was
		}
	}
	w.perform(w.core.OwnerMoved(w.now, w.owner[r], nil))
}

// step lets something happen that is not a thread's own doing; false if nothing is left.
func (w *world) step() bool {
	switch {
	case len(w.asked) > 0 && w.rng.IntN(2) == 0:
		p := w.asked[0]
		w.asked = w.asked[1:]
		w.perform(w.core.OwnerKnown(w.now, p, w.owner[w.core.Region(p)], nil, nil))
	case len(w.wire) > 0:
		w.deliver()
	case w.core.Pausing() || len(w.asked) > 0:
		w.now += 50 * time.Millisecond
		w.perform(w.core.Tick(w.now, nil))
	default:
		return false
	}
	return true
}

// TestNoPageIsWrong drives random threads over few lines while messages are delayed, reordered and lost and owners
// change: every access must find the last write, every access must end, and the owners must hold all of it at the end.
func TestNoPageIsWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := excache.DefaultOptions()
		o.Ways = rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "ways")
		o.Lines = rapid.SampledFrom([]int{2, 4, 8}).Draw(t, "lines")
		o.Policy = rapid.SampledFrom([]string{"lru", "fifo", "clock", "random", "lru-sweep"}).Draw(t, "policy")
		o.Mechanism = rapid.SampledFrom(excache.Mechanisms()).Draw(t, "mechanism")
		o.FlushFrames = rapid.IntRange(1, 4).Draw(t, "flush_frames")
		o.VictimLines = rapid.IntRange(1, 3).Draw(t, "victim_lines")
		o.SweepEvery = 5
		o.Prefetcher = rapid.SampledFrom(append(prefetch.Names(), prefetch.None)).Draw(t, "prefetcher")
		o.PrefetchDegree, o.PrefetchInFlight = rapid.IntRange(1, 8).Draw(t, "degree"), rapid.IntRange(1, 8).Draw(t, "in_flight")
		near := rapid.Bool().Draw(t, "near")
		threads := rapid.IntRange(1, 4).Draw(t, "threads")
		cache, err := excache.New(o)
		if err != nil {
			t.Fatal(err)
		}
		fo := DefaultOptions()
		fo.RegionBytes, fo.Threads = 8*wire.PageSize, threads
		fo.Piggyback = rapid.Bool().Draw(t, "piggyback")
		fo.PatienceMS = MaxPatienceMS
		plain, err := New(fo, cache)
		if err != nil {
			t.Fatal(err)
		}
		core, held := &Taped{Core: plain}, &heldTape{every: rapid.IntRange(1, 200).Draw(t, "records between states")}
		core.Record(held)
		seed := rapid.Uint64().Draw(t, "seed")
		w := &world{
			t: t, rng: rand.New(rand.NewPCG(seed, 1)), core: core, tape: held, frames: make([]content, cache.Frames()), store: map[wire.PageNo]content{},
			applied: map[wire.PageNo]uint64{}, owner: map[wire.RegionNo]wire.Owner{}, blocked: make([]bool, threads), want: map[wire.PageNo]uint64{},
			lossy: rapid.Bool().Draw(t, "lossy"),
		}
		w.access = make([]struct {
			page  wire.PageNo
			write bool
		}, threads)
		const pages = 32
		for r := range wire.RegionNo(pages / 8) {
			w.owner[r] = wire.Owner{Region: r, Node: wire.NodeID(fmt.Sprintf("m%d", r%2)), Epoch: 1}
		}
		owners := core.Owners()
		for r := range wire.RegionNo(pages / 8) {
			owners = append(owners, w.owner[r])
		}
		core.Map(0, pages/2-1, true, owners)
		core.Map(pages/2, pages-1, false, nil)

		steps := rapid.IntRange(1, 300).Draw(t, "steps")
		accesses := 0
		for range steps {
			th := w.rng.IntN(threads)
			if !w.blocked[th] {
				if near && w.rng.IntN(8) > 0 { // else a stream begins
					w.access[th].page = (w.access[th].page + 1) % pages
				} else {
					w.access[th].page = wire.PageNo(w.rng.IntN(pages))
				}
				w.access[th].write = w.rng.IntN(2) == 0
				accesses++
				w.perform(w.begin(th))
			} else {
				w.step()
			}
			if w.lossy && w.rng.IntN(40) == 0 { // a vRegion moves
				r := wire.RegionNo(w.rng.IntN(pages / 8))
				x := w.owner[r]
				x.Node, x.Epoch = wire.NodeID(fmt.Sprintf("m%d", w.rng.IntN(3))), x.Epoch+1
				w.owner[r] = x
				if w.rng.IntN(2) == 0 {
					w.moved(r)
				}
			}
		}
		for w.step() {
		}
		for th := range threads {
			if w.blocked[th] {
				t.Fatalf("thread %d never went on: page %d", th, w.access[th].page)
			}
		}
		for i := 0; !core.Drained(); i++ {
			w.perform(core.Drain(w.now, nil))
			if !w.step() && !core.Drained() || i > 10000 {
				t.Fatal("the final write-back does not end")
			}
		}
		if w.failed != nil {
			t.Fatalf("the process failed: %v", w.failed)
		}
		if w.ends != accesses {
			t.Fatalf("%d accesses ended, %d were begun", w.ends, accesses)
		}
		for p := range wire.PageNo(pages) {
			if v := w.want[p]; v > 0 && w.store[p] != (content{p, v}) {
				t.Fatalf("page %d: the owner holds %+v, want version %d", p, w.store[p], v)
			}
		}
		s := cache.Stats()
		if s.Accesses != uint64(accesses) || s.Accesses != s.Hits+s.Misses || s.Misses != s.PLocal+s.Fetches+s.Coalesced+s.VictimHits {
			t.Fatalf("%d accesses were made: %+v", accesses, s)
		}
		if s.PrefetchIssued != s.PrefetchUseful+s.PrefetchWasted+s.PrefetchDropped+cache.Fresh() || o.Prefetcher == prefetch.None && s.PrefetchIssued > 0 {
			t.Fatalf("%s: %+v", o.Prefetcher, s)
		}
		core.End()
		held.again(t, core, fo, o)
	})
}

// hit is an access that hit, of which the tape has only the number.
type hit struct {
	thread int
	page   wire.PageNo
	write  bool
}

// heldTape keeps the records of a core, and its state behind each every-th.
type heldTape struct {
	every   int
	hits    []hit
	records [][]byte
	states  []heldState
	ended   bool
}

type heldState struct {
	records, hits int // before it
	state         []byte
}

func (h *heldTape) Record(b []byte) bool {
	h.records = append(h.records, bytes.Clone(b))
	return len(h.records)%h.every == 0
}

func (h *heldTape) State(b []byte) {
	h.states = append(h.states, heldState{len(h.records), len(h.hits), bytes.Clone(b)})
}

func (h *heldTape) End() { h.ended = true }

// again goes on from each of the last states with a core of its own: the effects are those of the tape until its end, and so are the states
// on the way and the last. The same from the beginning.
func (h *heldTape) again(t *rapid.T, live *Taped, fo Options, xo excache.Options) {
	if !h.ended {
		t.Fatal("the tape was not told that it ended")
	}
	begins := append([]heldState{{}}, h.states[max(0, len(h.states)-4):]...)
	for _, from := range begins {
		head := TapeHead{Options: fo, ExCache: xo}
		core, err := head.New()
		if err != nil {
			t.Fatal(err)
		}
		at := TapeState{Made: make([]uint64, fo.Threads)}
		if from.state != nil {
			if err := at.Read(from.state, core); err != nil {
				t.Fatalf("behind record %d: %v", from.records, err)
			}
			if got := at.Append(nil, core); !bytes.Equal(got, from.state) {
				t.Fatalf("behind record %d: restored\n%x, recorded\n%x", from.records, got, from.state)
			}
			for n := range from.state {
				if c, _ := head.New(); new(TapeState).Read(from.state[:n], c) == nil {
					t.Fatalf("%d of %d bytes of a state are restored", n, len(from.state))
				}
			}
		}
		hits, states := h.hits[from.hits:], h.states
		for len(states) > 0 && states[0].records <= from.records {
			states = states[1:]
		}
		for n, b := range h.records[from.records:] {
			n += from.records + 1
			var in Input
			if err := in.Read(b, fo.Threads, at.Last); err != nil {
				t.Fatal(err)
			}
			if in.ByRunning() {
				at.Runs = in.Thread
			}
			for range in.Hits {
				if hits[0].thread != at.Runs {
					t.Fatalf("record %d: thread %d runs, and %d hit", n, at.Runs, hits[0].thread)
				}
				if _, ok := core.Hit(hits[0].page, hits[0].write); !ok {
					t.Fatalf("record %d: %+v misses", n, hits[0])
				}
				hits = hits[1:]
				at.Made[at.Runs]++
			}
			got, _, err := core.Apply(&in)
			if err != nil || got.Sum != in.Sum || fmt.Sprint(got.Effects) != fmt.Sprint(in.Effects) {
				t.Fatalf("from record %d: record %d, %v: %v %x, want %v %x; %v", from.records, n, &in, got.Effects, got.Sum, in.Effects, in.Sum, err)
			}
			switch in.Kind {
			case InRun:
				at.Runs = in.Thread
			case InFinish:
				at.Made[in.Thread]++
			}
			if in.Timed() {
				at.Last = in.Now
			}
			if len(states) > 0 && states[0].records == n {
				if got := at.Append(nil, core); !bytes.Equal(got, states[0].state) {
					t.Fatalf("from record %d: at record %d the state is\n%x, recorded\n%x", from.records, n, got, states[0].state)
				}
				states = states[1:]
			}
		}
		if len(hits) > 0 || !bytes.Equal(core.AppendState(nil), live.AppendState(nil)) {
			t.Fatalf("from record %d: at the end there are %d hits left, or another state", from.records, len(hits))
		}
	}
}

// FuzzState restores any bytes: an error, or a core that is sound and goes on.
func FuzzState(f *testing.F) {
	head := TapeHead{Options: DefaultOptions(), ExCache: excache.DefaultOptions()}
	head.Options.RegionBytes, head.Options.Threads = 1<<20, 2
	head.ExCache.Lines, head.ExCache.Ways, head.ExCache.FlushFrames = 4, 2, 2
	for i, m := range excache.Mechanisms() {
		head.ExCache.Mechanism, head.ExCache.Policy, head.ExCache.Prefetcher = m, []string{"random", "lru-sweep", "lru"}[i], []string{"none", "next-n", "leap"}[i]
		c, err := head.New()
		if err != nil {
			f.Fatal(err)
		}
		c.Map(0, 511, false, []wire.Owner{{Region: 0, Node: "m1", Epoch: 1}, {Region: 1, Node: "m2", Epoch: 1}})
		for p := range wire.PageNo(6) {
			for _, e := range c.Fault(0, 0, p*60, true, nil) {
				if e.Kind == Write {
					c.FlushDone(1, e.Flush.ID, wire.ErrUnavailable, nil)
				}
			}
			if c.threads[0].state != fetching {
				break
			}
			c.Fetched(2, 0, nil, nil)
			c.Finish(0, nil)
		}
		at := TapeState{Made: make([]uint64, 2)}
		f.Add(at.Append(nil, c), uint8(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) {
		head := head
		head.ExCache.Mechanism = excache.Mechanisms()[kind%3]
		head.ExCache.Policy, head.ExCache.Prefetcher = []string{"random", "lru-sweep", "lru"}[kind%3], []string{"none", "next-n", "leap"}[kind%3]
		c, err := head.New()
		if err != nil {
			t.Fatal(err)
		}
		var at TapeState
		if at.Read(b, c) != nil {
			return
		}
		if err := c.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		_ = c.Show()
		again, err := head.New()
		if err != nil {
			t.Fatal(err)
		}
		if err := at.Read(at.Append(nil, c), again); err != nil || !bytes.Equal(again.AppendState(nil), c.AppendState(nil)) {
			t.Fatalf("%v, or another state", err)
		}
	})
}

func newCore(t *testing.T, lines, threads int) *Core {
	t.Helper()
	o := excache.DefaultOptions()
	o.Lines, o.Ways = lines, 0
	cache, err := excache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	fo := DefaultOptions()
	fo.RegionBytes, fo.Threads, fo.PatienceMS = 1<<20, threads, 1000
	c, err := New(fo, cache)
	if err != nil {
		t.Fatal(err)
	}
	c.Map(0, 255, true, []wire.Owner{{Region: 0, Node: "m1", Epoch: 1}})
	c.Map(256, 511, false, []wire.Owner{{Region: 1, Node: "m2", Epoch: 1}})
	return c
}

func kinds(out []Effect) (ks []EffectKind) {
	for _, e := range out {
		ks = append(ks, e.Kind)
	}
	return ks
}

func want(t *testing.T, out []Effect, ks ...EffectKind) {
	t.Helper()
	if fmt.Sprint(kinds(out)) != fmt.Sprint(ks) {
		t.Fatalf("effects %v, want %v", kinds(out), ks)
	}
}

func TestUnmappedAddressFailsTheProcess(t *testing.T) {
	c := newCore(t, 2, 1)
	out := c.Fault(0, 0, 4096, false, nil)
	want(t, out, Fail)
	if out[0].Err.Kind != wire.KindUnmapped || c.Err() == nil {
		t.Fatalf("failed with %v", out[0].Err)
	}
	want(t, c.Fault(0, 0, 1, false, nil), Fail)
}

func TestPatienceEndsRetries(t *testing.T) {
	c := newCore(t, 2, 1)
	want(t, c.Fault(0, 0, 300, false, nil), Fetch)
	now, tries := time.Duration(0), 0
	for c.Err() == nil {
		out := c.Fetched(now, 0, wire.ErrUnavailable, nil)
		if c.Err() != nil {
			want(t, out, Fail)
			break
		}
		want(t, out, Park)
		for out = nil; len(out) == 0; now += 10 * time.Millisecond {
			if !c.Pausing() {
				t.Fatal("nothing pauses")
			}
			out = c.Tick(now, nil)
		}
		want(t, out, Fetch)
		if tries++; tries > 1000 {
			t.Fatal("retries do not end")
		}
	}
	if now < time.Second || now > 3*time.Second || wire.KindOf(c.Err()) != wire.KindUnavailable {
		t.Fatalf("gave up after %s with %v", now, c.Err())
	}
}

func TestDamagedPageIsReportedAndFetchedAgain(t *testing.T) {
	c := newCore(t, 2, 1)
	want(t, c.Fault(0, 0, 300, false, nil), Fetch)
	for range DamagedFetches - 1 {
		want(t, c.Fetched(0, 0, wire.ErrCorrupt, nil), Damaged, Fetch)
	}
	want(t, c.Fetched(0, 0, wire.ErrCorrupt, nil), Damaged, Fail)
	if c.Stats().Damaged != DamagedFetches {
		t.Fatalf("%d damaged pages counted", c.Stats().Damaged)
	}
}

func TestTwoMissesOneFetch(t *testing.T) {
	c := newCore(t, 4, 3)
	want(t, c.Fault(0, 0, 300, false, nil), Fetch)
	want(t, c.Fault(0, 1, 300, true, nil), Park)
	want(t, c.Fault(0, 2, 300, false, nil), Park)
	want(t, c.Fetched(0, 0, nil, nil), Done, Done, Done)
	if s := c.Cache().Stats(); s.Fetches != 1 || s.Coalesced != 2 {
		t.Fatalf("%+v", s)
	}
}

func TestPiggybackOnlyToTheSameOwner(t *testing.T) {
	c := newCore(t, 1, 1)
	want(t, c.Fault(0, 0, 1, true, nil), Zero, Done) // p-local, dirty
	c.Finish(0, nil)
	out := c.Fault(0, 0, 300, true, nil) // another owner
	want(t, out, Write, Fetch)
	if out[0].Owner.Node != "m1" || out[1].Owner.Node != "m2" || out[1].Piggyback {
		t.Fatalf("%+v", out)
	}
	c.Fetched(0, 0, nil, nil)
	c.Finish(0, nil)
	c.FlushDone(0, out[0].Flush.ID, nil, nil)
	out = c.Fault(0, 0, 301, false, nil) // the same owner
	want(t, out, Fetch)
	if !out[0].Piggyback || out[0].Flush.Page != 300 {
		t.Fatalf("%+v", out)
	}
	c.Fetched(0, 0, nil, nil)
	c.Finish(0, nil)
	// Page 1 was flushed: it is anonymous but no longer p-local.
	want(t, c.Fault(0, 0, 1, false, nil), Fetch)
}

func TestUnmapMakesPagesNew(t *testing.T) {
	c := newCore(t, 1, 1)
	c.Fault(0, 0, 1, true, nil)
	c.Finish(0, nil)
	out := c.Fault(0, 0, 2, true, nil)
	want(t, out, Write, Zero, Done)
	c.Finish(0, nil)
	if id := c.PendingIn(0, 5); id != out[0].Flush.ID {
		t.Fatalf("pending flush %d", id)
	}
	c.FlushDone(0, out[0].Flush.ID, nil, nil)
	c.Unmap(0, 5)
	want(t, c.Fault(0, 0, 1, true, nil), Fail)
	c = newCore(t, 1, 1)
	c.Fault(0, 0, 1, true, nil)
	c.Finish(0, nil)
	c.Unmap(0, 5)
	c.Map(0, 5, true, nil)
	want(t, c.Fault(0, 0, 1, false, nil), Zero, Done)
}

func TestSpace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s space
		var set pageSet
		model := map[wire.PageNo]bool{}
		anon, held := map[wire.PageNo]bool{}, map[wire.PageNo]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			first := wire.PageNo(rapid.IntRange(500, 1560).Draw(t, "first"))
			last := first + wire.PageNo(rapid.IntRange(0, 900).Draw(t, "more"))
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				a := rapid.Bool().Draw(t, "anon")
				s.add(first, last, a)
				for p := first; p <= last; p++ {
					model[p], anon[p] = true, a
				}
			case 1:
				s.remove(first, last)
				set.removeRange(first, last)
				for p := first; p <= last; p++ {
					delete(model, p)
					delete(held, p)
				}
			case 2:
				set.add(first)
				held[first] = true
			case 3:
				set.addRange(first, last)
				for p := first; p <= last; p++ {
					held[p] = true
				}
			}
			if err := s.check(); err != nil {
				t.Fatal(err)
			}
			for p := wire.PageNo(490); p < 2500; p += 7 {
				if m := s.find(p); (m != nil) != model[p] || m != nil && m.anon != anon[p] {
					t.Fatalf("page %d: %v, want %v", p, m, model[p])
				}
				if set.has(p) != held[p] {
					t.Fatalf("page %d is in the set: %t, want %t", p, set.has(p), held[p])
				}
			}
		}
	})
}

package excache

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is the ExCache of one thread written to be read: slices, and no frames,
// flushes in flight or index. It says what each access must come to.
type model struct {
	o       Options
	sets    [][]modelLine // the lines of a set by way, as far as they are filled
	victims []uint64      // the victim cache, oldest first
	now     int           // accesses so far
	seq     int           // entries and second chances so far
	rng     *rand.Rand
}

type modelLine struct {
	page       uint64
	dirty      bool
	entered    int // place in the order of entries and second chances
	used       int // the last access
	referenced bool
}

// modelStream is the constant half of the random policy's seed: "excache".
const modelStream = 0x65786361636865

// outcome of one access.
type outcome struct {
	hit, victimHit, evicted, flushed bool
	evictedPage                      uint64
}

func newModel(o Options) *model {
	ways := o.Ways
	if ways == 0 {
		ways = o.Lines
	}
	return &model{
		o:    o,
		sets: make([][]modelLine, o.Lines/ways),
		rng:  rand.New(rand.NewPCG(o.Seed, modelStream)),
	}
}

func (m *model) access(page uint64, write bool) (out outcome) {
	// The sweep belongs to the end of the access.
	m.now++
	defer func() {
		if m.o.Policy == "lru-sweep" && m.now%m.o.SweepEvery == 0 {
			m.sweep()
		}
	}()
	set := &m.sets[page%uint64(len(m.sets))]
	for i := range *set {
		if l := &(*set)[i]; l.page == page {
			l.used, l.referenced, l.dirty = m.now, true, l.dirty || write
			return outcome{hit: true}
		}
	}
	if at := slices.Index(m.victims, page); at >= 0 {
		out.victimHit = true
		m.victims = slices.Delete(m.victims, at, at+1)
	}
	fresh := modelLine{page: page, dirty: write, used: m.now}
	if len(*set) < m.o.Lines/len(m.sets) {
		fresh.entered = m.enter()
		*set = append(*set, fresh)
		return out
	}
	way := m.victim(*set)
	old := (*set)[way]
	out.evicted, out.evictedPage, out.flushed = true, old.page, old.dirty
	if m.o.Mechanism == MechanismVictim {
		m.victims = append(m.victims, old.page)
		if len(m.victims) > m.o.VictimLines {
			m.victims = m.victims[1:]
		}
	}
	fresh.entered = m.enter() // behind the second chances of the victim's choice
	(*set)[way] = fresh
	return out
}

// enter numbers entries and second chances in their order.
func (m *model) enter() int {
	m.seq++
	return m.seq
}

func (m *model) victim(set []modelLine) int {
	least := func(key func(modelLine) int) int {
		best := 0
		for i := range set {
			if key(set[i]) < key(set[best]) {
				best = i
			}
		}
		return best
	}
	entered := func(l modelLine) int { return l.entered }
	switch m.o.Policy {
	case "lru":
		return least(func(l modelLine) int { return l.used })
	case "fifo", "lru-sweep":
		return least(entered)
	case "clock":
		for {
			way := least(entered)
			if !set[way].referenced {
				return way
			}
			set[way].referenced = false
			set[way].entered = m.enter()
		}
	case "random":
		return int(m.rng.Uint32N(uint32(len(set))))
	}
	panic("no model of " + m.o.Policy)
}

func (m *model) sweep() {
	for _, set := range m.sets {
		best := -1
		for i, l := range set {
			if l.referenced && (best < 0 || l.entered < set[best].entered) {
				best = i
			}
		}
		if best >= 0 {
			set[best].referenced = false
			set[best].entered = m.enter()
		}
	}
}

// eachKind runs a property for some policies and every mechanism.
func eachKind(t *testing.T, names []string, property func(t *rapid.T, name, mechanism string)) {
	for _, name := range names {
		for _, mechanism := range Mechanisms() {
			t.Run(name+"/"+mechanism, func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) { property(t, name, mechanism) })
			})
		}
	}
}

// drawOptions draws a small cache.
func drawOptions(t *rapid.T, name, mechanism string) Options {
	o := DefaultOptions()
	o.Policy, o.Mechanism = name, mechanism
	sets := 1 << rapid.IntRange(0, 3).Draw(t, "log2 sets")
	o.Ways = rapid.IntRange(1, 6).Draw(t, "ways")
	o.Lines = sets * o.Ways
	if sets == 1 && rapid.Bool().Draw(t, "ways 0") {
		o.Ways = 0
	}
	o.Seed = rapid.Uint64().Draw(t, "seed")
	o.SweepEvery = rapid.IntRange(1, 20).Draw(t, "sweep every")
	o.VictimLines = rapid.IntRange(1, 4).Draw(t, "victim lines")
	o.FlushFrames = rapid.IntRange(1, 4).Draw(t, "flush frames")
	return o
}

// outcomeOf makes one access to its end, alone. Before each try it calls acks,
// which may acknowledge any flush; a stall acknowledges what it waits for.
func outcomeOf(t rapid.TB, c *Cache, page uint64, write bool, acks func()) (out outcome) {
	for range 2 + c.Options().FlushFrames {
		acks()
		if _, ok := c.Hit(page, write); ok {
			return outcome{hit: true}
		}
		m := c.Miss(page, write)
		out = outcome{evicted: m.Evicted, evictedPage: m.EvictedPage, flushed: m.HasFlush}
		switch m.Kind {
		case StallFlush:
			c.FlushAcked(m.StallOn)
			continue
		case MissFill:
			if m.HasFlush && m.Flush.MustAckFirst {
				c.FlushAcked(m.Flush.ID)
			}
			c.CountFill(m.Line, false)
			acks()
			c.Filled(m.Line)
		case MissTakeBack:
			if m.HasFlush && m.Flush.MustAckFirst {
				c.FlushAcked(m.Flush.ID)
			}
			out.victimHit = true
		default:
			t.Fatalf("one access alone met %s", m.Kind)
		}
		c.Complete(m.Line, write)
		return out
	}
	t.Fatalf("page %d stalls without end", page)
	return out
}

// TestAgainstModel: alone and in order, every access comes to what the naive
// model says, by every policy of lineNames and mechanism, however late flushes are
// acknowledged; so no counter and no victim depends on an acknowledgement.
func TestAgainstModel(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and much of it: make test runs this without -race")
	}
	eachKind(t, lineNames, func(t *rapid.T, name, mechanism string) {
		o := drawOptions(t, name, mechanism)
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(o)
		pages := uint64(rapid.IntRange(1, 3*o.Lines+8).Draw(t, "pages"))
		eager := rapid.IntRange(0, 3).Draw(t, "eager acks of 3")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "ack seed"), 0))
		acks := func() {
			for _, f := range slices.Clone(c.pending) {
				if rng.IntN(3) < eager {
					c.FlushAcked(f.id)
				}
			}
		}
		var want Stats
		for i := range rapid.IntRange(100, 300).Draw(t, "accesses") {
			page := rapid.Uint64Range(0, pages-1).Draw(t, "page")
			write := rapid.Bool().Draw(t, "write")
			w := m.access(page, write)
			if got := outcomeOf(t, c, page, write, acks); got != w {
				t.Fatalf("access %d, page %d, write %t: %+v, the model says %+v", i, page, write, got, w)
			}
			want.Accesses++
			count(&want.Reads, !write)
			count(&want.Writes, write)
			count(&want.Hits, w.hit)
			count(&want.Misses, !w.hit)
			count(&want.VictimHits, w.victimHit)
			count(&want.Fetches, !w.hit && !w.victimHit)
			count(&want.Evictions, w.evicted)
			count(&want.Flushes, w.flushed)
			if err := c.CheckInvariants(); err != nil {
				t.Fatalf("access %d: %v", i, err)
			}
		}
		if got := c.Stats(); got != want {
			t.Fatalf("counted %+v, the model %+v", got, want)
		}
	})
}

// TestAcksDoNotMatter is law 1 for the core, without a model: the same accesses
// give the same counters, victims and outcomes with acknowledgements at once, as
// late as possible, and at random, out of order.
func TestAcksDoNotMatter(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and much of it: make test runs this without -race")
	}
	eachKind(t, policyNames(), func(t *rapid.T, name, mechanism string) {
		o := drawOptions(t, name, mechanism)
		refs := rapid.SliceOfN(rapid.Uint64Range(0, uint64(6*o.Lines+8)), 100, 400).Draw(t, "refs")
		run := func(seed uint64, eager int) ([]outcome, Stats) {
			c, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(seed, 0))
			var outs []outcome
			for _, r := range refs {
				outs = append(outs, outcomeOf(t, c, r>>1, r&1 != 0, func() {
					for _, at := range rng.Perm(len(c.pending)) {
						if at < len(c.pending) && rng.IntN(4) < eager {
							c.FlushAcked(c.pending[at].id)
						}
					}
				}))
			}
			// The final write-back counts every line that is still dirty, once.
			for from := uint32(0); ; {
				w := c.NextDirty(from)
				from = w.Next
				if w.Kind == WritebackDone {
					break
				}
				if w.Kind == WritebackStallFlush {
					c.FlushAcked(w.StallOn)
				}
			}
			if err := c.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			return outs, c.Stats()
		}
		outs, stats := run(0, 4)
		for _, eager := range []int{0, 1, 3} {
			lateOuts, lateStats := run(rapid.Uint64().Draw(t, "ack seed"), eager)
			if lateStats != stats {
				t.Fatalf("acks at once: %+v, %d in 4: %+v", stats, eager, lateStats)
			}
			if i := firstDifference(outs, lateOuts); i >= 0 {
				t.Fatalf("access %d: acks at once %+v, %d in 4 %+v", i, outs[i], eager, lateOuts[i])
			}
		}
	})
}

func firstDifference(a, b []outcome) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func count(n *uint64, add bool) {
	if add {
		*n++
	}
}

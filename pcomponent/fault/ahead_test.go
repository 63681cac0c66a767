package fault

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/prefetch"
)

// aheadCore is a core with next-n, four pages a guess. Pages 0 to 255 are anonymous, of vRegions 0 and 1 with 128 pages; 256 to 511 are of a file, of vRegions
// 2 and 3.
func aheadCore(t *testing.T, lines, inFlight, threads int) *Core {
	t.Helper()
	o := excache.DefaultOptions()
	o.Lines, o.Ways, o.Prefetcher, o.PrefetchDegree, o.PrefetchInFlight = lines, 0, "next-n", 4, inFlight
	cache, err := excache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	fo := DefaultOptions()
	fo.RegionBytes, fo.Threads = 128*wire.PageSize, threads
	c, err := New(fo, cache)
	if err != nil {
		t.Fatal(err)
	}
	var owners []wire.Owner
	for r := range wire.RegionNo(4) {
		owners = append(owners, wire.Owner{Region: r, Node: "m1", Epoch: 1})
	}
	c.Map(0, 255, true, owners[:2])
	c.Map(256, 511, false, owners[2:])
	return c
}

// asked are the pages of the prefetches among the effects.
func asked(out []Effect) (pages []wire.PageNo) {
	for _, e := range out {
		if e.Kind == Prefetch {
			pages = append(pages, e.Page)
		}
	}
	return pages
}

// came answers every prefetch among the effects.
func came(c *Core, out []Effect, err *wire.Error) (more []Effect) {
	for _, e := range out {
		if e.Kind == Prefetch {
			more = c.Prefetched(0, e.On, err, more)
		}
	}
	return more
}

func sound(t *testing.T, c *Core) {
	t.Helper()
	if err := c.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

func TestMissBringsTheNextPages(t *testing.T) {
	c := aheadCore(t, 16, 8, 1)
	out := c.Fault(0, 0, 300, false, nil)
	want(t, out, Fetch, Prefetch, Prefetch, Prefetch, Prefetch) // what the thread waits for goes first
	if got := asked(out); !slices.Equal(got, []wire.PageNo{301, 302, 303, 304}) {
		t.Fatalf("asked for %v", got)
	}
	want(t, came(c, out, nil))
	want(t, c.Fetched(0, 0, nil, nil), Done)
	c.Finish(0, nil)
	if _, ok := c.Hit(301, true); ok {
		t.Fatal("the first use of a prefetched page is told to nobody")
	}
	out = c.Fault(0, 0, 301, true, nil)
	want(t, out, Done, Prefetch)
	if out[0].How != Ahead || out[1].Page != 305 {
		t.Fatalf("%+v", out)
	}
	c.Finish(0, nil)
	if _, ok := c.Hit(301, true); !ok {
		t.Fatal("page 301 is not there")
	}
	if s := c.Cache().Stats(); s.Hits != 2 || s.Misses != 1 || s.Fetches != 1 || s.PrefetchIssued != 5 || s.PrefetchUseful != 1 || s.PrefetchLate != 0 {
		t.Fatalf("%+v", s)
	}
	sound(t, c)
}

// TestOnlyWhatTheOwnerHas: neither beyond the mapping or the vRegion, nor what would be made of zeros, nor what is here.
func TestOnlyWhatTheOwnerHas(t *testing.T) {
	c := aheadCore(t, 4, 8, 1)
	for _, x := range []struct{ page, first, last wire.PageNo }{{254, 0, 0}, {382, 383, 383}, {510, 511, 511}} {
		out := c.Fault(0, 0, x.page, false, nil)
		got := asked(out)
		if x.first > 0 && !slices.Equal(got, []wire.PageNo{x.first}) || x.first == 0 && len(got) > 0 {
			t.Fatalf("page %d: asked for %v", x.page, got)
		}
		came(c, out, nil)
		if x.first > 0 {
			c.Fetched(0, 0, nil, nil)
		}
		c.Finish(0, nil)
	}
	c = aheadCore(t, 1, 8, 1)
	c.Fault(0, 0, 1, true, nil) // p-local, dirty
	c.Finish(0, nil)
	out := c.Fault(0, 0, 2, true, nil)
	want(t, out, Write, Zero, Done) // 1 leaves
	c.FlushDone(0, out[0].Flush.ID, nil, nil)
	c.Finish(0, nil)
	out = c.Fault(0, 0, 3, false, nil)
	c.FlushDone(0, out[0].Flush.ID, nil, nil)
	c.Finish(0, nil)
	if out = c.Fault(0, 0, 0, false, nil); len(asked(out)) > 0 { // 1 and 2 were written, and there is no line but the one of 0
		t.Fatalf("%v", kinds(out))
	}
	if s := c.Cache().Stats(); s.PrefetchRefused != 2 || s.PrefetchIssued != 0 {
		t.Fatalf("%+v", s)
	}
	sound(t, c)
}

func TestBoundInFlight(t *testing.T) {
	c := aheadCore(t, 64, 5, 1)
	var all []Effect
	for i := range wire.PageNo(3) {
		out := c.Fault(0, 0, 300+10*i, false, nil)
		all = append(all, out...)
		c.Fetched(0, 0, nil, nil)
		c.Finish(0, nil)
	}
	if s := c.Cache().Stats(); len(asked(all)) != 5 || s.PrefetchIssued != 5 || s.PrefetchRefused != 7 {
		t.Fatalf("asked for %v: %+v", asked(all), s)
	}
	// That they come makes no room: which pages are brought does not depend on it. That many others were fetched does, as nobody wants them.
	came(c, all, nil)
	issued := 0
	for i := wire.PageNo(0); i < forgottenAfter+2 && issued == 0; i++ {
		out := c.Fault(0, 0, 400+3*i, false, nil)
		if issued += len(asked(out)); issued > 0 && i < forgottenAfter-4 {
			t.Fatalf("after %d fetches there is room", i)
		}
		c.Fetched(0, 0, nil, nil)
		c.Finish(0, nil)
		sound(t, c)
	}
	if issued == 0 {
		t.Fatal("there is never room again")
	}
}

// TestLateAndLost: an access waits for a page on its way, and fetches it if it does not come.
func TestLateAndLost(t *testing.T) {
	for _, err := range []*wire.Error{nil, wire.ErrUnavailable, wire.ErrNotOwner, wire.ErrCorrupt} {
		c := aheadCore(t, 16, 8, 2)
		out := c.Fault(0, 0, 300, false, nil)
		c.Fetched(0, 0, nil, nil)
		c.Finish(0, nil)
		late := c.Fault(0, 0, 301, true, nil)
		want(t, late, Park, Prefetch)
		if late[0].On != out[1].On {
			t.Fatalf("waits for %#x, %#x is the prefetch", late[0].On, out[1].On)
		}
		want(t, c.Fault(0, 1, 301, false, nil), Park)
		more := c.Prefetched(0, out[1].On, err, nil)
		if err != nil {
			if err.Kind == wire.KindCorrupt {
				want(t, more[:1], Damaged)
				more = more[1:]
			}
			want(t, more, Fetch)
			more = c.Fetched(0, 0, nil, nil)
		}
		want(t, more, Done, Done)
		if more[0].How != Late || more[1].How != Coalesced {
			t.Fatalf("%+v", more)
		}
		c.Finish(0, nil)
		c.Finish(1, nil)
		c.Prefetched(0, out[2].On, wire.ErrUnavailable, nil)
		if s := c.Cache().Stats(); s.PrefetchLate != 1 || s.PrefetchUseful != 1 || s.PrefetchDropped != 1 || s.Misses != 2 || s.Coalesced != 1 {
			t.Fatalf("%+v", s)
		}
		sound(t, c)
	}
}

// TestOldOwnersPrefetch: what an owner answered under an older epoch is not taken.
func TestOldOwnersPrefetch(t *testing.T) {
	c := aheadCore(t, 16, 8, 1)
	out := c.Fault(0, 0, 300, false, nil)
	c.Fetched(0, 0, nil, nil)
	c.Finish(0, nil)
	c.OwnerMoved(0, wire.Owner{Region: c.Region(300), Node: "m2", Epoch: 2}, nil)
	came(c, out, nil)
	if s := c.Cache().Stats(); s.PrefetchDropped != 4 || c.Cache().Holds(301) {
		t.Fatalf("%+v", s)
	}
	sound(t, c)
}

// TestUnderWayAtTheEnd: neither is a range unmapped nor has the process drained before its prefetches are answered.
func TestUnderWayAtTheEnd(t *testing.T) {
	c := aheadCore(t, 16, 8, 1)
	out := c.Fault(0, 0, 300, false, nil)
	c.Fetched(0, 0, nil, nil)
	c.Finish(0, nil)
	c.Drain(0, nil)
	if id := c.PendingIn(302, 302); id != out[2].On || c.PendingIn(305, 511) != 0 || c.Drained() || c.Pending() != out[1].On {
		t.Fatalf("pending %#x, in all %#x, drained %t", id, c.Pending(), c.Drained())
	}
	came(c, out, nil)
	if c.PendingIn(256, 511) != 0 || !c.Drained() {
		t.Fatal("something is under way")
	}
	c.Unmap(256, 511)
	if s := c.Cache().Stats(); s.PrefetchWasted != 4 || c.Cache().Fresh() != 0 {
		t.Fatalf("%+v", s)
	}
	sound(t, c)
}

// TestOverdue: the fault that would let a prefetch be forgotten waits for it, once it was long under way.
func TestOverdue(t *testing.T) {
	c := aheadCore(t, 128, 4, 1)
	out := c.Fault(0, 0, 300, false, nil)
	c.Fetched(0, 0, nil, nil)
	c.Finish(0, nil)
	for i := range wire.PageNo(forgottenAfter - 1) {
		want(t, c.Fault(0, 0, 400+i, false, nil), Fetch)
		c.Fetched(0, 0, nil, nil)
		c.Finish(0, nil)
	}
	parked := c.Fault(0, 0, 500, false, nil)
	want(t, parked, Park)
	for i, e := range out[1:] {
		if e.On != parked[0].On {
			t.Fatalf("waits for %#x, want %#x", parked[0].On, e.On)
		}
		if want(t, c.Prefetched(0, e.On, nil, nil), Retry); i < 3 {
			parked = c.Fault(0, 0, 500, false, nil)
			want(t, parked, Park)
		}
	}
	want(t, c.Fault(0, 0, 500, false, nil), Fetch, Prefetch, Prefetch, Prefetch, Prefetch)
	if c.Stats().StallPrefetch != 4 {
		t.Fatalf("%+v", c.Stats())
	}
	sound(t, c)
}

// TestWhatIsPrefetchedIsOfTheAccesses is law 1 of a prefetcher: one access after the other, the pages that are brought, and all that is counted but how many
// were late, do not depend on when anything comes.
func TestWhatIsPrefetchedIsOfTheAccesses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := excache.DefaultOptions()
		o.Ways = rapid.SampledFrom([]int{0, 1, 4}).Draw(t, "ways")
		o.Lines = max(o.Ways, 1) * rapid.SampledFrom([]int{2, 4, 8}).Draw(t, "sets")
		o.Policy = rapid.SampledFrom([]string{"lru", "clock", "random", "arc", "s3-fifo", "mru"}).Draw(t, "policy")
		o.Mechanism = rapid.SampledFrom(excache.Mechanisms()).Draw(t, "mechanism")
		o.Prefetcher = rapid.SampledFrom(prefetch.Names()).Draw(t, "prefetcher")
		o.PrefetchDegree, o.PrefetchInFlight = rapid.IntRange(1, 8).Draw(t, "degree"), rapid.IntRange(1, 8).Draw(t, "in flight")
		o.FlushFrames = rapid.IntRange(1, 4).Draw(t, "flush frames")
		if o.Validate() != nil {
			t.Skip("no such ExCache")
		}
		const pages = 64
		program, n := rapid.Uint64().Draw(t, "program"), rapid.IntRange(1, 200).Draw(t, "accesses")
		run := func(seed uint64) (brought map[uint64]wire.PageNo, s excache.Stats) {
			cache, err := excache.New(o)
			if err != nil {
				t.Fatal(err)
			}
			fo := DefaultOptions()
			fo.RegionBytes, fo.PatienceMS = 32*wire.PageSize, MaxPatienceMS
			plain, err := New(fo, cache)
			if err != nil {
				t.Fatal(err)
			}
			held := &heldTape{every: 1 << 30}
			w := &world{
				t: t, rng: rand.New(rand.NewPCG(seed, 2)), core: &Taped{Core: plain}, tape: held, frames: make([]content, cache.Frames()), store: map[wire.PageNo]content{},
				applied: map[wire.PageNo]uint64{}, owner: map[wire.RegionNo]wire.Owner{}, blocked: make([]bool, 1), want: map[wire.PageNo]uint64{}, brought: map[uint64]wire.PageNo{},
			}
			w.access = make([]struct {
				page  wire.PageNo
				write bool
			}, 1)
			for r := range wire.RegionNo(pages / 32) {
				w.owner[r] = wire.Owner{Region: r, Node: wire.NodeID(fmt.Sprintf("m%d", r)), Epoch: 1}
				w.core.Map(wire.PageNo(r)*32, wire.PageNo(r)*32+31, r == 0, []wire.Owner{w.owner[r]})
			}
			rng := rand.New(rand.NewPCG(program, 3))
			for range n {
				a := &w.access[0]
				if a.page = (a.page + 1) % pages; rng.IntN(6) == 0 {
					a.page = wire.PageNo(rng.IntN(pages))
				}
				a.write = rng.IntN(3) == 0
				w.perform(w.begin(0))
				for w.blocked[0] {
					w.step()
				}
				for range w.rng.IntN(3) {
					w.step()
				}
			}
			for w.step() {
			}
			s = cache.Stats()
			s.PrefetchLate, s.Piggybacked = 0, 0
			return w.brought, s
		}
		pages1, stats1 := run(1)
		for seed := range uint64(3) {
			if pages2, stats2 := run(seed + 2); stats2 != stats1 || !maps.Equal(pages1, pages2) {
				t.Fatalf("the same accesses, answered at other times:\n%+v\n%+v\n%v\n%v", stats1, stats2, pages1, pages2)
			}
		}
	})
}

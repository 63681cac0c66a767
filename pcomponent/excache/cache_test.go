package excache

import (
	"slices"
	"testing"
)

// TestNoAllocations: neither a hit nor a miss with its eviction, flush,
// acknowledgement and completion allocates.
func TestNoAllocations(t *testing.T) {
	for _, mechanism := range Mechanisms() {
		for _, ways := range []int{0, 64} {
			for _, name := range policyNames() {
				o := DefaultOptions()
				o.Lines, o.Ways, o.Policy, o.Mechanism, o.SweepEvery = 1024, ways, name, mechanism, 100
				c := mustNew(t, o)
				page := uint64(0)
				for range 2 * o.Lines {
					access(c, page, true)
					page++
				}
				if n := testing.AllocsPerRun(200, func() {
					access(c, page, true)
					access(c, page, false)
					page++
				}); n != 0 {
					t.Errorf("%s, %s, %d ways: %v allocations, want 0", mechanism, name, ways, n)
				}
			}
		}
	}
}

// TestQueriesOfFlushes: what the shell asks about flushes in flight.
func TestQueriesOfFlushes(t *testing.T) {
	c := mustNew(t, fullyAssociative("fifo", 2))
	if _, ok := c.OldestFlush(); ok || c.Flushing() != 0 {
		t.Error("a new cache has a flush in flight")
	}
	fill := func(page uint64) {
		m := c.Miss(page, true)
		c.CountFill(m.Line, false)
		if c.Valid(m.Line) {
			t.Errorf("line %d of page %d is valid before it is filled", m.Line, page)
		}
		c.Filled(m.Line)
		if !c.Valid(m.Line) || c.Page(m.Line) != page {
			t.Errorf("line %d: valid %t, page %d, want page %d", m.Line, c.Valid(m.Line), c.Page(m.Line), page)
		}
		c.Complete(m.Line, true)
	}
	for page := range uint64(5) {
		fill(page)
	}
	if got := c.FlushingPages(nil); !slices.Equal(got, []uint64{0, 1, 2}) {
		t.Errorf("FlushingPages = %v, want 0 1 2", got)
	}
	c.FlushAcked(2)
	if got := c.FlushingPages([]uint64{9}); !slices.Equal(got, []uint64{9, 0, 2}) || c.Flushing() != 2 {
		t.Errorf("FlushingPages after the second = %v, want 9 0 2", got)
	}
	if o, ok := c.OldestFlush(); !ok || o.ID != 1 || o.Page != 0 {
		t.Errorf("OldestFlush = %+v, %t, want flush 1 of page 0", o, ok)
	}
	if m := c.Miss(4, true); m.Kind != MissPresent {
		t.Errorf("Miss of a page that has a line: %s, want present", m.Kind)
	}
	c.CountPiggyback()
	if s := c.Stats(); s.Piggybacked != 1 {
		t.Errorf("%d piggybacked, want 1", s.Piggybacked)
	}
	checkStats(t, c)
}

// TestStallIsFree: a stalled Miss changes nothing at all, so that it may be asked
// any number of times. The victim that random has drawn stays drawn.
func TestStallIsFree(t *testing.T) {
	for _, name := range policyNames() {
		o := fullyAssociative(name, 8)
		o.FlushFrames = 1
		run := func(asks int) (victims []uint64) {
			c := mustNew(t, o)
			for page := range uint64(200) {
				var m Miss
				for m = c.Miss(page, true); m.Kind == StallFlush; m = c.Miss(page, true) {
					for range asks {
						if again := c.Miss(page, true); again != m {
							t.Fatalf("%s: %+v, asked again %+v", name, m, again)
						}
					}
					c.FlushAcked(m.StallOn)
				}
				victims = append(victims, m.EvictedPage)
				c.CountFill(m.Line, false)
				c.Filled(m.Line)
				c.Complete(m.Line, true)
			}
			return victims
		}
		if once, often := run(0), run(5); !slices.Equal(once, often) {
			t.Errorf("%s: the victims depend on how often a stalled access asks", name)
		}
	}
}

package excache

import (
	"slices"
	"testing"

	"splitkernel/pcomponent/policy"
)

// mustNew makes a cache or ends the test.
func mustNew(t testing.TB, o Options) *Cache {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fullyAssociative is a cache of one set with the mechanism list.
func fullyAssociative(name string, lines int) Options {
	o := DefaultOptions()
	o.Policy, o.Lines, o.Ways = name, lines, 0
	return o
}

// access makes one access to its end, alone, with every flush acknowledged at
// once. So it never
// stalls.
func access(c *Cache, page uint64, write bool) {
	if _, ok := c.Hit(page, write); ok {
		return
	}
	m := c.Miss(page, write)
	if m.HasFlush {
		c.FlushAcked(m.Flush.ID)
	}
	switch m.Kind {
	case MissFill:
		c.CountFill(m.Line, false)
		c.Filled(m.Line)
	case MissTakeBack:
	default:
		panic("one access alone met " + m.Kind.String())
	}
	c.Complete(m.Line, write)
}

// policyNames are the policies that a cache can be made with: all but belady,
// which must know the accesses beforehand.
func policyNames() []string {
	return slices.DeleteFunc(policy.Names(), func(n string) bool { return n == "belady" })
}

// lineNames are the policies that know lines alone; model_test.go has them a second
// time. The others have their models in package policy.
var lineNames = []string{"clock", "fifo", "lru", "lru-sweep", "random"}

// few is how many of so many random runs a policy gets here: all, if it is one of
// lineNames, and else some, because what it decides was tried in its own package.
func few(name string, runs uint64) uint64 {
	if slices.Contains(lineNames, name) {
		return runs
	}
	return (runs + 7) / 8
}

// checkStats demands the identities of the counters and the invariants.
func checkStats(t testing.TB, c *Cache) {
	t.Helper()
	if err := c.CheckInvariants(); err != nil {
		t.Error(err)
	}
	s := c.Stats()
	if s.Accesses != s.Hits+s.Misses || s.Accesses != s.Reads+s.Writes {
		t.Errorf("accesses do not add up: %+v", s)
	}
	if s.Misses != s.PLocal+s.Fetches+s.Coalesced+s.VictimHits {
		t.Errorf("misses do not add up: %+v", s)
	}
}

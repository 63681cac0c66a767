package excache

import (
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

// policyNames are the policies that a cache can be made with.
func policyNames() []string { return policy.Names() }

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

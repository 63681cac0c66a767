package excache

import "testing"

// TestOlderFlushIsNotTakenBack: two flushes of a page are under way, the newer one is acknowledged first. The older one's
// bytes are then not the page's any more, so a miss must fetch.
func TestOlderFlushIsNotTakenBack(t *testing.T) {
	o := DefaultOptions()
	o.Lines, o.Ways, o.Mechanism = 1, 0, MechanismWriteProtect
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	dirty := func(page uint64) Miss {
		t.Helper()
		if _, ok := c.Hit(page, true); ok {
			t.Fatalf("page %d is present", page)
		}
		m := c.Miss(page, true)
		if m.Kind == MissFill {
			c.CountFill(m.Line, false)
			c.Filled(m.Line)
		}
		c.Complete(m.Line, true)
		return m
	}
	dirty(1)
	first := dirty(2).Flush // of page 1
	if m := dirty(1); m.Kind != MissTakeBack {
		t.Fatalf("a page whose flush is under way came by %v", m.Kind)
	}
	second := dirty(3).Flush // of page 1 again
	if first.Page != 1 || second.Page != 1 || second.ID <= first.ID {
		t.Fatalf("flushes %+v and %+v, want two of page 1", first, second)
	}
	c.FlushAcked(second.ID)
	if m := dirty(1); m.Kind != MissFill {
		t.Fatalf("page 1 came by %v, from a flush that is older than what its owner has", m.Kind)
	}
	if err := c.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

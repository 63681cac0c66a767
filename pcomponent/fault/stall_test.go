package fault

import (
	"testing"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
)

// TestBoundsThatAreReachedAreCounted makes each stall happen once.
func TestBoundsThatAreReachedAreCounted(t *testing.T) {
	o := excache.DefaultOptions()
	o.Lines, o.Ways, o.FlushFrames = 1, 0, 1
	cache, err := excache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	fo := DefaultOptions()
	fo.RegionBytes, fo.Threads = 1<<20, 3
	c, err := New(fo, cache)
	if err != nil {
		t.Fatal(err)
	}
	c.Map(0, 255, true, []wire.Owner{{Region: 0, Node: "m1", Epoch: 1}})
	want(t, c.Fault(0, 0, 1, true, nil), Zero, Done)
	c.Finish(0, nil)
	want(t, c.Fault(0, 0, 2, true, nil), Write, Zero, Done) // the only flush frame is used
	want(t, c.Fault(0, 1, 3, true, nil), Park)              // the only line is in use
	if s := c.Stats(); s.StallLine != 1 || s.StallFlush != 0 || s.StallPage != 0 {
		t.Fatalf("no line: %+v", s)
	}
	_, out := c.Finish(0, nil)
	want(t, out, Retry)
	want(t, c.Fault(0, 1, 3, true, nil), Park) // its victim is dirty and no flush frame is free
	if s := c.Stats(); s.StallLine != 1 || s.StallFlush != 1 || s.StallPage != 0 {
		t.Fatalf("no flush frame: %+v", s)
	}
	want(t, c.Fault(0, 2, 1, false, nil), Park) // its page is being flushed: no bound
	if s := c.Stats(); s.StallLine != 1 || s.StallFlush != 1 || s.StallPage != 1 {
		t.Fatalf("a page being flushed: %+v", s)
	}
}

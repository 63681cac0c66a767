package erasure

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestFlushesBehindTheListAreKnown: while a new owner still lists what was written it takes a flush of a page that was listed, or would have been, and only
// that of a page to which the list has not come waits.
func TestFlushesBehindTheListAreKnown(t *testing.T) {
	c := New(DefaultOptions())
	cfg := wire.RegionConfig{PID: 1, Region: 0, Epoch: 4, Config: 2, Policy: wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 1, Parity: 1},
		Holders: []wire.Holder{{Node: "m1", Member: 1}, {Node: "m2", Member: 1, Index: 1}}}
	out := c.Configure(0, 3, cfg, 0, 64, false, nil)
	if len(out) != 1 || out[0].Kind != Ask {
		t.Fatalf("%+v, want the first question for the list", out)
	}
	if v := c.Flushing(3, 5, 1, 7); v != Unknown {
		t.Errorf("before anything was listed: %v", v)
	}
	out = c.Answered(0, out[0].ID, Answer{Pages: []wire.PageEntry{{Page: 5, Epoch: 1, Version: 7}}, Next: 6, More: true}, nil)
	if len(out) != 1 || out[0].Kind != Ask || out[0].Read.Page != 6 {
		t.Fatalf("%+v, want the next question", out)
	}
	for _, x := range []struct {
		page    wire.PageNo
		version uint64
		want    Verdict
	}{{5, 6, Older}, {5, 7, Newer}, {5, 8, Newer}, {4, 1, Newer}, {6, 9, Unknown}} {
		if v := c.Flushing(3, x.page, 1, x.version); v != x.want {
			t.Errorf("version %d of page %d: %v, want %v", x.version, x.page, v, x.want)
		}
	}
	c.Flushed(3, 5, 1, 8)
	out = c.Answered(0, out[0].ID, Answer{Pages: []wire.PageEntry{{Page: 9, Epoch: 1, Version: 3}}, Next: 10}, nil)
	if len(out) != 1 || out[0].Kind != Whole || c.Newest(3, 5).Version != 8 || c.Newest(3, 9).Version != 3 || c.CheckInvariants() != nil {
		t.Errorf("%+v, %+v, %v", out, c.Newest(3, 5), c.CheckInvariants())
	}
}

package replay

import (
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"

	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
)

// TestBuckets: no value is said to be smaller than it was, and none is lost.
func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := hdrhistogram.New(1, int64(time.Hour), 3)
		ns := rapid.SliceOfN(rapid.Int64Range(1, int64(time.Minute)), 1, 50).Draw(t, "ns")
		for _, n := range ns {
			_ = h.RecordValue(n)
		}
		got := buckets(h)
		total := uint64(0)
		for _, b := range got {
			total += b.Count
			under := uint64(0)
			for _, n := range ns {
				if float64(n)/1000 < b.UnderUS {
					under++
				}
			}
			if under < total {
				t.Fatalf("%d under %v µs, want at most %d: %v", total, b.UnderUS, under, ns)
			}
		}
		if total != uint64(len(ns)) {
			t.Fatalf("%d of %d", total, len(ns))
		}
	})
}

// TestKeepEvents: of too many events those of routine go first, and what is left out is counted.
func TestKeepEvents(t *testing.T) {
	var all []decision
	add := func(n int, kind events.Kind) {
		for range n {
			all = append(all, decision{wire.GMM, events.Event{Seq: uint64(len(all)), MS: int64(len(all)), Kind: kind, Node: "m1"}})
		}
	}
	count := func(tl *report.Timeline) map[string]int {
		n := map[string]int{}
		for _, e := range tl.Events {
			n[e.Kind]++
		}
		return n
	}
	add(1, events.Dead)
	add(2*report.MaxTimelineEvents, events.PlacedRegion)
	add(1, events.Lost)
	tl := newTimeline(time.Millisecond)
	keepEvents(tl, append([]decision(nil), all...), 0, 7)
	if n := count(tl); n["dead"] != 1 || n["lost"] != 1 || len(tl.Events) != report.MaxTimelineEvents || tl.LeftOut != uint64(len(all)-report.MaxTimelineEvents+7) {
		t.Errorf("%v, %d left out", n, tl.LeftOut)
	}
	add(2*report.MaxTimelineEvents, events.Silent)
	tl = newTimeline(time.Millisecond)
	keepEvents(tl, all, 0, 0)
	if n := count(tl); n["dead"] != 1 || n["placed_vregion"] != 0 || len(tl.Events) != report.MaxTimelineEvents || tl.LeftOut != uint64(len(all)-report.MaxTimelineEvents) {
		t.Errorf("%v, %d left out", n, tl.LeftOut)
	}
}

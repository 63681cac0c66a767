package replay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHistoryKeepsTheLast(t *testing.T) {
	var h history
	if got := h.of(1); got != "no event is remembered" {
		t.Errorf("%q", got)
	}
	for i := range HistoryEvents + 10 {
		h.add(pcomponent.Event{At: time.Duration(i) * time.Microsecond, What: "flush", Page: wire.PageNo(i % 7), Version: uint64(i + 1), Node: "m1"})
	}
	got := h.of(3)
	if n := strings.Count(got, "flush"); n != HistoryShown {
		t.Errorf("%d events shown, want %d", n, HistoryShown)
	}
	last := HistoryEvents + 10
	for (last-1)%7 != 3 {
		last--
	}
	if want := fmt.Sprintf("version %d m1", last); !strings.HasSuffix(got, want) {
		t.Errorf("the newest event is not last: %q, want %q", got[len(got)-30:], want)
	}
}

// TestMappedAgainstPages compares with a set of pages.
func TestMappedAgainstPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m mapped
		model := map[uint64]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			first := rapid.Uint64Range(0, 60).Draw(t, "first")
			n := rapid.Uint64Range(1, 30).Draw(t, "n")
			add := rapid.Bool().Draw(t, "add")
			if add {
				m.add(first, n)
			} else {
				m.remove(first, n)
			}
			for p := first; p < first+n; p++ {
				if add {
					model[p] = true
				} else {
					delete(model, p)
				}
			}
			seen := map[uint64]bool{}
			for _, s := range m.ranges {
				for p := s.addr; p < s.addr+s.length; p++ {
					if seen[p] || !model[p] {
						t.Fatalf("byte %d is there twice or should not be: %v", p, m.ranges)
					}
					seen[p] = true
				}
			}
			if len(seen) != len(model) {
				t.Fatalf("%d bytes, want %d", len(seen), len(model))
			}
		}
	})
}

func TestHistogramsCrossTheWire(t *testing.T) {
	h := hdrhistogram.New(100, int64(time.Minute), 2)
	for i := range int64(1000) {
		if err := h.RecordValue(i*i + 100); err != nil {
			t.Fatal(err)
		}
	}
	var back Histogram
	if err := wire.Unmarshal(wire.Marshal(pack("fetch", h.Export())), &back); err != nil {
		t.Fatal(err)
	}
	got, err := back.unpack()
	if err != nil {
		t.Fatal(err)
	}
	if latency(got) != latency(h) || got.TotalCount() != 1000 {
		t.Errorf("%+v, want %+v", latency(got), latency(h))
	}
	for _, bad := range []Histogram{{}, {Lowest: 1, Highest: 10, Digits: 9}, {Lowest: 1, Highest: 10, Digits: 2, Index: []int32{1 << 30}, Count: []int64{1}}, {Lowest: 1, Highest: 10, Digits: 2, Index: []int32{1}}} {
		if _, err := bad.unpack(); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestCountedTakesDifferences(t *testing.T) {
	c, other := counted([]wire.Counter{{Name: "fetches", Value: 10}, {Name: "resident_bytes", Value: 5}},
		[]wire.Counter{{Name: "fetches", Value: 25}, {Name: "flushes", Value: 3}, {Name: "resident_bytes", Value: 7}})
	if c.Fetches != 15 || c.Flushes != 3 || other["resident_bytes"] != 7 || len(other) != 1 {
		t.Errorf("%+v %v", c, other)
	}
	// A component that was restarted counts from 0 again.
	if c, _ := counted([]wire.Counter{{Name: "fetches", Value: 10}}, []wire.Counter{{Name: "fetches", Value: 4}}); c.Fetches != 4 {
		t.Errorf("%d fetches", c.Fetches)
	}
}

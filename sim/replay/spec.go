package replay

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/report"
)

// Orders of a replay.
const (
	OrderTrace   = "trace"
	OrderThreads = "threads"
)

// Spec is what a Host needs to replay a trace as a process: the body of wire.ProcessStartReq.
type Spec struct {
	PID         wire.PID
	Epoch       wire.Epoch
	Name        string
	Trace       string // path on the machine of the pComponent
	Format      string // empty: recognised
	Threads     int    // threads of the process
	Spread      bool   // deal references to the threads in runs, instead of by the trace's thread
	Order       string
	Repeat      int
	MaxRefs     uint64 // of each repetition; 0 is all
	RegionBytes uint64
	Home        wire.Owner
	ExCache     excache.Options
	Volumes     []pcomponent.VolumeOptions // in the order of the trace's header
}

// States of a process.
const (
	StateRunning = "running"
	StateDone    = "done"
	StateFailed  = "failed"
)

// Status is the progress of a process: the body of wire.ProcessStatusRep. Result is set when it has ended.
type Status struct {
	State  string
	Done   uint64 // references replayed
	Blocks uint64 // block requests made
	Hits   uint64 // of them
	Result *Result
}

// Result is what a process did.
type Result struct {
	Error     string
	ErrorKind wire.Kind
	Seconds   float64 // from the first record to the last acknowledgement
	Counters  report.Counters
	Regions   []wire.Owner
	Late      uint64 // vRegions activated after the first access
	Integrity []string
	Fault     []Histogram
	Block     []Histogram
}

// Histogram is a distribution of latencies in ns, its empty buckets left out.
type Histogram struct {
	Kind    string
	Lowest  int64
	Highest int64
	Digits  int64
	Index   []int32
	Count   []int64
}

func pack(kind string, s *hdrhistogram.Snapshot) Histogram {
	h := Histogram{Kind: kind, Lowest: s.LowestTrackableValue, Highest: s.HighestTrackableValue, Digits: s.SignificantFigures}
	for i, n := range s.Counts {
		if n != 0 {
			h.Index, h.Count = append(h.Index, int32(i)), append(h.Count, n)
		}
	}
	return h
}

// unpack gives the distribution back. What came from another version with other buckets is refused.
func (h Histogram) unpack() (*hdrhistogram.Histogram, error) {
	if h.Lowest < 1 || h.Highest < 2*h.Lowest || h.Digits < 1 || h.Digits > 5 || len(h.Index) != len(h.Count) {
		return nil, wire.Errorf(wire.KindBadRequest, "histogram %s: lowest %d, highest %d, %d digits, %d of %d buckets", h.Kind, h.Lowest, h.Highest, h.Digits, len(h.Index), len(h.Count))
	}
	s := hdrhistogram.New(h.Lowest, h.Highest, int(h.Digits)).Export()
	for i, x := range h.Index {
		if x < 0 || int(x) >= len(s.Counts) {
			return nil, wire.Errorf(wire.KindBadRequest, "histogram %s: bucket %d of %d", h.Kind, x, len(s.Counts))
		}
		s.Counts[x] = h.Count[i]
	}
	return hdrhistogram.Import(s), nil
}

// latency sums up a distribution.
func latency(h *hdrhistogram.Histogram) report.Latency {
	us := func(ns int64) float64 { return float64(ns) / 1000 }
	return report.Latency{Count: uint64(h.TotalCount()), P50: us(h.ValueAtQuantile(50)), P95: us(h.ValueAtQuantile(95)), P99: us(h.ValueAtQuantile(99)), Max: us(h.Max())}
}

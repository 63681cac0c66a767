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
	Checkpoints Checkpoints
	Store       pcomponent.VolumeOptions // has the checkpoints, if there are any
}

// validate reports what no process can have.
func (s *Spec) validate() error {
	if s.Order != OrderTrace && s.Order != OrderThreads {
		return wire.Errorf(wire.KindBadRequest, "process %s: order %q, want %s or %s", s.Name, s.Order, OrderTrace, OrderThreads)
	}
	if s.Threads < 1 || s.Repeat < 1 {
		return wire.Errorf(wire.KindBadRequest, "process %s: %d threads, %d repetitions, want at least 1 of each", s.Name, s.Threads, s.Repeat)
	}
	return nil
}

// States of a process.
const (
	StateRunning = "running"
	StateDone    = "done"
	StateFailed  = "failed"
	StateMoved   = "moved" // it runs at another pComponent, which the status names
)

// Status is the progress of a process: the body of wire.ProcessStatusRep. Result is set when it has ended.
type Status struct {
	State  string
	Done   uint64 // references replayed
	Blocks uint64 // block requests made
	// Steps are the references and block requests that were replayed, of Whole; of a trace that is cut by max_refs the references alone. Both are 0
	// where the length is not known: the header of the trace does not tell it, and it was not read to its end yet.
	Steps, Whole uint64
	// What the ExCache has counted so far, at one moment: with its processes' threads at work Done may be a little behind.
	Accesses uint64
	Hits     uint64
	Bytes    uint64 // of pages, fetched and flushed
	Result   *Result

	Checkpoints uint64    // that are durable, the beginning included
	From        *Restored // the checkpoint from which it goes on here, under Epoch; nil of one that began or came here

	// Of a process that moved: where it went.
	Node  wire.NodeID
	Addr  string
	Epoch wire.Epoch
}

// Result is what a process did.
type Result struct {
	Error     string
	ErrorKind wire.Kind
	Seconds   float64 // from the first record to the last acknowledgement, but for the pauses of moves
	Counters  report.Counters
	Regions   []wire.Owner
	Late      uint64 // vRegions activated after the first access
	Integrity []string
	Fault     []Histogram
	Block     []Histogram
	Parts     []Part // by the pComponents that it ran at, in the order in which it came to them first
}

// Part is what a process did at one pComponent.
type Part struct {
	Node     wire.NodeID
	Counters report.Counters
	Fault    []Histogram
	Block    []Histogram
}

// addPart adds a part to those before it; at one pComponent there is one.
func addPart(parts []Part, p Part) []Part {
	out := append([]Part(nil), parts...)
	for i := range out {
		if out[i].Node != p.Node {
			continue
		}
		m := newMerge()
		if m.addPart(&out[i]) != nil || m.addPart(&p) != nil {
			break // of another version: it stays apart
		}
		out[i] = Part{p.Node, m.c, packAll(report.FaultKinds, m.fault), packAll(report.BlockKinds, m.block)}
		return out
	}
	return append(out, p)
}

// packAll packs the distributions of all kinds.
func packAll(kinds []string, hs map[string]*hdrhistogram.Histogram) (out []Histogram) {
	for _, k := range kinds {
		if h := hs[k]; h != nil {
			out = append(out, pack(k, h.Export()))
		}
	}
	return out
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

// Latency sums up the distribution.
func (h Histogram) Latency() (report.Latency, error) {
	d, err := h.unpack()
	if err != nil {
		return report.Latency{}, err
	}
	return latency(d), nil
}

// latency sums up a distribution.
func latency(h *hdrhistogram.Histogram) report.Latency {
	us := func(ns int64) float64 { return float64(ns) / 1000 }
	return report.Latency{Count: uint64(h.TotalCount()), P50: us(h.ValueAtQuantile(50)), P95: us(h.ValueAtQuantile(95)), P99: us(h.ValueAtQuantile(99)), Max: us(h.Max())}
}

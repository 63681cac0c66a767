package pcomponent

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// faultNames are the kinds of faults as reports and metrics name them, in the order of fault.How.
var faultNames = [...]string{"p_local", "fetch", "coalesced", "victim_hit", "prefetched", "late"}

// BlockKind is a kind of block request.
type BlockKind int

// The kinds of block requests.
const (
	BlockRead BlockKind = iota
	BlockWrite
	BlockFlush
	blockKinds
)

// String gives the name of the kind as reports and metrics use it.
func (k BlockKind) String() string { return [...]string{"read", "write", "flush"}[k] }

// maxLatency bounds what a histogram tells apart, in ns; anything longer counts as this.
const maxLatency = int64(10 * time.Minute)

// newHistogram counts latencies in ns to two significant digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(100, maxLatency, 2) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// The value is clamped into the histogram's range, so the error cannot occur.
	_ = h.RecordValue(min(max(int64(d), 100), maxLatency))
}

package latency

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"splitkernel/netlayer/wire"
)

// Durations are told apart to two significant digits between these; anything outside counts as the nearer one.
const (
	least = time.Nanosecond
	most  = 10 * time.Minute
)

// Recorder keeps the durations of some operations. Safe for concurrent use.
type Recorder struct {
	names []string
	mu    sync.Mutex
	byOp  []*hdrhistogram.Histogram // in ns
}

// New makes a recorder of the operations that names name, in alphabetical order.
func New(names ...string) *Recorder {
	r := &Recorder{names: names}
	for range names {
		r.byOp = append(r.byOp, hdrhistogram.New(int64(least), int64(most), 2))
	}
	return r
}

// Record counts one operation, by the index of its name, that took d.
func (r *Recorder) Record(op int, d time.Duration) {
	r.mu.Lock()
	_ = r.byOp[op].RecordValue(int64(min(max(d, least), most))) // in its range, so there is no error
	r.mu.Unlock()
}

// Counters gives for each operation <name>_max_us, <name>_p50_us, <name>_p95_us and <name>_p99_us, in µs, in the order of
// the names given to New. All are 0 for an operation that has not occurred.
func (r *Recorder) Counters() []wire.Counter {
	out := make([]wire.Counter, 0, 4*len(r.names))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, name := range r.names {
		h := r.byOp[i]
		us := func(what string, ns int64) {
			if h.TotalCount() == 0 {
				ns = 0 // an empty histogram gives the width of its first bucket
			}
			out = append(out, wire.Counter{Name: name + "_" + what + "_us", Value: float64(ns) / 1e3})
		}
		us("max", h.Max())
		us("p50", h.ValueAtQuantile(50))
		us("p95", h.ValueAtQuantile(95))
		us("p99", h.ValueAtQuantile(99))
	}
	return out
}

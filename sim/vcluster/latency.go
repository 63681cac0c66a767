package vcluster

import (
	"math/bits"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Shape of a histogram: that of hdrhistogram with three digits, in parts of which only those exist that were needed. A simulation
// has ten thousand processes with several histograms each, whole ones have 270 KiB, and most latencies lie in a few parts.
const (
	halfBits  = 10 // 2^halfBits buckets for each doubling: a thousandth apart
	partBits  = 7  // buckets of a part
	exponents = 33 // of which the last holds the longest latency
)

// longest latency that is told apart.
const longest = int64(time.Hour)

// Histogram counts latencies in ns. The zero value is empty.
type Histogram struct {
	parts [exponents]*[1 << (halfBits + 1 - partBits)]*[1 << partBits]uint32
	n     uint64
}

// add counts one latency.
func (h *Histogram) add(took time.Duration) {
	v := uint64(min(max(int64(took), 0), longest))
	e := max(bits.Len64(v)-halfBits-1, 0)
	i := v >> e
	p := h.parts[e]
	if p == nil {
		p = new([1 << (halfBits + 1 - partBits)]*[1 << partBits]uint32)
		h.parts[e] = p
	}
	b := p[i>>partBits]
	if b == nil {
		b = new([1 << partBits]uint32)
		p[i>>partBits] = b
	}
	b[i&(1<<partBits-1)]++
	h.n++
}

// N is how many latencies were counted.
func (h *Histogram) N() uint64 { return h.n }

// Into adds what was counted to a histogram of three digits up to an hour; each falls into the bucket in which it would be.
func (h *Histogram) Into(to *hdrhistogram.Histogram) {
	for e := range h.parts {
		if h.parts[e] == nil {
			continue
		}
		for k, b := range h.parts[e] {
			if b == nil {
				continue
			}
			for i, n := range b {
				if n > 0 {
					_ = to.RecordValues(int64(k<<partBits|i)<<e, int64(n)) // in its range
				}
			}
		}
	}
}

// NewLatencies makes the histogram that Into fills.
func NewLatencies() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest, 3) }

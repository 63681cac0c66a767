package stack

import (
	"errors"
	"fmt"
	"math"
)

// SampleOptions say how much of a trace is looked at.
type SampleOptions struct {
	// Rate is the share of the pages that is sampled, above 0, at most 1; 0 where Pages is given.
	Rate float64
	// Pages is the most pages that are sampled at a time, LeastSample to MaxSample; 0 where Rate is given. The rate begins with 1 and
	// is lowered as pages come, so memory does not grow with the trace.
	Pages int
}

// Bounds of SampleOptions.
const (
	// LeastSample is the number of sampled pages below which an estimate is of no use: run exactly instead.
	LeastSample = 1000
	// DefaultSample gives a mean error of some thousandths.
	DefaultSample = 8192
	MaxSample     = 1 << 24
	// leastRate is above the grain of the 32 bits of the hash.
	leastRate = 1e-6
)

// Validate finds every fault.
func (o SampleOptions) Validate() error {
	var errs []error
	switch {
	case o.Rate != 0 && o.Pages != 0:
		errs = append(errs, errors.New("a rate and a number of pages, want one of them"))
	case o.Rate == 0 && o.Pages == 0:
		errs = append(errs, errors.New("neither a rate nor a number of pages, want one of them"))
	}
	if o.Rate != 0 && !(o.Rate >= leastRate && o.Rate <= 1) {
		errs = append(errs, fmt.Errorf("a rate of %v, want %v to 1", o.Rate, leastRate))
	}
	if o.Pages != 0 && (o.Pages < LeastSample || o.Pages > MaxSample) {
		errs = append(errs, fmt.Errorf("%d pages, want %d to %d: fewer estimate nothing", o.Pages, LeastSample, MaxSample))
	}
	return errors.Join(errs...)
}

const (
	// parts is into how many the sampled pages are divided to see how far their misses lie apart.
	parts = 32
	// chunk is how many keys are filtered at a time.
	chunk = 4096
	// whole is the threshold of a rate of 1: hashes have 32 bits.
	whole = 1 << 32
)

// Sample estimates the curve of LRU from some of the pages: those whose hash is below a threshold. All references to them are taken,
// and their distances, which are counted among them only, are divided by the rate. (Waldspurger, Park, Garthwaite and Ahmad,
// "Efficient MRC construction with SHARDS", FAST 2015.)
//
// Each sampled page is also in one of 32 disjoint parts, whose misses are counted apart: Estimate corrects by them and tells the
// standard error.
type Sample struct {
	most      int    // pages at a time; 0 = a fixed rate
	threshold uint64 // of the low 32 bits of a hash
	numbers   Numbers
	order     order
	distinct  distinct
	pages     maxHeap // of a fixed number of pages: those that are sampled, the largest hash first
	requests  uint64
	sampled   uint64
	exact     []uint64 // by distance, while the rate is 1
	part      [parts]part
	keys      [chunk]uint64
	volumes   [chunk]uint32
	ids       []uint32
}

// part is what was found for the pages of a part, each reference with the weight 1/rate.
type part struct {
	cold, all float64
	hist      buckets // of distances
}

// NewSample makes an empty sample of valid options.
func NewSample(o SampleOptions) *Sample {
	s := &Sample{most: o.Pages, threshold: whole, distinct: makeDistinct()}
	if o.Pages == 0 {
		s.threshold = uint64(math.Ceil(o.Rate * whole))
	}
	return s
}

// Rate is the share of the pages that are sampled now.
func (s *Sample) Rate() float64 { return float64(s.threshold) / whole }

// Pages is how many are sampled now.
func (s *Sample) Pages() int { return int(s.order.live) }

// Touch takes references, as Numbers.Number takes them.
func (s *Sample) Touch(keys []uint64, volumes []uint32) {
	s.requests += uint64(len(keys))
	for len(keys) > 0 {
		n := min(len(keys), chunk)
		if volumes == nil {
			if k := filter(s.keys[:], keys[:n], s.threshold, s.distinct.rank); k > 0 {
				s.take(s.keys[:k], nil)
			}
		} else {
			if k := filterVolumes(s.keys[:], s.volumes[:], keys[:n], volumes[:n], s.threshold, s.distinct.rank); k > 0 {
				s.take(s.keys[:k], s.volumes[:k])
			}
			volumes = volumes[n:]
		}
		keys = keys[n:]
	}
}

// filter puts the keys whose hash is below the threshold to the front of out, which is as long as keys at least. Each key is written,
// and the place goes on if it is kept: no branch, which would be guessed wrong at each key kept. By the way all are counted as those
// that are different; that branch is hardly ever taken.
func filter(out, keys []uint64, threshold uint64, rank []uint8) (kept int) {
	out, rank = out[:len(keys)], rank[:registers]
	for _, key := range keys {
		out[kept] = key
		h := mix(key, 0)
		more := 0
		if uint64(uint32(h)) < threshold {
			more = 1
		}
		kept += more
		if r := rankOf(h); r > rank[h>>(64-registerBits)] {
			rank[h>>(64-registerBits)] = r
		}
	}
	return kept
}

func filterVolumes(out []uint64, outVolumes []uint32, keys []uint64, volumes []uint32, threshold uint64, rank []uint8) (kept int) {
	for i, key := range keys {
		out[kept], outVolumes[kept] = key, volumes[i]
		h := mix(key, volumes[i])
		more := 0
		if uint64(uint32(h)) < threshold {
			more = 1
		}
		kept += more
		if r := rankOf(h); r > rank[h>>(64-registerBits)] {
			rank[h>>(64-registerBits)] = r
		}
	}
	return kept
}

// take takes references that the filter has kept.
func (s *Sample) take(keys []uint64, volumes []uint32) {
	s.ids = s.numbers.Number(keys, volumes, s.ids[:0])
	s.order.reach(uint32(max(s.numbers.Len(), 1) - 1))
	for i, key := range keys {
		var v uint32
		if volumes != nil {
			v = volumes[i]
		}
		h := mix(key, v)
		if uint64(uint32(h)) >= s.threshold {
			continue // the threshold was lowered in between
		}
		s.one(s.ids[i], h)
	}
}

// one takes a reference to a page of the sample.
func (s *Sample) one(id uint32, h uint64) {
	rate := s.Rate()
	weight := 1 / rate
	p := &s.part[h>>32%parts]
	s.sampled++
	p.all += weight
	d := s.order.touch(id)
	if d != never {
		if s.threshold == whole {
			for int(d) >= len(s.exact) {
				s.exact = append(s.exact, 0)
			}
			s.exact[d]++
		}
		p.hist.add(float64(d)/rate, weight)
		return
	}
	p.cold += weight
	if s.most > 0 {
		s.pages.push(sampledPage{uint32(h), id})
		if len(s.pages) > s.most {
			s.lower()
		}
	}
}

// lower takes out the page of the largest hash, and what has the same, and lowers the threshold below it.
func (s *Sample) lower() {
	s.exact = nil // from now on it is not
	s.threshold = uint64(s.pages[0].hash)
	for len(s.pages) > 0 && uint64(s.pages[0].hash) >= s.threshold {
		s.order.remove(s.pages.pop().id)
	}
}

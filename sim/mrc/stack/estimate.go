package stack

import "math"

// Estimate is a curve of LRU from a sample.
type Estimate struct {
	Requests        uint64
	SampledRequests uint64
	SampledPages    int     // at the end
	Rate            float64 // at the end; 1 means that all was looked at, and the curve is exact
	Pages           float64 // different pages, estimated

	exact  *Curve    // if the rate is 1
	ratios []float64 // by bucket of the size
	errors []float64
}

// Estimate is what was found until now. The sample can go on.
//
// A sample misses the references to single pages that have many, or has too many of them, and it has not just the share of the pages
// that its rate says. But of all requests it is known how many there are, and nearly how many different pages they are for (distinct).
// So the misses are corrected by b times what the weights of the sampled references lack of all requests, and by c times what those of
// first references lack of all pages, with b and c for each size from the sample itself: how the misses of the 32 parts depend on their
// references and pages (the regression estimator of sampling theory: Cochran, "Sampling techniques", chapter 7). SHARDS-adj, which
// counts the lacking references as hits, is b = 0 and c = 0; that is right for caches in which pages with many references stay.
//
// The variance has two terms: what is left of the spread of the parts' misses after that, and, because a distance is known only as well
// as the sample knows the number of pages in between, the slope of the curve over the logarithm of the size times the relative error of
// such a number.
func (s *Sample) Estimate() *Estimate {
	e := &Estimate{
		Requests: s.requests, SampledRequests: s.sampled, SampledPages: s.Pages(), Rate: s.Rate(), Pages: float64(s.Pages()),
	}
	if s.threshold == whole || s.requests == 0 {
		var cold float64
		for p := range s.part {
			cold += s.part[p].cold
		}
		d := Distances{hist: s.exact, cold: uint64(cold), total: s.requests}
		e.exact = d.Curve()
		return e
	}
	e.Pages = s.distinct.count()
	top := 0
	for p := range s.part {
		top = max(top, len(s.part[p].hist))
	}
	e.ratios, e.errors = make([]float64, top+1), make([]float64, top+1)
	var misses [parts]float64 // of a cache whose size is in bucket i: all distances of this bucket and those above
	for p := range s.part {
		misses[p] = s.part[p].cold
	}
	for i := top; i >= 0; i-- {
		for p := range s.part {
			if h := s.part[p].hist; i < len(h) {
				misses[p] += h[i]
			}
		}
		e.ratios[i], e.errors[i] = s.regress(&misses, e.Pages)
	}
	for i := range e.ratios { // no larger cache misses more
		if i > 0 {
			e.ratios[i] = min(e.ratios[i], e.ratios[i-1])
		}
	}
	for i := range e.errors {
		per := 1.0 / (1 << sizeBits)                                            // a bucket in units of the logarithm, about
		slope := (e.ratios[max(i-8, 0)] - e.ratios[min(i+8, top)]) / (16 * per) // of the miss ratio
		relative := math.Sqrt((1 - e.Rate) / max(lowest(i)*e.Rate, 1))          // of a number of pages
		e.errors[i] = math.Hypot(e.errors[i]*math.Sqrt(1-e.Rate), slope*relative)
	}
	return e
}

// regress gives a miss ratio from the misses of the parts and the number of pages, and the standard error of that, by the jackknife: how
// far the estimates lie apart that leave one part out each (Wolter, "Introduction to variance estimation", chapter 4).
func (s *Sample) regress(misses *[parts]float64, pages float64) (ratio, standardError float64) {
	var all moments
	for p := range misses {
		all.add(misses[p], s.part[p].all, s.part[p].cold, 1)
	}
	n := float64(s.requests)
	total, c := all.total(n, pages)
	var squares float64
	for p := range misses {
		less := all
		less.add(misses[p], s.part[p].all, s.part[p].cold, -1)
		without, _ := less.total(n, pages)
		squares += (without - total) * (without - total)
	}
	return min(max(total/n, 0), 1), math.Hypot(math.Sqrt(squares*(parts-1)/parts), c*pages*distinctError) / n
}

// moments of the misses m, references w and first references f of parts.
type moments struct{ k, m, w, f, mw, mf, ww, wf, ff float64 }

// add adds a part, or takes it away with -1.
func (s *moments) add(m, w, f, sign float64) {
	s.k += sign
	s.m, s.w, s.f = s.m+sign*m, s.w+sign*w, s.f+sign*f
	s.mw, s.mf = s.mw+sign*m*w, s.mf+sign*m*f
	s.ww, s.wf, s.ff = s.ww+sign*w*w, s.wf+sign*w*f, s.ff+sign*f*f
}

// total is the regression estimate of the misses of all n requests for so many pages, and c of it.
func (s *moments) total(n, pages float64) (misses, c float64) {
	about := func(xy, x, y float64) float64 { return xy - x*y/s.k }
	mw, mf := about(s.mw, s.m, s.w), about(s.mf, s.m, s.f)
	ww, wf, ff := about(s.ww, s.w, s.w), about(s.wf, s.w, s.f), about(s.ff, s.f, s.f)
	var b float64
	if det := ww*ff - wf*wf; det > 1e-9*ww*ff {
		b, c = (mw*ff-mf*wf)/det, (mf*ww-mw*wf)/det
	} else if ff > 0 { // all pages have as many references
		c = mf / ff
	}
	scale := parts / s.k
	return scale*s.m + b*(n-scale*s.w) + c*(pages-scale*s.f), c
}

// Exact reports whether nothing was left out.
func (e *Estimate) Exact() bool { return e.exact != nil }

// MissRatio of a cache of so many pages, 0 to 1, and its standard error. Sizes below 1/rate pages are not told apart.
func (e *Estimate) MissRatio(pages uint64) (ratio, standardError float64) {
	if e.exact != nil {
		if e.Requests == 0 {
			return 0, 0
		}
		return float64(e.exact.Misses(pages)) / float64(e.Requests), 0
	}
	i := min(bucket(float64(max(pages, 1))), len(e.ratios)-1)
	return e.ratios[i], e.errors[i]
}

// buckets are a histogram of numbers. Those below 1, which are 0, are not in it. A bucket is the numbers that agree in their exponent
// and the first bits of their fraction, so none is wider than 1/512 of its numbers, and whole numbers below 1024 have one each.
type buckets []float64

const (
	sizeBits    = 9             // of the fraction
	bucketBits  = 52 - sizeBits // of a float64 that are left out
	firstBucket = 1023 << sizeBits
)

// bucket is that of a number of 1 at least.
func bucket(x float64) int { return int(math.Float64bits(x)>>bucketBits) - firstBucket }

// lowest is the least number of a bucket.
func lowest(i int) float64 { return math.Float64frombits(uint64(i+firstBucket) << bucketBits) }

func (b *buckets) add(x, weight float64) {
	if x < 1 {
		return
	}
	i := bucket(x)
	for i >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[i] += weight
}

// sampledPage is a page of a sample of a fixed number of pages.
type sampledPage struct {
	hash uint32
	id   uint32
}

// maxHeap has the page of the largest hash first; of one hash, that of the largest number.
type maxHeap []sampledPage

func (h maxHeap) above(i, j int) bool {
	return h[i].hash > h[j].hash || h[i].hash == h[j].hash && h[i].id > h[j].id
}

func (h *maxHeap) push(p sampledPage) {
	*h = append(*h, p)
	list := *h
	for i := len(list) - 1; i > 0; {
		up := (i - 1) / 2
		if !list.above(i, up) {
			return
		}
		list[i], list[up] = list[up], list[i]
		i = up
	}
}

func (h *maxHeap) pop() sampledPage {
	list := *h
	top := list[0]
	n := len(list) - 1
	list[0] = list[n]
	list = list[:n]
	*h = list
	for i := 0; ; {
		child := 2*i + 1
		if child >= n {
			return top
		}
		if child+1 < n && list.above(child+1, child) {
			child++
		}
		if !list.above(child, i) {
			return top
		}
		list[i], list[child] = list[child], list[i]
		i = child
	}
}

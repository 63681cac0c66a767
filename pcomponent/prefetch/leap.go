package prefetch

// leapHistory is how many distances between calls are remembered, and leapSplit
// the share of them that a trend is looked for in first; both as in the paper.
const (
	leapHistory = 32
	leapSplit   = 4
)

// leap looks for the distance that more than half of the last calls have, first
// among the latest, then among twice as many, until there is one or all were looked
// at; so that a few calls of another stream do not hide it. It guesses as many pages
// at that distance as the last ones were of use, up to Depth.
//
// Source: Al Maruf, Chowdhury, "Effectively prefetching remote memory with Leap",
// USENIX ATC 2020, algorithms 1 and 2. The window is measured in calls; what the
// paper does for pages in swap space is done for pages of the address space.
type leap struct {
	depth  int
	seen   int // calls, up to leapHistory + 1
	last   uint64
	deltas [leapHistory]int64
	head   int // the newest of deltas
	useful int // prefetched pages that were used since the last guess
	window int // of the last guess
	trend  int64
}

func newLeap(depth int) guesser { return &leap{depth: depth} }

func (p *leap) guess(page uint64, useful bool, out []uint64) []uint64 {
	if useful {
		p.useful++
	}
	p.head = (p.head + 1) % leapHistory
	p.deltas[p.head] = int64(page - p.last)
	p.last = page
	if p.seen++; p.seen == 1 {
		p.deltas[p.head] = 0
		return out
	}
	p.seen = min(p.seen, leapHistory+1)
	trend, ok := p.majority()
	if ok {
		p.trend = trend
	}
	n := p.size()
	if p.trend == 0 {
		return out
	}
	return ahead(page, p.trend, n, out)
}

// majority is FindTrend: Boyer and Moore's vote over windows that double.
func (p *leap) majority() (int64, bool) {
	for w := leapHistory / leapSplit; w <= leapHistory; w *= 2 {
		n := min(w, p.seen-1)
		candidate, votes := int64(0), 0
		for i := range n {
			switch d := p.delta(i); {
			case votes == 0:
				candidate, votes = d, 1
			case d == candidate:
				votes++
			default:
				votes--
			}
		}
		count := 0
		for i := range n {
			if p.delta(i) == candidate {
				count++
			}
		}
		if count > n/2 {
			return candidate, true
		}
		if n < w {
			break
		}
	}
	return 0, false
}

// delta is the i-th distance back.
func (p *leap) delta(i int) int64 { return p.deltas[(p.head-i+leapHistory)%leapHistory] }

// size is GetPrefetchWindowSize.
func (p *leap) size() int {
	n := 0
	switch {
	case p.useful > 0:
		for n = 1; n < p.useful+1; n *= 2 {
		}
		n = min(n, p.depth)
	case p.delta(0) == p.trend:
		n = 1
	}
	n = max(n, p.window/2) // it shrinks slowly
	p.useful, p.window = 0, n
	return n
}

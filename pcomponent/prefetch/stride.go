package prefetch

// The zones of stride: a stream is looked for among the calls of one zone, because
// a fault does not tell which instruction made it.
const (
	strideZone    = 4096 // pages: 16 MiB
	strideZones   = 32   // that are remembered; the one used longest ago goes
	strideConfirm = 2    // equal distances in a row before anything is guessed
)

// stride finds in each zone of addresses a constant distance between calls, and
// guesses the next Depth pages at that distance.
//
// Source: Palacharla, Kessler, "Evaluating stream buffers as a secondary cache
// replacement", ISCA 1994, section 7 (non-unit strides by address zones, "czone").
type stride struct {
	depth int
	now   uint64
	zones [strideZones]zone
}

type zone struct {
	used   uint64 // the call that used it last; 0: never
	number uint64
	last   uint64
	step   int64
	equal  int
}

func newStride(depth int) guesser { return &stride{depth: depth} }

func (p *stride) guess(page uint64, _ bool, out []uint64) []uint64 {
	p.now++
	z := p.zone(page)
	step := int64(page - z.last)
	if step == 0 {
		return out
	}
	if step == z.step {
		z.equal = min(z.equal+1, strideConfirm)
	} else {
		z.step, z.equal = step, 1
	}
	z.last = page
	if z.equal < strideConfirm {
		return out
	}
	return ahead(page, step, p.depth, out)
}

// zone finds the zone of a page, or begins it in the place of the oldest. A stream
// that comes over the border of a zone keeps what is known of it.
func (p *stride) zone(page uint64) *zone {
	number, oldest := page/strideZone, 0
	for i := range p.zones {
		z := &p.zones[i]
		if z.used > 0 && z.number == number {
			z.used = p.now
			return z
		}
		if z.used < p.zones[oldest].used {
			oldest = i
		}
	}
	for i := range p.zones {
		if z := &p.zones[i]; z.used > 0 && z.equal >= strideConfirm && z.last+uint64(z.step) == page {
			z.number, z.used = number, p.now
			return z
		}
	}
	p.zones[oldest] = zone{used: p.now, number: number, last: page}
	return &p.zones[oldest]
}

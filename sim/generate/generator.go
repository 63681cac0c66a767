package generate

import (
	"math/bits"
	"math/rand/v2"
)

// shape makes pages, from 0, and says what writes where its kind decides that; n is the number of the reference.
type shape interface {
	next(n uint64, rng *rand.Rand) (page uint64, write bool)
}

// Generator makes the references of a Spec. Make one with New.
type Generator struct {
	rng   *rand.Rand
	n     uint64 // references made
	write uint64 // of 2^53, of kinds whose writes are drawn
	shape shape
}

// newRand is the chance of a seed: PCG, so one seed is one sequence everywhere.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x67656e6572617465)) }

// share is a percentage of 2^53, to compare with 53 random bits.
func share(percent float64) uint64 { return uint64(percent / 100 * (1 << 53)) }

// chance is true for that share of its calls.
func chance(rng *rand.Rand, share uint64) bool { return rng.Uint64()>>11 < share }

// part is so many percent of n, rounded down.
func part(n uint64, percent float64) uint64 { return min(uint64(float64(n)*percent/100), n) }

// New makes the generator of a spec that Parse has read, of a kind of references.
func New(s Spec) *Generator {
	k, _ := kindOf(s.Kind)
	return &Generator{rng: newRand(s.Seed), write: share(s.Write), shape: k.shape(s)}
}

// Next gives the page of the next reference, from 0, and whether it writes.
func (g *Generator) Next() (page uint64, write bool) {
	page, write = g.shape.next(g.n, g.rng)
	g.n++
	return page, write || g.write > 0 && chance(g.rng, g.write)
}

// zipfPages are pages by popularity.
type zipfPages struct {
	zipf  zipf
	pages uint64
	step  uint64 // scatters ranks: coprime to pages
}

func newZipfPages(s Spec) shape {
	return &zipfPages{zipf: newZipf(s.Pages, s.Skew), pages: s.Pages, step: scatter(s.Pages)}
}

func (z *zipfPages) next(_ uint64, rng *rand.Rand) (uint64, bool) {
	return scattered(z.zipf.draw(rng)-1, z.step, z.pages), false
}

// scattered is where rank k of n lies.
func scattered(k, step, n uint64) uint64 {
	hi, lo := bits.Mul64(k, step)
	_, at := bits.Div64(hi, lo, n)
	return at
}

// sequential is one page after the other.
type sequential struct{ pages uint64 }

func newSequential(s Spec) shape { return &sequential{s.Pages} }

func (q *sequential) next(n uint64, _ *rand.Rand) (uint64, bool) { return n % q.pages, false }

// phases are runs within some pages.
type phases struct{ pages, hot, phase, first uint64 }

func newPhases(s Spec) shape { return &phases{pages: s.Pages, hot: s.Hot, phase: s.Phase} }

func (p *phases) next(n uint64, rng *rand.Rand) (uint64, bool) {
	if n%p.phase == 0 {
		p.first = rng.Uint64N(p.pages - p.hot + 1)
	}
	return p.first + rng.Uint64N(p.hot), false
}

// hotCold are two groups of pages.
type hotCold struct{ pages, hot, share uint64 }

func newHotCold(s Spec) shape { return &hotCold{s.Pages, s.Hot, share(s.HotPercent)} }

func (h *hotCold) next(_ uint64, rng *rand.Rand) (uint64, bool) {
	if chance(rng, h.share) || h.hot == h.pages {
		return rng.Uint64N(h.hot), false
	}
	return h.hot + rng.Uint64N(h.pages-h.hot), false
}

// strided passes every stride-th page, then those one further.
type strided struct{ pages, stride, page uint64 }

func newStrided(s Spec) shape { return &strided{pages: s.Pages, stride: s.Stride} }

func (w *strided) next(uint64, *rand.Rand) (page uint64, write bool) {
	page = w.page
	if w.page += w.stride; w.page >= w.pages {
		w.page = (page%w.stride + 1) % w.stride
	}
	return page, false
}

// chase is a random cycle.
type chase struct {
	pages uint64
	order permutation
}

func newChase(s Spec) shape { return &chase{s.Pages, newPermutation(s.Pages, s.Seed)} }

func (c *chase) next(n uint64, _ *rand.Rand) (uint64, bool) { return c.order.at(n % c.pages), false }

// drift is a window that moves.
type drift struct{ pages, hot, every uint64 }

func newDrift(s Spec) shape { return &drift{s.Pages, s.Hot, s.Drift} }

func (d *drift) next(n uint64, rng *rand.Rand) (uint64, bool) {
	return (n/d.every%d.pages + rng.Uint64N(d.hot)) % d.pages, false
}

// scatter gives a step that visits every page once: near the golden section of their number, and coprime to it.
func scatter(pages uint64) uint64 {
	s := max(uint64(float64(pages)*0.6180339887498949), 1)
	for gcd(s, pages) != 1 {
		s++
	}
	return s
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

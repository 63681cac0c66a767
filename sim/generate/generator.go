package generate

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// Generator makes the references of a Spec. Make one with New.
type Generator struct {
	s     Spec
	rng   *rand.Rand
	n     uint64 // references made
	write uint64 // of 2^53
	zipf  zipf
	step  uint64 // scatters ranks: coprime to Pages
	first uint64 // of the phase
}

// New makes the generator of a spec that Parse has read.
func New(s Spec) *Generator {
	g := &Generator{s: s, rng: rand.New(rand.NewPCG(s.Seed, 0x67656e6572617465)), write: uint64(s.Write / 100 * (1 << 53))}
	if s.Kind == Zipf {
		g.zipf = newZipf(s.Pages, s.Skew)
		g.step = scatter(s.Pages)
	}
	return g
}

// Next gives the page of the next reference, from 0, and whether it writes.
func (g *Generator) Next() (page uint64, write bool) {
	switch g.s.Kind {
	case Zipf:
		hi, lo := bits.Mul64(g.zipf.draw(g.rng)-1, g.step)
		_, page = bits.Div64(hi, lo, g.s.Pages)
	case Sequential:
		page = g.n % g.s.Pages
	default:
		if g.n%g.s.Phase == 0 {
			g.first = g.rng.Uint64N(g.s.Pages - g.s.Hot + 1)
		}
		page = g.first + g.rng.Uint64N(g.s.Hot)
	}
	g.n++
	return page, g.write > 0 && g.rng.Uint64()>>11 < g.write
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

// zipf draws k of 1 to n with a probability of 1/k^s, by rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to
// generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996): no table, and any s from 0 on.
type zipf struct {
	n           float64
	s           float64
	first, last float64 // of the integral
	cut         float64
}

func newZipf(n uint64, s float64) zipf {
	z := zipf{n: float64(n), s: s}
	z.first = z.integral(1.5) - 1
	z.last = z.integral(z.n + 0.5)
	z.cut = 2 - z.inverse(z.integral(2.5)-z.h(2))
	return z
}

func (z *zipf) draw(rng *rand.Rand) uint64 {
	for {
		u := z.last + rng.Float64()*(z.first-z.last)
		x := z.inverse(u)
		k := math.Floor(min(max(x+0.5, 1), z.n))
		if k-x <= z.cut || u >= z.integral(k+0.5)-z.h(k) {
			return uint64(k)
		}
	}
}

// h is 1/x^s, integral one of its integrals, inverse that one's inverse.
func (z *zipf) h(x float64) float64 { return math.Exp(-z.s * math.Log(x)) }

func (z *zipf) integral(x float64) float64 {
	l := math.Log(x)
	return over(math.Expm1, (1-z.s)*l) * l
}

func (z *zipf) inverse(u float64) float64 {
	return math.Exp(over(math.Log1p, max(u*(1-z.s), -1)) * u)
}

// over is f(x)/x, for an f that is near x where x is near 0.
func over(f func(float64) float64, x float64) float64 {
	if math.Abs(x) < 1e-9 {
		return 1
	}
	return f(x) / x
}

package generate

import (
	"math"
	"math/rand/v2"
)

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

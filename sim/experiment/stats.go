package experiment

import "math"

// Confidence is that of every interval, in percent.
const Confidence = 95

// sample is what is known of one quantity over seeds.
type sample struct {
	n        int
	mean     float64
	variance float64 // of the values, with n-1; 0 for one value
}

func newSample(values []float64) sample {
	s := sample{n: len(values)}
	for _, v := range values {
		s.mean += v / float64(s.n)
	}
	if constant(values) {
		s.mean = values[0] // the sum above may be off by a bit, which would look like a difference
		return s
	}
	for _, v := range values {
		s.variance += (v - s.mean) * (v - s.mean) / float64(s.n-1)
	}
	return s
}

func constant(values []float64) bool {
	for _, v := range values {
		if v != values[0] {
			return false
		}
	}
	return len(values) > 0
}

// half is half of the confidence interval of the mean, NaN for one value.
func (s sample) half() float64 {
	if s.n < 2 {
		return math.NaN()
	}
	if s.variance == 0 {
		return 0
	}
	return quantileT(float64(s.n-1)) * math.Sqrt(s.variance/float64(s.n))
}

// welch gives half of the confidence interval of the difference of two means whose variances may differ (Welch 1947, degrees of
// freedom by Satterthwaite), NaN if one of them has one value.
func welch(a, b sample) float64 {
	if a.n < 2 || b.n < 2 {
		return math.NaN()
	}
	va, vb := a.variance/float64(a.n), b.variance/float64(b.n)
	if va+vb == 0 {
		return 0
	}
	df := (va + vb) * (va + vb) / (va*va/float64(a.n-1) + vb*vb/float64(b.n-1))
	return quantileT(df) * math.Sqrt(va+vb)
}

// quantileT gives the t that a value of Student's distribution with df degrees of freedom, df ≥ 1, exceeds in magnitude with
// probability 5 %: 12.706 for 1, 1.960 for very many.
func quantileT(df float64) float64 {
	low, high := 0.0, 16.0
	for range 80 { // halves the interval down to the last bit
		mid := (low + high) / 2
		if tails(mid, df) > 1-Confidence/100.0 {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// tails is the probability that a value of Student's distribution is beyond t on either side: the regularised incomplete beta
// function I_x(df/2, 1/2) at x = df/(df+t²) (Abramowitz and Stegun 26.7.1).
func tails(t, df float64) float64 {
	return incompleteBeta(df/2, 0.5, df/(df+t*t))
}

// incompleteBeta is I_x(a, b) by its continued fraction (Abramowitz and Stegun 26.5.8), which converges fast for x < (a+1)/(a+b+2);
// beyond, by symmetry.
func incompleteBeta(a, b, x float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - incompleteBeta(b, a, 1-x)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log1p(-x)) / a
	// Evaluated from the front (Lentz's method): f = 1 + d1/(1 + d2/(1 + …)).
	const tiny = 1e-300 // instead of a division by zero
	f, c, d := 1.0, 1.0, 0.0
	for i := range 500 {
		m := float64(i / 2)
		term := 1.0
		switch {
		case i == 0:
		case i%2 == 0:
			term = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			term = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 / nonZero(1+term*d, tiny)
		c = nonZero(1+term/c, tiny)
		f *= c * d
		if math.Abs(c*d-1) < 1e-15 {
			break
		}
	}
	return front * (f - 1)
}

func nonZero(v, tiny float64) float64 {
	if math.Abs(v) < tiny {
		return tiny
	}
	return v
}

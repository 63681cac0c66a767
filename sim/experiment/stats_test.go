package experiment

import (
	"math"
	"testing"
)

// TestStudent compares quantiles with the published table (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, column 0.975).
func TestStudent(t *testing.T) {
	for df, want := range map[float64]float64{1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 19: 2.093, 29: 2.045, 30: 2.042, 60: 2.000, 100: 1.984, 1e7: 1.960} {
		if got := quantileT(df); math.Abs(got-want) > 0.0006 {
			t.Errorf("t of %v degrees of freedom: %.4f, want %.3f", df, got, want)
		}
	}
	for _, x := range []float64{0.001, 0.2, 0.5, 0.9, 0.999} { // I_x(a, 1) = x^a, I_x(1, b) = 1-(1-x)^b
		if got, want := incompleteBeta(2.5, 1, x), math.Pow(x, 2.5); math.Abs(got-want) > 1e-12 {
			t.Errorf("I_%v(2.5, 1) = %v, want %v", x, got, want)
		}
		if got, want := incompleteBeta(1, 3.5, x), 1-math.Pow(1-x, 3.5); math.Abs(got-want) > 1e-12 {
			t.Errorf("I_%v(1, 3.5) = %v, want %v", x, got, want)
		}
	}
}

// TestWelch compares with the example of the two suppliers worked by hand: means 10 and 13, variances 2.5 and 10, five values each, so
// that the standard error is √2.5 and the degrees of freedom are 2.5² / (0.5²/4 + 2²/4) = 5.882.
func TestWelch(t *testing.T) {
	a, b := newSample([]float64{8, 9, 10, 11, 12}), newSample([]float64{9, 11, 13, 15, 17})
	if a.mean != 10 || b.mean != 13 || math.Abs(a.variance-2.5) > 1e-12 || math.Abs(b.variance-10) > 1e-12 {
		t.Fatalf("samples %+v and %+v", a, b)
	}
	want := quantileT(5.88235294117647) * math.Sqrt(2.5)
	if got := welch(a, b); math.Abs(got-want) > 1e-9 || got < 3.8 || got > 4.0 {
		t.Errorf("half interval %v, want %v", got, want)
	}
	if got := welch(a, newSample([]float64{1})); !math.IsNaN(got) {
		t.Errorf("one value has an interval of %v, want none", got)
	}
	if s := newSample([]float64{0.1, 0.1, 0.1}); s.half() != 0 || s.mean != 0.1 {
		t.Errorf("%+v of equal values, want no spread and their mean", s)
	}
}

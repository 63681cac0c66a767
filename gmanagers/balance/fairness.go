package balance

import "math"

// CoV returns the coefficient of variation of xs, standard deviation of the population by mean: 0 if all are equal, √(n-1)
// if one of n has all. It is 0 for no values and where the mean is 0. Values are not negative.
func CoV(xs []float64) float64 {
	var sum float64
	for _, x := range xs {
		sum += x
	}
	if sum <= 0 {
		return 0
	}
	mean := sum / float64(len(xs))
	var square float64
	for _, x := range xs {
		d := x/mean - 1 // by the mean first, so that nothing overflows
		square += d * d
	}
	return math.Sqrt(square / float64(len(xs)))
}

// Jain returns the fairness index of Jain, Chiu and Hawe, (Σx)² / (n·Σx²): 1 if all are equal, 1/n if one of n has all.
// It is 1 for no values and where all are 0. Values are not negative.
func Jain(xs []float64) float64 {
	c := CoV(xs)
	return 1 / (1 + c*c)
}

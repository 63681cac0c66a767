package vcluster

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestHistogramIsThatOfTheReport: counted here and handed over, every latency lies in the bucket in which it would have been.
func TestHistogramIsThatOfTheReport(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8 { // few: each of the report's histograms has 270 KiB
		var h Histogram
		want, got := NewLatencies(), NewLatencies()
		for range rng.IntN(200) {
			v := rng.Int64N(1 << (1 + rng.IntN(42)))
			h.add(time.Duration(v))
			if err := want.RecordValue(min(v, longest)); err != nil {
				t.Fatal(err)
			}
		}
		h.Into(got)
		if got, want := got.Export().Counts, want.Export().Counts; !slices.Equal(got, want) || int64(h.N()) != sum(want) {
			t.Fatal("the histograms differ")
		}
	}
}

func sum(xs []int64) (n int64) {
	for _, x := range xs {
		n += x
	}
	return n
}

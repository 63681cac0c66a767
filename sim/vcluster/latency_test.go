package vcluster

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHistogramIsThatOfTheReport: counted here and handed over, every latency lies in the bucket in which it would have been.
func TestHistogramIsThatOfTheReport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Histogram
		want, got := NewLatencies(), NewLatencies()
		for range rapid.IntRange(0, 50).Draw(t, "latencies") {
			v := rapid.Int64Range(0, 1<<rapid.IntRange(1, 42).Draw(t, "bits")).Draw(t, "ns")
			h.add(time.Duration(v))
			if err := want.RecordValue(min(v, longest)); err != nil {
				t.Fatal(err)
			}
		}
		h.Into(got)
		if got, want := got.Export().Counts, want.Export().Counts; !reflect.DeepEqual(got, want) || int64(h.N()) != sum(want) {
			t.Fatal("the histograms differ")
		}
	})
}

func sum(xs []int64) (n int64) {
	for _, x := range xs {
		n += x
	}
	return n
}

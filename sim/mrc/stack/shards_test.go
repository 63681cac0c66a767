package stack

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/sim/generate"
)

// sizesOf are the hundredths of the footprint: the sizes over which the mean error is taken.
func sizesOf(pages uint64) (sizes []uint64) {
	for i := range uint64(100) {
		sizes = append(sizes, max(pages*(i+1)/100, 1))
	}
	return sizes
}

// errorOf is the mean error of an estimate over sizes, the largest in standard errors, and the share of sizes within two.
func errorOf(e *Estimate, exact *Curve) (mean, worst, within float64) {
	sizes := sizesOf(exact.Pages)
	for _, size := range sizes {
		m, se := e.MissRatio(size)
		d := math.Abs(m - float64(exact.Misses(size))/float64(exact.Requests))
		mean += d / float64(len(sizes))
		if d > 1e-4 {
			worst = max(worst, d/se)
		}
		if d <= 2*se+1e-4 {
			within += 1 / float64(len(sizes))
		}
	}
	return mean, worst, within
}

// both gives the exact curve of generated references and its estimates.
func both(t *testing.T, s generate.Spec, options ...SampleOptions) (*Curve, []*Estimate) {
	t.Helper()
	g := generate.New(s)
	var numbers Numbers
	var d Distances
	var samples []*Sample
	for _, o := range options {
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		samples = append(samples, NewSample(o))
	}
	keys, ids := make([]uint64, 0, 10_000), []uint32(nil)
	for n := uint64(0); n < s.Refs; n += 10_000 {
		keys = keys[:0]
		for range min(s.Refs-n, 10_000) {
			key, _ := g.Next()
			keys = append(keys, key)
		}
		ids = numbers.Number(keys, nil, ids[:0])
		d.Touch(ids)
		for _, s := range samples {
			s.Touch(keys, nil)
		}
	}
	var estimates []*Estimate
	for _, s := range samples {
		estimates = append(estimates, s.Estimate())
	}
	return d.Curve(), estimates
}

func TestSampleIsNearAndKnowsHowNear(t *testing.T) {
	options := []SampleOptions{{Pages: DefaultSample}, {Rate: 0.04}, {Pages: LeastSample}}
	for _, s := range []generate.Spec{
		{Kind: generate.Zipf, Pages: 200_000, Refs: 1_000_000, Skew: 0.8, Seed: 1},
		{Kind: generate.Zipf, Pages: 200_000, Refs: 1_000_000, Skew: 1.0, Seed: 2},
		{Kind: generate.Phases, Pages: 200_000, Refs: 1_000_000, Phase: 100_000, Hot: 20_000, Seed: 3},
	} {
		exact, estimates := both(t, s, options...)
		for i, e := range estimates {
			mean, worst, within := errorOf(e, exact)
			t.Logf("%s, skew %v, %+v: %d pages at rate %.4f, mean error %.4f, at most %.1f standard errors, %.0f %% of sizes within 2", s.Kind, s.Skew, options[i], e.SampledPages, e.Rate, mean, worst, 100*within)
			if limit := []float64{0.005, 0.005, 0.03}[i]; mean > limit {
				t.Errorf("%s %+v: mean error %.4f, want at most %v", s.Kind, options[i], mean, limit)
			}
			// Of a thousand pages a few hot ones decide, and 32 parts of 30 pages do not show how much.
			if few := options[i].Pages == LeastSample; worst > 6 || within < 0.8 && !few {
				t.Errorf("%s %+v: the error is up to %.1f times the standard error stated, and %.0f %% of sizes are within twice it", s.Kind, options[i], worst, 100*within)
			}
			if off := math.Abs(e.Pages/float64(exact.Pages) - 1); off > 0.1 {
				t.Errorf("%s %+v: %.0f pages, want %d", s.Kind, options[i], e.Pages, exact.Pages)
			}
			if e.Exact() || e.SampledPages > max(options[i].Pages, 8300) || e.Requests != exact.Requests {
				t.Errorf("%s %+v: %d pages of %d requests, exact is %v", s.Kind, options[i], e.SampledPages, e.Requests, e.Exact())
			}
		}
	}
}

// TestSmallIsExact: as long as all pages fit in the sample, nothing is estimated; volumes are kept apart.
func TestSmallIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids, _ := drawIDs(t)
		keys, volumes := make([]uint64, len(ids)), make([]uint32, len(ids))
		for i, id := range ids {
			keys[i], volumes[i] = uint64(id/3), id%3
		}
		s := NewSample(SampleOptions{Pages: LeastSample})
		s.Touch(keys, volumes)
		var d Distances
		d.Touch(ids)
		e, exact := s.Estimate(), d.Curve()
		for size := uint64(1); size < exact.Pages+2; size++ {
			m, se := e.MissRatio(size)
			want := 0.0
			if exact.Requests > 0 {
				want = float64(exact.Misses(size)) / float64(exact.Requests)
			}
			if m != want || se != 0 || !e.Exact() || e.Pages != float64(exact.Pages) {
				t.Fatalf("of %d pages: %v ± %v, want %v", size, m, se, want)
			}
		}
	})
}

func TestSampleOptions(t *testing.T) {
	for _, c := range []struct {
		o    SampleOptions
		want string
	}{
		{SampleOptions{}, "neither"}, {SampleOptions{Rate: 0.1, Pages: 5000}, "want one of them"}, {SampleOptions{Rate: 2}, "rate of 2"},
		{SampleOptions{Rate: math.NaN()}, "rate of NaN"}, {SampleOptions{Pages: 999}, "999 pages, want 1000 to"}, {SampleOptions{Rate: -1, Pages: -1}, "-1 pages"},
	} {
		if err := c.o.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(1, 1e12).Draw(t, "x")
		y := x * rapid.Float64Range(1.004, 3).Draw(t, "times")
		if bucket(x) >= bucket(y) {
			t.Errorf("%v and %v are in buckets %d and %d", x, y, bucket(x), bucket(y))
		}
		if n := float64(rapid.IntRange(1, 1022).Draw(t, "n")); bucket(n)+1 > bucket(n+1) {
			t.Errorf("%v and %v share a bucket", n, n+1)
		}
	})
}

func TestDistinct(t *testing.T) {
	for _, n := range []uint64{1, 10, 1000, 100_000, 1_000_000} {
		d := makeDistinct()
		keys, out := make([]uint64, n), make([]uint64, n)
		for i := range keys {
			keys[i] = uint64(i)*4096 + n
		}
		for range 2 {
			filter(out, keys, 0, d.rank)
		}
		if got := d.count(); math.Abs(got/float64(n)-1) > 4*distinctError {
			t.Errorf("%.1f different keys, want %d", got, n)
		}
	}
	if got := new(Sample).Estimate().Requests; got != 0 {
		t.Errorf("%d requests of nothing", got)
	}
}

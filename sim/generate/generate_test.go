package generate

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustParse(t interface{ Fatal(...any) }, text string) Spec {
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFaultsAreNamed: every one, by its key.
func TestFaultsAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"zipf?pages=1":        "want generator:KIND?",
		"generator:zip?x=1":   `generator "zip", want one of block, chase, drift, hotcold, phases, sequential, strided, training, wordcount, ycsb, zipf`,
		"generator:zipf":      "pages: missing, want a number of at least 1\nrefs: missing, want a number of at least 1",
		"generator:zipf?refs": "refs: \"\", want a whole number of 1 to 281474976710656\npages: missing, want a number of at least 1",
		"generator:zipf?pages=0&refs=1&writes_percent=101&skew=NaN&seed=-1&gap=x": "pages: \"0\", want a whole number of 1 to 68719476736\nwrites_percent: \"101\", want a number of 0 to 100\n" +
			"skew: \"NaN\", want a number of 0 to 10\nseed: \"-1\", want a whole number of 0 to 18446744073709551615\ngap: \"x\", want a whole number of 0 to 4294967295",
		"generator:sequential?pages=1&refs=1&skew=1&pages=2": "skew: unknown key, want one of pages, refs, writes_percent, gap, seed\npages: there twice, want it once",
		"generator:phases?pages=10&refs=10&hot=11":           "hot: 11, want at most pages, 10",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestSpecsPrintBack: what String writes is the same spec, and one spec is one sequence.
func TestSpecsPrintBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(kinds).Draw(t, "kind")
		s := mustParse(t, drawText(t, &k))
		if got := mustParse(t, s.String()); got != s {
			t.Fatalf("%+v printed and read is %+v", s, got)
		}
		if k.Block {
			sameBlocks(t, s)
			return
		}
		a, b := New(s), New(s)
		for range min(s.Refs, 500) {
			p, w := a.Next()
			if q, v := b.Next(); p != q || w != v {
				t.Fatal("one spec gives two sequences")
			}
			if p >= s.Pages || k.hasWrites() && (s.Write == 0 && w || s.Write == 100 && !w) {
				t.Fatalf("page %d, write %v of %+v", p, w, s)
			}
		}
	})
}

func (k *kind) hasWrites() bool { return slices.Contains(k.names(), "writes_percent") }

// drawText draws a spec of a kind that Parse accepts.
func drawText(t *rapid.T, k *kind) string {
	draw := map[string]func() any{
		"pages": func() any { return rapid.Uint64Range(40, 5000).Draw(t, "pages") },
		"refs":  func() any { return rapid.Uint64Range(1, 500).Draw(t, "refs") },
		"size":  func() any { return rapid.SampledFrom([]string{"64k", "1m", "1000448", "4g"}).Draw(t, "size") },
		"hot":   func() any { return rapid.Uint64Range(1, 40).Draw(t, "hot") },

		"number_ios": func() any { return rapid.Uint64Range(1, 500).Draw(t, "number_ios") },
		"workload":   func() any { return rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "workload") },
		"gap":        func() any { return rapid.Uint64Range(0, 9).Draw(t, "gap") },
		"seed":       func() any { return rapid.Uint64().Draw(t, "seed") },
		"skew":       func() any { return rapid.SampledFrom([]float64{0, 0.5, 1, 1.2, 10}).Draw(t, "skew") },
		"stride":     func() any { return rapid.Uint64Range(1, 40).Draw(t, "stride") },
		"layers":     func() any { return rapid.Uint64Range(1, 2).Draw(t, "layers") },
		"batch":      func() any { return rapid.Uint64Range(1, 40).Draw(t, "batch") },
		"words":      func() any { return rapid.Uint64Range(0, 40).Draw(t, "words") },
		"scan":       func() any { return rapid.Uint64Range(1, 40).Draw(t, "scan") },
		"fsync":      func() any { return rapid.Uint64Range(0, 9).Draw(t, "fsync") },
		"bs":         func() any { return rapid.SampledFrom([]string{"512", "4k", "20480"}).Draw(t, "bs") },
		"bssplit": func() any {
			return rapid.SampledFrom([]string{"4k/60:64k/40", "512/100", "1k/33.5:3k/66.5"}).Draw(t, "bssplit")
		},
		"rw": func() any {
			return rapid.SampledFrom([]string{"read", "write", "randread", "randwrite", "rw", "randrw"}).Draw(t, "rw")
		},
		"rate_iops": func() any { return rapid.Float64Range(1, 1e6).Draw(t, "rate_iops") },

		"rate_process": func() any { return rapid.SampledFrom([]string{"linear", "poisson"}).Draw(t, "rate_process") },
		"random_distribution": func() any {
			return rapid.SampledFrom([]string{"random", "zipf:0.9", "zipf:0", "zoned:60/10:40/90", "zoned:1/1:0/98:99/1"}).Draw(t, "spread")
		},
		"input_percent":       func() any { return rapid.Float64Range(5, 95).Draw(t, "input") },
		"activations_percent": func() any { return rapid.Float64Range(10, 30).Draw(t, "activations") },
		"data_percent":        func() any { return rapid.Float64Range(5, 20).Draw(t, "data") },
		"load_percent":        func() any { return rapid.Float64Range(0, 100).Draw(t, "load") },
		"writes_percent":      func() any { return rapid.Float64Range(0, 100).Draw(t, "write") },
	}
	text := Prefix + k.Name + "?"
	for _, key := range k.Keys {
		if f := draw[key.Name]; f != nil && (key.Needed || rapid.Bool().Draw(t, "with "+key.Name)) {
			text += fmt.Sprintf("%s=%v&", key.Name, f())
		}
	}
	return text
}

// TestZipfIsAsOften: the shares of the first ranks are those of the law, each page exists once, and skew 0 is even.
func TestZipfIsAsOften(t *testing.T) {
	const pages, refs = 97, 400_000
	for _, skew := range []string{"0", "0.5", "0.99", "1", "1.5"} {
		s := mustParse(t, "generator:zipf?pages=97&refs=400000&seed=3&skew="+skew)
		g, n := New(s), [pages]float64{}
		for range refs {
			p, _ := g.Next()
			n[p]++
		}
		sum := 0.0
		for k := 1; k <= pages; k++ {
			sum += math.Pow(float64(k), -s.Skew)
		}
		for k := range pages {
			got, want := n[uint64(k)*scatter(pages)%pages], refs*math.Pow(float64(k+1), -s.Skew)/sum
			if math.Abs(got-want) > 5*math.Sqrt(want)+1 {
				t.Errorf("skew %s: rank %d is referenced %v times, want about %v", skew, k+1, got, want)
			}
		}
	}
}

// TestPhasesAndSequence: a phase stays within its hot pages and another lies elsewhere; a sequence passes every page in order.
func TestPhasesAndSequence(t *testing.T) {
	g := New(mustParse(t, "generator:phases?pages=100000&refs=1000&phase=100&hot=10&seed=1"))
	starts := map[uint64]bool{}
	for range 10 {
		low, high := uint64(math.MaxUint64), uint64(0)
		for range 100 {
			p, _ := g.Next()
			low, high = min(low, p), max(high, p)
		}
		if high-low >= 10 {
			t.Errorf("a phase touches pages %d to %d, want 10 neighbours", low, high)
		}
		starts[low] = true
	}
	if len(starts) < 8 {
		t.Errorf("%d different phases of 10", len(starts))
	}
	s := New(mustParse(t, "generator:sequential?pages=7&refs=20&writes_percent=100"))
	for i := range uint64(20) {
		if p, w := s.Next(); p != i%7 || !w {
			t.Errorf("reference %d is page %d, write %v", i, p, w)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("generator:zipf?pages=10&refs=10")
	f.Add("generator:phases?pages=10&refs=10&hot=3&phase=2&seed=9")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse(text); err == nil {
			if again := mustParse(t, s.String()); again != s {
				t.Errorf("%q is %+v, printed and read %+v", text, s, again)
			}
		}
	})
}

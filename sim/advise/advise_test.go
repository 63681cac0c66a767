package advise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"splitkernel/sim/report/plot"
	"splitkernel/sim/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSearchFinds: whatever the curve, the answer suffices, what is a little smaller does not, and no more is simulated than a bisection needs twice.
func TestSearchFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Uint64Range(1, 100_000).Draw(t, "most")
		least := rapid.Uint64Range(1, most).Draw(t, "least")
		bend, cost := rapid.Float64Range(0.1, 5).Draw(t, "bend"), rapid.Float64Range(1e-6, 1).Draw(t, "cost")
		floor, target := rapid.SampledFrom([]float64{0, 0, 0, 0.3}).Draw(t, "floor"), rapid.SampledFrom([]float64{0.05, 0.2, 2}).Draw(t, "target")
		misses := func(pages uint64) float64 { return 1e6 * math.Pow(1-float64(pages)/float64(most), bend) }
		slowdown := func(pages uint64) float64 { return floor + cost*misses(pages)/1000 }
		s := search{target: target, least: least, most: most, misses: misses, simulate: func(pages uint64) (Point, error) {
			if pages < least || pages > most {
				t.Fatalf("%d pages, want %d to %d", pages, least, most)
			}
			return Point{Pages: pages, Slowdown: slowdown(pages)}, nil
		}}
		verdict, at, err := s.run()
		if err != nil || at == nil || len(s.points) > 60 {
			t.Fatalf("%s %v %v after %d points", verdict, at, err, len(s.points))
		}
		limit := target
		if floor > target {
			limit = (1+floor)*(1+target) - 1
		}
		if (verdict == None) != (floor > target) || slowdown(at.Pages) > limit {
			t.Fatalf("%s: %d pages, slowdown %v, limit %v", verdict, at.Pages, slowdown(at.Pages), limit)
		}
		if smaller := at.Pages - min(apart(most), at.Pages); smaller >= least && smaller < at.Pages && slowdown(smaller) <= limit {
			t.Fatalf("%s: %d pages, but %d suffice: %v of %v", verdict, at.Pages, smaller, slowdown(smaller), limit)
		}
	})
}

// TestSearchUsesTheCurve: where time grows with misses the first guess is next to the answer.
func TestSearchUsesTheCurve(t *testing.T) {
	const most = 10_000
	misses := func(pages uint64) float64 { return 1e4 * math.Exp(-float64(pages)/400) }
	s := search{target: 0.05, least: 16, most: most, misses: misses, simulate: func(pages uint64) (Point, error) {
		return Point{Pages: pages, Slowdown: misses(pages) / 1000}, nil
	}}
	verdict, at, err := s.run()
	if err != nil || verdict != Found || len(s.points) > 9+3 {
		t.Errorf("%s %+v %v after %d points, want at most 12", verdict, at, err, len(s.points))
	}
}

// small is a trace that is soon simulated, and options for it.
func small() Options {
	o := DefaultOptions()
	o.Path, o.Name, o.Profiles = "generator:hotcold?pages=300&refs=6000&hot=60&gap=20000&seed=1", "hotcold", []string{"cxl", "tcp-25g"}
	return o
}

// TestAdvice: what is said was simulated; slower networks need more; two runs are equal.
func TestAdvice(t *testing.T) {
	var texts [2][]byte
	var res *Result
	for i := range texts {
		o := small()
		o.Workers, o.Slowdown = i+1, 0.1
		var err error
		if res, err = Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		texts[i], _ = json.Marshal(res)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Errorf("two runs differ:\n%s\n%s", texts[0], texts[1])
	}
	if res.Footprint != 279 || res.References != 6000 || res.Instructions != 120_000_000 || len(res.Curve) < 100 || res.Partial {
		t.Errorf("%+v", res)
	}
	cxl, tcp := res.Advice[0], res.Advice[1]
	for _, a := range res.Advice {
		if a.Verdict != Found || !(a.Needed.Slowdown <= 0.1) || !slices.Contains(a.Points, *a.Needed) || a.LocalSeconds <= 0 || a.Needed.Seconds <= a.LocalSeconds {
			t.Errorf("%+v", a)
		}
		full := a.Points[len(a.Points)-1]
		if full.Pages != 279 || full.Misses != 279 || full.Accesses != 6000 || full.MissRatio != res.Curve[len(res.Curve)-1].MissRatio {
			t.Errorf("with room for all pages: %+v, want each page missed once", full)
		}
		if s := res.Sentence(a); !strings.Contains(s, "On "+a.Profile+" it needs an ExCache of ") || !strings.Contains(s, "at most 10 % slower") {
			t.Error(s)
		}
	}
	if cxl.Needed.Pages >= tcp.Needed.Pages {
		t.Errorf("cxl needs %d pages, tcp-25g %d", cxl.Needed.Pages, tcp.Needed.Pages)
	}
	axes, series := res.Plot()
	if svg, err := plot.Lines(axes, series); err != nil || !strings.Contains(svg, "allowed: 10 %") || len(series) != 3 {
		t.Errorf("plot: %v", err)
	}
	if about := strings.Join(res.About(), "\n"); !strings.Contains(about, "All times are modelled") || strings.Contains(about, "small") {
		t.Error(about)
	}
}

// TestNoSizeSuffices and one that all do are said in words.
func TestNoSizeSuffices(t *testing.T) {
	o := small()
	o.Path, o.Profiles, o.Slowdown = "generator:sequential?pages=100&refs=100&gap=10&seed=1", []string{"tcp-25g"}, 0.01
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	a := res.Advice[0]
	if a.Verdict != None || a.Needed != nil || a.NearBest == nil || !strings.Contains(res.Sentence(a), "On tcp-25g no size is enough: even with room for all its pages (400 KiB)") {
		t.Errorf("%+v: %s", a, res.Sentence(a))
	}
	if about := strings.Join(res.About(), "\n"); !strings.Contains(about, "Its footprint is small") {
		t.Error(about)
	}
	o.Slowdown = MaxSlowdown
	if res, err = Run(t.Context(), o); err != nil || res.Advice[0].Verdict != Any || !strings.Contains(res.Sentence(res.Advice[0]), "is enough, the smallest that was looked at") {
		t.Errorf("%+v %v", res, err)
	}
}

// TestStopped: what is known when the context ends is there, and says so.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := small()
	o.Progress = func(done, least uint64) {
		if done > least {
			t.Errorf("%d of %d", done, least)
		}
		if done == 4*6000 { // four simulations of all references
			cancel()
		}
	}
	res, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || res == nil || !res.Partial || len(res.Advice[0].Points) != 4 || res.Advice[0].Verdict != "" {
		t.Fatalf("%+v %v", res, err)
	}
	if s := res.Sentence(res.Advice[0]); !strings.Contains(s, "On cxl the search was stopped: ") {
		t.Error(s)
	}
	if s := res.Sentence(res.Advice[1]); s != "On tcp-25g nothing was simulated before the stop." {
		t.Error(s)
	}
	if !strings.Contains(strings.Join(res.About(), "\n"), "Partial") {
		t.Error("it does not say that it is partial")
	}
}

// TestThinnedOut: sizes that a thinned trace cannot tell of are not looked at, and only so many references as were asked for.
func TestThinnedOut(t *testing.T) {
	src, err := trace.Open(small().Path)
	if err != nil {
		t.Fatal(err)
	}
	thin, err := trace.Thin(src, 32)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.skt")
	if _, err := trace.Convert(path, thin); err != nil {
		t.Fatal(err)
	}
	o := small()
	o.Path, o.Profiles, o.MaxRefs = path, []string{"cxl"}, 2000
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p := res.Advice[0].Points[0]; res.Least != 32 || p.Pages != 32 || p.Accesses != 2000 || res.References != 2000 || !strings.Contains(strings.Join(res.About(), "\n"), "a smaller ExCache than 128 KiB") {
		t.Errorf("least %d, first point %+v, %d references", res.Least, p, res.References)
	}
}

// TestRefused: faults of options, and traces that nothing can be said of.
func TestRefused(t *testing.T) {
	lirs := filepath.Join(t.TempDir(), "x.lirs")
	if err := os.WriteFile(lirs, []byte("1\n2\n3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"path: empty":                  func(o *Options) { o.Path = "" },
		"slowdown: 0":                  func(o *Options) { o.Slowdown = 0 },
		"slowdown: NaN":                func(o *Options) { o.Slowdown = math.NaN() },
		"0 hardware profiles":          func(o *Options) { o.Profiles = nil },
		"0 workers":                    func(o *Options) { o.Workers = 0 },
		"no-such-profile":              func(o *Options) { o.Profiles = []string{"no-such-profile"} },
		"no references to memory":      func(o *Options) { o.Path = "generator:block?size=1m&number_ios=5" },
		"does not say how many instru": func(o *Options) { o.Path = lirs },
		"cannot read a trace":          func(o *Options) { o.Path = lirs + "x" },
	} {
		o := small()
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestFilesAreLeftOut: file operations of a trace are on neither side, and nothing is left behind.
func TestFilesAreLeftOut(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	src, err := trace.Open(small().Path)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.skt")
	w, err := trace.Create(path, trace.Header{HasMaps: true, HasGaps: true, HasWrites: true, Volumes: []trace.VolumeInfo{{Name: "v", SizeBytes: 1 << 20}}})
	if err != nil {
		t.Fatal(err)
	}
	reads := uint64(0)
	for {
		b, err := src.Next()
		if err != nil {
			break
		}
		for _, e := range b.Events {
			if err := w.Event(e); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range b.Refs {
			if err := errors.Join(w.Ref(r), w.Event(trace.Event{Kind: trace.BlockRead, TimeNs: reads, Offset: reads % 16 * 4096, Length: 4096})); err != nil {
				t.Fatal(err)
			}
			reads++
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o := small()
	o.Profiles = []string{"cxl"}
	bare, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Path = path
	with, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if with.FileOperations != reads || reads != 6000 || with.Advice[0].LocalSeconds != bare.Advice[0].LocalSeconds || *with.Advice[0].Needed != *bare.Advice[0].Needed {
		t.Errorf("%d file operations: %+v, without: %+v", with.FileOperations, with.Advice[0], bare.Advice[0])
	}
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

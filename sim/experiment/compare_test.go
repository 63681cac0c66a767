package experiment

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/report"
)

// load reads a side, or fails.
func (w *world) load(path string, choose ...string) *Side {
	w.Helper()
	s, err := Load(filepath.Join(w.dir, path))
	if err != nil {
		w.Fatal(err)
	}
	if err := s.Choose("a", choose); err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) compare(a, b *Side) *Comparison {
	w.Helper()
	c, err := Compare(a, b)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// shown is what people see of a comparison.
func shown(t testing.TB, c *Comparison) string {
	t.Helper()
	var b strings.Builder
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCompareRuns: what differs between two runs of a sweep are the key that was changed and what follows from it.
func TestCompareRuns(t *testing.T) {
	w := newWorld(t)
	p := w.plan(strings.Replace(slow, ", legoos-cx3", "", 1))
	w.execute(p, "d", Shard{}, 2)
	run := func(i int) string { return filepath.Join("d", "runs", p.Runs[i].ID()) }
	c := w.compare(w.load(run(0)), w.load(run(2))) // 25 % and 100 %
	if len(c.Config) != 1 || c.Config[0] != (ConfigChange{"workload.vnodes.one.excache.share_percent", 25.0, 100.0}) {
		t.Errorf("configuration %v, want the share only", c.Config)
	}
	figures := map[string]Figure{}
	for _, f := range c.Runs {
		if f.A == f.B || f.Difference != f.B-f.A {
			t.Errorf("%+v is no difference", f)
		}
		figures[f.Name] = f
	}
	for _, name := range []string{"seconds", "hits", "fetches", "fault_latency.fetch.count", "vnodes.one.fetches", "vnodes.one.slowdown", "vnodes.one.seconds"} {
		if _, ok := figures[name]; !ok {
			t.Errorf("%s is not told: %v", name, c.Runs)
		}
	}
	if f := figures["vnodes.one.slowdown"]; f.B >= f.A || f.B < 1 {
		t.Errorf("slowdown %+v, want less with all pages at hand", f)
	}
	for _, name := range []string{"accesses", "vnodes.two.fetches", "vnodes.two.hits", "pages_checked"} {
		if f, ok := figures[name]; ok {
			t.Errorf("%+v differs, want it equal", f)
		}
	}
	text := shown(t, c)
	for _, want := range []string{"workload.vnodes.one.excache.share_percent  25  100", "no confidence interval", fmt.Sprintf("%d figures differ, %d are equal", len(c.Runs), c.Equal)} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	same := w.compare(w.load(run(0)), w.load(filepath.Join(run(0), "summary.json")))
	if len(same.Config) != 0 || len(same.Runs) != 0 || same.Equal < 50 {
		t.Errorf("a run and itself: %+v", same)
	}
	if err := os.Remove(filepath.Join(w.dir, run(0), "manifest.json")); err != nil {
		t.Fatal(err)
	}
	if c := w.compare(w.load(run(0)), w.load(run(2))); len(c.Config) != 0 || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "configuration is not known") {
		t.Errorf("without a manifest: %+v, %v", c.Config, c.Notes)
	}
}

// tableOf writes a sweep's table with the matrix key k and one figure. Each row is k, seed, exit code, figure.
func (w *world) tableOf(dir string, rows ...[]any) string {
	w.Helper()
	t := &Table{Columns: []Column{{"index", Whole}, {"k", Text}, {"seed", Whole}, {"exit_code", Whole}, {"error", Text}, {"seconds", Number}, {"hits", Whole}, {"run", Text}, {"commit", Text}}}
	for i, r := range rows {
		t.Rows = append(t.Rows, []any{uint64(i), r[0], uint64(r[1].(int)), uint64(r[2].(int)), "", r[3], uint64(7), "x", "c"})
	}
	if err := os.MkdirAll(filepath.Join(w.dir, dir), 0o700); err != nil {
		w.Fatal(err)
	}
	if err := t.writeFiles(filepath.Join(w.dir, dir, "table")); err != nil {
		w.Fatal(err)
	}
	return dir
}

// figure gives the only figure that differs in a cell.
func figure(t testing.TB, c *Comparison, cell int) Spread {
	t.Helper()
	if len(c.Sets) <= cell || len(c.Sets[cell].Figures) != 1 {
		t.Fatalf("cells %+v, want one figure in number %d", c.Sets, cell)
	}
	return c.Sets[cell].Figures[0]
}

// TestCompareSets with numbers worked by hand.
func TestCompareSets(t *testing.T) {
	w := &world{t, t.TempDir()}
	a := w.tableOf("a", []any{"x", 1, 0, 10.0}, []any{"x", 2, 0, 12.0}, []any{"x", 3, 0, 14.0}, []any{"y", 1, 0, 1.0}, []any{"y", 2, 0, 1.0}, []any{"z", 1, 0, 1.0})
	b := w.tableOf("b", []any{"x", 1, 0, 11.0}, []any{"x", 2, 0, 13.5}, []any{"x", 3, 0, 16.0}, []any{"y", 1, 0, 1.0}, []any{"y", 2, 0, 1.0}, []any{"v", 1, 0, 1.0}, []any{"v", 2, 1, nil})
	c := w.compare(w.load(a), w.load(b))
	// Differences 1, 1.5 and 2: mean 1.5, standard deviation 0.5, t = 4.3027 with 2 degrees of freedom, half 4.3027 × 0.5/√3 = 1.2421.
	f := figure(t, c, 0)
	if f.Name != "seconds" || !f.Paired || f.NA != 3 || f.A != 12 || f.B != 13.5 || f.Difference != 1.5 || math.Abs(*f.Low-0.2579) > 1e-4 || math.Abs(*f.High-2.7421) > 1e-4 || f.Verdict != VerdictDiffers {
		t.Errorf("pairs: %+v, %v to %v", f, *f.Low, *f.High)
	}
	if len(c.Sets) != 2 || c.Sets[1].Matrix[0] != (KeyValue{"k", "y"}) || len(c.Sets[1].Figures) != 0 || c.Equal != 3 {
		t.Errorf("cells %+v and %d equal, want x, and y with nothing that differs", c.Sets, c.Equal)
	}
	text := shown(t, c)
	for _, want := range []string{"1 combinations are only in", "b: 1 runs that failed are left out", "3 pairs  differs", "k=y\n  equal in every seed", "+0.2579 to +2.742"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}

	// Other seeds: Welch. Variances 4 and 6.25 over 3: half = t(3.825) × √(10.25/3).
	other := w.tableOf("other", []any{"x", 4, 0, 11.0}, []any{"x", 5, 0, 13.5}, []any{"x", 6, 0, 16.0})
	f = figure(t, w.compare(w.load(a, "k=x"), w.load(other)), 0)
	df := math.Pow(10.25/3, 2) / (math.Pow(4.0/3, 2)/2 + math.Pow(6.25/3, 2)/2)
	half := quantileT(df) * math.Sqrt(10.25/3)
	if f.Paired || f.Verdict != VerdictNone || math.Abs(*f.High-*f.Low-2*half) > 1e-9 || math.Abs(*f.Low+half-1.5) > 1e-9 {
		t.Errorf("other seeds: %+v, %v to %v, want none with half an interval of %v", f, *f.Low, *f.High, half)
	}

	f = figure(t, w.compare(w.load(a, "k=x", "seed=1"), w.load(b, "k=x", "seed=1")), 0)
	if f.Verdict != VerdictUnknown || f.Low != nil || f.NA != 1 || f.Difference != 1 {
		t.Errorf("one seed: %+v, want a difference without an interval", f)
	}

	c = w.compare(w.load(a, "k=x"), w.load(a, "k=y"))
	if f := figure(t, c, 0); len(c.Config) != 1 || c.Config[0] != (ConfigChange{"k", "x", "y"}) || len(c.Sets) != 1 || len(c.Sets[0].Matrix) != 0 || f.NA != 3 || f.NB != 2 || f.Paired {
		t.Errorf("two parts of a sweep: %+v, %+v", c.Config, c.Sets)
	}
}

// TestIntervalsHoldTheTruth: of intervals over seeds of one distribution about 95 % hold its mean, be they of pairs or not. The chance
// is seeded; bounds are five standard deviations of 1 000 tries.
func TestIntervalsHoldTheTruth(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for _, paired := range []bool{true, false} {
		const tries = 1000
		held := 0
		for range tries {
			var a, b []chosenRow
			for seed := range 5 {
				a = append(a, chosenRow{setRow: setRow{seed: fmt.Sprint(seed), metrics: map[string]float64{"m": 10 + chance.NormFloat64()}}})
				if !paired {
					seed += 100
				}
				b = append(b, chosenRow{setRow: setRow{seed: fmt.Sprint(seed), metrics: map[string]float64{"m": 12 + chance.NormFloat64()}}})
			}
			var cell Cell
			(&Comparison{}).spread(&cell, "m", a, b)
			f := cell.Figures[0]
			if f.Paired != paired {
				t.Fatalf("paired %v, want %v", f.Paired, paired)
			}
			if *f.Low <= 2 && 2 <= *f.High {
				held++
			}
		}
		if share := float64(held) / tries; math.Abs(share-0.95) > 5*math.Sqrt(0.05*0.95/tries) {
			t.Errorf("paired %v: %.3f of the intervals hold the truth, want 0.95", paired, share)
		}
	}
}

// TestCompareSweeps that were made: with the profiles in one sweep, and in two.
func TestCompareSweeps(t *testing.T) {
	w := newWorld(t)
	w.execute(w.plan(slow), "both", Shard{}, 2)
	one := strings.Replace(slow, "[cxl, legoos-cx3]", "[cxl]", 1)
	w.execute(w.plan(one), "cxl", Shard{}, 2)
	w.execute(w.plan(strings.Replace(strings.Replace(one, "  hardware: [cxl]\n", "", 1), "name: sizes", "name: plain\nhardware: legoos-cx3", 1)), "legoos", Shard{}, 2)
	in := w.compare(w.load("both", "hardware=cxl"), w.load("both", "hardware=legoos-cx3"))
	apart := w.compare(w.load("cxl"), w.load("legoos"))
	if len(in.Sets) != 2 || len(apart.Sets) != 2 {
		t.Fatalf("%d and %d combinations, want 2 each", len(in.Sets), len(apart.Sets))
	}
	for i, c := range []*Comparison{in, apart} {
		profiles := slices.DeleteFunc(slices.Clone(c.Config), func(x ConfigChange) bool { return x.Key != "hardware" })
		if len(profiles) != 1 || profiles[0] != (ConfigChange{"hardware", "cxl", "legoos-cx3"}) {
			t.Errorf("%d: configuration %v, want the profiles, once", i, c.Config)
		}
	}
	for i := range in.Sets {
		if fmt.Sprint(names(in.Sets[i])) != fmt.Sprint(names(apart.Sets[i])) || !slices.Contains(names(in.Sets[i]), "slowdown.one") || slices.Contains(names(in.Sets[i]), "hits") {
			t.Errorf("figures that differ: %v and %v, want the same, times only", names(in.Sets[i]), names(apart.Sets[i]))
		}
	}
	if _, err := Compare(w.load("both"), w.load("legoos")); err == nil || !strings.Contains(err.Error(), "only "+filepath.Join(w.dir, "both")+" has it, with 2 values, want one: --a hardware=cxl") {
		t.Errorf("two profiles against none: %v", err)
	}
	if text := shown(t, in); !strings.Contains(text, "2 pairs") || !strings.Contains(text, "workload.vnodes.one.excache.share_percent=25") {
		t.Errorf("shown:\n%s", text)
	}
}

func names(c Cell) (out []string) {
	for _, f := range c.Figures {
		out = append(out, f.Name)
	}
	return out
}

func TestWhatCannotBeCompared(t *testing.T) {
	w := newWorld(t)
	p := w.plan(sizes)
	w.execute(p, "d", Shard{0, 4}, 2)
	if err := os.Mkdir(filepath.Join(w.dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.file("x.json", "{}")
	w.file("y.json", "nonsense")
	w.file("x.csv", "a,b\n1,2\n")
	w.file("y.csv", "index,seed,exit_code\n1,2,0\n")
	w.file("z.csv", "index,seed,exit_code,error,seconds,hits,more,run\n0,1,0,,many,3,4,x\n")
	for name, want := range map[string]string{
		"nowhere": "cannot be opened", "empty": "no summary.json and no table.csv", "d": "a sweep without a table", "x.json": `schema "", want ` + report.SchemaSummary,
		"y.json": "want a summary.json", "x.csv": "its first column is not index", "y.csv": "no table of a sweep", "z.csv": `row 1: seconds: "many", want a number`, "tiny.txt": "want a folder",
	} {
		var faults *configs.FaultsError
		if _, err := Load(filepath.Join(w.dir, name)); !errors.As(err, &faults) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a fault %q", name, err, want)
		}
	}
	run := filepath.Join("d", "runs", p.Runs[0].ID())
	set := w.tableOf("set", []any{"x", 1, 0, 1.0})
	if _, err := Compare(w.load(run), w.load(set)); err == nil || !strings.Contains(err.Error(), "is a run") {
		t.Errorf("a run and a sweep: %v", err)
	}
	if _, err := Compare(w.load(set), w.load(w.tableOf("set2", []any{"y", 1, 0, 1.0}, []any{"z", 1, 0, 1.0}))); err == nil || !strings.Contains(err.Error(), "no combination of k in common") {
		t.Errorf("nothing in common: %v", err)
	}
	for choice, want := range map[string]string{"k": `--a: "k", want key=value`, "j=1": "--a: j: no key of the matrix", "k=9": "want one of x"} {
		if err := w.load(set).Choose("a", []string{choice}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--a %s: %v, want a fault %q", choice, err, want)
		}
	}
	if err := w.load(run).Choose("b", []string{"k=x"}); err == nil || !strings.Contains(err.Error(), "is a run, want a sweep") {
		t.Errorf("--b of a run: %v", err)
	}
}

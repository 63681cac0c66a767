package reproduce

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"splitkernel/configs"
	"splitkernel/pcomponent/excache"
)

func testOptions(t testing.TB) Options {
	t.Helper()
	h, err := configs.LoadHardware("legoos-cx3")
	if err != nil {
		t.Fatal(err)
	}
	s, err := configs.LoadHardware("tcp-25g")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Seed: 1, Scale: TestScale, Hardware: h.Hardware, HardwareName: h.Name, Sockets: s.Hardware.Endpoint}
}

// published is every number of the paper's figures, and of LegoOS's documentation, that a row must be beside, as they are printed.
var published = map[string]string{
	"Fig 7": "23.1 18.5 18.7 19.0 21.3 23.8 6.0 6.1 6.6 6.9 7.6 8.3 4.6 4.8 4.9 5.4 6.1 6.5",
	"RPC profile": "4.20 5.02 9.95 6.29 8.97 17.88 6.16 6.49 12.46 8.23 9.00 17.91 " +
		"6.31 6.11 4.2 0.34 1.47 7.58",
	"Fig 8":       "1040 3900 7130 588 1941 3370 126 427 669 121 432 574 126 377 386 126 203 203",
	"Fig 9":       "31.5 10.6 34.6 51.8 17.1 8.9 17.4 25.3",
	"Fig 10":      "1.11 1.12 1.24 1.43 1.75 1.88",
	"Fig 11":      "2.13 1.68 1.41 5.52 2.50 1.37 4.48 2.16 1.27 2.91 2.55 1.23",
	"Fig 12":      "1.74 1.34 1.17 5.60 2.38 1.21 1.47 1.21 1.09 4.50 2.50 1.86",
	"Fig 13":      "1.738 1.673 1.843 1.715 2.012 1.937 2.064 1.915",
	"Fig 14":      "1.68 1.79 1.83 1.78 2.19 1.34 1.33 1.33 1.33 1.39",
	"Fig 15":      "2.83 4.98 2.80 4.85 1.64 1.29 2.54 4.32",
	"MTTF":        "204.3 33.1 289.9 538.8 100.5 27.4 5.8 6.8 8.7 1.174 1.498",
	"Replication": "1.02 1.23 1.00 1.05",
}

// stated reads the mean absolute errors that docs/reproduction.md states, in per cent by figure and kind.
func stated(t *testing.T) map[string]float64 {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[3]), "≤ ") {
			continue
		}
		x, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(cells[3]), "≤ "), " %"), 64)
		if err != nil {
			t.Fatalf("docs/reproduction.md: %q: %v", line, err)
		}
		out[strings.TrimSpace(cells[1])+", "+strings.TrimSpace(cells[2])] = x
	}
	return out
}

// TestPinnedFigures computes all at the small scale: every published number has a row, and no figure is worse than the manual says.
func TestPinnedFigures(t *testing.T) {
	if underRace {
		t.Skip("a whole reproduction, ten times slower under the race detector; make test runs it without")
	}
	r, err := LegoOS(context.Background(), testOptions(t), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string][]float64{}
	sums, counts := map[string]float64{}, map[string]float64{}
	for _, w := range r.Rows {
		have[w.Figure] = append(have[w.Figure], w.Published)
		if math.IsNaN(w.Ours) || w.Ours <= 0 || math.Abs(w.Error-(w.Ours/w.Published-1)) > 1e-12 || w.Fitted == (w.Kind == Predicted) {
			t.Errorf("a row that cannot be: %+v", w)
		}
		k := w.Figure + ", " + w.Kind
		sums[k] += math.Abs(w.Error)
		counts[k]++
	}
	for figure, text := range published {
		var want []float64
		for s := range strings.FieldsSeq(text) {
			x, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, x)
		}
		got := have[figure]
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s: published values of the rows %v, want %v", figure, got, want)
		}
	}
	if len(have) != len(published) {
		t.Errorf("%d figures, want %d", len(have), len(published))
	}
	limits := stated(t)
	for k, n := range counts {
		if strings.HasSuffix(k, Input) {
			continue
		}
		limit, ok := limits[k]
		if e := 100 * sums[k] / n; !ok || e > limit {
			t.Errorf("%s: mean absolute error %.1f %%, docs/reproduction.md states ≤ %v %%", k, e, limit)
		} else {
			t.Logf("%s: %.1f %%, stated ≤ %v %%", k, e, limit)
		}
	}
	if len(limits) == 0 {
		t.Error("docs/reproduction.md states no errors")
	}
	if right, all := r.wins(); all != 18 || right < 15 {
		t.Errorf("%d of %d comparisons have the published winner, want 15 of 18", right, all)
	}
	missed := 0
	for _, x := range r.Targets {
		if !x.Reached {
			missed++
			if x.Reason == "" {
				t.Errorf("%s: %s: not reached, and no reason given", x.Figure, x.What)
			}
		}
	}
	files, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"table.md", "rows.json", "fig-8.svg", "fig-8-messages.svg", "fig-11.svg", "mttf.svg"} {
		if len(files[name]) < 500 {
			t.Errorf("%s: %d bytes", name, len(files[name]))
		}
	}
	if shown := strings.Count(files["table.md"], "**no**"); shown != missed || missed == 0 {
		t.Errorf("the table shows %d targets as missed, want %d", shown, missed)
	}
}

var rewrite = flag.Bool("rewrite", false, "compute all at the full scale and write the tables of docs/reproduction.md")

const manual = "../../docs/reproduction.md"

// TestManual holds that the manual's tables have every row with its published value; what is ours in them is of the last -rewrite.
func TestManual(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), "<!-- tables -->\n")
	if !ok {
		t.Fatal("docs/reproduction.md has no mark where its tables begin")
	}
	if *rewrite {
		o := testOptions(t)
		o.Scale = DefaultScale
		r, err := LegoOS(context.Background(), o, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := r.Table(&b); err != nil {
			t.Fatal(err)
		}
		rest = strings.TrimSuffix(b.String(), "\n") + "\n"
		if err := os.WriteFile(manual, []byte(before+"<!-- tables -->\n"+rest), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for figure, numbers := range published {
		_, section, ok := strings.Cut(rest, "### "+figure+"\n")
		if !ok {
			t.Errorf("no table of %s", figure)
			continue
		}
		section, _, _ = strings.Cut(section, "\n### ")
		for s := range strings.FieldsSeq(numbers) {
			x, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(section, " | "+short(x)+" | ") {
				t.Errorf("%s: the table has no published value %s", figure, s)
			}
		}
	}
}

// TestStops: a reproduction that is stopped says why and does not go on.
func TestStops(t *testing.T) {
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(context.Background())
	var last string
	_, err := LegoOS(ctx, testOptions(t), func(figure string) {
		if last = figure; figure == "Figure 10" {
			cancel(stopped)
		}
	})
	if !errors.Is(err, stopped) || last != "Figure 10" {
		t.Errorf("%v after %s, want %v after Figure 10", err, last, stopped)
	}
}

func TestMTTFRatios(t *testing.T) {
	mono, worst, best := mttf()
	for _, c := range []struct {
		got  float64
		want string
	}{{mono, "11.51"}, {worst, "13.52"}, {best, "17.24"}, {worst / mono, "1.17"}, {best / mono, "1.50"}} {
		if got := fmt.Sprintf("%.2f", c.got); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	if r := fmt.Sprintf("%.3f %.3f", worst/mono, best/mono); r != "1.174 1.498" {
		t.Errorf("ratios %s, want 1.174 1.498", r)
	}
}

// tiny is an App of some hundred pages.
var tiny = App{Name: "tiny", Threads: 4, WorkingSet: 64 * mib, Touched: 80 * mib, Hot: 32 * mib, Visits: 10, Writes: 0.5, ScanWrites: 0.5, Instructions: 5000, Run: 4, Skew: 0.5, Scan: 0.2, Together: true}

// TestWalkers counts what an App visits.
func TestWalkers(t *testing.T) {
	o := testOptions(t)
	l := tiny.layout(&o, TestScale)
	seen := make([]int, l.pages+l.fresh)
	for i := range tiny.Threads {
		n := 0
		for w := l.walker(&o, i); ; n++ {
			page, write, instructions, ok := w.next()
			if !ok {
				break
			}
			if instructions < tiny.Instructions/2 || instructions >= tiny.Instructions*3/2 {
				t.Fatalf("%d instructions, want about %d", instructions, tiny.Instructions)
			}
			if seen[page]++; page >= l.pages && !write {
				t.Fatalf("fresh page %d is read", page)
			}
		}
		if want := l.visits + l.pages/tiny.Threads; n != want {
			t.Errorf("thread %d makes %d visits, want %d", i, n, want)
		}
	}
	for page, n := range seen {
		if n == 0 || page >= l.pages && n != 1 {
			t.Errorf("page %d of %d is visited %d times", page, l.pages, n)
		}
	}
}

// TestZipf compares draws with the distribution.
func TestZipf(t *testing.T) {
	const n, draws = 10, 200_000
	a := zipf(n, 1)
	h := 0.0
	for k := 1; k <= n; k++ {
		h += 1 / float64(k)
	}
	o := testOptions(t)
	rng := (&tiny).layout(&o, TestScale).walker(&o, 0).rng
	var got [n]int
	for range draws {
		got[a.draw(rng)]++
	}
	for k := range got {
		want := draws / h / float64(k+1)
		if math.Abs(float64(got[k])-want) > 5*math.Sqrt(want) {
			t.Errorf("rank %d drawn %d times, want about %.0f", k, got[k], want)
		}
	}
}

// seconds of the tiny App on a cluster.
func seconds(t *testing.T, o Options, k cluster, change func(*excache.Options)) float64 {
	t.Helper()
	e := legoCache(16*mib, TestScale)
	if change != nil {
		change(&e)
	}
	j := &job{app: &tiny, cache: e}
	if err := play(&o, k, TestScale, j); err != nil {
		t.Fatal(err)
	}
	if err := j.process.Core().CheckInvariants(); err != nil {
		t.Fatal(err)
	}
	return j.seconds
}

// TestOneSeedOneRun: the same seed gives the same nanosecond, another another.
func TestOneSeedOneRun(t *testing.T) {
	o := testOptions(t)
	a, b := seconds(t, o, cluster{memory: 2, workers: 2, replicate: true}, nil), seconds(t, o, cluster{memory: 2, workers: 2, replicate: true}, nil)
	o.Seed = 2
	c := seconds(t, o, cluster{memory: 2, workers: 2, replicate: true}, nil)
	if a != b || a == c {
		t.Errorf("seed 1: %v and %v, seed 2: %v", a, b, c)
	}
}

// TestDirections: what must cost more does.
func TestDirections(t *testing.T) {
	o := testOptions(t)
	one := cluster{memory: 1, workers: 4}
	plain := seconds(t, o, one, nil)
	for _, c := range []struct {
		what string
		more float64
	}{
		{"one worker", seconds(t, o, cluster{memory: 1, workers: 1}, nil)},
		{"no piggyback", seconds(t, o, cluster{memory: 1, workers: 4, noPiggyback: true}, nil)},
		{"half the ExCache", seconds(t, o, one, func(e *excache.Options) { e.Lines, e.Ways = e.Lines/2, e.Ways/2 })},
	} {
		if c.more <= plain {
			t.Errorf("%s: %v s, without %v s", c.what, c.more, plain)
		}
	}
	two := seconds(t, o, cluster{memory: 2, workers: 4}, nil)
	sent := seconds(t, o, cluster{memory: 2, workers: 4, replicate: true}, nil)
	if waited := seconds(t, o, cluster{memory: 2, workers: 4, replicate: true, replicaWait: true}, nil); sent <= two || waited <= two || waited == sent {
		t.Errorf("replicated, as the code has it: %v s, as the paper has it %v s, not replicated %v s", sent, waited, two)
	}
}

// TestSwap: Linux with all in memory is as fast as a process that has all memory local, and less memory costs more.
func TestSwap(t *testing.T) {
	o := testOptions(t)
	r := &run{o: o, local: map[string]float64{}, stop: func() error { return nil }}
	local, err := r.localSeconds(&tiny)
	if err != nil {
		t.Fatal(err)
	}
	for i := range disks {
		all, err := linuxSeconds(&o, &tiny, &disks[i], 0, TestScale)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(all/local-1) > 0.02 {
			t.Errorf("%s: all in memory %v s, the virtual cluster's %v s", disks[i].Name, all, local)
		}
		last := all
		for _, m := range []uint64{48, 32, 16} {
			s, err := linuxSeconds(&o, &tiny, &disks[i], m*mib, TestScale)
			if err != nil {
				t.Fatal(err)
			}
			if s <= last {
				t.Errorf("%s: %d MiB take %v s, more memory %v s", disks[i].Name, m, s, last)
			}
			last = s
		}
	}
}

func TestOptions(t *testing.T) {
	o := testOptions(t)
	o.Scale, o.Hardware.Processor.Frequency, o.Sockets.Connections = 3, 0, 0
	err := o.Validate()
	for _, want := range []string{"scale: 3", "hardware: processor: frequency", "sockets: connections"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

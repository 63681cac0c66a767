package mrc

import (
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"splitkernel/pcomponent/policy"
	"splitkernel/sim/mrc/stack"
	"splitkernel/sim/trace"
)

// oracleFiles are all the traces of the oracle.
var oracleFiles = []struct {
	name, file string
	byRecord   bool // the oracle's ids are those of requests
	big        bool // left out under the race detector, where this is run once more without it
}{
	{"arc_OLTP", "page/arc/OLTP.lis.zst", false, true},
	{"blk_cloudphysics_io", "block/cloudPhysicsIO.csv.gz", true, true},
	{"blk_disksim_postmark", "block/disksim-postmark.trace.gz", false, true},
	{"blk_mqsim_wsrch", "block/wsrch-small.trace.gz", false, true},
	{"lirs_2_pools", "page/lirs/2_pools.trace.gz", false, true},
	{"lirs_cpp", "page/lirs/cpp.trace.gz", false, false},
	{"lirs_multi1", "page/lirs/multi1.trace.gz", false, false},
	{"lirs_multi2", "page/lirs/multi2.trace.gz", false, false},
	{"lirs_sprite", "page/lirs/sprite.trace.gz", false, true},
	{"pg_pr2.filt16", "page/pr2.filt16.pg.zst", false, true},
	{"pg_sort.data", "page/sort.data.pg.zst", false, true},
	{"pg_sqlite3.data", "page/sqlite3.data.pg.zst", false, true},
}

// exactPolicies are those for which the oracle is right to the miss, on all traces or on those whose names begin so.
var exactPolicies = map[string]string{"lru": "", "fifo": "", "clock": "", "belady": "", "arc": "arc_"}

// sharedData is a file of ../shared/data, or a skip.
func sharedData(t testing.TB, name string) string {
	t.Helper()
	p := filepath.Join("..", "..", "..", "shared", "data", name)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("third-party data is absent: %s is not beside the repository", filepath.Join("shared", "data", name))
	}
	return p
}

// readOracle gives the rows by trace and policy.
func readOracle(t *testing.T) map[string]map[string][]Row {
	t.Helper()
	f, err := os.Open(sharedData(t, "oracles/miss_counts.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	num := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := map[string]map[string][]Row{}
	for _, l := range lines[1:] {
		if all[l[0]] == nil {
			all[l[0]] = map[string][]Row{}
		}
		all[l[0]][l[1]] = append(all[l[0]][l[1]], newRow(l[1], num(l[2]), num(l[3]), num(l[4]), false))
	}
	return all
}

// TestOracle: every row of the oracle that is exact, by way of Run as `splitkernel mrc` calls it.
func TestOracle(t *testing.T) {
	oracle := readOracle(t)
	rows := map[string]int{}
	for _, f := range oracleFiles {
		t.Run(f.name, func(t *testing.T) {
			if f.big && raceEnabled {
				t.Skip("a large trace: run without -race")
			}
			path := sharedData(t, f.file)
			o := DefaultOptions()
			o.ByRecord, o.Workers, o.Policies = f.byRecord, 2, nil
			for _, name := range Policies() {
				if traces, exact := exactPolicies[name]; exact && strings.HasPrefix(f.name, traces) {
					o.Policies = append(o.Policies, name)
					for _, w := range oracle[f.name][name] {
						o.Sizes = append(o.Sizes, Size{Pages: w.Size})
					}
				}
			}
			res, err := Run(context.Background(), func() (trace.Source, error) { return trace.Open(path) }, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range o.Policies {
				want := oracle[f.name][name]
				if len(want) == 0 {
					t.Errorf("the oracle has no %s", name)
				}
				for _, w := range want {
					if !slices.Contains(res.Rows, w) {
						t.Errorf("no row %+v; there are %+v", w, res.Rows)
					}
				}
				rows[name] += len(want)
			}
		})
	}
	t.Logf("rows that agree, by policy: %v", rows)
}

// TestNothingBeatsBelady: no policy there is misses less than belady, on real traces.
func TestNothingBeatsBelady(t *testing.T) {
	for _, file := range []string{"page/lirs/cpp.trace.gz", "page/lirs/multi1.trace.gz"} {
		path := sharedData(t, file)
		o := DefaultOptions()
		o.Policies, o.Workers = Policies(), 2
		o.Sizes = []Size{{Pages: 20}, {Pages: 200}, {Share: 0.3}}
		res, err := Run(context.Background(), func() (trace.Source, error) { return trace.Open(path) }, o)
		if err != nil {
			t.Fatal(err)
		}
		best := map[uint64]uint64{}
		for _, r := range res.Rows {
			if r.Policy == belady {
				best[r.Size] = r.Misses
			}
		}
		for _, r := range res.Rows {
			if r.Misses < best[r.Size] || best[r.Size] == 0 {
				t.Errorf("%s: %+v, belady misses %d times", file, r, best[r.Size])
			}
		}
		if want := 3 * len(o.Policies); len(res.Rows) != want {
			t.Errorf("%d rows, want %d", len(res.Rows), want)
		}
	}
}

// TestOracleOffline: what has a shorter way counts what the policy's object counts.
func TestOracleOffline(t *testing.T) {
	if raceEnabled {
		t.Skip("TestOffline is the same on small traces: run without -race")
	}
	for _, f := range []string{"page/lirs/2_pools.trace.gz", "page/lirs/sprite.trace.gz"} {
		path := sharedData(t, f)
		x := exact{hold: true}
		if _, err := read(context.Background(), func() (trace.Source, error) { return trace.Open(path) }, DefaultOptions(), x.take); err != nil {
			t.Fatal(err)
		}
		for _, size := range []uint64{30, 700} {
			compareOffline(t, &x, size)
		}
	}
}

// compareOffline compares all shorter ways with the objects of package policy.
func compareOffline(t interface{ Errorf(string, ...any) }, x *exact, size uint64) {
	x.next = stack.NextUses(x.ids, x.numbers.Len())
	for _, name := range []string{LRU, "fifo", "clock", belady} {
		short, err := x.newCache(name, size, policy.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		object, err := newPolicyCache(name, size, x.ids, x.numbers.Len(), policyOptions(t, x))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := short.Run(len(x.ids)), object.Run(len(x.ids)); got != want {
			t.Errorf("%s with %d pages misses %d times, its policy %d", name, size, got, want)
		}
	}
}

// TestOracleSample: the mean error over the hundredths of the footprint is at most 0.005 with 8192 pages, wherever there are
// more pages than that.
func TestOracleSample(t *testing.T) {
	for _, f := range oracleFiles {
		if f.big && raceEnabled || strings.HasPrefix(f.name, "pg_") { // those have fewer pages
			continue
		}
		open := func() (trace.Source, error) { return trace.Open(sharedData(t, f.file)) }
		o := DefaultOptions()
		o.ByRecord = f.byRecord
		for i := range 100 {
			o.Sizes = append(o.Sizes, Size{Share: float64(i+1) / 100})
		}
		all, err := Run(context.Background(), open, o)
		if err != nil {
			t.Fatal(err)
		}
		if all.Footprint <= stack.DefaultSample {
			continue
		}
		o.Sizes = o.Sizes[:0]
		for _, r := range all.Rows {
			o.Sizes = append(o.Sizes, Size{Pages: r.Size})
		}
		o.Sample = &stack.SampleOptions{Pages: stack.DefaultSample}
		some, err := Run(context.Background(), open, o)
		if err != nil {
			t.Fatal(err)
		}
		mean, stated := 0.0, 0.0
		for i, r := range all.Rows {
			mean += max(r.MissRatio-some.Rows[i].MissRatio, some.Rows[i].MissRatio-r.MissRatio) / float64(len(all.Rows))
			stated += some.Rows[i].StandardError / float64(len(all.Rows))
		}
		t.Logf("%s: %d pages, mean error %.4f, mean standard error stated %.4f", f.name, all.Footprint, mean, stated)
		if mean > 0.005 || some.Sampled == nil {
			t.Errorf("%s: mean error %.4f from %+v, want at most 0.005", f.name, mean, some.Sampled)
		}
	}
}
func policyOptions(t interface{ Errorf(string, ...any) }, x *exact) policy.Options {
	o := policy.Options{SweepEvery: 1000, Future: policy.NewFuture()}
	for _, id := range x.ids {
		if err := o.Future.Add(uint64(id)); err != nil {
			t.Errorf("%v", err)
		}
	}
	return o
}

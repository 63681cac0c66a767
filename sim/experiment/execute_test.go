package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/report"
)

// TestTheTableIsOfTheRuns: however many workers made the runs, in whatever order, in one folder or in one for each shard, the files of
// the table are the same byte by byte.
func TestTheTableIsOfTheRuns(t *testing.T) {
	w := newWorld(t)
	p := w.plan(sizes)
	whole, _ := w.execute(p, "whole", Shard{}, 1)
	csv, parquet := w.read("whole", "table.csv"), w.read("whole", "table.parquet")
	if n, _ := whole.Failed(); len(whole.Rows) != 8 || n != 0 {
		t.Fatalf("%d rows, %d of them failed, want 8 good ones:\n%s", len(whole.Rows), n, csv)
	}
	wantCells(t, whole, "index", "0 1 2 3 4 5 6 7")
	wantCells(t, whole, "hardware", "cxl cxl cxl cxl legoos-cx3 legoos-cx3 legoos-cx3 legoos-cx3")
	wantCells(t, whole, "workload.vnodes.one.excache.share_percent", "25 25 100 100 25 25 100 100")
	wantCells(t, whole, "seed", "1 5 1 5 1 5 1 5")
	if digests := column(t, whole, "events_digest"); len(slices.Compact(slices.Sorted(slices.Values(digests)))) != 8 {
		t.Errorf("digests of events %v, want another for each run", digests)
	}
	for _, c := range []struct {
		name     string
		order    []int // of the shards
		apart    bool  // a folder for each
		parallel int
	}{
		{"four at a time", []int{0}, false, 4},
		{"three shards in one folder", []int{1, 0, 2}, false, 2},
		{"more shards than runs", []int{9, 3, 4, 0, 7, 1, 8, 6, 2, 5}, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var dirs []string
			for _, i := range c.order {
				dir := c.name
				if c.apart {
					dir = fmt.Sprint(c.name, i)
				}
				dirs = append(dirs, filepath.Join(w.dir, dir))
				table, last := w.execute(p, dir, Shard{i, len(c.order)}, c.parallel)
				if last.Kept != 0 || last.Done != last.Total || len(table.Rows) != last.Total {
					t.Errorf("shard %d: %+v and %d rows, want its own runs, all made", i, last, len(table.Rows))
				}
				for k, index := range column(t, table, "index") {
					if index != fmt.Sprint(i+k*len(c.order)) {
						t.Errorf("shard %d: row %d is of run %s", i, k, index)
					}
				}
			}
			out := "merged " + c.name
			if _, err := Merge(p, dirs, filepath.Join(w.dir, out)); err != nil {
				t.Fatal(err)
			}
			if w.read(out, "table.csv") != csv || w.read(out, "table.parquet") != parquet {
				t.Error("the merged table is another one")
			}
		})
	}
}

// TestASweepGoesOn: only runs without a result of the same digest are made.
func TestASweepGoesOn(t *testing.T) {
	w := newWorld(t)
	p := w.plan(sizes)
	w.execute(p, "d", Shard{}, 2)
	first := w.read("d", "table.csv")
	if _, again := w.execute(p, "d", Shard{}, 2); again.Kept != 8 || again.Done != 8 {
		t.Errorf("again: %+v, want all 8 kept", again)
	}
	lost := runDir(filepath.Join(w.dir, "d"), &p.Runs[3])
	if err := os.Remove(filepath.Join(lost, resultName)); err != nil { // as if the run had been interrupted
		t.Fatal(err)
	}
	torn := filepath.Join(runDir(filepath.Join(w.dir, "d"), &p.Runs[5]), resultName)
	if err := os.Truncate(torn, 100); err != nil {
		t.Fatal(err)
	}
	if _, again := w.execute(p, "d", Shard{}, 2); again.Kept != 6 || again.Done != 8 {
		t.Errorf("with a result lost and one torn: %+v, want 6 kept", again)
	}
	if w.read("d", "table.csv") != first {
		t.Error("the table is another one")
	}
	more := w.plan(strings.Replace(sizes, "[25, 100]", "[100, 40, 25]", 1))
	if table, again := w.execute(more, "d", Shard{}, 2); again.Kept != 8 || again.Done != 12 || len(table.Rows) != 12 {
		t.Errorf("with one value more: %+v, want 8 of 12 kept", again)
	}
	writeTrace(t, filepath.Join(w.dir, "tiny.txt"), 2)
	if _, again := w.execute(w.plan(sizes), "d", Shard{0, 8}, 2); again.Kept != 0 {
		t.Errorf("with another trace: %+v, want none kept", again)
	}
	if _, again := w.execute(w.plan(slow), "d", Shard{0, 8}, 2); again.Kept != 0 {
		t.Errorf("with slowdowns: %+v, want none kept", again)
	}
}

// TestTheReportOfARunIsThere, with its configuration.
func TestTheReportOfARunIsThere(t *testing.T) {
	w := newWorld(t)
	p := w.plan(sizes)
	w.execute(p, "d", Shard{0, 8}, 1)
	var m report.Manifest
	if err := json.Unmarshal([]byte(w.read("d", filepath.Join("runs", p.Runs[0].ID(), "manifest.json"))), &m); err != nil {
		t.Fatal(err)
	}
	if m.Config["workload.vnodes.one.excache.share_percent"] != 25.0 || m.Config["hardware"] != "cxl" || m.ConfigDigest != p.Runs[0].ConfigDigest {
		t.Errorf("manifest %+v", m)
	}
	if _, ok := p.Config["workload.vnodes.one.excache.share_percent"]; ok || p.Config["workload.vnodes.two.excache.lines"] != 8 {
		t.Errorf("what the runs have in common: %v", p.Config)
	}
}

// TestFailedRunsAreRows: the sweep goes to its end, and what failed is made again only if it is asked for.
func TestFailedRunsAreRows(t *testing.T) {
	w := newWorld(t)
	p := w.plan(lives)
	f := &fake{run: func(_ context.Context, r *Run) (*report.Summary, error) {
		switch r.Index {
		case 1:
			return nil, errors.New("no port\nis free")
		case 3:
			s := done(r)
			s.Failed = []string{"one: not admitted"}
			return s, nil
		case 4:
			s := done(r)
			s.Total.IntegrityErrors, s.Integrity = 1, []string{"page 7 is wrong"}
			return s, errors.New("and more")
		}
		return done(r), nil
	}}
	dir := filepath.Join(w.dir, "d")
	table, err := Execute(t.Context(), f.options(p, dir))
	if err != nil {
		t.Fatal(err)
	}
	wantCells(t, table, "exit_code", "0 1 0 1 3 0")
	wantCells(t, table, "accesses", "100  300 100 200 300")
	wantCells(t, table, "fetch_p99_us", "7  7 7 7 7")
	if got := column(t, table, "error"); got[1] != "no port\nis free" || got[3] != "one: not admitted" || got[4] != "page 7 is wrong\nand more" {
		t.Errorf("errors %q", got)
	}
	if n, worst := table.Failed(); n != 3 || worst != 3 {
		t.Errorf("%d failed, the worst with %d, want 3 and 3", n, worst)
	}
	if !slices.Equal(f.made, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("made %v, want all, one after the other", f.made)
	}
	f.made = nil
	if _, err := Execute(t.Context(), f.options(p, dir)); err != nil || f.made != nil {
		t.Errorf("again: made %v (%v), want none", f.made, err)
	}
	o := f.options(p, dir)
	o.Retry = true
	f.run = func(_ context.Context, r *Run) (*report.Summary, error) { return done(r), nil }
	if table, err = Execute(t.Context(), o); err != nil || !slices.Equal(f.made, []int{1, 3, 4}) {
		t.Errorf("--retry-failed made %v (%v), want what failed", f.made, err)
	}
	wantCells(t, table, "exit_code", "0 0 0 0 0 0")
}

// TestInterrupted: what has ended stays, what has not leaves no result, and there is no table of a part.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	p := w.plan(lives)
	ctx, cancel := context.WithCancelCause(t.Context())
	f := &fake{run: func(ctx context.Context, r *Run) (*report.Summary, error) {
		if r.Index == 2 {
			cancel(errors.New("Ctrl-C"))
			return done(r), context.Cause(ctx)
		}
		return done(r), nil
	}}
	dir := filepath.Join(w.dir, "d")
	if _, err := Execute(ctx, f.options(p, dir)); err == nil || err.Error() != "Ctrl-C" {
		t.Errorf("error %v, want why it was interrupted", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "table.csv")); err == nil {
		t.Error("there is a table of a part")
	}
	if _, err := Merge(p, []string{dir}, dir); err == nil || !strings.HasPrefix(err.Error(), "4 of 6 runs have no result (2, 3, 4, 5)") {
		t.Errorf("merge: %v, want what is missing", err)
	}
	f.made, f.run = nil, func(_ context.Context, r *Run) (*report.Summary, error) { return done(r), nil }
	table, err := Execute(t.Context(), f.options(p, dir))
	if err != nil || !slices.Equal(f.made, []int{2, 3, 4, 5}) || len(table.Rows) != 6 {
		t.Errorf("made %v (%v), want those that had not ended", f.made, err)
	}
}

// TestVirtualRunsAreInterrupted in the middle of their traces.
func TestVirtualRunsAreInterrupted(t *testing.T) {
	w := newWorld(t)
	p := w.plan(sizes)
	ctx, cancel := context.WithCancelCause(t.Context())
	o := Options{Plan: p, Dir: filepath.Join(w.dir, "d"), Parallel: 2, Progress: func(r Progress) {
		if r.Done == 3 {
			cancel(errors.New("Ctrl-C"))
		}
	}}
	if _, err := Execute(ctx, o); err == nil || err.Error() != "Ctrl-C" {
		t.Fatalf("error %v, want why it was interrupted", err)
	}
	_, last := w.execute(p, "d", Shard{}, 2)
	if last.Kept < 3 || last.Kept > 4 || last.Done != 8 {
		t.Errorf("went on with %+v, want three or four kept: those that had ended", last)
	}
}

// TestFoldersOfOthersAreRefused: a sweep writes into no folder of something else.
func TestFoldersOfOthersAreRefused(t *testing.T) {
	w := newWorld(t)
	p := w.plan(sizes)
	w.execute(w.plan(strings.Replace(sizes, "name: sizes", "name: other", 1)), "other", Shard{0, 8}, 1)
	if err := os.Mkdir(filepath.Join(w.dir, "table"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.file("table/table.csv", "index,seed\n")
	if err := os.Mkdir(filepath.Join(w.dir, "strange"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.file("strange/sweep.json", "{}")
	w.file("file", "")
	for dir, want := range map[string]string{
		"other": `other: has the sweep "other", not "sizes", want another folder`, "table": "table: has table.csv but no sweep.json",
		"strange": `sweep.json: schema ""`, "file": "file: no folder",
	} {
		dir = filepath.Join(w.dir, dir)
		_, err := Execute(t.Context(), Options{Plan: p, Dir: dir, Parallel: 1})
		_, mergeErr := Merge(p, []string{dir}, dir)
		for _, err := range []error{err, mergeErr} {
			var faults *configs.FaultsError
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want a fault %q", dir, err, want)
			}
		}
	}
	if _, err := Merge(p, []string{filepath.Join(w.dir, "nowhere")}, filepath.Join(w.dir, "out")); err == nil || !strings.Contains(err.Error(), "no such folder") {
		t.Errorf("merge of nothing: %v", err)
	}
}

func TestShards(t *testing.T) {
	for text, want := range map[string]string{
		"3/2": `"3/2", want 0/2 to 1/2`, "2/2": "want 0/2 to 1/2", "-1/2": "want 0/2 to 1/2", "0/0": "want I/N", "1": "want I/N", "a/2": "want 0/2", "0/1000000": "want I/N", "0/2/3": "want I/N", "": "want I/N",
	} {
		if s, err := ParseShard(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v (%v), want an error that says %q", text, s, err, want)
		}
	}
	seen := map[int]int{}
	for i := range 3 {
		s, err := ParseShard(fmt.Sprintf("%d/3", i))
		if err != nil {
			t.Fatal(err)
		}
		for index := range 10 {
			if s.has(index) {
				seen[index]++
			}
		}
	}
	for index := range 10 {
		if seen[index] != 1 {
			t.Errorf("run %d is in %d shards, want in one", index, seen[index])
		}
	}
}

func TestBadOptions(t *testing.T) {
	w := newWorld(t)
	_, err := Execute(t.Context(), Options{Plan: w.plan(lives)})
	for _, want := range []string{"parallel: 0, want 1 to 4096", "out: missing", "engine: live"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
}

// TestATraceThatIsNone is a fault of the configuration, before anything runs.
func TestATraceThatIsNone(t *testing.T) {
	w := newWorld(t)
	w.file("tiny.txt", "nonsense\n")
	s, err := configs.LoadSweep(w.file("s.yaml", sizes))
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewPlan(t.Context(), s, nil, w.TempDir())
	var faults *configs.FaultsError
	if !errors.As(err, &faults) || !strings.Contains(err.Error(), "tiny: vnodes.one.trace") {
		t.Errorf("%v, want a fault of the trace", err)
	}
}

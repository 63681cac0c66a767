package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"splitkernel/sim/experiment"
)

// sweepFile writes a sweep of the sample on the small cluster, with what is given besides.
func sweepFile(t *testing.T, more string) string {
	t.Helper()
	return write(t, t.TempDir(), "s.yaml", "name: s\ncluster: "+small(t)+"\nworkload: "+sample(t)+"\n"+more)
}

// cells gives the columns of a table by name.
func cells(t *testing.T, dir string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "table.csv"))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string][]string{}
	for i, name := range records[0] {
		for _, rec := range records[1:] {
			columns[name] = append(columns[name], rec[i])
		}
	}
	return columns
}

func TestSweepAndCompare(t *testing.T) {
	file := sweepFile(t, "seeds: 2\nmatrix:\n  hardware: [cxl, legoos-cx3]\n  workload.vnodes.a.excache.lines: [2, 8]\n")
	dir := filepath.Join(t.TempDir(), "out")
	got := call("sweep", file, "--out", dir, "--parallel", "2")
	got.want(t, exitOK, "8 of 8 runs done", "tables and reports: "+dir)
	if !strings.Contains(got.stdout, "workload.vnodes.a.excache.lines") || strings.Count(got.stdout, "legoos-cx3") != 2 {
		t.Errorf("printed:\n%s", got.stdout)
	}
	table := cells(t, dir)
	if !slices.Equal(table["misses"], []string{"64", "64", "8", "8", "64", "64", "8", "8"}) {
		t.Errorf("misses %v, want 64 with 2 lines and 8 with 8", table["misses"])
	}
	again := call("sweep", file, "--out", dir, "-o", "json")
	again.want(t, exitOK, "8 of 8 runs done, 8 of them before")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(again.stdout), &rows); err != nil || len(rows) != 8 || rows[3]["misses"] != 8.0 || rows[3]["error"] != "" {
		t.Errorf("%d rows (%v), want 8: %v", len(rows), err, rows)
	}
	parts := filepath.Join(t.TempDir(), "parts")
	for _, shard := range []string{"1/2", "0/2"} {
		call("sweep", file, "--out", parts, "--shard", shard).want(t, exitOK, "4 of 4 runs done")
	}
	call("sweep", file, "--out", parts, "--merge").want(t, exitOK)
	call("sweep", file, "--out", parts+"2", "--merge", parts).want(t, exitOK)
	for _, name := range []string{"table.csv", "table.parquet"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{parts, parts + "2"} {
			if got, err := os.ReadFile(filepath.Join(other, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s of the shards is another file (%v)", name, err)
			}
		}
	}

	runs := table["run"]
	c := call("compare", filepath.Join(dir, "runs", runs[0]), filepath.Join(dir, "runs", runs[2]))
	c.want(t, exitOK)
	for _, want := range []string{"workload.vnodes.a.excache.lines  2  8", "misses", "vnodes.a.slowdown"} {
		if !strings.Contains(c.stdout, want) {
			t.Errorf("compare does not print %q:\n%s", want, c.stdout)
		}
	}
	c = call("compare", dir, dir, "--a", "hardware=cxl", "--b", "hardware=legoos-cx3", "-o", "json")
	c.want(t, exitOK)
	var sets experiment.Comparison
	if err := json.Unmarshal([]byte(c.stdout), &sets); err != nil || len(sets.Sets) != 2 || len(sets.Sets[0].Figures) == 0 || !sets.Sets[0].Figures[0].Paired {
		t.Errorf("%+v (%v), want two combinations of pairs", sets, err)
	}
}

func TestASweepWithAFailureExitsWith1(t *testing.T) {
	file := sweepFile(t, "matrix:\n  workload.vnodes.a.memory_bytes: [1MiB, 1TiB]\n")
	dir := filepath.Join(t.TempDir(), "out")
	for range 2 { // it fails again without being made again
		call("sweep", file, "--out", dir).want(t, exitFailed, "2 of 2 runs done", "1 failed", "1 of 2 runs failed")
	}
	table := cells(t, dir)
	if !slices.Equal(table["exit_code"], []string{"0", "1"}) || !strings.Contains(table["error"][1], "not admitted") {
		t.Errorf("exit codes %v and errors %q", table["exit_code"], table["error"])
	}
}

func TestBadSweepsExitWith2(t *testing.T) {
	good, other := sweepFile(t, ""), sweepFile(t, "matrix:\n  pcomponent.cors: [1]\n")
	dir := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sweep"}, "requires at least 1 arg"},
		{[]string{"sweep", "nowhere"}, "want a path or one of the bundled sweeps: excache-size"},
		{[]string{"sweep", other}, "s.yaml: matrix.pcomponent.cors: "},
		{[]string{"sweep", good, "--shard", "3/2"}, `--shard: "3/2", want 0/2 to 1/2`},
		{[]string{"sweep", good, "--shard", "0/2", "--merge"}, "--merge and --shard"},
		{[]string{"sweep", good, "--retry-failed", "--merge"}, "--merge and --retry-failed"},
		{[]string{"sweep", good, dir}, "folders are for --merge only"},
		{[]string{"sweep", good, "--merge", dir}, "no such folder"},
		{[]string{"sweep", good, "--parallel", "0"}, "--parallel: 0, want 1 to"},
		{[]string{"sweep", good, "--out", good}, "no folder, want one"},
		{[]string{"compare", good}, "accepts 2 arg"},
		{[]string{"compare", good, dir}, "want a folder, a summary.json or a table.csv"},
	} {
		got := call(c.args...)
		got.want(t, exitUsage, "splitkernel: ", c.want)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a sweep that could not begin made its folder")
	}
}

// TestLiveSweep starts a cluster for each run.
func TestLiveSweep(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	file := sweepFile(t, "engine: live\nmatrix:\n  workload.vnodes.a.excache.lines: [2, 8]\n")
	execute(t, dir, "sweep", file).want(t, exitOK, "2 of 2 runs done")
	out := filepath.Join(dir, "sweeps", "s")
	table := cells(t, out)
	if !slices.Equal(table["misses"], []string{"64", "8"}) || !slices.Equal(table["integrity_errors"], []string{"0", "0"}) || table["slowdown.a"][0] != "" {
		t.Errorf("table %v", table)
	}
	talk, err := os.ReadFile(filepath.Join(out, "runs", table["run"][1], "talk.log"))
	if err != nil || !strings.Contains(string(talk), "cluster small is ready") {
		t.Errorf("what the run said (%v): %s", err, talk)
	}
	c := execute(t, dir, "compare", filepath.Join(out, "runs", table["run"][0]), filepath.Join(out, "runs", table["run"][1]))
	c.want(t, exitOK)
	if !strings.Contains(c.stdout, "workload.vnodes.a.excache.lines  2  8") {
		t.Errorf("compare prints\n%s", c.stdout)
	}
	empty(t, temp)
}

func TestSweepProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &sweepProgress{display: display{w: &out, now: func() time.Time { return now }, started: now, said: now}}
	p.show(experiment.Progress{Done: 3, Kept: 3, Failed: 1, Total: 11})
	if out.Len() != 0 {
		t.Errorf("a line at once: %q", out.String())
	}
	now = now.Add(10 * time.Second)
	p.show(experiment.Progress{Done: 5, Kept: 3, Failed: 1, Total: 11})
	p.end()
	if got, want := out.String(), "5 of 11 runs done, 3 of them before, 1 failed, 30s left\n"; got != want {
		t.Errorf("plain line %q, want %q", got, want)
	}
	out.Reset()
	p.terminal = true
	p.show(experiment.Progress{Done: 11, Total: 11})
	p.end()
	if got := out.String(); got != "\r\x1b[K[##############################] 11 of 11 runs done\n" {
		t.Errorf("bar %q", got)
	}
}

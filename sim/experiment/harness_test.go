package experiment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"splitkernel/configs"
	"splitkernel/sim/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// writeTrace writes a small program that a seed draws, as text: that costs least to read.
func writeTrace(t testing.TB, path string, seed uint64) {
	t.Helper()
	var text strings.Builder
	chance := rand.New(rand.NewPCG(seed, 0))
	for i := range 400 {
		fmt.Fprintf(&text, "%c %x\n", "RWR"[i%3], 0x1000+chance.Uint64N(64))
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// world is a folder with a tiny program, its workload, and sweeps of it.
type world struct {
	testing.TB
	dir string
}

func newWorld(t testing.TB) *world {
	w := &world{t, t.TempDir()}
	writeTrace(t, filepath.Join(w.dir, "tiny.txt"), 1)
	w.file("w.yaml", "name: tiny\nvnodes:\n  - {name: one, trace: tiny.txt, excache: {share_percent: 50, ways: 0, policy: random}}\n  - {name: two, trace: tiny.txt, excache: {lines: 8, ways: 0}}\n")
	w.file("c.yaml", "name: c\nregion_bytes: 1MiB\npcomponent: {excache_bytes: 4MiB}\nmcomponent: {memory_bytes: 4MiB, buffer_cache_bytes: 1MiB}\nscomponent: {capacity_bytes: 16MiB}\n"+
		"nodes: [{id: g1, role: manager}, {id: p1, role: pcomponent}, {id: m1, role: mcomponent}, {id: s1, role: scomponent}]\n")
	return w
}

func (w *world) file(name, text string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

// slow is a virtual sweep of 8 runs, sizes the same without slowdowns, which would take three times as long.
const (
	slow  = "name: sizes\n" + matrixOfSizes
	sizes = "name: sizes\nslowdown: false\n" + matrixOfSizes
)

const matrixOfSizes = `cluster: ./c.yaml
workload: ./w.yaml
seeds: [1, 5]
matrix:
  hardware: [cxl, legoos-cx3]
  workload.vnodes.one.excache.share_percent: [25, 100]
`

// plan makes the plan of a sweep.
func (w *world) plan(text string) *Plan {
	w.Helper()
	s, err := configs.LoadSweep(w.file("s.yaml", text))
	if err != nil {
		w.Fatal(err)
	}
	p, err := NewPlan(context.Background(), s, nil, w.TempDir())
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// execute makes a shard of a sweep in a folder.
func (w *world) execute(p *Plan, dir string, shard Shard, parallel int) (*Table, Progress) {
	w.Helper()
	var last Progress
	t, err := Execute(context.Background(), Options{Plan: p, Dir: filepath.Join(w.dir, dir), Shard: shard, Parallel: parallel, Commit: "c", Progress: func(r Progress) { last = r }})
	if err != nil {
		w.Fatal(err)
	}
	return t, last
}

// read gives a file of a folder.
func (w *world) read(dir, name string) string {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, dir, name))
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// lives is a sweep of six live runs, which a fake makes.
const lives = `name: lives
engine: live
cluster: ./c.yaml
workload: ./w.yaml
seeds: 3
matrix:
  pcomponent.cores: [2, 4]
`

// fake makes runs of which it decides what they come to.
type fake struct {
	made []int // indices, in the order in which they were made
	run  func(ctx context.Context, r *Run) (*report.Summary, error)
}

func (f *fake) options(p *Plan, dir string) Options {
	return Options{Plan: p, Dir: dir, Parallel: 4, Commit: "c", Run: func(ctx context.Context, r *Run, dir string) (*report.Summary, error) {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			return nil, fmt.Errorf("the folder of run %d has %v (%v), want it empty", r.Index, left, err)
		}
		f.made = append(f.made, r.Index) // live runs do not overlap
		return f.run(ctx, r)
	}}
}

// done is the report of a run that ended well.
func done(r *Run) *report.Summary {
	s := &report.Summary{Schema: report.SchemaSummary, Seed: r.Seed, WallSeconds: 1.5 + float64(r.Seed)/8}
	s.Total.Accesses = 100 * r.Seed
	s.Total.FaultLatency = map[string]report.Latency{"fetch": {Count: 1, P50: 2.5, P99: 7}}
	s.VNodes = []report.VNode{{Name: "one", Seconds: 1.25}, {Name: "two", Seconds: 1}}
	return s
}

// column gives the cells of a column as text.
func column(t testing.TB, table *Table, name string) (cells []string) {
	t.Helper()
	for i, c := range table.Columns {
		if c.Name == name {
			for _, row := range table.Rows {
				cells = append(cells, format(row[i]))
			}
			return cells
		}
	}
	t.Fatalf("no column %s", name)
	return nil
}

func wantCells(t testing.TB, table *Table, name, want string) {
	t.Helper()
	if got := strings.Join(column(t, table, name), " "); got != want {
		t.Errorf("%s: %s, want %s", name, got, want)
	}
}

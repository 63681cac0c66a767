package e2e

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// oracle gives the misses of an oracle by trace, policy and size, or skips the test where the folder is absent.
func oracle(t *testing.T) map[string]uint64 {
	t.Helper()
	path := filepath.Join(shared(t), "oracles", "miss_counts.csv")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]uint64{}
	for _, r := range rows[1:] {
		n, err := strconv.ParseUint(r[4], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		m[r[0]+" "+r[1]+" "+r[2]] = n
	}
	return m
}

// shared gives the folder of real traces, which is not part of the repository.
func shared(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "shared", "data"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: the real traces are not beside the repository (%v); the bundled traces' pinned counts are tested all the same", err)
	}
	return dir
}

// exact is what one vNode of an exactness test replays, and the misses that it must have.
type exact struct {
	name, path, policy string
	lines              int
	misses             uint64
}

// testExact replays traces through a live 1P-1M cluster, each by a vNode of its own, all at once: the misses of each must be those
// that are wanted, to the last one, and so must the sum of what they came to, whatever else runs at the same components.
func testExact(t *testing.T, rows []exact) {
	t.Helper()
	if raceEnabled {
		t.Skip("the clusters are built without -race, and reading traces takes four times as long under it: make test runs this without")
	}
	c := start(t, onePonem, "nodes.m1.memory_bytes=512MiB", "manager.overcommit=8")
	text := "name: exact\nseed: 1\nvnodes:\n"
	for i, x := range rows {
		text += fmt.Sprintf("  - name: v%d\n    trace: %s\n    excache: {lines: %d, ways: 0, policy: %s}\n", i, x.path, x.lines, x.policy)
	}
	s := c.run(workload(t, text), nil)
	ok(t, s)
	if len(s.VNodes) != len(rows) {
		t.Fatalf("%d vNodes, want %d", len(s.VNodes), len(rows))
	}
	for i, x := range rows {
		got := s.VNodes[i].Counters
		if got.Misses != x.misses {
			t.Errorf("%s: %d misses, want %d", x.name, got.Misses, x.misses)
		}
		if got.Fetches == 0 {
			t.Errorf("%s: nothing was fetched: the mComponent is not part of this", x.name)
		}
		if got.PagesChecked != got.Accesses {
			t.Errorf("%s: %d of %d accesses were checked", x.name, got.PagesChecked, got.Accesses)
		}
	}
}

// TestExactMissesOfRealTraces replays real traces, fully associative: the misses are the oracle's.
func TestExactMissesOfRealTraces(t *testing.T) {
	want := oracle(t)
	var rows []exact
	for _, x := range []struct {
		trace, file string
	}{
		{"pg_sort.data", "page/sort.data.pg.zst"},
		{"lirs_2_pools", "page/lirs/2_pools.trace.gz"},
		{"lirs_sprite", "page/lirs/sprite.trace.gz"},
		{"lirs_cpp", "page/lirs/cpp.trace.gz"},
	} {
		for _, policy := range []string{"lru", "fifo", "clock"} {
			lines := middleSize(want, x.trace, policy)
			if lines == 0 {
				t.Fatalf("no row of %s %s in the oracle", x.trace, policy)
			}
			n, ok := want[fmt.Sprintf("%s %s %d", x.trace, policy, lines)]
			if !ok {
				t.Fatalf("the oracle has no %s %s %d", x.trace, policy, lines)
			}
			rows = append(rows, exact{fmt.Sprintf("%s/%s/%d", x.trace, policy, lines), filepath.Join(shared(t), x.file), policy, lines, n})
		}
	}
	testExact(t, rows)
}

// middleSize picks the size with the middle number of misses of a trace's rows, so that there is something to do.
func middleSize(m map[string]uint64, trace, policy string) int {
	var sizes []int
	for k := range m {
		var tr, p string
		var n int
		if _, err := fmt.Sscan(k, &tr, &p, &n); err == nil && tr == trace && p == policy {
			sizes = append(sizes, n)
		}
	}
	if len(sizes) == 0 {
		return 0
	}
	slices.Sort(sizes)
	return sizes[len(sizes)/2]
}

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

// TestExactMissesOfRealTraces replays real traces through a live 1P-1M cluster, fully associative: the misses must be the
// oracle's, to the last one, and so must the sum of what they came to.
func TestExactMissesOfRealTraces(t *testing.T) {
	want := oracle(t)
	c := start(t, onePonem)
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
			t.Run(fmt.Sprintf("%s/%s/%d", x.trace, policy, lines), func(t *testing.T) {
				c.t = t
				w := workload(t, fmt.Sprintf("name: exact\nseed: 1\nvnodes:\n  - name: one\n    trace: %s\n    excache: {lines: %d, ways: 0, policy: %s}\n",
					filepath.Join(shared(t), x.file), lines, policy))
				s := c.run(w, nil)
				ok(t, s)
				if n := want[fmt.Sprintf("%s %s %d", x.trace, policy, lines)]; s.Total.Misses != n {
					t.Errorf("%d misses, the oracle has %d", s.Total.Misses, n)
				}
				if s.Total.Fetches == 0 {
					t.Error("nothing was fetched: the mComponent is not part of this")
				}
				if s.Total.PagesChecked != s.Total.Accesses {
					t.Errorf("%d of %d accesses were checked", s.Total.PagesChecked, s.Total.Accesses)
				}
			})
			c.t = t
		}
	}
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

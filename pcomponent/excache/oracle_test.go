package excache

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Traces of at most so many requests run: all of them, but under the race
// detector, which makes an access ten times as expensive, only the three shortest
// (lirs_cpp, lirs_multi1, lirs_multi2), at all their sizes.
const (
	raceRequests   = 30_000
	beladyRequests = 200_000 // every policy at every size: the shorter traces are enough
)

// TestOracle is law 7 for the core: LRU, FIFO and CLOCK, fully associative, give
// exactly the misses that libCacheSim counted on real traces.
func TestOracle(t *testing.T) {
	rows := readOracle(t, "lru", "fifo", "clock")
	ran := 0
	for _, trace := range oracleTraces {
		of := rows[trace.name]
		if len(of) == 0 {
			t.Errorf("%s: the oracle has no row of it", trace.name)
			continue
		}
		if raceEnabled && of[0].requests > raceRequests {
			continue
		}
		ran += len(of)
		// One trace at a time: the rows of one share its references, and the next
		// one is decoded when they have ended.
		t.Run(trace.name, func(t *testing.T) {
			refs := readTrace(t, trace)
			if len(refs) != of[0].requests {
				t.Fatalf("%s holds %d requests, the oracle had %d", trace.file, len(refs), of[0].requests)
			}
			for _, row := range of {
				t.Run(fmt.Sprintf("%s/%d", row.policy, row.lines), func(t *testing.T) {
					t.Parallel()
					c := mustNew(t, fullyAssociative(row.policy, row.lines))
					for _, r := range refs {
						access(c, r.page(), r.write())
					}
					s := c.Stats()
					if s.Misses != row.misses || s.Accesses != uint64(row.requests) {
						t.Errorf("%d misses in %d accesses, the oracle has %d in %d", s.Misses, s.Accesses, row.misses, row.requests)
					}
					checkStats(t, c)
				})
			}
		})
	}
	t.Logf("%d rows compared", ran)
}

// TestBeladyIsTheBound: Belady's MIN, simulated here, gives the oracle's misses,
// and none of the policies misses less on any trace and size that it has.
func TestBeladyIsTheBound(t *testing.T) {
	rows := readOracle(t, "belady")
	for _, trace := range oracleTraces {
		of := rows[trace.name]
		if len(of) == 0 {
			t.Errorf("%s: the oracle has no row of belady", trace.name)
			continue
		}
		if of[0].requests > beladyRequests || raceEnabled && of[0].requests > raceRequests {
			continue
		}
		t.Run(trace.name, func(t *testing.T) {
			refs := readTrace(t, trace)
			for _, row := range of {
				t.Run(fmt.Sprint(row.lines), func(t *testing.T) {
					t.Parallel()
					least := belady(refs, row.lines)
					if least != row.misses {
						t.Errorf("Belady: %d misses, the oracle has %d", least, row.misses)
					}
					for _, policy := range lineNames {
						c := mustNew(t, fullyAssociative(policy, row.lines))
						for _, r := range refs {
							access(c, r.page(), r.write())
						}
						if s := c.Stats(); s.Misses < least {
							t.Errorf("%s: %d misses, fewer than Belady's %d", policy, s.Misses, least)
						}
					}
				})
			}
		})
	}
}

// ref is one reference: page << 1 | write.
type ref uint64

func (r ref) page() uint64 { return uint64(r) >> 1 }
func (r ref) write() bool  { return r&1 != 0 }

type oracleRow struct {
	policy   string
	lines    int
	requests int
	misses   uint64
}

// oracleTraces are the traces of the oracle whose references are one page each.
var oracleTraces = []oracleTrace{
	{"arc_OLTP", "page/arc/OLTP.lis.zst", parseARC},
	{"lirs_2_pools", "page/lirs/2_pools.trace.gz", parseLIRS},
	{"lirs_cpp", "page/lirs/cpp.trace.gz", parseLIRS},
	{"lirs_multi1", "page/lirs/multi1.trace.gz", parseLIRS},
	{"lirs_multi2", "page/lirs/multi2.trace.gz", parseLIRS},
	{"lirs_sprite", "page/lirs/sprite.trace.gz", parseLIRS},
	{"pg_pr2.filt16", "page/pr2.filt16.pg.zst", parsePages},
	{"pg_sort.data", "page/sort.data.pg.zst", parsePages},
	{"pg_sqlite3.data", "page/sqlite3.data.pg.zst", parsePages},
	{"blk_cloudphysics_io", "block/cloudPhysicsIO.csv.gz", parseCloudPhysics},
}

type oracleTrace struct {
	name, file string
	parse      func(line string, refs []ref) ([]ref, error)
}

// sharedData returns the folder of third-party data beside the repository, or
// skips: the project commits none of it.
func sharedData(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the package")
		}
		dir = up
	}
	data := filepath.Join(dir, "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		t.Skipf("the exact oracles are in ../shared/data beside the repository, which is not there: %v", err)
	}
	return data
}

// readOracle returns the rows of the named policies, by trace.
func readOracle(t *testing.T, policies ...string) map[string][]oracleRow {
	t.Helper()
	f, err := os.Open(filepath.Join(sharedData(t), "oracles", "miss_counts.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	const want = "trace,policy,cache_objects,requests,misses"
	if got := strings.Join(records[0][:5], ","); got != want {
		t.Fatalf("columns %s, want %s", got, want)
	}
	rows := make(map[string][]oracleRow)
	for _, r := range records[1:] {
		if !slices.Contains(policies, r[1]) {
			continue
		}
		row := oracleRow{policy: r[1]}
		var errs [3]error
		row.lines, errs[0] = strconv.Atoi(r[2])
		row.requests, errs[1] = strconv.Atoi(r[3])
		row.misses, errs[2] = strconv.ParseUint(r[4], 10, 64)
		for _, err := range errs {
			if err != nil {
				t.Fatalf("row %v: %v", r, err)
			}
		}
		rows[r[0]] = append(rows[r[0]], row)
	}
	return rows
}

// readTrace decodes a compressed text trace.
func readTrace(t *testing.T, trace oracleTrace) []ref {
	t.Helper()
	f, err := os.Open(filepath.Join(sharedData(t), trace.file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var in io.Reader
	if strings.HasSuffix(trace.file, ".zst") {
		z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		in = z
	} else {
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		in = z
	}
	var refs []ref
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		if refs, err = trace.parse(lines.Text(), refs); err != nil {
			t.Fatalf("%s: line %d: %v", trace.file, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", trace.file, err)
	}
	return refs
}

// parsePages reads "R|W hexpage".
func parsePages(line string, refs []ref) ([]ref, error) {
	op, hex, ok := strings.Cut(line, " ")
	if !ok || op != "R" && op != "W" {
		return nil, fmt.Errorf("%q, want R or W and a page in hex", line)
	}
	page, err := strconv.ParseUint(hex, 16, 40)
	r := ref(page << 1)
	if op == "W" {
		r |= 1
	}
	return append(refs, r), err
}

// parseLIRS reads one decimal block per line; "*" is a marker.
func parseLIRS(line string, refs []ref) ([]ref, error) {
	line = strings.TrimSpace(line)
	if line == "*" || line == "" {
		return refs, nil
	}
	page, err := strconv.ParseUint(line, 10, 40)
	return append(refs, ref(page<<1)), err
}

// parseARC reads "start count ignored sequence", count consecutive blocks.
func parseARC(line string, refs []ref) ([]ref, error) {
	var start, count uint64
	if _, err := fmt.Sscan(line, &start, &count); err != nil {
		return nil, fmt.Errorf("%q, want start and count: %w", line, err)
	}
	for page := start; page < start+count; page++ {
		refs = append(refs, ref(page<<1))
	}
	return refs, nil
}

// parseCloudPhysics reads "version,time,op,size,lbn" with a line of names; the
// lbn of a record is its key.
func parseCloudPhysics(line string, refs []ref) ([]ref, error) {
	fields := strings.Split(line, ",")
	if len(fields) < 5 {
		return nil, fmt.Errorf("%q, want five fields", line)
	}
	page, err := strconv.ParseUint(strings.TrimSpace(fields[4]), 10, 40)
	if err != nil && len(refs) == 0 {
		return refs, nil // the line of names
	}
	r := ref(page << 1)
	if fields[2] == "2a" {
		r |= 1
	}
	return append(refs, r), err
}

// belady counts the misses of MIN (Belady 1966), which evicts the page whose next
// use is farthest and always admits: a heap of next uses, where an entry that is
// no longer true is skipped when it comes to the top.
func belady(refs []ref, lines int) uint64 {
	const never = int(^uint(0) >> 1)
	next := make([]int, len(refs))
	last := make(map[uint64]int)
	for i := len(refs) - 1; i >= 0; i-- {
		next[i] = never
		if j, ok := last[refs[i].page()]; ok {
			next[i] = j
		}
		last[refs[i].page()] = i
	}
	type use struct {
		at   int
		page uint64
	}
	var heap []use // the farthest first
	push := func(u use) {
		heap = append(heap, u)
		for i := len(heap) - 1; i > 0 && heap[(i-1)/2].at < heap[i].at; i = (i - 1) / 2 {
			heap[i], heap[(i-1)/2] = heap[(i-1)/2], heap[i]
		}
	}
	pop := func() use {
		top := heap[0]
		heap[0] = heap[len(heap)-1]
		heap = heap[:len(heap)-1]
		for i := 0; ; {
			far := i
			for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
				if heap[child].at > heap[far].at {
					far = child
				}
			}
			if far == i {
				return top
			}
			heap[i], heap[far] = heap[far], heap[i]
			i = far
		}
	}
	misses := uint64(0)
	held := make(map[uint64]int, lines) // page -> its next use
	for i, r := range refs {
		if _, ok := held[r.page()]; !ok {
			misses++
			for len(held) == lines {
				if u := pop(); held[u.page] == u.at {
					delete(held, u.page)
				}
			}
		}
		held[r.page()] = next[i]
		push(use{next[i], r.page()})
	}
	return misses
}

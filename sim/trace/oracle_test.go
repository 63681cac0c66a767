package trace

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"testing"
)

// oracleFiles are the traces of ../shared/data/oracles that this package reads.
var oracleFiles = map[string]string{
	"arc_OLTP":            "page/arc/OLTP.lis.zst",
	"blk_cloudphysics_io": "block/cloudPhysicsIO.csv.gz",
	"lirs_2_pools":        "page/lirs/2_pools.trace.gz",
	"lirs_cpp":            "page/lirs/cpp.trace.gz",
	"lirs_multi1":         "page/lirs/multi1.trace.gz",
	"lirs_multi2":         "page/lirs/multi2.trace.gz",
	"lirs_sprite":         "page/lirs/sprite.trace.gz",
	"pg_pr2.filt16":       "page/pr2.filt16.pg.zst",
	"pg_sort.data":        "page/sort.data.pg.zst",
	"pg_sqlite3.data":     "page/sqlite3.data.pg.zst",
}

type oracleRow struct {
	policy                             string
	lines                              int
	requests, misses, footprintObjects uint64
}

func readOracle(t *testing.T) map[string][]oracleRow {
	f, err := os.Open(sharedData(t, "oracles/miss_counts.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	num := func(s string) uint64 {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	out := map[string][]oracleRow{}
	for _, r := range rows[1:] {
		out[r[0]] = append(out[r[0]], oracleRow{r[1], int(num(r[2])), num(r[3]), num(r[4]), num(r[7])})
	}
	return out
}

// lbnSource turns the requests of a block trace into references to a page each,
// numbered by sector, as the oracle counts them.
type lbnSource struct{ Source }

func (s lbnSource) Next() (*Batch, error) {
	b, err := s.Source.Next()
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for _, e := range b.Events {
		refs = append(refs, Ref{Addr: e.Offset / sectorBytes << PageShift})
	}
	return &Batch{Refs: refs, First: b.First}, nil
}

// Requests and footprint are the oracle's for every trace, and the plain
// simulation of lru, fifo and clock gives the oracle's misses exactly: so the
// references are right one by one, and so is the simulation that pins the
// bundled traces.
func TestOracle(t *testing.T) {
	oracle := readOracle(t)
	var names []string
	for name := range oracleFiles {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			rows := oracle[name]
			if len(rows) == 0 {
				t.Fatal("the oracle does not have it")
			}
			big := rows[0].requests > 500_000
			if big && raceEnabled {
				t.Skip("a large trace: run without -race")
			}
			src, err := Open(sharedData(t, oracleFiles[name]))
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if filepath.Base(oracleFiles[name]) == "cloudPhysicsIO.csv.gz" {
				src = lbnSource{src}
			}
			dense, pages := densePages(t, src)
			if uint64(len(dense)) != rows[0].requests || uint64(pages) != rows[0].footprintObjects {
				t.Fatalf("%d references to %d pages, want %d to %d", len(dense), pages, rows[0].requests, rows[0].footprintObjects)
			}
			for _, r := range rows {
				switch r.policy {
				case "lru", "fifo", "clock":
				default:
					continue
				}
				if rows[0].requests > 1_000_000 && r.policy != "lru" {
					continue // the same references: one policy says that they are right
				}
				if got := simulate(r.policy, dense, pages, r.lines); got != r.misses {
					t.Errorf("%s with %d lines: %d misses, want %d", r.policy, r.lines, got, r.misses)
				}
			}
		})
	}
}

func TestStatOnSharedTraces(t *testing.T) {
	oracle := readOracle(t)
	for _, name := range []string{"pg_pr2.filt16", "lirs_sprite", "blk_cloudphysics_io"} {
		src, err := Open(sharedData(t, oracleFiles[name]))
		if err != nil {
			t.Fatal(err)
		}
		info, err := Stat(src)
		if err != nil {
			t.Fatal(err)
		}
		src.Close()
		want := oracle[name][0]
		if name == "blk_cloudphysics_io" {
			if info.BlockReads+info.BlockWrites != want.requests || info.BlockWrites != 66898 || info.Refs != 0 || info.Header.SynthesisedMaps {
				t.Errorf("%s: %+v", name, info)
			}
			continue
		}
		if info.Refs != want.requests || info.FootprintPages != want.footprintObjects || info.Reads+info.Writes != info.Refs ||
			info.Threads != 1 || !info.Header.SynthesisedMaps || info.Mmaps == 0 {
			t.Errorf("%s: %+v, want %+v", name, info, want)
		}
	}
}

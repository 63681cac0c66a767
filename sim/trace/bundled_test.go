package trace

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// The bundled traces and what they must be.
var bundled = []struct {
	name    string
	threads int
	blocks  bool
}{
	{"sort", 2, true}, {"wordcount", 1, true}, {"sqlite", 1, true},
}

func bundledPath(t testing.TB, name string) string {
	return filepath.Join(repoRoot(t), "configs", "traces", name)
}

const (
	maxBundledBytes = 10_000_000
	minBundledPages = 16 << 20 >> PageShift
)

func TestBundled(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and much of it: make test runs this without -race")
	}
	files, err := filepath.Glob(bundledPath(t, "*.skt"))
	if err != nil || len(files) != len(bundled) {
		t.Fatalf("%v, %v: want %d traces", files, err, len(bundled))
	}
	var size int64
	for _, want := range bundled {
		t.Run(want.name, func(t *testing.T) {
			path := bundledPath(t, want.name+".skt")
			st, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			size += st.Size()
			src, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			info, err := Stat(src)
			if err != nil {
				t.Fatal(err)
			}
			h := info.Header
			if info.FootprintPages < minBundledPages || info.Threads != want.threads || info.BlockReads+info.BlockWrites == 0 || info.Mmaps == 0 || info.Instructions < info.Refs {
				t.Errorf("%+v", info)
			}
			if h.Refs != info.Refs || h.Reads != info.Reads || h.Writes != info.Writes || h.FootprintPages != info.FootprintPages ||
				h.Instructions != info.Instructions || h.Threads != info.Threads || h.Maps != info.Mmaps+info.Munmaps+info.Brks ||
				h.BlockOps != info.BlockReads+info.BlockWrites+info.BlockFlushes || !reflect.DeepEqual(h.Volumes, info.Volumes) {
				t.Errorf("the totals of the header are not those of the stream: %+v", info)
			}
			if h.Source != "capture" || h.SynthesisedMaps || !h.HasMaps || !h.HasGaps || h.Thinning == "" || h.Granularity != 1 {
				t.Errorf("header %+v", h)
			}
			if strings.Contains(fmt.Sprint(h.Program, h.Args, h.Volumes), "/") {
				t.Errorf("the header holds a path: %+v", h)
			}
			t.Logf("%d references (%d writes), %d pages, %d threads, %d switches, %d instructions, %d mmaps, %d bytes mapped, blocks %d/%d/%d, %d bytes",
				info.Refs, info.Writes, info.FootprintPages, info.Threads, info.ThreadSwitches, info.Instructions, info.Mmaps, info.MappedBytes,
				info.BlockReads, info.BlockWrites, info.BlockFlushes, st.Size())
		})
	}
	if size > maxBundledBytes {
		t.Errorf("%d bytes in all, at most %d", size, maxBundledBytes)
	}
}

// Every reference of a bundled trace lies in a page that is mapped then.
func TestBundledMaps(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and much of it: make test runs this without -race")
	}
	for _, b := range bundled {
		t.Run(b.name, func(t *testing.T) {
			src, err := Open(bundledPath(t, b.name+".skt"))
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			checkMaps(t, src)
		})
	}
}

// pinnedShares are the cache sizes that are pinned, in per cent of the footprint.
var pinnedShares = []int{10, 25, 50}

var pinnedHead = []string{"trace", "policy", "lines", "refs", "misses"}

// The misses of the bundled traces (unmapped pages leave the cache), so that a clone alone tests exactness: the
// simulation that agrees with the oracle (TestOracle) computes what
// pinned_misses.csv says.
func TestPinnedMisses(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and much of it: make test runs this without -race")
	}
	path := bundledPath(t, "pinned_misses.csv")
	got := [][]string{pinnedHead}
	for _, b := range bundled {
		src, err := Open(bundledPath(t, b.name+".skt"))
		if err != nil {
			t.Fatal(err)
		}
		dense, pages := densePages(t, src)
		src.Close()
		for _, policy := range []string{"lru", "fifo", "clock"} {
			for _, share := range pinnedShares {
				lines := pages * share / 100
				got = append(got, []string{b.name, policy, strconv.Itoa(lines), strconv.Itoa(references(dense)),
					strconv.FormatUint(simulate(policy, dense, pages, lines), 10)})
			}
		}
	}
	if *update {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := csv.NewWriter(f).WriteAll(got); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	pinned := map[string]bool{}
	for _, r := range rows {
		pinned[strings.Join(r, ",")] = true
	}
	for _, r := range got {
		if !pinned[strings.Join(r, ",")] {
			t.Errorf("%v is not in %s", r, filepath.Base(path))
		}
	}
	if len(rows) != 1+len(bundled)*3*len(pinnedShares) {
		t.Errorf("%d rows", len(rows))
	}
}

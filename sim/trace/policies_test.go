package trace

import (
	"maps"
	"os"
	"slices"
	"testing"

	"splitkernel/pcomponent/policy"
)

// oraclePolicies are the names of the oracle's policies here, and by how much of
// all requests each may differ from its misses: nothing, or what docs/policies.md
// explains.
var oraclePolicies = map[string]struct {
	name  string
	share float64
}{
	"lru": {"lru", 0}, "fifo": {"fifo", 0}, "clock": {"clock", 0}, "belady": {"belady", 0}, "arc": {"arc", 0},
	"lfu": {"lfu", 0}, "twoq": {"2q", 0}, "lirs": {"lirs", 0.005}, "s3fifo": {"s3-fifo", 0}, "sieve": {"sieve", 0},
}

// blockFiles are the block traces of the oracle whose requests it took apart into blocks of 4 KiB.
var blockFiles = map[string]string{
	"blk_mqsim_wsrch":      "block/wsrch-small.trace.gz",
	"blk_disksim_postmark": "block/disksim-postmark.trace.gz",
}

// blockSource turns each block request into references to the blocks of 4 KiB that it touches.
type blockSource struct{ Source }

func (s blockSource) Next() (*Batch, error) {
	b, err := s.Source.Next()
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for _, e := range b.Events {
		for p := e.Offset >> PageShift; p <= (e.Offset+e.Length-1)>>PageShift; p++ {
			refs = append(refs, Ref{Addr: (uint64(e.Volume)<<40 | p) << PageShift})
		}
	}
	return &Batch{Refs: refs, First: b.First}, nil
}

// misses drives a policy over dense page numbers, fully associative.
func misses(t *testing.T, name string, dense []int32, pages, lines int, future *policy.Future) uint64 {
	p, err := policy.New(name, 1, lines, policy.Options{SweepEvery: 65536, Future: future})
	if err != nil {
		t.Fatal(err)
	}
	line := make([]int32, pages) // by page: its line + 1
	page := make([]int32, lines)
	free, n := 0, uint64(0)
	for _, d := range dense {
		if d < 0 {
			t.Fatal("an oracle's trace has no unmappings")
		}
		if l := line[d]; l > 0 {
			p.Touch(uint32(l - 1))
			continue
		}
		n++
		at := uint32(free)
		if free < lines {
			free++
		} else {
			var ok bool
			if at, ok = p.Victim(0, uint64(d), nil); !ok {
				t.Fatalf("%s: no victim among %d lines", name, lines)
			}
			p.Evict(at)
			line[page[at]] = 0
		}
		p.Insert(at, uint64(d))
		line[d], page[at] = int32(at+1), d
	}
	return n
}

// TestPoliciesOracle holds the policies to the misses that libCacheSim counted. The
// traces of more than 200 000 requests run with SPLITKERNEL_ORACLE set to anything
// but the empty string; with -v all rows are printed.
func TestPoliciesOracle(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and much of it: make test runs this without -race")
	}
	all := os.Getenv("SPLITKERNEL_ORACLE") != ""
	oracle := readOracle(t)
	files := maps.Clone(oracleFiles)
	maps.Copy(files, blockFiles)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Run(name, func(t *testing.T) {
			rows := oracle[name]
			if rows[0].requests > 200_000 && !all {
				t.Skip("a large trace: run with SPLITKERNEL_ORACLE=all, and without -race")
			}
			src, err := Open(sharedData(t, files[name]))
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			switch _, blocks := blockFiles[name]; {
			case blocks:
				src = blockSource{src}
			case name == "blk_cloudphysics_io":
				src = lbnSource{src}
			}
			dense, pages := densePages(t, src)
			refs := dense[:0]
			for _, d := range dense {
				if d >= 0 {
					refs = append(refs, d)
				}
			}
			if uint64(len(refs)) != rows[0].requests || uint64(pages) != rows[0].footprintObjects {
				t.Fatalf("%d references to %d pages, want %d to %d", len(refs), pages, rows[0].requests, rows[0].footprintObjects)
			}
			future := policy.NewFuture()
			for _, d := range refs {
				if err := future.Add(uint64(d)); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range rows {
				o, ok := oraclePolicies[r.policy]
				if !ok {
					t.Fatalf("the oracle has %q, which is none of ours", r.policy)
				}
				got := misses(t, o.name, refs, pages, r.lines, future)
				off := (float64(got) - float64(r.misses)) / float64(r.requests)
				if off > o.share || -off > o.share {
					t.Errorf("%s with %d lines: %d misses, want %d (%+.4f %%)", o.name, r.lines, got, r.misses, 100*off)
				} else if all {
					t.Logf("%s with %d lines: %d misses, the oracle has %d (%+.4f %%)", o.name, r.lines, got, r.misses, 100*off)
				}
			}
		})
	}
}

package pagestore

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

type key struct {
	pid  wire.PID
	page wire.PageNo
}

type stored struct {
	epoch   wire.Epoch
	version uint64
	sum     uint32
	group   uint32
	flushed bool
}

// TestAgreesWithAMap runs misses, flushes in any order of versions, unmaps and exits against a map of pages.
func TestAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 20).Draw(t, "capacity")
		s := New(capacity)
		if rapid.Bool().Draw(t, "growing") {
			s = NewGrowing(capacity)
		}
		model := map[key]stored{}
		const pages = 8 // per group: page / 8 is the vRegion
		var reserved []Frame
		free := func() int { return capacity - len(model) - len(reserved) }
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			pid := wire.PID(rapid.IntRange(1, 2).Draw(t, "pid"))
			page := wire.PageNo(rapid.IntRange(0, 3*pages-1).Draw(t, "page"))
			g := uint32(pid)*4 + uint32(page/pages)
			k := key{pid, page}
			was, had := model[k]
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0:
				_, sum, a := s.Miss(g, pid, page)
				switch {
				case had && (a != Hit || sum != was.sum):
					t.Fatalf("miss of %v = %d with checksum %#x, want a hit with %#x", k, a, sum, was.sum)
				case !had && free() == 0 && a != Full:
					t.Fatalf("miss of %v = %d, want full", k, a)
				case !had && free() > 0:
					if a != Fresh || sum != wire.ZeroPageChecksum {
						t.Fatalf("miss of %v = %d, want fresh zeros", k, a)
					}
					model[k] = stored{sum: sum, group: g}
				}
			case 1:
				n := stored{wire.Epoch(rapid.IntRange(0, 3).Draw(t, "epoch")), rapid.Uint64Range(0, 4).Draw(t, "version"), rapid.Uint32().Draw(t, "sum"), g, true}
				_, a := s.Flush(g, pid, page, n.epoch, n.version, n.sum)
				newer := !was.flushed || n.epoch > was.epoch || n.epoch == was.epoch && n.version > was.version
				want := Old
				if !had && free() == 0 {
					want = Full
				} else if newer {
					want = Apply
					model[k] = n
				}
				if a != want {
					t.Fatalf("flush of %v over %v = %d, want %d", n, was, a, want)
				}
			case 2:
				n := uint64(rapid.IntRange(1, int(pages-page%pages)).Draw(t, "pages"))
				want := uint64(0)
				for p := page; p < page+wire.PageNo(n); p++ {
					if _, ok := model[key{pid, p}]; ok {
						want++
						delete(model, key{pid, p})
					}
				}
				if got := s.Unmap(g, pid, page, n); got != want {
					t.Fatalf("unmap freed %d pages, want %d", got, want)
				}
			case 3:
				for s.FreeGroup(g, 2) == 2 {
				}
				for k, v := range model {
					if v.group == g {
						delete(model, k)
					}
				}
			case 4:
				into := make([]Frame, rapid.IntRange(1, 5).Draw(t, "frames"))
				if got, want := s.Reserve(into), free() >= len(into); got != want {
					t.Fatalf("reserved %d of %d free frames: %v", len(into), free(), got)
				} else if got {
					reserved = append(reserved, into...)
				}
			case 5:
				if len(reserved) == 0 {
					break
				}
				f := reserved[0]
				if n := rapid.IntRange(0, len(reserved)).Draw(t, "given back"); n > 0 {
					s.Release(reserved[:n])
					reserved = reserved[n:]
					break
				}
				freed := s.Stats().Freed
				n := stored{1, 7, rapid.Uint32().Draw(t, "sum"), g, true}
				s.Install(g, pid, page, Content{Epoch: n.epoch, Version: n.version, Sum: n.sum, Flushed: true}, f)
				reserved, model[k] = reserved[1:], n
				if at, c, ok := s.Peek(pid, page); !ok || at != f || c.Sum != n.sum || s.Stats().Freed != freed {
					t.Fatalf("page %v is in frame %d with %+v, want %d; %d freed", k, at, c, f, s.Stats().Freed-freed)
				}
			}
			if s.Free() != free() || s.Reserved() != len(reserved) {
				t.Fatalf("%d frames free and %d reserved, want %d and %d", s.Free(), s.Reserved(), free(), len(reserved))
			}
			if err := s.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if s.Stats().Used != len(model) {
				t.Fatalf("%d pages used, want %d", s.Stats().Used, len(model))
			}
		}
	})
}

func TestHotCallsDoNotAllocate(t *testing.T) {
	s := New(1000)
	for p := range wire.PageNo(500) {
		s.Miss(0, 1, p)
	}
	v := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		v++
		s.Miss(0, 1, wire.PageNo(v%500))
		s.Flush(0, 1, wire.PageNo(v%700), 1, v, 0)
		s.Unmap(0, 1, wire.PageNo(v%700), 1)
	}); n != 0 {
		t.Errorf("%v allocations per round, want 0", n)
	}
}

func BenchmarkMissHit(b *testing.B) {
	const n = 100_000
	s := New(n)
	for p := range wire.PageNo(n) {
		s.Miss(uint32(p>>8), 1, p)
	}
	b.ReportAllocs()
	k := uint64(1)
	for b.Loop() {
		k = k*6364136223846793005 + 1442695040888963407
		p := wire.PageNo((k >> 33) % n)
		s.Miss(uint32(p>>8), 1, p)
	}
}

func BenchmarkFlush(b *testing.B) {
	const n = 100_000
	s := New(n)
	b.ReportAllocs()
	k := uint64(1)
	for b.Loop() {
		k = k*6364136223846793005 + 1442695040888963407
		p := wire.PageNo((k >> 33) % n)
		s.Flush(uint32(p>>8), 1, p, 1, k, 0)
	}
}

package check

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestEveryDamageIsSeen drives random writes to pages kept as plain arrays; every read must pass, and after any change of
// a stamp, an older version put back or two pages swapped, the read must fail.
func TestEveryDamageIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPages()
		mem := map[uint64]*[wire.PageSize]byte{}
		get := func(page uint64) *[wire.PageSize]byte {
			if mem[page] == nil {
				mem[page] = new([wire.PageSize]byte)
			}
			return mem[page]
		}
		pageGen := rapid.SampledFrom([]uint64{0, 1, 511, 512, 513, 1 << 30, 1<<36 - 1})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			page := pageGen.Draw(t, "page")
			b := get(page)
			if rapid.Bool().Draw(t, "write") {
				old := *b
				if !p.Write(page, b) {
					t.Fatalf("a right page was refused: %s", p.Describe(page, b))
				}
				if p.Read(page, &old) {
					t.Fatalf("page %#x: the version before the last was accepted", page)
				}
			}
			if !p.Read(page, b) {
				t.Fatalf("a right page was refused: %s", p.Describe(page, b))
			}
			bad := *b
			bad[stampAt(page)+uint64(rapid.IntRange(0, 15).Draw(t, "byte"))] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
			if p.Read(page, &bad) {
				t.Fatalf("page %#x: a changed stamp was accepted", page)
			}
			if other := pageGen.Draw(t, "other"); other != page && p.Want(other) > 0 && p.Read(other, b) {
				t.Fatalf("page %#x was accepted as page %#x", page, other)
			}
		}
		p.Forget(0, 512)
		if !p.Read(511, new([wire.PageSize]byte)) || p.Want(512) != 0 {
			t.Fatal("a forgotten page is not zero")
		}
	})
}

func TestSectors(t *testing.T) {
	s := NewSectors(3)
	disk := make([]byte, 8*wire.SectorSize)
	if d := s.Verify(0, disk); d != "" {
		t.Fatalf("an empty volume was refused: %s", d)
	}
	s.Stamp(512, disk[512:2048])
	old := append([]byte(nil), disk...)
	if d := s.Verify(0, disk); d != "" {
		t.Fatal(d)
	}
	s.Stamp(1024, disk[1024:1536])
	if d := s.Verify(0, disk); d != "" {
		t.Fatal(d)
	}
	if s.Verify(0, old) == "" {
		t.Fatal("an older sector was accepted")
	}
	if s.Verify(0, disk[512:1024]) == "" {
		t.Fatal("a sector at another place was accepted")
	}
	if NewSectors(4).Verify(0, disk[512:1024]) == "" {
		t.Fatal("a sector of another volume was accepted")
	}
}

func BenchmarkPageStamp(b *testing.B) {
	p := NewPages()
	const pages = 4096
	mem := make([][wire.PageSize]byte, pages)
	for i := range mem {
		p.Write(uint64(i)+0x4000, &mem[i])
	}
	b.ResetTimer()
	for i := range b.N {
		k := uint64(i*7) % pages
		if !p.Read(k+0x4000, &mem[k]) {
			b.Fatal("wrong")
		}
	}
}

package stack

import (
	"testing"

	"pgregory.net/rapid"
)

// plainBelady looks for the victim by its definition.
func plainBelady(ids []uint32, size int) (misses uint64) {
	in := map[uint32]bool{}
	for t, id := range ids {
		if in[id] {
			continue
		}
		misses++
		if len(in) == size {
			victim, far := uint32(0), -1
			for p := range in {
				next := len(ids)
				for i, q := range ids[t:] {
					if q == p {
						next = i
						break
					}
				}
				if next > far {
					victim, far = p, next
				}
			}
			delete(in, victim)
		}
		in[id] = true
	}
	return misses
}

// TestBelady: it is what its definition says, no other policy misses less, and other offline caches are not larger than they are.
func TestBelady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids, pages := drawIDs(t)
		ids = ids[:min(len(ids), 1500)]
		next := NextUses(ids, pages)
		for _, size := range []int{1, 2, 5, 20} {
			b := NewBelady(size, next)
			b.Run(len(ids) / 2)
			best := b.Run(len(ids))
			if want := plainBelady(ids, size); best != want {
				t.Fatalf("belady with %d pages misses %d times, want %d", size, best, want)
			}
			for name, got := range map[string]uint64{
				"lru": NewLRU(uint32(size), ids, pages).Run(len(ids)), "fifo": NewFIFO(uint32(size), ids, pages).Run(len(ids)), "clock": NewClock(uint32(size), ids, pages).Run(len(ids)),
			} {
				if got < best {
					t.Fatalf("%s with %d pages misses %d times, belady %d", name, size, got, best)
				}
			}
		}
	})
}

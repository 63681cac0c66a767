package stack

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// plainLRU is LRU by the book: a list, searched from its front.
func plainLRU(ids []uint32, size int) (misses uint64) {
	var list []uint32
	for _, id := range ids {
		at := -1
		for i, p := range list {
			if p == id {
				at = i
				break
			}
		}
		switch {
		case at >= 0:
			list = append(list[:at], list[at+1:]...)
		default:
			misses++
			if len(list) == size {
				list = list[:size-1]
			}
		}
		list = append([]uint32{id}, list...)
	}
	return misses
}

// drawIDs makes references to dense pages: in runs, loops and at random.
func drawIDs(t *rapid.T) (ids []uint32, pages int) {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	pages = rapid.IntRange(1, 300).Draw(t, "pages")
	var numbers Numbers
	for range rapid.IntRange(1, 20).Draw(t, "phases") {
		first, width := rng.IntN(pages), 1+rng.IntN(pages)
		loop := rng.IntN(2) == 0
		var keys []uint64
		for i := range rng.IntN(500) {
			k := first + rng.IntN(width)
			if loop {
				k = first + i%width
			}
			keys = append(keys, uint64(k)*0x10001)
		}
		ids = numbers.Number(keys, nil, ids)
	}
	return ids, numbers.Len()
}

func TestLRUIsPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids, pages := drawIDs(t)
		var d Distances
		for rest := ids; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, 500).Draw(t, "batch"))
			d.Touch(rest[:n])
			rest = rest[n:]
		}
		c := d.Curve()
		if c.Requests != uint64(len(ids)) || c.Pages != uint64(pages) {
			t.Fatalf("%d requests for %d pages, want %d and %d", c.Requests, c.Pages, len(ids), pages)
		}
		for _, size := range []int{1, 2, 3, 7, 50, 299, 1000} {
			want := plainLRU(ids, size)
			if got := c.Misses(uint64(size)); got != want {
				t.Fatalf("LRU of %d pages misses %d times by its distances, want %d", size, got, want)
			}
			one := NewLRU(uint32(size), ids, pages)
			one.Run(len(ids) / 3)
			if got := one.Run(len(ids)); got != want {
				t.Fatalf("LRU of %d pages misses %d times offline, want %d", size, got, want)
			}
		}
	})
}

// TestOrderForgets compares order with a plain list, pages being taken out now and then.
func TestOrderForgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		pages := rapid.IntRange(1, 200).Draw(t, "pages")
		var o order
		o.reach(uint32(pages))
		var list []uint32 // the newest last
		for range rapid.IntRange(1, 12_000).Draw(t, "steps") {
			id := uint32(rng.IntN(pages))
			at := -1
			for i, p := range list {
				if p == id {
					at = i
				}
			}
			want := never
			if at >= 0 {
				want = uint32(len(list) - 1 - at)
				list = append(list[:at], list[at+1:]...)
			}
			if rng.IntN(10) == 0 {
				o.remove(id)
				continue
			}
			list = append(list, id)
			if got := o.touch(id); got != want {
				t.Fatalf("page %d has distance %d, want %d", id, got, want)
			}
		}
		if int(o.live) != len(list) {
			t.Fatalf("%d pages are live, want %d", o.live, len(list))
		}
	})
}

func TestNumbersAreThoseOfAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		type key struct {
			key    uint64
			volume uint32
		}
		known := map[key]uint32{}
		var x Numbers
		several := rapid.Bool().Draw(t, "several")
		width := rapid.Uint64Range(1, 5000).Draw(t, "width")
		for range rapid.IntRange(1, 30).Draw(t, "batches") {
			var keys []uint64
			var volumes []uint32
			var want []uint32
			for range rng.IntN(400) {
				k := key{key: rng.Uint64N(width) << rng.IntN(2) << 40}
				if several {
					k.volume = rng.Uint32N(3)
					volumes = append(volumes, k.volume)
				}
				keys = append(keys, k.key)
				id, ok := known[k]
				if !ok {
					id = uint32(len(known))
					known[k] = id
				}
				want = append(want, id)
			}
			got := x.Number(keys, volumes, nil)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("key %d of volume %v is number %d, want %d", keys[i], volumes, got[i], want[i])
				}
			}
		}
		if x.Len() != len(known) {
			t.Fatalf("%d numbers, want %d", x.Len(), len(known))
		}
	})
}

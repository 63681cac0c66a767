package stack

import "math/bits"

// NextUses gives for each reference the next one to the same page, or that there is none, which is len(ids). There may be no more than
// 2^32 - 2 references.
func NextUses(ids []uint32, pages int) []uint32 {
	next, later := make([]uint32, len(ids)), make([]uint32, pages)
	for i := range later {
		later[i] = uint32(len(ids))
	}
	for t := len(ids) - 1; t >= 0; t-- {
		next[t] = later[ids[t]]
		later[ids[t]] = uint32(t)
	}
	return next
}

// Belady counts the misses of a cache that evicts the page that is used again last (Belady, "A study of replacement algorithms for a
// virtual-storage computer", IBM Systems Journal 5(2), 1966, MIN); it lets every page in. The cache is the set of the times at which
// its pages are used next: the reference at one of them is a hit. Pages that are not used again leave first; which of them does not
// matter, so they are only counted.
type Belady struct {
	size, used, dead int
	next             []uint32
	uses             timeSet
	now              int
	misses           uint64
}

// NewBelady makes an empty cache of at least one page, from what NextUses gave; it keeps and does not change that.
func NewBelady(size int, next []uint32) *Belady {
	return &Belady{size: size, next: next, uses: makeTimeSet(len(next) + 1)}
}

// Run is as that of LRU.
func (c *Belady) Run(n int) uint64 {
	end := min(c.now+n, len(c.next))
	for t := c.now; t < end; t++ {
		switch {
		case c.uses.has(t):
			c.uses.remove(t)
		default:
			c.misses++
			switch {
			case c.used < c.size:
				c.used++
			case c.dead > 0:
				c.dead--
			default:
				c.uses.remove(c.uses.last())
			}
		}
		if nx := int(c.next[t]); nx == len(c.next) {
			c.dead++
		} else {
			c.uses.add(nx)
		}
	}
	c.now = end
	return c.misses
}

// timeSet is a set of numbers whose largest is found in a few steps: a bitmap, a bitmap of the words of that which are not 0, and so on
// up to one word.
type timeSet struct{ levels [][]uint64 }

func makeTimeSet(n int) timeSet {
	var s timeSet
	for {
		n = (n + 63) / 64
		s.levels = append(s.levels, make([]uint64, n))
		if n <= 1 {
			return s
		}
	}
}

func (s *timeSet) has(t int) bool { return s.levels[0][t>>6]&(1<<(t&63)) != 0 }

func (s *timeSet) add(t int) {
	for _, words := range s.levels {
		w := &words[t>>6]
		was := *w
		*w |= 1 << (t & 63)
		if was != 0 {
			return // the levels above know of it
		}
		t >>= 6
	}
}

func (s *timeSet) remove(t int) {
	for _, words := range s.levels {
		w := &words[t>>6]
		*w &^= 1 << (t & 63)
		if *w != 0 {
			return
		}
		t >>= 6
	}
}

// last is the largest number of a set that is not empty.
func (s *timeSet) last() int {
	t := 0
	for l := len(s.levels) - 1; l >= 0; l-- {
		t = t<<6 + bits.Len64(s.levels[l][t]) - 1
	}
	return t
}

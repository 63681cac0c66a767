package trace

import "sort"

// span is the addresses from lo up to, not including, hi.
type span struct{ lo, hi uint64 }

// coverage is a set of addresses as sorted, disjoint, non-adjacent spans. It
// has as many spans as a program has separate maps, a few hundred.
type coverage struct {
	spans []span
	bytes uint64
	last  int // span found last: references come in runs
}

// find returns the first span that ends beyond addr.
func (c *coverage) find(addr uint64) int {
	return sort.Search(len(c.spans), func(i int) bool { return c.spans[i].hi > addr })
}

// has reports whether addr is covered.
func (c *coverage) has(addr uint64) bool {
	if c.last < len(c.spans) {
		if s := c.spans[c.last]; addr >= s.lo && addr < s.hi {
			return true
		}
	}
	i := c.find(addr)
	if i == len(c.spans) || c.spans[i].lo > addr {
		return false
	}
	c.last = i
	return true
}

// within appends to out the covered parts of lo..hi.
func (c *coverage) within(lo, hi uint64, out []span) []span {
	for i := c.find(lo); lo < hi && i < len(c.spans) && c.spans[i].lo < hi; i++ {
		out = append(out, span{max(lo, c.spans[i].lo), min(hi, c.spans[i].hi)})
	}
	return out
}

// without appends to out the parts of lo..hi that are not covered.
func (c *coverage) without(lo, hi uint64, out []span) []span {
	for i := c.find(lo); lo < hi; i++ {
		if i == len(c.spans) || c.spans[i].lo >= hi {
			return append(out, span{lo, hi})
		}
		if c.spans[i].lo > lo {
			out = append(out, span{lo, c.spans[i].lo})
		}
		lo = c.spans[i].hi
	}
	return out
}

// add covers lo..hi.
func (c *coverage) add(lo, hi uint64) {
	if lo >= hi {
		return
	}
	i := sort.Search(len(c.spans), func(i int) bool { return c.spans[i].hi >= lo }) // touching ones too
	j := i
	for ; j < len(c.spans) && c.spans[j].lo <= hi; j++ {
		lo, hi = min(lo, c.spans[j].lo), max(hi, c.spans[j].hi)
		c.bytes -= c.spans[j].hi - c.spans[j].lo
	}
	c.replace(i, j, span{lo, hi})
	c.bytes += hi - lo
}

// remove uncovers lo..hi.
func (c *coverage) remove(lo, hi uint64) {
	if lo >= hi {
		return
	}
	i := c.find(lo)
	j := i
	var keep []span
	for ; j < len(c.spans) && c.spans[j].lo < hi; j++ {
		s := c.spans[j]
		c.bytes -= min(hi, s.hi) - max(lo, s.lo)
		if s.lo < lo {
			keep = append(keep, span{s.lo, lo})
		}
		if s.hi > hi {
			keep = append(keep, span{hi, s.hi})
		}
	}
	c.replace(i, j, keep...)
}

func (c *coverage) replace(i, j int, with ...span) {
	tail := append([]span(nil), c.spans[j:]...)
	c.spans = append(append(c.spans[:i], with...), tail...)
	c.last = 0
}

// pageUp rounds up to whole pages.
func pageUp(a uint64) uint64 { return (a + PageBytes - 1) &^ (PageBytes - 1) }

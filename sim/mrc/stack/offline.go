package stack

// This file has single caches of one size, over page numbers that are all known: the position in the list of references stands for
// time, so that no cache needs a list of its own. They are what package policy does, miss by miss (a test compares), and several times
// as fast.

// LRU counts the misses of a cache that evicts what was used longest ago. For each page there is the time of its last use; what is in
// the cache was used after `tail`, and the next page to leave is found by walking over the references from there: one that is not the
// last of its page stands for nothing.
type LRU struct {
	size, used uint32
	tail       int
	ids        []uint32
	last       []uint32 // by page: 1 + time of its last use; 0 = never
	now        int
	misses     uint64
}

// NewLRU makes an empty cache of at least one page, for references to pages below `pages`. There may be no more than 2^32 - 2 of
// them.
func NewLRU(size uint32, ids []uint32, pages int) *LRU {
	return &LRU{size: size, ids: ids, last: make([]uint32, pages)}
}

// Run goes on for n references and gives the misses until now.
func (c *LRU) Run(n int) uint64 {
	ids, last, tail, used, misses := c.ids, c.last, c.tail, c.used, c.misses
	end := min(c.now+n, len(ids))
	for t := c.now; t < end; t++ {
		id := ids[t]
		p := last[id]
		last[id] = uint32(t) + 1
		if int(p) > tail { // then it is in the cache
			continue
		}
		misses++
		if used < c.size {
			used++
			continue
		}
		for {
			tail++
			if int(last[ids[tail-1]]) == tail {
				break
			}
		}
	}
	c.now, c.tail, c.used, c.misses = end, tail, used, misses
	return misses
}

// FIFO counts the misses of a cache that evicts what came first. What is in the cache is what was let in by the last `size` misses.
type FIFO struct {
	size   uint32
	ids    []uint32
	came   []uint32 // by page: number of the miss that let it in, from 1; 0 = never
	now    int
	misses uint32
}

// NewFIFO is as NewLRU.
func NewFIFO(size uint32, ids []uint32, pages int) *FIFO {
	return &FIFO{size: size, ids: ids, came: make([]uint32, pages)}
}

// Run is as that of LRU.
func (c *FIFO) Run(n int) uint64 {
	came, misses, size := c.came, c.misses, c.size
	end := min(c.now+n, len(c.ids))
	for _, id := range c.ids[c.now:end] {
		if m := came[id]; m == 0 || misses-m >= size {
			misses++
			came[id] = misses
		}
	}
	c.now, c.misses = end, misses
	return uint64(misses)
}

// Clock counts the misses of FIFO with a second chance. Lines stand in a ring; the hand goes round, clears the bits that hits have set
// and evicts the first line without one.
type Clock struct {
	size   uint32
	ids    []uint32
	line   []uint32 // by page: line + 1; 0 = not in the cache
	page   []uint32 // by line
	hit    []bool   // by line
	hand   uint32
	now    int
	misses uint64
}

// NewClock is as NewLRU.
func NewClock(size uint32, ids []uint32, pages int) *Clock {
	size = min(size, uint32(pages))
	return &Clock{size: size, ids: ids, line: make([]uint32, pages), page: make([]uint32, 0, size), hit: make([]bool, size)}
}

// Run is as that of LRU.
func (c *Clock) Run(n int) uint64 {
	line, hit, hand, misses := c.line, c.hit, c.hand, c.misses
	end := min(c.now+n, len(c.ids))
	for _, id := range c.ids[c.now:end] {
		if l := line[id]; l != 0 {
			hit[l-1] = true
			continue
		}
		misses++
		if uint32(len(c.page)) < c.size {
			c.page = append(c.page, id)
			line[id] = uint32(len(c.page))
			continue
		}
		for hit[hand] {
			hit[hand] = false
			if hand++; hand == c.size {
				hand = 0
			}
		}
		line[c.page[hand]] = 0
		c.page[hand], line[id] = id, hand+1
		if hand++; hand == c.size {
			hand = 0
		}
	}
	c.now, c.hand, c.misses = end, hand, misses
	return misses
}

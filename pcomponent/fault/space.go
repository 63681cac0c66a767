package fault

import (
	"fmt"
	"sort"

	"splitkernel/netlayer/wire"
)

// mapping is a range of pages [first, last] of one kind. The home mComponent owns the truth; this is the process's copy,
// which tells anonymous memory (p-local at its first touch) from file memory.
type mapping struct {
	first, last wire.PageNo
	anon        bool
}

// space is the address space of a process: mappings in order, none overlapping.
type space struct {
	maps []mapping
}

// find gives the mapping that holds page, or nil.
func (s *space) find(page wire.PageNo) *mapping {
	i := sort.Search(len(s.maps), func(i int) bool { return s.maps[i].last >= page })
	if i == len(s.maps) || s.maps[i].first > page {
		return nil
	}
	return &s.maps[i]
}

// remove takes [first, last] out, splitting what straddles it.
func (s *space) remove(first, last wire.PageNo) {
	var kept []mapping
	for _, m := range s.maps {
		if m.last < first || m.first > last {
			kept = append(kept, m)
			continue
		}
		if m.first < first {
			kept = append(kept, mapping{m.first, first - 1, m.anon})
		}
		if m.last > last {
			kept = append(kept, mapping{last + 1, m.last, m.anon})
		}
	}
	s.maps = kept
}

// add puts [first, last] in, over whatever was there, and joins it with neighbours of its kind.
func (s *space) add(first, last wire.PageNo, anon bool) {
	s.remove(first, last)
	i := sort.Search(len(s.maps), func(i int) bool { return s.maps[i].first > last })
	s.maps = append(s.maps, mapping{})
	copy(s.maps[i+1:], s.maps[i:])
	s.maps[i] = mapping{first, last, anon}
	if i+1 < len(s.maps) && s.maps[i+1].anon == anon && s.maps[i+1].first == last+1 {
		s.maps[i].last = s.maps[i+1].last
		s.maps = append(s.maps[:i+1], s.maps[i+2:]...)
	}
	if i > 0 && s.maps[i-1].anon == anon && s.maps[i-1].last+1 == first {
		s.maps[i-1].last = s.maps[i].last
		s.maps = append(s.maps[:i], s.maps[i+1:]...)
	}
}

// check reports overlapping or unordered mappings.
func (s *space) check() error {
	for i, m := range s.maps {
		if m.first > m.last || i > 0 && s.maps[i-1].last >= m.first {
			return fmt.Errorf("mapping %d: pages %#x to %#x out of order", i, m.first, m.last)
		}
	}
	return nil
}

// chunkPages is how many pages share a word array of a pageSet.
const chunkPages = 512

// pageSet is a set of pages, dense within chunks.
type pageSet struct {
	chunks map[wire.PageNo]*[chunkPages / 64]uint64
}

func (s *pageSet) add(p wire.PageNo) {
	if s.chunks == nil {
		s.chunks = map[wire.PageNo]*[chunkPages / 64]uint64{}
	}
	c := s.chunks[p/chunkPages]
	if c == nil {
		c = new([chunkPages / 64]uint64)
		s.chunks[p/chunkPages] = c
	}
	c[p%chunkPages/64] |= 1 << (p % 64)
}

// addRange adds [first, last], chunk by chunk.
func (s *pageSet) addRange(first, last wire.PageNo) {
	for k := first / chunkPages; k <= last/chunkPages; k++ {
		s.add(max(first, k*chunkPages))
		c := s.chunks[k]
		for p := max(first, k*chunkPages); p <= min(last, k*chunkPages+chunkPages-1); p++ {
			c[p%chunkPages/64] |= 1 << (p % 64)
		}
	}
}

func (s *pageSet) has(p wire.PageNo) bool {
	c := s.chunks[p/chunkPages]
	return c != nil && c[p%chunkPages/64]&(1<<(p%64)) != 0
}

// removeRange takes [first, last] out. Its cost is that of the chunks that exist or that the range spans, whichever are fewer.
func (s *pageSet) removeRange(first, last wire.PageNo) {
	clearIn := func(k wire.PageNo, c *[chunkPages / 64]uint64) {
		for p := max(first, k*chunkPages); p <= min(last, k*chunkPages+chunkPages-1); p++ {
			c[p%chunkPages/64] &^= 1 << (p % 64)
		}
	}
	if span := last/chunkPages - first/chunkPages; span < wire.PageNo(len(s.chunks)) {
		for k := first / chunkPages; k <= last/chunkPages; k++ {
			if c := s.chunks[k]; c != nil {
				clearIn(k, c)
			}
		}
		return
	}
	for k, c := range s.chunks { // the order does not show: nothing is emitted
		clearIn(k, c)
	}
}

package trace

import "slices"

// mapState is the memory map as the events so far have made it: sorted maps that do not overlap, and the heap.
type mapState struct {
	maps      []segment
	heap      bool
	heapStart uint64 // as the first brk said
	brk       uint64
	holes     coverage // of the heap, unmapped again; maps may be in them
	thread    uint16   // of the first brk
}

// apply books a map event.
func (m *mapState) apply(e *Event) {
	switch e.Kind {
	case Mmap:
		m.add(segment{span{e.Addr, e.Addr + e.Len}, e.Anon, e.Writable, e.Name})
	case Munmap:
		m.remove(e.Addr, e.Addr+e.Len)
		if m.heap {
			m.holes.add(max(e.Addr, pageUp(m.heapStart)), min(e.Addr+e.Len, pageUp(m.brk)))
		}
	case Brk:
		if !m.heap {
			m.heap, m.heapStart, m.thread = true, e.Addr, e.Thread
		}
		m.holes.remove(pageUp(e.Addr), pageUp(m.brk))
		m.brk = e.Addr
	}
}

// at is the first map that ends beyond addr.
func (m *mapState) at(addr uint64) int {
	i, _ := slices.BinarySearchFunc(m.maps, addr, func(s segment, a uint64) int {
		if s.hi > a {
			return 1
		}
		return -1
	})
	return i
}

func (m *mapState) add(s segment) {
	i := m.at(s.lo)
	if i > 0 && joins(m.maps[i-1], s) {
		m.maps[i-1].hi = s.hi
		return
	}
	m.maps = slices.Insert(m.maps, i, s)
}

// joins says that b goes on where a ends, as one map: so that a stream of single pages does not become a list of them.
func joins(a, b segment) bool {
	return a.hi == b.lo && a.anon == b.anon && a.writable == b.writable && a.name == b.name
}

func (m *mapState) remove(lo, hi uint64) {
	i := m.at(lo)
	j := i
	var keep []segment
	for ; j < len(m.maps) && m.maps[j].lo < hi; j++ {
		s := m.maps[j]
		if s.lo < lo {
			left := s
			left.hi = lo
			keep = append(keep, left)
		}
		if s.hi > hi {
			right := s
			right.lo = hi
			keep = append(keep, right)
		}
	}
	m.maps = slices.Replace(m.maps, i, j, keep...)
}

// emit appends the events that make this map of an empty one: the heap, then the maps in order of addresses.
func (m *mapState) emit(out *Batch) {
	if m.heap {
		out.addEvent(Event{Kind: Brk, Thread: m.thread, Addr: m.heapStart})
		if m.brk != m.heapStart {
			out.addEvent(Event{Kind: Brk, Thread: m.thread, Addr: m.brk})
		}
		for _, h := range m.holes.spans {
			out.addEvent(Event{Kind: Munmap, Thread: m.thread, Addr: h.lo, Len: h.hi - h.lo})
		}
	}
	for _, s := range m.maps {
		out.addEvent(Event{Kind: Mmap, Addr: s.lo, Len: s.hi - s.lo, Anon: s.anon, Writable: s.writable, Name: s.name})
	}
}

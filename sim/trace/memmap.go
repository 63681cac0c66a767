package trace

import "sort"

// memMap follows the address space of a captured program and emits its map
// events so that they hold what Event promises: maps never overlap, unmaps
// name mapped pages, and every reference lies in a map.
//
// Two things are not as the system calls say. Address space that the program
// may not touch (PROT_NONE) is only remembered, and mapped when mprotect opens
// it, because reserving costs no memory anywhere. And what was mapped before
// the first system call (the program, ld.so, the stack) is mapped when it is
// touched first.
type memMap struct {
	mapped   coverage  // what the events so far have mapped
	reserved coverage  // without access
	initial  []segment // known from the start and not yet touched; sorted
	brk      uint64    // end of the heap, as last emitted
	brkSet   bool
	emit     func(Event) error

	tmp []span
}

// segment is a map with what it is of.
type segment struct {
	span
	anon     bool
	writable bool
	name     string
}

const (
	heapName    = "[heap]"
	stackName   = "[stack]"
	anonName    = "[anon]"
	unknownName = "[unknown]"

	// Where Valgrind 3 puts the client's stack on x86-64: it ends here and
	// grows down, by pages that no system call shows.
	stackTop  = 0x2000000000
	stackRoom = 0x0100000000
	// growChunk is how far the stack is taken to grow at a time.
	growChunk = 64 << 10
	// toolBase is where Valgrind's tools are linked: what lies above it, the
	// stack apart, is Valgrind's own when the program begins.
	toolBase = 0x58000000
)

// event emits and books one change.
func (m *memMap) event(e Event) error {
	switch e.Kind {
	case Mmap:
		m.mapped.add(e.Addr, e.Addr+e.Len)
	case Munmap:
		m.mapped.remove(e.Addr, e.Addr+e.Len)
	}
	return m.emit(e)
}

// touch makes sure that the page at addr is mapped.
func (m *memMap) touch(addr uint64, thread uint16) error {
	if m.mapped.has(addr) {
		return nil
	}
	addr &^= PageBytes - 1
	s := segment{span: span{addr, addr + PageBytes}, anon: true, writable: true, name: unknownName}
	if i := m.findInitial(addr); i >= 0 {
		s = m.initial[i]
		m.cutInitial(s.lo, s.hi)
	} else if addr >= stackTop-stackRoom && addr < stackTop {
		s.name = stackName
		s.lo = addr &^ (growChunk - 1)
		s.hi = s.lo + growChunk
	}
	return m.fill(s, thread)
}

// fill maps the parts of a segment that are not mapped yet.
func (m *memMap) fill(s segment, thread uint16) error {
	m.tmp = m.mapped.without(s.lo, s.hi, m.tmp[:0])
	for _, p := range m.tmp {
		err := m.event(Event{Kind: Mmap, Thread: thread, Addr: p.lo, Len: p.hi - p.lo, Anon: s.anon, Writable: s.writable, Name: s.name})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *memMap) findInitial(addr uint64) int {
	i := sort.Search(len(m.initial), func(i int) bool { return m.initial[i].hi > addr })
	if i < len(m.initial) && m.initial[i].lo <= addr {
		return i
	}
	return -1
}

// cutInitial forgets what was known of lo..hi.
func (m *memMap) cutInitial(lo, hi uint64) {
	var out []segment
	for _, s := range m.initial {
		for _, p := range []span{{s.lo, min(s.hi, lo)}, {max(s.lo, hi), s.hi}} {
			if p.lo < p.hi {
				c := s
				c.span = p
				out = append(out, c)
			}
		}
	}
	m.initial = out
}

// mmap records a map made by a system call, which replaces what was there.
func (m *memMap) mmap(s segment, access bool, thread uint16) error {
	s.hi = pageUp(s.hi)
	if err := m.munmap(s.lo, s.hi, thread); err != nil {
		return err
	}
	if !access {
		m.reserved.add(s.lo, s.hi)
		return nil
	}
	return m.fill(s, thread)
}

func (m *memMap) munmap(lo, hi uint64, thread uint16) error {
	hi = pageUp(hi)
	m.cutInitial(lo, hi)
	m.reserved.remove(lo, hi)
	m.tmp = m.mapped.within(lo, hi, m.tmp[:0])
	for _, p := range m.tmp {
		if err := m.event(Event{Kind: Munmap, Thread: thread, Addr: p.lo, Len: p.hi - p.lo}); err != nil {
			return err
		}
	}
	return nil
}

// mprotect maps what was reserved and may be touched from now on.
func (m *memMap) mprotect(lo, hi uint64, writable bool, thread uint16) error {
	opened := m.reserved.within(lo, pageUp(hi), nil)
	for _, p := range opened {
		m.reserved.remove(p.lo, p.hi)
		if err := m.fill(segment{p, true, writable, anonName}, thread); err != nil {
			return err
		}
	}
	return nil
}

// mremap records a map that grew, shrank or moved.
func (m *memMap) mremap(from, oldLen, to, newLen uint64, thread uint16) error {
	oldLen, newLen = pageUp(oldLen), pageUp(newLen)
	if to != from {
		if err := m.munmap(from, from+oldLen, thread); err != nil {
			return err
		}
		return m.mmap(segment{span{to, to + newLen}, true, true, anonName}, true, thread)
	}
	if newLen < oldLen {
		return m.munmap(from+newLen, from+oldLen, thread)
	}
	if newLen > oldLen {
		return m.mmap(segment{span{from + oldLen, from + newLen}, true, true, anonName}, true, thread)
	}
	return nil
}

// setBrk records the end of the heap. The first one says where it begins.
func (m *memMap) setBrk(end uint64, thread uint16) error {
	if !m.brkSet {
		end = pageUp(end)
	}
	if m.brkSet && end == m.brk {
		return nil
	}
	old := pageUp(m.brk)
	e := Event{Kind: Brk, Thread: thread, Addr: end}
	if m.brkSet && pageUp(end) > old {
		// The heap may only grow into unmapped space.
		if err := m.munmap(old, end, thread); err != nil {
			return err
		}
		m.mapped.add(old, pageUp(end))
	} else if m.brkSet {
		m.mapped.remove(pageUp(end), old)
	} else if i := m.findInitial(end); i >= 0 {
		m.cutInitial(end, m.initial[i].hi) // what Valgrind set aside for the heap
	}
	m.brk, m.brkSet = end, true
	return m.emit(e)
}

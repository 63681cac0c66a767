package trace

import (
	"io"
	"path/filepath"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

// mapChecker holds a stream to what Event promises: maps are whole pages and
// never overlap, unmaps name mapped pages, and every reference is in a map.
// It keeps a plain set of pages; nothing of it is shared with the package.
type mapChecker struct {
	pages map[uint64]bool
	brk   uint64
	begun bool
	last  uint64
}

func (c *mapChecker) batch(t interface{ Fatalf(string, ...any) }, b *Batch) {
	next := 0
	run := func(to int) {
		for ; next < to; next++ {
			if p := b.Refs[next].Page(); p != c.last && !c.pages[p] {
				t.Fatalf("reference %d touches %#x, which is not mapped", b.First+uint64(next), b.Refs[next].Addr)
			} else {
				c.last = p
			}
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		run(e.At)
		c.event(t, e)
	}
	run(len(b.Refs))
}

func (c *mapChecker) event(t interface{ Fatalf(string, ...any) }, e *Event) {
	set := func(lo, hi uint64, mapped bool) {
		for p := lo >> PageShift; p < hi>>PageShift; p++ {
			if c.pages[p] == mapped {
				t.Fatalf("%s of %#x..%#x: page %#x is mapped = %v already", e.Kind, lo, hi, p, mapped)
			}
			c.pages[p] = mapped
		}
	}
	if c.pages == nil {
		c.pages = map[uint64]bool{}
	}
	if !e.Kind.IsMap() {
		return
	}
	c.last = ^uint64(0)
	switch e.Kind {
	case Mmap:
		set(e.Addr, e.Addr+e.Len, true)
	case Munmap:
		set(e.Addr, e.Addr+e.Len, false)
	case Brk:
		end := (e.Addr + 4095) &^ 4095
		if c.begun {
			set(c.brk, end, true)
			set(end, c.brk, false)
		}
		c.brk, c.begun = end, true
	}
}

func TestWithMapsCoversEveryReference(t *testing.T) {
	for _, name := range []string{"page/pr2.filt16.pg.zst", "page/lirs/2_pools.trace.gz", "page/lirs/multi2.trace.gz", "page/lackey_raw_excerpt.txt"} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			src, err := Open(sharedData(t, name))
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if h := src.Header(); !h.SynthesisedMaps || !h.HasMaps {
				t.Errorf("header %+v", h)
			}
			checkMaps(t, src)
		})
	}
}

func checkMaps(t *testing.T, src Source) {
	t.Helper()
	var c mapChecker
	for {
		b, err := src.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		c.batch(t, b)
	}
}

// sliceSource is a source of batches at hand.
type sliceSource struct {
	batches []Batch
	h       Header
}

func (s *sliceSource) Header() Header { return s.h }
func (s *sliceSource) Close() error   { return nil }
func (s *sliceSource) Next() (*Batch, error) {
	if len(s.batches) == 0 {
		return nil, io.EOF
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return &b, nil
}

func TestWithMapsProperty(t *testing.T) {
	// The last page of the address space cannot be in a map, whose end is an
	// address; nothing real lives there.
	const mostAddr = ^uint64(0) - PageBytes
	rapid.Check(t, func(rt *rapid.T) {
		var batches []Batch
		var first uint64
		for range rapid.IntRange(0, 4).Draw(rt, "batches") {
			var refs []Ref
			for _, a := range rapid.SliceOf(rapid.OneOf(rapid.Uint64Range(0, mostAddr), rapid.Uint64Range(0, 1<<20), rapid.Just(mostAddr))).Draw(rt, "addrs") {
				refs = append(refs, Ref{Addr: a})
			}
			batches = append(batches, Batch{Refs: refs, First: first})
			first += uint64(len(refs))
		}
		src := WithMaps(&sliceSource{batches: batches})
		if WithMaps(src) != src {
			rt.Fatalf("wrapped twice")
		}
		var c mapChecker
		for {
			b, err := src.Next()
			if err != nil {
				break
			}
			for _, e := range b.Events {
				if (e.Addr|(e.Addr+e.Len))&0xffff != 0 && e.Addr+e.Len < ^uint64(0)-0xffff {
					rt.Fatalf("map %#x+%#x is not of whole 64 KiB chunks", e.Addr, e.Len)
				}
			}
			c.batch(rt, b)
		}
	})
}

// coverage against a plain set of small numbers.
func TestCoverage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var c coverage
		set := map[uint64]bool{}
		const most = 40
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			lo, hi := rapid.Uint64Range(0, most).Draw(rt, "lo"), rapid.Uint64Range(0, most).Draw(rt, "hi")
			add := rapid.Bool().Draw(rt, "add")
			if add {
				c.add(lo, hi)
			} else {
				c.remove(lo, hi)
			}
			for a := lo; a < hi; a++ {
				set[a] = add
			}
			var n uint64
			for a := range uint64(most) {
				if c.has(a) != set[a] {
					rt.Fatalf("has(%d) = %v, want %v in %v", a, c.has(a), set[a], c.spans)
				}
				if set[a] {
					n++
				}
			}
			if n != c.bytes {
				rt.Fatalf("%d covered, want %d in %v", c.bytes, n, c.spans)
			}
			for i := 1; i < len(c.spans); i++ {
				if c.spans[i].lo <= c.spans[i-1].hi {
					rt.Fatalf("spans touch: %v", c.spans)
				}
			}
			lo, hi = min(lo, hi), max(lo, hi)
			both := append(c.within(lo, hi, nil), c.without(lo, hi, nil)...)
			sort.Slice(both, func(i, j int) bool { return both[i].lo < both[j].lo })
			at := lo
			for _, s := range both {
				if s.lo != at || s.hi <= s.lo {
					rt.Fatalf("within and without do not tile %d..%d: %v", lo, hi, both)
				}
				at = s.hi
			}
			if at != hi {
				rt.Fatalf("within and without do not tile %d..%d: %v", lo, hi, both)
			}
		}
	})
}

// Whatever system calls a program makes, the events keep their promises.
func TestMemMapProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const heap, area = 0x400000, 0x800000
		var c mapChecker
		m := memMap{initial: []segment{{span{0x1000, 0x5000}, false, false, "prog"}, {span{heap - 0x2000, heap}, true, true, anonName},
			{span{heap, heap + 0x1000}, true, true, anonName}}}
		m.emit = func(e Event) error {
			if err := checkEvent(&e, 0); err != nil {
				rt.Fatalf("%+v: %v", e, err)
			}
			c.event(rt, &e)
			return nil
		}
		m.setBrk(heap, 0)
		page := func(name string) uint64 { return area + 4096*rapid.Uint64Range(0, 30).Draw(rt, name) }
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			lo, n := page("lo"), 1+rapid.Uint64Range(0, 5*4096).Draw(rt, "len")
			switch rapid.IntRange(0, 6).Draw(rt, "call") {
			case 0:
				m.mmap(segment{span{lo, lo + n}, true, true, anonName}, rapid.Bool().Draw(rt, "access"), 0)
			case 1:
				m.munmap(lo, lo+n, 0)
			case 2:
				m.mprotect(lo, lo+n, true, 0)
			case 3:
				m.mremap(lo, n, page("to"), 1+rapid.Uint64Range(0, 5*4096).Draw(rt, "new"), 0)
			case 4:
				m.setBrk(heap+rapid.Uint64Range(0, 20*4096).Draw(rt, "brk"), 0)
			case 5:
				a := rapid.OneOf(rapid.Uint64Range(0, 0x10000), rapid.Uint64Range(heap-0x4000, heap-1),
					rapid.Uint64Range(area, area+40*4096), rapid.Uint64Range(stackTop-1<<20, stackTop-1)).Draw(rt, "addr")
				m.touch(a, 0)
				if !c.pages[a>>PageShift] {
					rt.Fatalf("%#x was touched and is not mapped", a)
				}
			}
			for p, mapped := range c.pages {
				if mapped != m.mapped.has(p<<PageShift) {
					rt.Fatalf("page %#x: mapped %v, thought %v", p, mapped, !mapped)
				}
			}
		}
	})
}

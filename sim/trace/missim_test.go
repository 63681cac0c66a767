package trace

import (
	"io"
	"testing"
)

// A second, deliberately plain implementation of three replacement policies,
// fully associative: what the ExCache must agree with. It is fed dense page
// numbers, so that the list is two arrays.
type missSim struct {
	lines      int
	used       int
	prev, next []int32 // by page; the sentinel is the last entry
	in         []bool
	ref        []bool
	misses     uint64
}

func newMissSim(pages, lines int) *missSim {
	s := &missSim{lines: lines, prev: make([]int32, pages+1), next: make([]int32, pages+1), in: make([]bool, pages), ref: make([]bool, pages)}
	s.prev[pages], s.next[pages] = int32(pages), int32(pages)
	return s
}

func (s *missSim) sentinel() int32 { return int32(len(s.prev) - 1) }

func (s *missSim) unlink(p int32) { s.next[s.prev[p]], s.prev[s.next[p]] = s.next[p], s.prev[p] }

// push puts p at the head.
func (s *missSim) push(p int32) {
	h := s.sentinel()
	s.prev[p], s.next[p] = h, s.next[h]
	s.prev[s.next[h]] = p
	s.next[h] = p
}

// access runs one reference under a policy, or takes page ^p out if p is negative: it was unmapped.
func (s *missSim) access(policy string, p int32) {
	if p < 0 {
		if p = ^p; s.in[p] {
			s.unlink(p)
			s.in[p] = false
			s.used--
		}
		return
	}
	if s.in[p] {
		switch policy {
		case "lru":
			s.unlink(p)
			s.push(p)
		case "clock":
			s.ref[p] = true
		}
		return
	}
	s.misses++
	if s.used == s.lines {
		v := s.prev[s.sentinel()]
		for policy == "clock" && s.ref[v] { // a second chance, as if it came anew
			s.ref[v] = false
			s.unlink(v)
			s.push(v)
			v = s.prev[s.sentinel()]
		}
		s.unlink(v)
		s.in[v] = false
		s.used--
	}
	s.in[p], s.ref[p] = true, false
	s.push(p)
	s.used++
}

// simulate returns the misses of a policy over dense page numbers.
func simulate(policy string, dense []int32, pages, lines int) uint64 {
	s := newMissSim(pages, lines)
	for _, p := range dense {
		s.access(policy, p)
	}
	return s.misses
}

// densePages reads a trace as page numbers 0, 1, 2 … in order of appearance. An unmapping is ^page for each of its pages
// that has appeared.
func densePages(t testing.TB, src Source) (dense []int32, pages int) {
	t.Helper()
	ids := map[uint64]int32{}
	heap := uint64(0)
	unmap := func(addr, length uint64) {
		for p := addr >> PageShift; p < (addr+length+PageBytes-1)>>PageShift; p++ {
			if id, ok := ids[p]; ok {
				dense = append(dense, ^id)
			}
		}
	}
	for {
		b, err := src.Next()
		if err == io.EOF {
			return dense, len(ids)
		}
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		refs := func(to int) {
			for ; at < to; at++ {
				p := b.Refs[at].Page()
				id, ok := ids[p]
				if !ok {
					id = int32(len(ids))
					ids[p] = id
				}
				dense = append(dense, id)
			}
		}
		for _, e := range b.Events {
			refs(e.At)
			switch e.Kind {
			case Munmap:
				unmap(e.Addr, e.Len)
			case Brk:
				if end := (e.Addr + PageBytes - 1) &^ (PageBytes - 1); end < heap {
					unmap(end, heap-end)
				}
				heap = (e.Addr + PageBytes - 1) &^ (PageBytes - 1)
			}
		}
		refs(len(b.Refs))
	}
}

// references counts those of densePages that are no unmappings.
func references(dense []int32) (n int) {
	for _, p := range dense {
		if p >= 0 {
			n++
		}
	}
	return n
}

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

// access runs one reference under a policy.
func (s *missSim) access(policy string, p int32) {
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

// densePages reads a trace as page numbers 0, 1, 2 … in order of appearance.
func densePages(t testing.TB, src Source) (dense []int32, pages int) {
	t.Helper()
	ids := map[uint64]int32{}
	for {
		b, err := src.Next()
		if err == io.EOF {
			return dense, len(ids)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Refs {
			id, ok := ids[r.Page()]
			if !ok {
				id = int32(len(ids))
				ids[r.Page()] = id
			}
			dense = append(dense, id)
		}
	}
}

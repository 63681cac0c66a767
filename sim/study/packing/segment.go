package packing

import "splitkernel/sim/tasks"

// index finds a host for a need. Hosts are numbered from 0 in the order in which they were added.
type index interface {
	add(free, size tasks.Size)
	set(i int, free tasks.Size) // what is free of host i changed
	find(need tasks.Size) int   // by the policy, or -1
	most() tasks.Size           // the most of each that any host has free
}

// newIndex is the index of a policy.
func newIndex(policy string) index {
	switch policy {
	case "best-fit":
		return &treap{sign: 1, root: none}
	case "worst-fit":
		return &treap{sign: -1, root: none}
	}
	return &segments{dot: policy == "dot-product"}
}

// segments is a segment tree over hosts in the order of their numbers. A node has the most of each dimension that is free at a host below it, so that
// what cannot fit is passed over as a whole. It finds the first that fits, or the one whose free room is most alike the need.
type segments struct {
	dot    bool
	n      int          // hosts
	leaves int          // a power of two, at least n
	node   []tasks.Size // node 1 is the root, node i has children 2i and 2i+1, host h is node leaves+h
	whole  tasks.Size   // of the largest host, by which the dimensions are made alike
}

// nothing is free at a leaf without a host: not even a task of size 0 fits.
var nothing = tasks.Size{Cores: -1, Memory: -1, GPUs: -1}

func (s *segments) add(free, size tasks.Size) {
	if s.n == s.leaves {
		old := s.node
		was := s.leaves
		s.leaves = max(2*was, 64)
		s.node = make([]tasks.Size, 2*s.leaves)
		for i := range s.node {
			s.node[i] = nothing
		}
		copy(s.node[s.leaves:], old[was:])
		for i := s.leaves - 1; i > 0; i-- {
			s.node[i] = s.node[2*i].Max(s.node[2*i+1])
		}
	}
	s.whole = s.whole.Max(size)
	s.n++
	s.set(s.n-1, free)
}

func (s *segments) set(i int, free tasks.Size) {
	i += s.leaves
	s.node[i] = free
	for i >>= 1; i > 0; i >>= 1 {
		m := s.node[2*i].Max(s.node[2*i+1])
		if s.node[i] == m {
			return
		}
		s.node[i] = m
	}
}

func (s *segments) most() tasks.Size {
	if s.n == 0 {
		return nothing
	}
	return s.node[1]
}

func (s *segments) find(need tasks.Size) int {
	if s.n == 0 {
		return -1
	}
	if !s.dot {
		return s.first(1, need)
	}
	b := best{need: need, host: -1, score: -1}
	b.weigh(s.whole)
	s.alike(1, 0, s.leaves, &b)
	return b.host
}

func (s *segments) first(i int, need tasks.Size) int {
	if !need.Fits(s.node[i]) {
		return -1
	}
	if i >= s.leaves {
		return i - s.leaves
	}
	if h := s.first(2*i, need); h >= 0 {
		return h
	}
	return s.first(2*i+1, need)
}

// best is a search for the largest scalar product of need and free room (Grandl et al., "Multi-resource packing for cluster schedulers",
// SIGCOMM 2014: alignment). Of equals it is the first.
type best struct {
	need    tasks.Size
	c, m, g float64 // of the need, by the square of what a host has
	host    int
	score   float64
}

func (b *best) weigh(whole tasks.Size) {
	per := func(need, whole int64) float64 {
		if whole == 0 {
			return 0
		}
		return float64(need) / float64(whole) / float64(whole)
	}
	b.c, b.m, b.g = per(b.need.Cores, whole.Cores), per(b.need.Memory, whole.Memory), per(b.need.GPUs, whole.GPUs)
}

func (b *best) of(free tasks.Size) float64 {
	return b.c*float64(free.Cores) + b.m*float64(free.Memory) + b.g*float64(free.GPUs)
}

// alike looks at what is below node i, whose first host is first and which has width hosts: into the half that promises more before the other.
// The product with the most of each dimension bounds what is below.
func (s *segments) alike(i, first, width int, b *best) {
	v := b.of(s.node[i])
	if !b.need.Fits(s.node[i]) || v < b.score || v == b.score && first >= b.host {
		return
	}
	if width == 1 {
		b.host, b.score = first, v
		return
	}
	width /= 2
	if b.of(s.node[2*i+1]) > b.of(s.node[2*i]) {
		s.alike(2*i+1, first+width, width, b)
		s.alike(2*i, first, width, b)
		return
	}
	s.alike(2*i, first, width, b)
	s.alike(2*i+1, first+width, width, b)
}

package packing

import "splitkernel/sim/tasks"

// none is no node.
const none = -1

// tree keeps hosts so that those that have alike amounts free are near each other: in the order of the bits of their free shares, interleaved (Morton,
// "A computer oriented geodetic data base", 1966), and of equals by number. A node knows the most of each dimension that is free below it, which bounds
// what can be found there.
//
// It is a treap, whose shape depends on the numbers of the hosts alone: their hashes are the priorities (Aragon and Seidel, "Randomized search
// trees", 1989).
type tree struct {
	root  int32
	nodes []node
}

// node is a host and what is below it.
type node struct {
	left, right int32
	first       int32      // the lowest number of it and what is below
	place       uint64     // in the order
	most        tasks.Size // of each dimension, of it and what is below
	lowest      float64    // rank of it and what is below
	free        tasks.Size
	rank        float64
}

// put gives the room of a host, which is a new one if it has the next number. Shares are of scale.
func (t *tree) put(i int32, free, scale tasks.Size, rank float64) {
	if int(i) == len(t.nodes) {
		t.nodes = append(t.nodes, node{})
	} else {
		t.root = t.remove(t.root, i)
	}
	t.nodes[i] = node{left: none, right: none, free: free, rank: rank, place: morton(free, scale)}
	t.root = t.insert(t.root, i)
}

func (t *tree) most() tasks.Size {
	if t.root == none {
		return nothing
	}
	return t.nodes[t.root].most
}

// mortonBits are kept of each dimension.
const mortonBits = 21

// morton interleaves the bits of free shares. It only decides who is near whom, so that it is rounded does not matter.
func morton(free, scale tasks.Size) (m uint64) {
	for d, v := range [3][2]int64{{free.Cores, scale.Cores}, {free.Memory, scale.Memory}, {free.GPUs, scale.GPUs}} {
		if v[1] <= 0 || v[0] <= 0 {
			continue
		}
		share := min(float64(v[0])/float64(v[1]), 1)
		m |= spread(uint64(share*(1<<mortonBits-1))) << d
	}
	return m
}

// spread puts two zeros before each of the lower mortonBits bits.
func spread(x uint64) uint64 {
	x = (x | x<<32) & 0x001f00000000ffff
	x = (x | x<<16) & 0x001f0000ff0000ff
	x = (x | x<<8) & 0x100f00f00f00f00f
	x = (x | x<<4) & 0x10c30c30c30c30c3
	return (x | x<<2) & 0x1249249249249249
}

// before is the order.
func (t *tree) before(i, j int32) bool {
	a, b := t.nodes[i].place, t.nodes[j].place
	return a < b || a == b && i < j
}

// priority is a hash (the finaliser of MurmurHash3), the larger above.
func priority(i int32) uint32 {
	h := uint32(i) + 0x9e3779b9
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// over puts together what is known of i and what is below it.
func (t *tree) over(i int32) {
	n := &t.nodes[i]
	n.most, n.lowest, n.first = n.free, n.rank, i
	for _, c := range [2]int32{n.left, n.right} {
		if c != none {
			b := &t.nodes[c]
			n.most, n.lowest, n.first = n.most.Max(b.most), min(n.lowest, b.lowest), min(n.first, b.first)
		}
	}
}

func (t *tree) insert(at, i int32) int32 {
	if at == none {
		t.over(i)
		return i
	}
	if priority(i) > priority(at) {
		n := &t.nodes[i]
		n.left, n.right = t.split(at, i)
		t.over(i)
		return i
	}
	n := &t.nodes[at]
	if t.before(i, at) {
		n.left = t.insert(n.left, i)
	} else {
		n.right = t.insert(n.right, i)
	}
	t.over(at)
	return at
}

// split parts what is below at into what comes before i and what comes after.
func (t *tree) split(at, i int32) (l, r int32) {
	if at == none {
		return none, none
	}
	n := &t.nodes[at]
	if t.before(at, i) {
		n.right, r = t.split(n.right, i)
		l = at
	} else {
		l, n.left = t.split(n.left, i)
		r = at
	}
	t.over(at)
	return l, r
}

func (t *tree) remove(at, i int32) int32 {
	n := &t.nodes[at]
	switch {
	case at == i:
		return t.join(n.left, n.right)
	case t.before(i, at):
		n.left = t.remove(n.left, i)
	default:
		n.right = t.remove(n.right, i)
	}
	t.over(at)
	return at
}

func (t *tree) join(l, r int32) int32 {
	switch {
	case l == none:
		return r
	case r == none:
		return l
	case priority(l) > priority(r):
		n := &t.nodes[l]
		n.right = t.join(n.right, r)
		t.over(l)
		return l
	}
	n := &t.nodes[r]
	n.left = t.join(l, n.left)
	t.over(r)
	return r
}

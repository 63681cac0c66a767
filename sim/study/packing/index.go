package packing

import "splitkernel/sim/tasks"

// index finds a host for a need. Hosts are numbered from 0 in the order in which they were added.
type index interface {
	set(i int, free, size tasks.Size) // of host i, which is a new one if i is the next number
	find(need tasks.Size) int         // by the policy, or -1
	most() tasks.Size                 // the most of each that any host has free
}

// newIndex is the index of a policy. It chooses what a scan of all hosts would choose: of equals, the one with the lowest number.
func newIndex(policy string) index {
	switch policy {
	case "best-fit":
		return &ranked{tree: tree{root: none}, rank: share}
	case "worst-fit":
		return &ranked{tree: tree{root: none}, rank: func(free, size tasks.Size) float64 { return -share(free, size) }}
	case "first-fit":
		return &ranked{tree: tree{root: none}, rank: func(_, _ tasks.Size) float64 { return 0 }}
	}
	return &aligned{tree: tree{root: none}}
}

// nothing is free at a host that is not there: not even a task of size 0 fits.
var nothing = tasks.Size{Cores: -1, Memory: -1, GPUs: -1}

// share is what is free, from 0 to the number of dimensions.
func share(free, size tasks.Size) (sum float64) {
	for _, d := range [3][2]int64{{free.Cores, size.Cores}, {free.Memory, size.Memory}, {free.GPUs, size.GPUs}} {
		if d[1] > 0 {
			sum += float64(d[0]) / float64(d[1])
		}
	}
	return sum
}

// ranked finds the host of the lowest rank of those with room. The rank of a host depends on what it has free, not on the need.
type ranked struct {
	tree
	rank func(free, size tasks.Size) float64
}

func (x *ranked) set(i int, free, size tasks.Size) { x.put(int32(i), free, size, x.rank(free, size)) }

func (x *ranked) find(need tasks.Size) int {
	f := found{need: need, host: none}
	if x.root != none {
		x.lowest(x.root, &f)
	}
	return int(f.host)
}

// found is a search for the lowest rank, and of equals for the lowest number.
type found struct {
	need tasks.Size
	host int32
	rank float64
}

// beats reports whether a rank and a number are better than what was found.
func (f *found) beats(rank float64, host int32) bool {
	return f.host == none || rank < f.rank || rank == f.rank && host < f.host
}

// lowest looks at what is below node i: first at the half that promises more.
func (x *ranked) lowest(i int32, f *found) {
	n := &x.nodes[i]
	if f.need.Fits(n.free) && f.beats(n.rank, i) {
		f.host, f.rank = i, n.rank
	}
	l, r := n.left, n.right
	if l != none && r != none && x.nodes[r].lowest < x.nodes[l].lowest {
		l, r = r, l
	}
	for _, c := range [2]int32{l, r} {
		if c == none {
			continue
		}
		if m := &x.nodes[c]; f.need.Fits(m.most) && f.beats(m.lowest, m.first) {
			x.lowest(c, f)
		}
	}
}

// aligned finds the largest scalar product of need and free room of those with room (Grandl et al., "Multi-resource packing for cluster
// schedulers", SIGCOMM 2014: alignment).
type aligned struct {
	tree
	whole tasks.Size // of the largest host that there was, by which the dimensions are made alike
}

func (x *aligned) set(i int, free, size tasks.Size) {
	x.whole = x.whole.Max(size)
	x.put(int32(i), free, x.whole, 0)
}

func (x *aligned) find(need tasks.Size) int {
	p := product{need: need, host: none, score: -1}
	p.weigh(x.whole)
	if x.root != none && need.Fits(x.nodes[x.root].most) {
		x.largest(x.root, &p)
	}
	return int(p.host)
}

// product is a search for the largest scalar product. Of equals it is the first.
type product struct {
	need    tasks.Size
	c, m, g float64 // of the need, by the square of what a host has
	host    int32
	score   float64
}

func (p *product) weigh(whole tasks.Size) {
	per := func(need, whole int64) float64 {
		if whole == 0 {
			return 0
		}
		return float64(need) / float64(whole) / float64(whole)
	}
	p.c, p.m, p.g = per(p.need.Cores, whole.Cores), per(p.need.Memory, whole.Memory), per(p.need.GPUs, whole.GPUs)
}

func (p *product) of(free tasks.Size) float64 {
	return p.c*float64(free.Cores) + p.m*float64(free.Memory) + p.g*float64(free.GPUs)
}

// largest looks at what is below node i: into the half that promises more before the other. The product with the most of each dimension bounds what
// is below, to the last bit: neither a product with what is not negative nor a sum falls when a factor or a part grows, rounded or not.
func (x *aligned) largest(i int32, p *product) {
	n := &x.nodes[i]
	if p.need.Fits(n.free) {
		if v := p.of(n.free); v > p.score || v == p.score && i < p.host {
			p.host, p.score = i, v
		}
	}
	l, r := n.left, n.right
	vl, vr := x.promise(l, p), x.promise(r, p)
	if vr > vl {
		l, r, vl, vr = r, l, vr, vl
	}
	if vl > p.score || vl == p.score && l != none && x.nodes[l].first < p.host {
		x.largest(l, p)
	}
	if vr > p.score || vr == p.score && r != none && x.nodes[r].first < p.host {
		x.largest(r, p)
	}
}

// promise is the most that a node may have, or less than any where nothing below it has room.
func (x *aligned) promise(i int32, p *product) float64 {
	if i == none || !p.need.Fits(x.nodes[i].most) {
		return -2
	}
	return p.of(x.nodes[i].most)
}

package packing

import "splitkernel/sim/tasks"

// none is no node.
const none = -1

// treap keeps hosts in the order of how much is free of them, as a share of what they have, summed over the dimensions, and of equals by number.
// A node has the most of each dimension below it, as in segments. So the first that fits in that order is the best fit; with sign -1 the worst.
//
// Its shape depends on the numbers of the hosts alone: their hashes are the priorities (Aragon and Seidel, "Randomized search trees", 1989).
type treap struct {
	sign        float64
	root        int32
	left, right []int32
	score       []float64
	free, below []tasks.Size // of the node, and the most of each of it and what is below
	size        []tasks.Size
}

func (t *treap) add(free, size tasks.Size) {
	i := int32(len(t.score))
	t.left, t.right = append(t.left, none), append(t.right, none)
	t.score = append(t.score, 0)
	t.free, t.below, t.size = append(t.free, free), append(t.below, free), append(t.size, size)
	t.put(i, free)
}

func (t *treap) set(i int, free tasks.Size) {
	t.root = t.remove(t.root, int32(i))
	t.put(int32(i), free)
}

func (t *treap) put(i int32, free tasks.Size) {
	t.free[i], t.score[i] = free, t.sign*share(free, t.size[i])
	t.left[i], t.right[i] = none, none
	t.root = t.insert(t.root, i)
}

// share is what is free, from 0 to the number of dimensions.
func share(free, size tasks.Size) (sum float64) {
	for _, d := range [3][2]int64{{free.Cores, size.Cores}, {free.Memory, size.Memory}, {free.GPUs, size.GPUs}} {
		if d[1] > 0 {
			sum += float64(d[0]) / float64(d[1])
		}
	}
	return sum
}

func (t *treap) most() tasks.Size {
	if t.root == none {
		return nothing
	}
	return t.below[t.root]
}

func (t *treap) find(need tasks.Size) int { return int(t.first(t.root, need)) }

func (t *treap) first(i int32, need tasks.Size) int32 {
	if i == none || !need.Fits(t.below[i]) {
		return none
	}
	if h := t.first(t.left[i], need); h != none {
		return h
	}
	if need.Fits(t.free[i]) {
		return i
	}
	return t.first(t.right[i], need)
}

// before is the order.
func (t *treap) before(i, j int32) bool {
	return t.score[i] < t.score[j] || t.score[i] == t.score[j] && i < j
}

// priority is a hash (the finaliser of MurmurHash3), the larger above.
func priority(i int32) uint32 {
	h := uint32(i) + 0x9e3779b9
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// over puts together what is known of i and what is below it.
func (t *treap) over(i int32) {
	b := t.free[i]
	if l := t.left[i]; l != none {
		b = b.Max(t.below[l])
	}
	if r := t.right[i]; r != none {
		b = b.Max(t.below[r])
	}
	t.below[i] = b
}

func (t *treap) insert(at, i int32) int32 {
	if at == none {
		t.over(i)
		return i
	}
	if priority(i) > priority(at) {
		t.left[i], t.right[i] = t.split(at, i)
		t.over(i)
		return i
	}
	if t.before(i, at) {
		t.left[at] = t.insert(t.left[at], i)
	} else {
		t.right[at] = t.insert(t.right[at], i)
	}
	t.over(at)
	return at
}

// split parts what is below at into what comes before i and what comes after.
func (t *treap) split(at, i int32) (l, r int32) {
	if at == none {
		return none, none
	}
	if t.before(at, i) {
		t.right[at], r = t.split(t.right[at], i)
		l = at
	} else {
		l, t.left[at] = t.split(t.left[at], i)
		r = at
	}
	t.over(at)
	return l, r
}

func (t *treap) remove(at, i int32) int32 {
	switch {
	case at == i:
		return t.join(t.left[i], t.right[i])
	case t.before(i, at):
		t.left[at] = t.remove(t.left[at], i)
	default:
		t.right[at] = t.remove(t.right[at], i)
	}
	t.over(at)
	return at
}

func (t *treap) join(l, r int32) int32 {
	switch {
	case l == none:
		return r
	case r == none:
		return l
	case priority(l) > priority(r):
		t.right[l] = t.join(t.right[l], r)
		t.over(l)
		return l
	}
	t.left[r] = t.join(l, t.left[r])
	t.over(r)
	return r
}

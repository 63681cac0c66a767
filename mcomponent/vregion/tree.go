package vregion

import (
	"fmt"
	"slices"
	"sort"

	"splitkernel/netlayer/wire"
)

// VMA is one mapped range [Start, End) with its attributes. Start and End are multiples of wire.PageSize.
type VMA struct {
	Start, End uint64
	Anon       bool
	Writable   bool
	Name       string
}

func (v VMA) same(o VMA) bool {
	return v.Anon == o.Anon && v.Writable == o.Writable && v.Name == o.Name
}

// Tree is the set of vmas of one address range, ordered, without overlap; neighbours with equal attributes are one vma,
// as in Linux. It is a sorted slice: a search is a bisection over few cache lines, and a vRegion holds few vmas.
type Tree struct {
	vmas  []VMA
	bytes uint64
}

// Len is the number of vmas.
func (t *Tree) Len() int { return len(t.vmas) }

// Bytes is the number of mapped bytes.
func (t *Tree) Bytes() uint64 { return t.bytes }

// All returns the vmas in the order of addresses. The slice belongs to the tree and holds until its next change.
func (t *Tree) All() []VMA { return t.vmas }

// after returns the index of the first vma that ends above addr.
func (t *Tree) after(addr uint64) int {
	return sort.Search(len(t.vmas), func(i int) bool { return t.vmas[i].End > addr })
}

// Find returns the vma that covers addr.
func (t *Tree) Find(addr uint64) (VMA, bool) {
	lo, hi := 0, len(t.vmas)
	for lo < hi { // by hand: this is on the path of every miss, and sort.Search calls a closure
		m := int(uint(lo+hi) >> 1)
		if t.vmas[m].End > addr {
			hi = m
		} else {
			lo = m + 1
		}
	}
	if lo < len(t.vmas) && t.vmas[lo].Start <= addr {
		return t.vmas[lo], true
	}
	return VMA{}, false
}

// Covers reports whether a vma covers addr.
func (t *Tree) Covers(addr uint64) bool {
	_, ok := t.Find(addr)
	return ok
}

// Overlaps reports whether any byte of [start, end) is mapped.
func (t *Tree) Overlaps(start, end uint64) bool {
	i := t.after(start)
	return i < len(t.vmas) && t.vmas[i].Start < end
}

// splits reports whether taking [start, end) out of a vma leaves a part on either side.
func (t *Tree) splits(start, end uint64) bool {
	v, ok := t.Find(start)
	return ok && v.Start < start && end < v.End
}

// Remove unmaps [start, end), splitting the vmas at its ends, and returns how many mapped bytes it removed.
func (t *Tree) Remove(start, end uint64) uint64 {
	if start >= end {
		return 0
	}
	i := t.after(start)
	j := i
	var removed uint64
	var keep [2]VMA
	n := 0
	for ; j < len(t.vmas) && t.vmas[j].Start < end; j++ {
		v := t.vmas[j]
		removed += min(v.End, end) - max(v.Start, start)
		if v.Start < start {
			head := v
			head.End = start
			keep[n] = head
			n++
		}
		if v.End > end {
			tail := v
			tail.Start = end
			keep[n] = tail
			n++
		}
	}
	if i != j {
		t.vmas = slices.Replace(t.vmas, i, j, keep[:n]...)
		t.bytes -= removed
	}
	return removed
}

// Insert maps v, replacing whatever was mapped in its range, and joins it with equal neighbours.
func (t *Tree) Insert(v VMA) {
	t.Remove(v.Start, v.End)
	t.bytes += v.End - v.Start
	i := t.after(v.Start)
	j := i
	if i > 0 && t.vmas[i-1].End == v.Start && t.vmas[i-1].same(v) {
		i--
		v.Start = t.vmas[i].Start
	}
	if j < len(t.vmas) && t.vmas[j].Start == v.End && t.vmas[j].same(v) {
		v.End = t.vmas[j].End
		j++
	}
	t.vmas = slices.Replace(t.vmas, i, j, v)
}

// Gap returns the smallest free range inside [lo, hi) that holds length bytes, the lowest of equals. size is its whole
// size, by which gaps of several trees are compared.
func (t *Tree) Gap(lo, hi, length uint64) (addr, size uint64, ok bool) {
	at := lo
	try := func(end uint64) {
		if g := end - at; end > at && g >= length && (!ok || g < size) {
			addr, size, ok = at, g, true
		}
	}
	for i := t.after(lo); i < len(t.vmas) && t.vmas[i].Start < hi; i++ {
		try(t.vmas[i].Start)
		at = max(at, t.vmas[i].End)
	}
	if at < hi {
		try(hi)
	}
	return addr, size, ok
}

// CheckInvariants checks order, alignment, joined neighbours and the byte count.
func (t *Tree) CheckInvariants() error {
	var bytes uint64
	for i, v := range t.vmas {
		if v.Start >= v.End || v.Start%wire.PageSize != 0 || v.End%wire.PageSize != 0 {
			return fmt.Errorf("vregion: vma [%#x, %#x) is empty or not aligned", v.Start, v.End)
		}
		bytes += v.End - v.Start
		if i == 0 {
			continue
		}
		p := t.vmas[i-1]
		if p.End > v.Start {
			return fmt.Errorf("vregion: vmas [%#x, %#x) and [%#x, %#x) overlap", p.Start, p.End, v.Start, v.End)
		}
		if p.End == v.Start && p.same(v) {
			return fmt.Errorf("vregion: equal vmas [%#x, %#x) and [%#x, %#x) are not joined", p.Start, p.End, v.Start, v.End)
		}
	}
	if bytes != t.bytes {
		return fmt.Errorf("vregion: %d mapped bytes, counted as %d", bytes, t.bytes)
	}
	return nil
}

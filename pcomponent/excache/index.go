package excache

import "math/bits"

// index finds the line of a page: open addressing with linear probes, one uint64
// an entry,
//
//	page << 24 | line + 1        0 = empty
//
// at most half full, so that a probe mostly stays in one cache line. Deletion
// shifts the entries behind back, so there are no tombstones and a table that has
// run for days is as fast as a new one.
type index struct {
	table []uint64 // a power of two
	shift uint     // 64 - log2(len(table))
}

const (
	lineBits = 24
	lineMask = 1<<lineBits - 1
)

// spread is 2^64 divided by the golden ratio: multiplying by it sends runs of
// neighbouring pages far apart (Knuth, TAOCP 3, section 6.4).
const spread = 0x9E3779B97F4A7C15

func makeIndex(lines int) index {
	size := 1 << bits.Len(uint(2*lines-1))
	return index{table: make([]uint64, size), shift: uint(64 - bits.TrailingZeros(uint(size)))}
}

func (x *index) home(page uint64) uint64 { return page * spread >> x.shift }

// find returns the line of a page. A page of MaxPages or more is never found.
func (x *index) find(page uint64) (uint32, bool) {
	t := x.table
	for i := x.home(page); ; i++ {
		e := t[i&uint64(len(t)-1)]
		if e>>lineBits == page && e != 0 {
			return uint32(e&lineMask) - 1, true
		}
		if e == 0 {
			return 0, false
		}
	}
}

// insert adds a page that is not there.
func (x *index) insert(page uint64, line uint32) {
	mask := uint64(len(x.table) - 1)
	i := x.home(page)
	for x.table[i] != 0 {
		i = (i + 1) & mask
	}
	x.table[i] = page<<lineBits | uint64(line+1)
}

// remove deletes a page that is there, and moves back every entry behind it that
// its probe would no longer reach.
func (x *index) remove(page uint64) {
	mask := uint64(len(x.table) - 1)
	hole := x.home(page)
	for x.table[hole]>>lineBits != page || x.table[hole] == 0 {
		if x.table[hole] == 0 {
			panic("excache: a page to be removed is not in the index")
		}
		hole = (hole + 1) & mask
	}
	for i := hole; ; {
		i = (i + 1) & mask
		e := x.table[i]
		if e == 0 {
			break
		}
		// The entry may move into the hole unless its home lies behind the hole.
		if (i-x.home(e>>lineBits))&mask >= (i-hole)&mask {
			x.table[hole] = e
			hole = i
		}
	}
	x.table[hole] = 0
}

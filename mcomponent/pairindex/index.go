package pairindex

import (
	"fmt"
	"math/bits"
)

// minSlots is the smallest table, so that an index of an idle component costs 384 bytes.
const minSlots = 16

type entry struct {
	a, b uint64
	v    uint32 // value + 1; 0 is an empty slot
}

// Index is the map. The zero value is not usable; call New.
type Index struct {
	slots []entry
	shift uint // 64 - log2(len(slots)): the hash's top bits choose the slot
	n     int
}

// New makes an index that holds n entries without growing. It grows beyond that by doubling, which is the only allocation.
func New(n int) *Index {
	size := minSlots
	for size < 2*n {
		size *= 2
	}
	return &Index{slots: make([]entry, size), shift: uint(64 - bits.TrailingZeros(uint(size)))}
}

// Len is the number of entries.
func (x *Index) Len() int { return x.n }

// home is the slot where the search for (a, b) begins. Neighbouring pages must not collide and processes must not lie on
// top of each other: a multiplies by one odd constant, the sum by another (Fibonacci hashing).
func (x *Index) home(a, b uint64) uint64 {
	h := (a*0xff51afd7ed558ccd ^ a>>29) + b
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15 >> x.shift
}

// Get returns the value of (a, b).
func (x *Index) Get(a, b uint64) (uint32, bool) {
	mask := uint64(len(x.slots) - 1)
	for i := x.home(a, b) & mask; ; i = (i + 1) & mask {
		e := &x.slots[i]
		if e.v == 0 {
			return 0, false
		}
		if e.b == b && e.a == a {
			return e.v - 1, true
		}
	}
}

// Put sets the value of (a, b), which must be below 2^32-1.
func (x *Index) Put(a, b uint64, v uint32) {
	if 2*(x.n+1) > len(x.slots) {
		x.grow()
	}
	mask := uint64(len(x.slots) - 1)
	for i := x.home(a, b) & mask; ; i = (i + 1) & mask {
		e := &x.slots[i]
		if e.v == 0 {
			*e = entry{a, b, v + 1}
			x.n++
			return
		}
		if e.b == b && e.a == a {
			e.v = v + 1
			return
		}
	}
}

// Delete removes (a, b) and reports whether it was there.
func (x *Index) Delete(a, b uint64) bool {
	mask := uint64(len(x.slots) - 1)
	i := x.home(a, b) & mask
	for {
		e := &x.slots[i]
		if e.v == 0 {
			return false
		}
		if e.b == b && e.a == a {
			break
		}
		i = (i + 1) & mask
	}
	// Backward shift: pull every later entry of the run into the hole unless that would move it before its home.
	for j := i; ; {
		j = (j + 1) & mask
		e := x.slots[j]
		if e.v == 0 {
			break
		}
		if h := x.home(e.a, e.b) & mask; (j-h)&mask >= (j-i)&mask {
			x.slots[i] = e
			i = j
		}
	}
	x.slots[i] = entry{}
	x.n--
	return true
}

func (x *Index) grow() {
	old := x.slots
	x.slots = make([]entry, 2*len(old))
	x.shift--
	x.n = 0
	for i := range old {
		if e := &old[i]; e.v != 0 {
			x.Put(e.a, e.b, e.v-1)
		}
	}
}

// CheckInvariants checks that every entry can be found from its home slot and that the count is right.
func (x *Index) CheckInvariants() error {
	n := 0
	for i := range x.slots {
		e := &x.slots[i]
		if e.v == 0 {
			continue
		}
		n++
		if v, ok := x.Get(e.a, e.b); !ok || v != e.v-1 {
			return fmt.Errorf("pairindex: entry (%d, %d) in slot %d is not found from its home", e.a, e.b, i)
		}
	}
	if n != x.n {
		return fmt.Errorf("pairindex: %d entries, counted as %d", n, x.n)
	}
	if 2*n > len(x.slots) {
		return fmt.Errorf("pairindex: %d entries in %d slots, at most half", n, len(x.slots))
	}
	return nil
}

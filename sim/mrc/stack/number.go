package stack

import (
	"fmt"
	"math"
)

// MaxPages bounds the different pages of one curve: a number has 32 bits, and one value is kept for "none".
const MaxPages = math.MaxUint32 - 1

// window is how many keys are looked up at once: their first probes are independent loads, so the processor waits for them together.
const window = 64

// Numbers gives each key of a volume a number, 0, 1, 2 … in the order in which they are first met. The zero value is empty.
//
// It is a hash table with open addressing and linear probing, at most half full, 16 bytes an entry, so that a probe costs one
// cache line. Nothing is ever deleted.
type Numbers struct {
	table []entry
	shift uint // 64 - log2(len(table))
	n     uint32
}

type entry struct {
	key    uint64
	volume uint32
	id1    uint32 // number + 1; 0 = an empty entry
}

// leastTable is the number of entries that a table begins with.
const leastTable = 1 << 10

// Len is how many numbers were given.
func (x *Numbers) Len() int { return int(x.n) }

// mix spreads a key over 64 bits; its high bits depend on all bits of the key (a finaliser of Stafford's, "Better bit mixing", 2011).
func mix(key uint64, volume uint32) uint64 {
	h := key ^ uint64(volume)*0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// Number appends the number of each key to out. volumes has the volume of each key, or is nil when there is but one. It panics when
// there are more than MaxPages different keys; a caller asks Room before.
func (x *Numbers) Number(keys []uint64, volumes []uint32, out []uint32) []uint32 {
	var slots [window]uint32
	for len(keys) > 0 {
		n := min(len(keys), window)
		if int(x.n)+n > len(x.table)/2 {
			x.grow(n)
		}
		table, shift := x.table, x.shift
		// First the entries where the keys should be, all at once; then what is not there, in order, because of new keys.
		base := len(out)
		missing := 0
		var late [window]uint8
		for i, key := range keys[:n] {
			var v uint32
			if volumes != nil {
				v = volumes[i]
			}
			s := uint32(mix(key, v) >> shift)
			slots[i] = s
			e := &table[s]
			out = append(out, e.id1-1)
			late[missing] = uint8(i)
			there := 1
			if e.key == key && e.volume == v && e.id1 != 0 {
				there = 0
			}
			missing += there
		}
		for _, i := range late[:missing] {
			var v uint32
			if volumes != nil {
				v = volumes[i]
			}
			out[base+int(i)] = x.find(keys[i], v, slots[i])
		}
		keys = keys[n:]
		if volumes != nil {
			volumes = volumes[n:]
		}
	}
	return out
}

// Room reports whether so many more keys can be numbered, whatever they are.
func (x *Numbers) Room(keys int) bool { return uint64(x.n)+uint64(keys) <= MaxPages }

// find gives the number of a key from slot s on, a new one if there is none.
func (x *Numbers) find(key uint64, volume, s uint32) uint32 {
	mask := uint32(len(x.table) - 1)
	for {
		e := &x.table[s]
		if e.id1 == 0 {
			if x.n == MaxPages {
				panic(fmt.Sprintf("stack: more than %d pages", uint32(MaxPages)))
			}
			x.n++
			*e = entry{key, volume, x.n}
			return x.n - 1
		}
		if e.key == key && e.volume == volume {
			return e.id1 - 1
		}
		s = (s + 1) & mask
	}
}

// grow makes room for n more keys.
func (x *Numbers) grow(n int) {
	size, bits := leastTable, uint(10)
	for size/2 < int(x.n)+n || size < 2*len(x.table) {
		size, bits = size*2, bits+1
	}
	old := x.table
	x.table, x.shift = make([]entry, size), 64-bits
	mask := uint32(size - 1)
	for _, e := range old {
		if e.id1 == 0 {
			continue
		}
		s := uint32(mix(e.key, e.volume) >> x.shift)
		for x.table[s].id1 != 0 {
			s = (s + 1) & mask
		}
		x.table[s] = e
	}
}

package placement

import (
	"math/bits"

	"splitkernel/netlayer/wire"
)

// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, figure 19 (SplitMix64). It
// is written out here because its values decide what replicas do: it must be the same for ever, in every release.
const golden = 0x9e3779b97f4a7c15

// mix spreads the bits of x over all of the result, one to one.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Hash makes a key or a chance of several numbers.
func Hash(numbers ...uint64) uint64 {
	h := uint64(0)
	for _, n := range numbers {
		h = mix(h ^ mix(n+golden))
	}
	return h
}

// chance is a stream of random numbers from one stamped number.
type chance uint64

func (c *chance) next() uint64 {
	*c += golden
	return mix(uint64(*c))
}

// below returns a number from 0 to n-1, n above 0. No number is more likely than another by more than n in 2^64.
func (c *chance) below(n int) int {
	hi, _ := bits.Mul64(c.next(), uint64(n))
	return int(hi)
}

// point is the hash of an id for consistent_hash: FNV-1a, then mixed, because FNV hardly spreads short names.
func point(id wire.NodeID) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 0x100000001b3
	}
	return mix(h)
}

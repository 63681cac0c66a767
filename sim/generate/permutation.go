package generate

import "math/bits"

// permutation is a random order of 0 to n-1 without a table: four rounds of a Feistel network over the next power of four
// (Luby and Rackoff, SIAM J. Computing 1988), walked again while it leads outside (Black and Rogaway, CT-RSA 2002).
type permutation struct {
	n    uint64
	half int // bits
	keys [4]uint64
}

func newPermutation(n, seed uint64) permutation {
	p := permutation{n: n, half: (bits.Len64(n-1) + 1) / 2}
	for i := range p.keys {
		p.keys[i] = mix(seed + uint64(i+1)*0x9e3779b97f4a7c15)
	}
	return p
}

// at gives the i-th of the order.
func (p *permutation) at(i uint64) uint64 {
	mask := uint64(1)<<p.half - 1
	for {
		left, right := i>>p.half, i&mask
		for _, k := range p.keys {
			left, right = right, left^mix(right+k)&mask
		}
		if i = left<<p.half | right; i < p.n {
			return i
		}
	}
}

// mix is the output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

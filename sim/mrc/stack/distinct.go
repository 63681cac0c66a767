package stack

import (
	"math"
	"math/bits"
)

// distinct counts different hashes, to distinctError, in 256 KiB whatever their number: HyperLogLog (Flajolet, Fusy, Gandouet and
// Meunier, AofA 2007), read out as Ertl does ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, section 3),
// without tables or ranges.
type distinct struct {
	rank []uint8 // by register: the longest run of zeros seen, plus 1
}

const (
	registerBits  = 18
	registers     = 1 << registerBits
	distinctError = 1.04 / 512 // standard error, relative: 1.04 / sqrt(registers)
	mostRank      = 64 - registerBits + 1
)

func makeDistinct() distinct { return distinct{make([]uint8, registers)} }

// rankOf is the run of zeros of a hash after the bits that choose the register, plus 1.
func rankOf(h uint64) uint8 {
	return uint8(bits.LeadingZeros64(h<<registerBits|1<<(registerBits-1)) + 1)
}

// count is how many there were.
func (d *distinct) count() float64 {
	var of [mostRank + 1]float64
	for _, r := range d.rank {
		of[r]++
	}
	const m = float64(registers)
	z := m * tau(1-of[mostRank]/m)
	for r := mostRank - 1; r >= 1; r-- {
		z = (z + of[r]) / 2
	}
	z += m * sigma(of[0]/m)
	return m * m / (2 * math.Ln2) / z
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	for y, z := 1.0, x; ; y *= 2 {
		x *= x
		last := z
		if z += x * y; z == last {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	for y, z := 1.0, 1-x; ; {
		x = math.Sqrt(x)
		last := z
		y /= 2
		if z -= (1 - x) * (1 - x) * y; z == last {
			return z / 3
		}
	}
}

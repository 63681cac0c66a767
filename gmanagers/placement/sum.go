package placement

import "math/bits"

// sum is a sum of 64-bit numbers, of 128 bits: capacities are any 64-bit numbers, and one that overflowed would choose
// wrongly without a word.
type sum struct{ hi, lo uint64 }

func (s sum) plus(n uint64) sum {
	lo, carry := bits.Add64(s.lo, n, 0)
	return sum{s.hi + carry, lo}
}

func (s sum) minus(n uint64) sum {
	lo, borrow := bits.Sub64(s.lo, n, 0)
	return sum{s.hi - borrow, lo}
}

func (s sum) less(t sum) bool { return s.hi < t.hi || s.hi == t.hi && s.lo < t.lo }

func (s sum) bits() int {
	if s.hi > 0 {
		return 64 + bits.Len64(s.hi)
	}
	return bits.Len64(s.lo)
}

// shifted drops n low bits, 0 to 64; the rest must fit.
func (s sum) shifted(n int) uint64 { return s.hi<<(64-n) | s.lo>>n }

// part returns ⌊r/2^64 × s⌋, a number below s if that is above 0.
func (s sum) part(r uint64) sum {
	rest, _ := bits.Mul64(r, s.lo)
	hi, lo := bits.Mul64(r, s.hi)
	return sum{hi, lo}.plus(rest)
}

// compareShares compares r/c with q/d exactly: -1, 0 or 1. A denominator of 0 is more than any other, if r and q are above
// 0 there.
func compareShares(r, c, q, d uint64) int {
	ih, il := bits.Mul64(r, d)
	jh, jl := bits.Mul64(q, c)
	switch {
	case ih < jh || ih == jh && il < jl:
		return -1
	case ih == jh && il == jl:
		return 0
	}
	return 1
}

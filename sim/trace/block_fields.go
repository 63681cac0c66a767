package trace

import (
	"math/bits"
	"strconv"
)

// The fields of a line are read by these, from index i on. Each returns the index behind what it read, or -1 where the line is not like
// that; an index of -1 stays -1, so that a layout is checked once, at its end. They are written out by hand, because text is read
// at hundreds of MB/s.

// dec reads a decimal number of at most 64 bits.
func dec(b []byte, i int) (v uint64, next int) {
	if i < 0 {
		return 0, -1
	}
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		v = v*10 + uint64(b[i]-'0')
		i++
	}
	if n := i - start; n == 0 {
		return 0, -1
	} else if n > 19 { // may have wrapped: ask the slow one
		var err error
		if v, err = strconv.ParseUint(string(b[start:i]), 10, 64); err != nil {
			return 0, -1
		}
	}
	return v, i
}

// decBefore reads a number and the byte c behind it.
func decBefore(b []byte, i int, c byte) (v uint64, next int) {
	v, i = dec(b, i)
	return v, byteAt(b, i, c)
}

// byteAt passes over c.
func byteAt(b []byte, i int, c byte) int {
	if uint(i) >= uint(len(b)) || b[i] != c {
		return -1
	}
	return i + 1
}

// blanksAt passes over one blank or more.
func blanksAt(b []byte, i int) int {
	if uint(i) >= uint(len(b)) || b[i] != ' ' && b[i] != '\t' {
		return -1
	}
	for i++; i < len(b) && (b[i] == ' ' || b[i] == '\t'); i++ {
	}
	return i
}

// blanksIf passes over blanks where there are some.
func blanksIf(b []byte, i int) int {
	for i >= 0 && i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

// pastByte is the index behind the next c.
func pastByte(b []byte, i int, c byte) int {
	if i < 0 {
		return -1
	}
	for ; i < len(b); i++ {
		if b[i] == c {
			return i + 1
		}
	}
	return -1
}

// opAt reads R or W, of either case, and the byte c behind it.
func opAt(b []byte, i int, c byte) (kind EventKind, next int) {
	if i < 0 || i+1 >= len(b) || b[i+1] != c {
		return 0, -1
	}
	switch b[i] | 0x20 {
	case 'r':
		return BlockRead, i + 2
	case 'w':
		return BlockWrite, i + 2
	}
	return 0, -1
}

// decimalNs reads a number with or without a fraction that counts units of so many ns (a power of ten), and gives ns. Digits below
// a ns are left out.
func decimalNs(b []byte, i int, unit uint64) (ns uint64, next int) {
	v, i := dec(b, i)
	if i < 0 {
		return 0, -1
	}
	hi, ns := bits.Mul64(v, unit)
	if hi != 0 {
		return 0, -1
	}
	if i == len(b) || b[i] != '.' {
		return ns, i
	}
	i++
	start, part := i, uint64(0)
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if unit > 1 {
			unit /= 10
			part += unit * uint64(b[i]-'0')
		}
	}
	if i == start || ns+part < ns {
		return 0, -1
	}
	return ns + part, i
}

// times multiplies where the product has 64 bits.
func times(v, unit uint64) (uint64, bool) {
	hi, lo := bits.Mul64(v, unit)
	return lo, hi == 0
}

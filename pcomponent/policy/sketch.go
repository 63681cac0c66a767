package policy

import "math/bits"

// The sketch of w-tinylfu: a count-min sketch of four rows with counters of four
// bits, sixteen in a word.
const (
	sketchRows = 4
	sketchMost = 15 // where a counter stops
	// sketchSample is how many accesses, for each line, make all counters be halved.
	sketchSample = 10
)

// sketch estimates how often a page was used lately, never too low but for the
// halving. 8 bytes a line, rounded up to a power of two.
//
// Source: Cormode, Muthukrishnan, "An improved data stream summary: the count-min
// sketch", J. Algorithms 55(1), 2005; conservative update is not used. Halving:
// TinyLFU, section 3.3 ("reset").
type sketch struct {
	words []uint64 // a power of two; a row has a quarter of the counters of each
	shift uint
	added uint32 // accesses since the last halving
	limit uint32
}

func makeSketch(lines int) sketch {
	n := 1 << bits.Len(uint(lines-1))
	return sketch{words: make([]uint64, n), shift: uint(64 - bits.TrailingZeros(uint(n))), limit: uint32(min(sketchSample*lines, 1<<31))}
}

// counter gives the place of a page's counter in a row: a word and a shift. Each
// row hashes on its own, and has four of the sixteen counters of a word.
func (s *sketch) counter(page uint64, row uint) (word uint64, shift uint) {
	h := (page ^ uint64(row+1)*0xD6E8FEB86659FD93) * pageSpread
	h ^= h >> 32
	h *= 0xD6E8FEB86659FD93
	return h >> s.shift & uint64(len(s.words)-1), 16*row + 4*uint(h&3)
}

// estimate is the least of a page's counters.
func (s *sketch) estimate(page uint64) uint64 {
	least := uint64(sketchMost)
	for row := range uint(sketchRows) {
		w, shift := s.counter(page, row)
		least = min(least, s.words[w]>>shift&sketchMost)
	}
	return least
}

// add counts an access.
func (s *sketch) add(page uint64) {
	for row := range uint(sketchRows) {
		w, shift := s.counter(page, row)
		if s.words[w]>>shift&sketchMost < sketchMost {
			s.words[w] += 1 << shift
		}
	}
	if s.added++; s.added >= s.limit {
		for i := range s.words {
			s.words[i] = s.words[i] >> 1 & 0x7777777777777777
		}
		s.added /= 2
	}
}

package trace

import "math/bits"

// pageSet is a set of page numbers: 64 pages to a word, words in a map, and
// the last word kept at hand because references come in runs. It grows with
// the footprint, 64 pages an entry, and with nothing else.
type pageSet struct {
	words map[uint64]*uint64
	key   uint64
	word  *uint64
}

// add reports whether the page is new.
func (s *pageSet) add(page uint64) bool {
	key, bit := page>>6, uint64(1)<<(page&63)
	if s.word == nil || key != s.key {
		if s.words == nil {
			s.words = map[uint64]*uint64{}
		}
		w := s.words[key]
		if w == nil {
			w = new(uint64)
			s.words[key] = w
		}
		s.key, s.word = key, w
	}
	if *s.word&bit != 0 {
		return false
	}
	*s.word |= bit
	return true
}

func (s *pageSet) len() uint64 {
	var n uint64
	for _, w := range s.words { // order does not matter to a sum
		n += uint64(bits.OnesCount64(*w))
	}
	return n
}

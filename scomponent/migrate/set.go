package migrate

import "math/bits"

// chunkBlocks is how many blocks share a lazily made part of a set.
const chunkBlocks = 64 * 512

// set is a set of block numbers. It is a bitmap, made by parts where something is in it.
type set struct {
	chunks []*[chunkBlocks / 64]uint64
	low    int // nothing is in the chunks before it
	n      int
}

func newSet(blocks uint64) set {
	return set{chunks: make([]*[chunkBlocks / 64]uint64, (blocks+chunkBlocks-1)/chunkBlocks)}
}

func (s *set) add(block uint64) {
	i := int(block / chunkBlocks)
	c := s.chunks[i]
	if c == nil {
		c = new([chunkBlocks / 64]uint64)
		s.chunks[i] = c
	}
	w, b := block%chunkBlocks/64, uint64(1)<<(block%64)
	if c[w]&b == 0 {
		c[w] |= b
		s.n++
		s.low = min(s.low, i)
	}
}

// take removes up to limit blocks, the lowest, and gives them in order.
func (s *set) take(limit int) []uint64 {
	var out []uint64
	for s.n > 0 && len(out) < limit {
		c := s.chunks[s.low]
		if c == nil {
			s.low++
			continue
		}
		for w := range c {
			for c[w] != 0 && len(out) < limit {
				b := bits.TrailingZeros64(c[w])
				c[w] &^= 1 << b
				s.n--
				out = append(out, uint64(s.low)*chunkBlocks+uint64(w)*64+uint64(b))
			}
		}
		if len(out) < limit {
			s.chunks[s.low] = nil // empty
			s.low++
		}
	}
	return out
}

// count counts anew, for invariants.
func (s *set) count() int {
	n := 0
	for _, c := range s.chunks {
		if c != nil {
			for _, w := range c {
				n += bits.OnesCount64(w)
			}
		}
	}
	return n
}

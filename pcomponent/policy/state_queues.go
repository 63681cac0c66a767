package policy

import (
	"encoding/binary"
	"math"

	"splitkernel/netlayer/tape"
)

// appendState appends the lists, from front to back: of each set and kind the
// number of its entries, and of each its way, or the number of ways for a ghost,
// and its page.
func (h *haunted) appendState(b []byte) []byte {
	for i, n := range h.counts {
		b = binary.AppendUvarint(b, uint64(n))
		s := h.entries + uint32(i)
		for e := h.nodes[s].next; e != s; e = h.nodes[e].next {
			way := uint64(h.ways)
			if e < h.lines {
				way = uint64(e % h.ways)
			}
			b = binary.AppendUvarint(binary.AppendUvarint(b, way), h.page[e])
		}
	}
	return b
}

// readState fills lists that are empty.
func (h *haunted) readState(r *tape.Reader) {
	for i := range h.counts {
		set, kind := uint32(i)/h.kinds, uint32(i)%h.kinds
		for n := r.Below(uint64(h.entries) + 1); n > 0; n-- {
			way, page := uint32(r.Below(uint64(h.ways)+1)), r.Uint()
			if r.Err() != nil {
				return
			}
			e := set*h.ways + way
			if way == h.ways {
				if e = h.readGhost(r, page); r.Err() != nil {
					return
				}
			} else if h.has(e) {
				r.Fail("line %d is in a list twice", e)
				return
			}
			h.page[e] = page
			h.pushBack(set, kind, e)
		}
	}
}

// readGhost makes a ghost that was read, if there may be one.
func (g *ghosts) readGhost(r *tape.Reader, page uint64) uint32 {
	if _, twice := g.ghost(page); twice || len(g.free) == 0 {
		r.Fail("the ghost of page %#x is there twice, or one too many", page)
		return 0
	}
	return g.haunt(page)
}

func (p *mru) AppendState(b []byte) []byte  { return p.appendState(b) }
func (p *mru) ReadState(r *tape.Reader)     { p.readState(r) }
func (p *twoQ) AppendState(b []byte) []byte { return p.appendState(b) }
func (p *twoQ) ReadState(r *tape.Reader)    { p.readState(r) }

// AppendState appends the lists, the bits, and of each set the way of its hand, + 1.
func (p *sieve) AppendState(b []byte) []byte {
	return appendWays(appendBits(p.appendState(b), p.visited), p.hand, p.ways)
}

func (p *sieve) ReadState(r *tape.Reader) {
	p.readState(r)
	readBits(r, p.visited)
	readWays(r, p.hand, p.ways)
}

// appendWays appends a line for each set, by its way + 1; 0 = absent.
func appendWays(b []byte, lines []uint32, ways uint32) []byte {
	for set, line := range lines {
		if line == absent {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, uint64(line-uint32(set)*ways)+1)
		}
	}
	return b
}

func readWays(r *tape.Reader, lines []uint32, ways uint32) {
	for set := range lines {
		lines[set] = absent
		if n := uint32(r.Below(uint64(ways) + 1)); n > 0 {
			lines[set] = uint32(set)*ways + n - 1
		}
	}
}

// AppendState appends the lists, and of each set the bits of its target.
func (p *arc) AppendState(b []byte) []byte {
	b = p.appendState(b)
	for _, t := range p.target {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(t))
	}
	return b
}

func (p *arc) ReadState(r *tape.Reader) {
	p.readState(r)
	for set := range p.target {
		p.target[set] = math.Float64frombits(uint64(r.Word()) | uint64(r.Word())<<32)
	}
}

// AppendState appends the lists, the hits of each line, and of each set the victim named.
func (p *s3FIFO) AppendState(b []byte) []byte {
	b = append(p.appendState(b), p.hits...)
	return appendWays(b, p.named, p.ways)
}

func (p *s3FIFO) ReadState(r *tape.Reader) {
	p.readState(r)
	for line := range p.hits {
		p.hits[line] = r.Byte(s3Most + 1)
	}
	readWays(r, p.named, p.ways)
}

// AppendState appends the accesses so far, and of each line how often it was used,
// + 1, and how many accesses there were since the last; 0 for one that is not here.
func (p *lfu) AppendState(b []byte) []byte {
	b = binary.AppendUvarint(b, p.now)
	for line, r := range p.ranks {
		if !p.has(uint32(line)) {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, r.major+1), p.now-r.minor)
	}
	return b
}

func (p *lfu) ReadState(r *tape.Reader) {
	p.now = r.Uint()
	used := map[uint64]bool{} // looked up only
	for line := range p.ranks {
		n := r.Uint()
		if n == 0 {
			continue
		}
		at := p.now - r.Uint()
		if r.Err() == nil && (used[at] || at > p.now) {
			r.Fail("line %d was used at %d of %d accesses, as another, or later than any", line, at, p.now)
		}
		if r.Err() != nil {
			return
		}
		used[at] = true
		p.add(uint32(line), rank{n - 1, at})
	}
}

// AppendState appends the references so far, and of each line the number of the
// next to its page, less than theirs, + 2; 1 for one that is not used again, 0 for
// one that is not here.
func (p *belady) AppendState(b []byte) []byte {
	b = binary.AppendUvarint(b, p.now)
	for line, r := range p.ranks {
		switch next := uint64(^uint32(r.major)); {
		case !p.has(uint32(line)):
			b = append(b, 0)
		case next == uint64(never):
			b = append(b, 1)
		default:
			b = binary.AppendUvarint(b, next+2)
		}
	}
	return b
}

func (p *belady) ReadState(r *tape.Reader) {
	p.now = r.Uint()
	for line := range p.ranks {
		n := r.Below(uint64(never) + 2)
		if r.Err() != nil {
			return
		}
		switch n {
		case 0:
		case 1:
			p.add(uint32(line), rank{0, uint64(line)})
		default:
			p.add(uint32(line), rank{uint64(^uint32(n - 2)), uint64(line)})
		}
	}
}

// AppendState appends the lists, and the sketch.
func (p *wTinyLFU) AppendState(b []byte) []byte {
	for i, n := range p.counts {
		b = binary.AppendUvarint(b, uint64(n))
		s := p.entries + uint32(i)
		for e := p.nodes[s].next; e != s; e = p.nodes[e].next {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(e%p.ways)), p.page[e])
		}
	}
	b = binary.AppendUvarint(b, uint64(p.added))
	for _, w := range p.words {
		b = binary.AppendUvarint(b, w)
	}
	return b
}

func (p *wTinyLFU) ReadState(r *tape.Reader) {
	for i := range p.counts {
		set, kind := uint32(i)/p.kinds, uint32(i)%p.kinds
		for n := r.Below(uint64(p.ways) + 1); n > 0; n-- {
			line, page := set*p.ways+uint32(r.Below(uint64(p.ways))), r.Uint()
			if r.Err() == nil && p.has(line) {
				r.Fail("line %d is in a list twice", line)
			}
			if r.Err() != nil {
				return
			}
			p.page[line] = page
			p.pushBack(set, kind, line)
		}
	}
	p.added = uint32(r.Below(uint64(p.limit)))
	for i := range p.words {
		p.words[i] = r.Uint()
	}
}

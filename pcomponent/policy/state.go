package policy

import (
	"encoding/binary"

	"splitkernel/netlayer/tape"
)

// appendState appends the lists, from front to back: of each set the number of its lines, and their ways.
func (l *lists) appendState(b []byte) []byte {
	for s := range l.sets {
		e := l.sentinel(s)
		at, n := len(b), uint64(0)
		for line := l.nodes[e].next; line != e; line = l.nodes[line].next {
			n++
		}
		b = binary.AppendUvarint(b[:at], n)
		for line := l.nodes[e].next; line != e; line = l.nodes[line].next {
			b = binary.AppendUvarint(b, uint64(line-s*l.ways))
		}
	}
	return b
}

// readState fills lists that are empty.
func (l *lists) readState(r *tape.Reader) {
	for s := range l.sets {
		for n := r.Below(uint64(l.ways) + 1); n > 0; n-- {
			line := s*l.ways + uint32(r.Below(uint64(l.ways)))
			if r.Err() != nil {
				return
			}
			if l.has(line) {
				r.Fail("line %d is in its list twice", line)
				return
			}
			e := l.sentinel(s)
			last := l.nodes[e].prev
			l.nodes[line] = node{prev: last, next: e}
			l.nodes[last].next = line
			l.nodes[e].prev = line
		}
	}
}

// appendBits appends truths, eight a byte.
func appendBits(b []byte, v []bool) []byte {
	for len(v) > 0 {
		n, x := min(8, len(v)), byte(0)
		for i, set := range v[:n] {
			if set {
				x |= 1 << i
			}
		}
		b, v = append(b, x), v[n:]
	}
	return b
}

func readBits(r *tape.Reader, v []bool) {
	for len(v) > 0 {
		n, x := min(8, len(v)), r.Byte(0)
		if r.Err() != nil {
			return
		}
		if x>>n != 0 {
			r.Fail("bits %#x for %d lines", x, n)
			return
		}
		for i := range v[:n] {
			v[i] = x>>i&1 != 0
		}
		v = v[n:]
	}
}

func (p *fifo) AppendState(b []byte) []byte    { return p.appendState(b) }
func (p *fifo) ReadState(r *tape.Reader)       { p.readState(r) }
func (p *lruList) AppendState(b []byte) []byte { return p.appendState(b) }
func (p *lruList) ReadState(r *tape.Reader)    { p.readState(r) }

func (p *clock) AppendState(b []byte) []byte {
	return appendBits(p.appendState(b), p.referenced)
}

func (p *clock) ReadState(r *tape.Reader) {
	p.readState(r)
	readBits(r, p.referenced)
}

func (p *lruSweep) AppendState(b []byte) []byte {
	return binary.AppendUvarint(appendBits(p.appendState(b), p.referenced), uint64(p.left))
}

func (p *lruSweep) ReadState(r *tape.Reader) {
	p.readState(r)
	readBits(r, p.referenced)
	p.left = int(r.Below(uint64(p.every) + 1))
}

// AppendState appends the accesses so far, and of each line how many there were since its last, + 1; 0 for one that is not here.
func (p *lruCounters) AppendState(b []byte) []byte {
	b = binary.AppendUvarint(b, p.now)
	for _, u := range p.used {
		if u == 0 {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, p.now-u+1)
		}
	}
	return b
}

func (p *lruCounters) ReadState(r *tape.Reader) {
	p.now = r.Uint()
	for i := range p.used {
		switch age := r.Uint(); {
		case r.Err() != nil:
			return
		case age > p.now:
			r.Fail("line %d was used %d accesses ago, and there were %d", i, age-1, p.now)
			return
		case age > 0:
			p.used[i] = p.now - age + 1
		}
	}
}

// AppendState appends the lines that are here, the victim drawn last, and the generator.
func (p *random) AppendState(b []byte) []byte {
	for _, w := range p.present {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	b = binary.AppendUvarint(b, uint64(p.drawn+1)) // absent is the largest number
	state, err := p.source.MarshalBinary()
	if err != nil {
		panic(err) // a generator of this kind has no such case
	}
	return tape.AppendBytes(b, state)
}

func (p *random) ReadState(r *tape.Reader) {
	for i := range p.present {
		p.present[i] = uint64(r.Word()) | uint64(r.Word())<<32
	}
	if n := p.lines % 64; r.Err() == nil && n != 0 && p.present[len(p.present)-1]>>n != 0 {
		r.Fail("lines beyond the last of %d", p.lines)
	}
	p.drawn = uint32(r.Below(uint64(p.lines)+1)) - 1
	if state := r.Bytes(); r.Err() == nil {
		if err := p.source.UnmarshalBinary(state); err != nil {
			r.Fail("the generator of the policy: %v", err)
		}
	}
}

package policy

import (
	"encoding/binary"

	"splitkernel/netlayer/tape"
)

// AppendState appends, of each set, the stack from the top: of each entry its way
// twice, + 1 if it is LIR, or twice the number of ways for a ghost, and its page;
// then the two lists, by way and page, as a ghost is found by its page.
func (p *lirs) AppendState(b []byte) []byte {
	for set := range p.stack.sets {
		b = binary.AppendUvarint(b, uint64(p.stack.count(set, 0)))
		s := p.stack.entries + set
		for e := p.stack.nodes[s].next; e != s; e = p.stack.nodes[e].next {
			x := 2 * uint64(p.stack.ways)
			if e < p.stack.lines {
				if x = 2 * uint64(e%p.stack.ways); p.lir[e] {
					x++
				}
			}
			b = binary.AppendUvarint(binary.AppendUvarint(b, x), p.page[e])
		}
		b = p.appendList(b, set, lirsQueue)
		b = p.appendList(b, set, lirsGone)
	}
	return b
}

func (p *lirs) appendList(b []byte, set, kind uint32) []byte {
	i := p.queue.list(set, kind)
	b = binary.AppendUvarint(b, uint64(p.queue.counts[i]))
	s := p.queue.entries + i
	for e := p.queue.nodes[s].next; e != s; e = p.queue.nodes[e].next {
		if kind == lirsQueue {
			b = binary.AppendUvarint(b, uint64(e%p.queue.ways))
		}
		b = binary.AppendUvarint(b, p.page[e])
	}
	return b
}

func (p *lirs) ReadState(r *tape.Reader) {
	for set := range p.stack.sets {
		p.readStack(r, set)
		for n := r.Below(uint64(p.queue.ways) + 1); n > 0; n-- {
			e, page := set*p.queue.ways+uint32(r.Below(uint64(p.queue.ways))), r.Uint()
			if r.Err() == nil && (p.queue.has(e) || p.lir[e] || p.stack.has(e) && p.page[e] != page) {
				r.Fail("line %d is in the queue twice, or LIR, or has another page in the stack", e)
			}
			if r.Err() != nil {
				return
			}
			p.page[e] = page
			p.queue.pushBack(set, lirsQueue, e)
		}
		for n := r.Below(uint64(p.queue.entries) + 1); n > 0; n-- {
			e, ok := p.ghost(r.Uint())
			if r.Err() == nil && (!ok || p.queue.has(e)) {
				r.Fail("a page that left is in no stack, or left twice")
			}
			if r.Err() != nil {
				return
			}
			p.queue.pushBack(set, lirsGone, e)
		}
	}
}

func (p *lirs) readStack(r *tape.Reader, set uint32) {
	for n := r.Below(uint64(p.stack.entries) + 1); n > 0; n-- {
		x, page := uint32(r.Below(2*uint64(p.stack.ways)+1)), r.Uint()
		if r.Err() != nil {
			return
		}
		e := set*p.stack.ways + x/2
		if x/2 == p.stack.ways {
			if e = p.readGhost(r, page); r.Err() != nil {
				return
			}
		} else {
			if p.stack.has(e) {
				r.Fail("line %d is in the stack twice", e)
				return
			}
			p.page[e] = page
			if x%2 == 1 {
				p.lir[e] = true
				p.lirs[set]++
			}
		}
		p.stack.pushBack(set, 0, e)
	}
}

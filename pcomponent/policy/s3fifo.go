package policy

import "fmt"

// The lists of s3-fifo: the small queue, the main queue, and the ghosts of the
// small one.
const (
	s3Small uint32 = iota
	s3Main
	s3Ghost
	s3Kinds
)

// s3Most is where the count of hits of a line stops: two bits. s3Promote is the
// count with which a page leaves the small queue for the main one.
const (
	s3Most    = 3
	s3Promote = 2
)

// s3FIFO is three FIFO queues. New pages enter the small one, a tenth of the
// lines; at its end a page that was hit more than once moves to the main queue, the
// others leave and become ghosts, of which there are nine tenths as many as lines;
// a page that comes back as a ghost enters the main queue at once. At the end of
// the main queue a page that was hit begins anew with one hit less. The small queue
// gives the victim when it has its tenth, or more. A busy line is passed over
// and keeps its place.
//
// Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache
// eviction", SOSP 2023, section 4 and algorithm 1.
type s3FIFO struct {
	haunted
	hits  []uint8  // by line, 0..s3Most
	named []uint32 // by set: the last victim named, if nothing came or left since; else absent
	small uint32   // what the small queue of a set should hold
	most  uint32   // ghosts of a set
}

func newS3FIFO(sets, ways int, _ Options) (Policy, error) {
	p := &s3FIFO{hits: make([]uint8, sets*ways), named: make([]uint32, sets), small: uint32(max(ways/10, 1)), most: uint32(max(ways*9/10, 1))}
	p.haunted = makeHaunted(sets, ways, int(p.most)+1, int(s3Kinds))
	for set := range p.named {
		p.named[set] = absent
	}
	return p, nil
}

func (p *s3FIFO) Has(line uint32) bool { return p.has(line) }

func (p *s3FIFO) Touch(line uint32) {
	if p.hits[line] < s3Most {
		p.hits[line]++
	}
}

// Victim moves lines from queue to queue as it goes, so it keeps its answer until
// something comes or leaves.
func (p *s3FIFO) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	if line := p.named[set]; line != absent && !busy.Has(line) {
		return line, true
	}
	line, ok := uint32(0), false
	if p.count(set, s3Small) >= p.small || p.count(set, s3Main) == 0 {
		if line, ok = p.fromSmall(set, busy); !ok {
			line, ok = p.fromMain(set, busy)
		}
	} else if line, ok = p.fromMain(set, busy); !ok {
		line, ok = p.fromSmall(set, busy)
	}
	if p.named[set] = absent; ok {
		p.named[set] = line
	}
	return line, ok
}

// fromSmall is evictS: what was hit more than once goes to the main queue.
func (p *s3FIFO) fromSmall(set uint32, busy Busy) (uint32, bool) {
	for line := p.queues.back(set, s3Small); !p.end(line); {
		ahead := p.ahead(line)
		switch {
		case busy.Has(line):
		case p.hits[line] >= s3Promote:
			p.hits[line] = 0
			p.move(set, s3Main, line)
		default:
			return line, true
		}
		line = ahead
	}
	return 0, false
}

// fromMain is evictM. It ends: each round over the idle lines takes a hit from
// each.
func (p *s3FIFO) fromMain(set uint32, busy Busy) (uint32, bool) {
	for range s3Most + 1 {
		line := p.queues.back(set, s3Main)
		for range p.count(set, s3Main) {
			ahead := p.ahead(line)
			switch {
			case busy.Has(line):
			case p.hits[line] > 0:
				p.hits[line]--
				p.move(set, s3Main, line)
			default:
				return line, true
			}
			line = ahead
		}
	}
	return 0, false
}

// Evict remembers a page of the small queue, and none of the main one.
func (p *s3FIFO) Evict(line uint32) {
	set := p.set(line)
	p.named[set], p.hits[line] = absent, 0
	if p.is(line, s3Main) {
		p.lose(set, line)
		return
	}
	p.trim(set, s3Ghost, p.most)
	p.leave(set, s3Ghost, line)
}

func (p *s3FIFO) Remove(line uint32) {
	set := p.set(line)
	p.named[set], p.hits[line] = absent, 0
	p.lose(set, line)
}

func (p *s3FIFO) Insert(line uint32, page uint64) {
	set, to := p.set(line), s3Small
	p.named[set] = absent
	if g, ok := p.ghost(page); ok {
		p.exorcise(set, g)
		to = s3Main
	}
	p.hits[line] = 0
	p.enter(set, to, line, page)
	p.trim(set, s3Ghost, p.most)
}

func (p *s3FIFO) CheckInvariants() error {
	for line, n := range p.hits {
		if n > s3Most || n > 0 && !p.has(uint32(line)) {
			return fmt.Errorf("policy: line %d has %d hits, in a queue: %t", line, n, p.has(uint32(line)))
		}
	}
	for set, line := range p.named {
		if line != absent && (line >= p.lines || p.set(line) != uint32(set) || !p.has(line)) {
			return fmt.Errorf("policy: the named victim %d of set %d is not there", line, set)
		}
	}
	return p.checkKinds(s3Ghost)
}

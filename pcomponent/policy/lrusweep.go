package policy

import "fmt"

// lruSweep approximates LRU as LegoOS does, from reference bits that a sweep
// collects now and then, as a kernel must that sees misses but not hits.
//
// Exactly: each set is a list. A page enters at the front with its reference bit
// 0; a hit sets the bit and moves nothing; the victim is the idle line nearest
// to the back, whatever its bit. Every SweepEvery accesses (Touch and Insert
// count one each; the sweep follows the effect of the access that completes the
// number) each set, in order of its number, is walked from the back; the first
// line whose bit is set has it cleared and moves to the front; the bits of the
// other lines stay, and no set moves more than one line. Busy lines may be moved,
// for the sweep evicts nothing. A sweep costs at most one step per line.
//
// Source: the sweep thread of the LegoOS pcache (OSDI'18 and released source; at
// most one line per set per sweep, every 1000 ms). Two things differ: its clock
// is wall time, here accesses, so that a run can be repeated; and its sweep looks
// from the front for an *unreferenced* line, which it sends to the back, where
// this one rescues a *referenced* line from the back.
type lruSweep struct {
	lists
	referenced []bool // by line
	every      int    // accesses between sweeps
	left       int    // accesses until the next sweep, 1..every
}

func newLRUSweep(sets, ways int, o Options) (Policy, error) {
	if o.SweepEvery < 1 {
		return nil, fmt.Errorf("policy: lru-sweep with a sweep every %d accesses, want at least 1", o.SweepEvery)
	}
	return &lruSweep{
		lists:      makeLists(sets, ways),
		referenced: make([]bool, sets*ways),
		every:      o.SweepEvery,
		left:       o.SweepEvery,
	}, nil
}

func (p *lruSweep) Touch(line uint32) {
	p.referenced[line] = true
	p.count()
}

func (p *lruSweep) Insert(line uint32, _ uint64) {
	p.referenced[line] = false
	p.pushFront(line)
	p.count()
}

func (p *lruSweep) Remove(line uint32) {
	p.referenced[line] = false
	p.remove(line)
}

func (p *lruSweep) Evict(line uint32) { p.Remove(line) }

func (p *lruSweep) Has(line uint32) bool { return p.has(line) }

func (p *lruSweep) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	return p.lastIdle(set, busy)
}

func (p *lruSweep) count() {
	if p.left--; p.left == 0 {
		p.left = p.every
		p.sweep()
	}
}

func (p *lruSweep) sweep() {
	for set := range p.sets {
		for line := p.back(set); !p.end(line); line = p.nodes[line].prev {
			if p.referenced[line] {
				p.referenced[line] = false
				p.moveFront(line)
				break
			}
		}
	}
}

func (p *lruSweep) CheckInvariants() error {
	for line, r := range p.referenced {
		if r && !p.has(uint32(line)) {
			return fmt.Errorf("policy: line %d is referenced and not in its list", line)
		}
	}
	if p.left < 1 || p.left > p.every {
		return fmt.Errorf("policy: %d accesses left until a sweep, want 1..%d", p.left, p.every)
	}
	return p.check()
}

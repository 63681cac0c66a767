package policy

import "fmt"

// sieve keeps the lines of a set in the order in which their pages entered, with
// a bit each that a hit sets, and a hand that goes from the oldest to the newest
// and round again: a line whose bit is set has it cleared and stays where it is,
// the first whose bit is not set is the victim, and the hand stops at the line in
// front of it. Unlike clock a survivor does not move, so that new pages are tested
// soon. A busy line is passed over and keeps its bit.
//
// Source: Zhang, Yang, Yue, Vigfusson, Rashmi, "SIEVE is simpler than LRU: an
// efficient turn-key eviction algorithm for web caches", NSDI 2024, section 3.1
// and algorithm 1.
type sieve struct {
	lists
	visited []bool   // by line
	hand    []uint32 // by set: the line to look at first; absent = the back
}

func newSieve(sets, ways int, _ Options) (Policy, error) {
	p := &sieve{lists: makeLists(sets, ways), visited: make([]bool, sets*ways), hand: make([]uint32, sets)}
	for i := range p.hand {
		p.hand[i] = absent
	}
	return p, nil
}

func (p *sieve) Touch(line uint32) { p.visited[line] = true }

func (p *sieve) Insert(line uint32, _ uint64) {
	p.visited[line] = false
	p.pushFront(line)
}

func (p *sieve) Evict(line uint32) { p.Remove(line) }

// Remove moves the hand on if it points to the line that leaves.
func (p *sieve) Remove(line uint32) {
	set := line / p.ways
	p.visited[line] = false
	if p.hand[set] == line {
		if p.hand[set] = p.nodes[line].prev; p.end(p.hand[set]) {
			p.hand[set] = absent
		}
	}
	p.remove(line)
}

func (p *sieve) Has(line uint32) bool { return p.has(line) }

// Victim ends: in one round it clears the bit of every idle line. Asked twice it
// answers the same, because the hand rests on the victim, whose bit is clear.
func (p *sieve) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	line := p.hand[set]
	if line == absent {
		line = p.back(set)
	}
	for range 2*p.ways + 2 {
		switch {
		case p.end(line):
			if line = p.back(set); p.end(line) {
				return 0, false
			}
			continue
		case busy.Has(line):
		case p.visited[line]:
			p.visited[line] = false
		default:
			p.hand[set] = line
			return line, true
		}
		line = p.nodes[line].prev
	}
	return 0, false // every line is busy
}

func (p *sieve) CheckInvariants() error {
	for line, v := range p.visited {
		if v && !p.has(uint32(line)) {
			return fmt.Errorf("policy: line %d is visited and not in its list", line)
		}
	}
	for set, line := range p.hand {
		if line != absent && (line >= p.lines || line/p.ways != uint32(set) || !p.has(line)) {
			return fmt.Errorf("policy: the hand of set %d is at line %d, which is not in its list", set, line)
		}
	}
	return p.check()
}

package policy

import "fmt"

// clock is FIFO with a second chance: one reference bit per line, 0 when the
// page enters, set by a hit. The line at the back is the victim if its bit is 0;
// otherwise the bit is cleared and the line goes to the front, as if it had just
// entered. A busy line is passed over and keeps its place and its bit.
//
// Source: Corbató, "A paging experiment with the Multics system", MIT Project
// MAC report MAC-M-384, 1968; in the queue form, where the hand's position is
// the back of the queue.
type clock struct {
	lists
	referenced []bool // by line
}

func newClock(sets, ways int, _ Options) (Policy, error) {
	return &clock{lists: makeLists(sets, ways), referenced: make([]bool, sets*ways)}, nil
}

func (p *clock) Touch(line uint32) { p.referenced[line] = true }

func (p *clock) Insert(line uint32, _ uint64) {
	p.referenced[line] = false
	p.pushFront(line)
}

func (p *clock) Remove(line uint32) {
	p.referenced[line] = false
	p.remove(line)
}

func (p *clock) Evict(line uint32) { p.Remove(line) }

func (p *clock) Has(line uint32) bool { return p.has(line) }

// Victim ends: each step either passes a busy line or clears a bit, and a line
// whose bit was cleared is met again, now without it. Asked twice it answers the
// same, because the first answer stays the last idle line and has no bit.
func (p *clock) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	line := p.back(set)
	for !p.end(line) {
		ahead := p.nodes[line].prev
		switch {
		case busy.Has(line):
		case p.referenced[line]:
			p.referenced[line] = false
			p.moveFront(line)
			if p.end(ahead) {
				ahead = line // it was the front and stays there
			}
		default:
			return line, true
		}
		line = ahead
	}
	return 0, false
}

func (p *clock) CheckInvariants() error {
	for line, r := range p.referenced {
		if r && !p.has(uint32(line)) {
			return fmt.Errorf("policy: line %d is referenced and not in its list", line)
		}
	}
	return p.check()
}

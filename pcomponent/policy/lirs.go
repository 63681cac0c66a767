package policy

import "fmt"

// The lists of lirs beside the stack: the resident HIR pages, and the ghosts in the
// order in which they left.
const (
	lirsQueue uint32 = iota
	lirsGone
	lirsKinds
)

// lirsStack is how many pages the stack has at most for each line: those that it
// must have, and ghosts. The paper sets no bound, and the stack of a long run would
// grow with its footprint; the oldest ghost ends first.
const lirsStack = 2

// lirs ranks pages by the distance between their last two uses. Those with a short
// one (LIR) have nearly all lines and leave only when another proves shorter; the
// others (HIR) share a hundredth of the lines, at least one, in a FIFO queue. A
// stack holds pages by last use, down to the LIR page used longest ago, among them
// HIR pages that have left, as ghosts: a HIR page found in the stack when it is
// used was used again sooner than that LIR page, and they change places. A busy
// line is passed over; when all HIR lines are busy the LIR page at the bottom
// leaves.
//
// Source: Jiang, Zhang, "LIRS: an efficient low inter-reference recency set
// replacement policy to improve buffer cache performance", SIGMETRICS 2002, section
// 3.3; HIR share 1 %, section 4.2.
type lirs struct {
	ghosts
	stack queues   // one list a set: lines and ghosts, the last used in front
	queue queues   // lists lirsQueue and lirsGone
	lir   []bool   // by line
	lirs  []uint32 // by set: its LIR lines
	most  uint32   // LIR lines of a set
}

func newLIRS(sets, ways int, _ Options) (Policy, error) {
	p := &lirs{lir: make([]bool, sets*ways), lirs: make([]uint32, sets)}
	p.most = uint32(ways - max(ways/100, 1))
	n := sets * (lirsStack*ways + 1)
	p.ghosts = makeGhosts(sets*ways, n)
	p.stack, p.queue = makeQueues(sets, ways, n, 1), makeQueues(sets, ways, n, int(lirsKinds))
	return p, nil
}

func (p *lirs) Has(line uint32) bool { return p.lir[line] || p.queue.has(line) }

func (p *lirs) Touch(line uint32) {
	set := p.stack.set(line)
	switch {
	case p.lir[line]:
		p.stack.move(set, 0, line)
		p.prune(set)
	case p.stack.has(line):
		p.queue.drop(set, line)
		p.promote(set, line)
	case p.lirs[set] < p.most: // LIR lines were removed
		p.queue.drop(set, line)
		p.promote(set, line)
	default:
		p.stack.pushFront(set, 0, line)
		p.queue.move(set, lirsQueue, line)
		p.prune(set)
	}
}

// promote makes a line LIR, at the top of the stack; if that is one too many the
// LIR page at the bottom becomes HIR.
func (p *lirs) promote(set, line uint32) {
	p.lir[line] = true
	if p.lirs[set]++; p.stack.has(line) {
		p.stack.drop(set, line)
	}
	p.stack.pushFront(set, 0, line)
	p.prune(set)
	if p.lirs[set] > p.most {
		bottom := p.stack.back(set, 0) // LIR, since the stack was pruned
		p.stack.drop(set, bottom)
		p.lir[bottom] = false
		p.lirs[set]--
		p.queue.pushFront(set, lirsQueue, bottom)
		p.prune(set)
	}
}

// prune takes from the bottom of the stack what lies below the last LIR page.
func (p *lirs) prune(set uint32) {
	for {
		e := p.stack.back(set, 0)
		switch {
		case p.stack.end(e) || e < p.stack.lines && p.lir[e]:
			return
		case e < p.stack.lines:
			p.stack.drop(set, e)
		default:
			p.end(set, e)
		}
	}
}

// end ends a ghost.
func (p *lirs) end(set, ghost uint32) {
	p.stack.drop(set, ghost)
	p.queue.drop(set, ghost)
	p.forget(ghost)
}

func (p *lirs) Insert(line uint32, page uint64) {
	if p.Has(line) {
		panic(fmt.Sprintf("policy: line %d inserted twice", line))
	}
	set := p.stack.set(line)
	g, back := p.ghost(page)
	if back {
		p.end(set, g)
	}
	p.page[line] = page
	if p.most > 0 && (back || p.lirs[set] < p.most) {
		p.promote(set, line)
	} else {
		p.stack.pushFront(set, 0, line)
		p.queue.pushFront(set, lirsQueue, line)
		p.prune(set)
	}
	for p.stack.count(set, 0) > lirsStack*p.stack.ways && p.queue.count(set, lirsGone) > 0 {
		p.end(set, p.queue.back(set, lirsGone))
	}
}

func (p *lirs) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	if line, ok := p.queue.lastIdle(set, lirsQueue, busy); ok {
		return line, true
	}
	for e := p.stack.back(set, 0); !p.stack.end(e); e = p.stack.ahead(e) {
		if e < p.stack.lines && p.lir[e] && !busy.Has(e) {
			return e, true
		}
	}
	return 0, false
}

// Evict leaves a ghost in the place of a HIR page that is in the stack.
func (p *lirs) Evict(line uint32) {
	if p.lir[line] || !p.stack.has(line) {
		p.Remove(line)
		return
	}
	set := p.stack.set(line)
	if n := p.queue.count(set, lirsGone); n > lirsStack*p.stack.ways { // only if no page came after many
		p.end(set, p.queue.back(set, lirsGone))
	}
	g := p.haunt(p.page[line])
	p.stack.replace(line, g)
	p.queue.drop(set, line)
	p.queue.pushFront(set, lirsGone, g)
	p.page[line] = 0
}

func (p *lirs) Remove(line uint32) {
	set := p.stack.set(line)
	if p.lir[line] {
		p.lir[line] = false
		p.lirs[set]--
	} else {
		p.queue.drop(set, line)
	}
	if p.stack.has(line) {
		p.stack.drop(set, line)
		p.prune(set)
	}
	p.page[line] = 0
}

func (p *lirs) CheckInvariants() error {
	for _, err := range []error{p.stack.check(), p.queue.check(), p.ghosts.check(p.stack.has)} {
		if err != nil {
			return err
		}
	}
	n := make([]uint32, len(p.lirs))
	for line, l := range p.lir {
		if e := uint32(line); l {
			n[p.stack.set(e)]++
			if !p.stack.has(e) || p.queue.has(e) {
				return fmt.Errorf("policy: line %d is LIR, in the stack: %t, in the queue: %t", line, p.stack.has(e), p.queue.has(e))
			}
		} else if p.stack.has(e) && !p.queue.is(e, lirsQueue) {
			return fmt.Errorf("policy: line %d is in the stack and neither LIR nor in the queue", line)
		}
	}
	for e := p.first; e < p.stack.entries; e++ {
		if p.stack.has(e) != p.queue.is(e, lirsGone) {
			return fmt.Errorf("policy: ghost %d in the stack: %t", e, p.stack.has(e))
		}
	}
	for set, want := range p.lirs {
		if n[set] != want || want > p.most {
			return fmt.Errorf("policy: set %d has %d LIR lines, counted %d, at most %d", set, n[set], want, p.most)
		}
		if e := p.stack.back(uint32(set), 0); !p.stack.end(e) && (e >= p.stack.lines || !p.lir[e]) && p.most > 0 {
			return fmt.Errorf("policy: the bottom of the stack of set %d is entry %d, which is not LIR", set, e)
		}
	}
	return nil
}

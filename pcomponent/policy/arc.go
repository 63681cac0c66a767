package policy

import (
	"fmt"
	"math"
)

// The lists of arc: pages seen once and more than once lately, and the ghosts of
// each.
const (
	arcT1 uint32 = iota
	arcT2
	arcB1
	arcB2
	arcKinds
)

// arc keeps pages that were seen once lately (T1) apart from those that were seen
// again (T2), remembers what left each (B1, B2), and moves the share of T1 towards
// what returns: a page that comes back from B1 says that T1 was too small, one from
// B2 that it was too large. No parameter. Ghosts: as many as lines.
//
// Source: Megiddo, Modha, "ARC: a self-tuning, low overhead replacement cache",
// FAST 2003, figure 4. Two things are done later than there, with the same result:
// the ghosts that case IV drops go after the new page has come, and the target
// that cases II and III move is only kept then, because Victim may be asked twice.
type arc struct {
	haunted
	target  []float64 // by set: the length that T1 should have, 0..ways; p in the paper
	next    float64   // what Victim moved the target to
	decided bool      // Evict came after Victim: next holds for the page that comes
}

func newARC(sets, ways int, _ Options) (Policy, error) {
	return &arc{haunted: makeHaunted(sets, ways, ways+1, int(arcKinds)), target: make([]float64, sets)}, nil
}

func (p *arc) Has(line uint32) bool { return p.has(line) }

func (p *arc) Touch(line uint32) { p.move(p.set(line), arcT2, line) }

// adapted is the target after the return of a page, if it is a ghost: cases II and
// III.
func (p *arc) adapted(set uint32, page uint64) (target float64, from uint32, ok bool) {
	target = p.target[set]
	g, ok := p.ghost(page)
	if !ok {
		return target, 0, false
	}
	b1, b2 := float64(p.count(set, arcB1)), float64(p.count(set, arcB2))
	if p.is(g, arcB1) {
		return min(target+max(b2/b1, 1), float64(p.ways)), arcB1, true
	}
	return max(target-max(b1/b2, 1), 0), arcB2, true
}

// Victim is REPLACE of the paper. A busy line is passed over, and if a list has
// only such lines the other gives the victim.
func (p *arc) Victim(set uint32, page uint64, busy Busy) (uint32, bool) {
	target, from, ghost := p.adapted(set, page)
	p.next = target
	first, second := arcT2, arcT1
	t1 := float64(p.count(set, arcT1))
	if t1 > target || t1 > 0 && ghost && from == arcB2 && t1 == target {
		first, second = arcT1, arcT2
	}
	if line, ok := p.lastIdle(set, first, busy); ok {
		return line, true
	}
	return p.lastIdle(set, second, busy)
}

func (p *arc) Evict(line uint32) {
	set, to := p.set(line), arcB1
	if p.is(line, arcT2) {
		to = arcB2
	}
	if p.count(set, arcB1)+p.count(set, arcB2) > p.ways { // only if no page came after the last
		p.trimOne(set)
	}
	p.leave(set, to, line)
	p.decided = true
}

func (p *arc) Remove(line uint32) { p.lose(p.set(line), line) }

func (p *arc) Insert(line uint32, page uint64) {
	set, to := p.set(line), arcT1
	if g, ok := p.ghost(page); ok {
		if !p.decided {
			p.next, _, _ = p.adapted(set, page)
		}
		p.target[set] = p.next
		p.exorcise(set, g)
		to = arcT2
	}
	p.decided = false
	p.enter(set, to, line, page)
	// Case IV: T1 and B1 together are at most as many as lines, and all four twice
	// as many; and if lines were removed, the ghosts are at most as many as lines.
	if t1 := p.count(set, arcT1); t1+p.count(set, arcB1) > p.ways {
		p.trim(set, arcB1, p.ways-t1)
	}
	for p.count(set, arcB1)+p.count(set, arcB2) > p.ways {
		p.trimOne(set)
	}
}

// trimOne ends the oldest ghost of B2, or of B1 if B2 has none.
func (p *arc) trimOne(set uint32) {
	if n := p.count(set, arcB2); n > 0 {
		p.trim(set, arcB2, n-1)
		return
	}
	p.trim(set, arcB1, p.count(set, arcB1)-1)
}

func (p *arc) CheckInvariants() error {
	for set, t := range p.target {
		s := uint32(set)
		if !(t >= 0 && t <= float64(p.ways)) || math.Signbit(t) {
			return fmt.Errorf("policy: the target of set %d is %v, want 0..%d", set, t, p.ways)
		}
		if b1, b2 := p.count(s, arcB1), p.count(s, arcB2); b1+b2 > p.ways+1 {
			return fmt.Errorf("policy: set %d has %d and %d ghosts, want at most %d", set, b1, b2, p.ways+1)
		}
	}
	return p.checkKinds(arcB1)
}

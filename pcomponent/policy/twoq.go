package policy

// The lists of 2q: pages that are new, pages that came back, and the ghosts of
// the new ones.
const (
	twoqIn uint32 = iota
	twoqMain
	twoqOut
	twoqKinds
)

// twoQ lets a new page wait in a FIFO (A1in); one that is asked for again soon
// after it left that queue, while it is among its ghosts (A1out), goes to the main
// queue (Am), which is LRU. A hit in A1in changes nothing, so that a burst of
// references to one page counts as one. A1in should have a quarter of the lines,
// A1out remembers half as many pages as there are lines.
//
// Source: Johnson, Shasha, "2Q: a low overhead high performance buffer management
// replacement algorithm", VLDB 1994, section 2.3, "full version", Kin 25 %, Kout
// 50 %.
type twoQ struct {
	haunted
	in, out uint32 // Kin and Kout, in pages of a set
}

func newTwoQ(sets, ways int, _ Options) (Policy, error) {
	p := &twoQ{in: uint32(max(ways/4, 1)), out: uint32(max(ways/2, 1))}
	p.haunted = makeHaunted(sets, ways, int(p.out)+1, int(twoqKinds))
	return p, nil
}

func (p *twoQ) Has(line uint32) bool { return p.has(line) }

func (p *twoQ) Touch(line uint32) {
	if p.is(line, twoqMain) {
		p.move(p.set(line), twoqMain, line)
	}
}

// Victim is reclaimfor of the paper. A busy line is passed over, and if a queue
// has only such lines the other gives the victim.
func (p *twoQ) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	first, second := twoqMain, twoqIn
	if p.count(set, twoqIn) > p.in {
		first, second = twoqIn, twoqMain
	}
	if line, ok := p.lastIdle(set, first, busy); ok {
		return line, true
	}
	return p.lastIdle(set, second, busy)
}

// Evict remembers a page of A1in, and none of Am. The oldest ghost ends only when
// the new page has come, which may be that one.
func (p *twoQ) Evict(line uint32) {
	set := p.set(line)
	if p.is(line, twoqMain) {
		p.lose(set, line)
		return
	}
	p.trim(set, twoqOut, p.out)
	p.leave(set, twoqOut, line)
}

func (p *twoQ) Remove(line uint32) { p.lose(p.set(line), line) }

func (p *twoQ) Insert(line uint32, page uint64) {
	set, to := p.set(line), twoqIn
	if g, ok := p.ghost(page); ok {
		p.exorcise(set, g)
		to = twoqMain
	}
	p.enter(set, to, line, page)
	p.trim(set, twoqOut, p.out)
}

func (p *twoQ) CheckInvariants() error { return p.checkKinds(twoqOut) }

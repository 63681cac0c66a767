package policy

import "fmt"

// The lists of w-tinylfu.
const (
	tinyWindow uint32 = iota
	tinyProbation
	tinyProtected
	tinyKinds
)

// wTinyLFU lets a new page into a small LRU window, a hundredth of the lines and
// at least one. The page that the window pushes out must be more popular than the
// victim of the main part, by a sketch of how often each was used lately, or it
// leaves instead. The main part is a segmented LRU: a page is on probation until it
// is hit, then protected; the protected are at most four fifths. A busy line is
// passed over.
//
// Source: Einziger, Friedman, Manes, "TinyLFU: a highly efficient cache admission
// policy", ACM Transactions on Storage 13(4), 2017, section 4 (W-TinyLFU, window
// 1 %) and section 3 (sketch, without its doorkeeper). What the window does not
// have of its hundredth stays there when the cache is not full.
type wTinyLFU struct {
	queues
	sketch
	page      []uint64 // by line
	window    uint32   // lines of the window of a set
	protected uint32   // lines of a set that may be protected
}

func newWTinyLFU(sets, ways int, _ Options) (Policy, error) {
	window := max(ways/100, 1)
	return &wTinyLFU{
		queues:    makeQueues(sets, ways, 0, int(tinyKinds)),
		sketch:    makeSketch(sets * ways),
		page:      make([]uint64, sets*ways),
		window:    uint32(window),
		protected: uint32((ways - window) * 4 / 5),
	}, nil
}

func (p *wTinyLFU) Has(line uint32) bool { return p.has(line) }

func (p *wTinyLFU) Touch(line uint32) {
	set := p.set(line)
	p.sketch.add(p.page[line])
	if p.is(line, tinyWindow) {
		p.move(set, tinyWindow, line)
		return
	}
	p.move(set, tinyProtected, line)
	if p.count(set, tinyProtected) > p.protected {
		p.move(set, tinyProbation, p.back(set, tinyProtected))
	}
}

// Insert lets a page into the window; what that pushes out has either won against
// the victim that has just left, or there was room.
func (p *wTinyLFU) Insert(line uint32, page uint64) {
	set := p.set(line)
	p.pushFront(set, tinyWindow, line)
	p.page[line] = page
	p.sketch.add(page)
	if p.count(set, tinyWindow) > p.window {
		p.move(set, tinyProbation, p.back(set, tinyWindow))
	}
}

// Victim lets the page that the window would push out compete with the one that
// the main part would give up. At a draw the one that is in the main part stays.
func (p *wTinyLFU) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	main, ok := p.lastIdle(set, tinyProbation, busy)
	if !ok {
		main, ok = p.lastIdle(set, tinyProtected, busy)
	}
	window, okWindow := p.lastIdle(set, tinyWindow, busy)
	switch {
	case !okWindow:
		return main, ok
	case !ok:
		return window, true
	case p.count(set, tinyWindow) < p.window:
		return main, true
	case p.estimate(p.page[window]) > p.estimate(p.page[main]):
		return main, true
	}
	return window, true
}

func (p *wTinyLFU) Evict(line uint32) { p.Remove(line) }

func (p *wTinyLFU) Remove(line uint32) {
	p.drop(p.set(line), line)
	p.page[line] = 0
}

func (p *wTinyLFU) CheckInvariants() error {
	if p.added >= p.limit {
		return fmt.Errorf("policy: %d accesses since the counters were halved, want less than %d", p.added, p.limit)
	}
	for set := range p.sets {
		if w, m := p.count(set, tinyWindow), p.count(set, tinyProtected); w > p.window || m > p.protected {
			return fmt.Errorf("policy: set %d has %d lines in the window and %d protected, want at most %d and %d", set, w, m, p.window, p.protected)
		}
	}
	return p.check()
}

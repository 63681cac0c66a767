package policy

// mru evicts the line of the set that was used last: best for a loop over more
// pages than there are lines, of which it keeps a fixed part, and bad for nearly
// everything else.
//
// Source: Chou, DeWitt, "An evaluation of buffer management strategies for
// relational database systems", VLDB 1985, section 2.2 (MRU for looping scans).
type mru struct{ lists }

func newMRU(sets, ways int, _ Options) (Policy, error) { return &mru{makeLists(sets, ways)}, nil }

func (p *mru) Touch(line uint32)            { p.moveFront(line) }
func (p *mru) Insert(line uint32, _ uint64) { p.pushFront(line) }
func (p *mru) Remove(line uint32)           { p.remove(line) }
func (p *mru) Evict(line uint32)            { p.remove(line) }
func (p *mru) Has(line uint32) bool         { return p.has(line) }
func (p *mru) CheckInvariants() error       { return p.check() }

func (p *mru) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	line := p.nodes[p.sentinel(set)].next
	for !p.end(line) && busy.Has(line) {
		line = p.nodes[line].next
	}
	if p.end(line) {
		return 0, false
	}
	return line, true
}

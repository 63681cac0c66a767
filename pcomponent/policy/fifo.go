package policy

// fifo evicts the line of the set whose page entered first; hits change nothing.
// A busy line is passed over and keeps its place.
//
// Source: Belady, "A study of replacement algorithms for a virtual-storage
// computer", IBM Systems Journal 5(2), 1966, section "FIFO". In LegoOS "FIFO" is
// the shipped default: its LRU list with the sweep thread off.
type fifo struct{ lists }

func newFIFO(sets, ways int, _ Options) (Policy, error) {
	return &fifo{makeLists(sets, ways)}, nil
}

func (p *fifo) Touch(uint32)                 {}
func (p *fifo) Insert(line uint32, _ uint64) { p.pushFront(line) }
func (p *fifo) Remove(line uint32)           { p.remove(line) }
func (p *fifo) Evict(line uint32)            { p.Remove(line) }
func (p *fifo) Has(line uint32) bool         { return p.has(line) }
func (p *fifo) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	return p.lastIdle(set, busy)
}
func (p *fifo) CheckInvariants() error { return p.check() }

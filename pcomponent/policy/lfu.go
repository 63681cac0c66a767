package policy

import "fmt"

// lfu evicts the line that was used least often since its page came; among those
// used equally often, the one whose last use is oldest. With LFUAgeEvery the counts
// of all lines are halved after every so many accesses (Touch and Insert count one
// each, and the halving follows the effect of the access that completes the
// number), so that what was popular long ago leaves in the end; one of 1 becomes 0.
//
// Source: Coffman, Denning, "Operating systems theory", Prentice-Hall 1973, section
// 6.2 (LFU); the ageing is "LFU-Aging with halved counts" of Robinson, Devarakonda,
// "Data cache management using frequency-based replacement", SIGMETRICS 1990,
// section 2, by time and not by the mean count.
type lfu struct {
	heaps
	now   uint64 // accesses so far
	every uint64 // accesses between two halvings; 0 = none
}

func newLFU(sets, ways int, o Options) (Policy, error) {
	if o.LFUAgeEvery < 0 {
		return nil, fmt.Errorf("policy: lfu that halves its counts every %d accesses, want at least 1, or 0 for never", o.LFUAgeEvery)
	}
	return &lfu{heaps: makeHeaps(sets, ways), every: uint64(o.LFUAgeEvery)}, nil
}

func (p *lfu) Touch(line uint32) {
	p.now++
	p.change(line, rank{p.ranks[line].major + 1, p.now})
	p.age()
}

func (p *lfu) Insert(line uint32, _ uint64) {
	p.now++
	p.add(line, rank{1, p.now})
	p.age()
}

func (p *lfu) age() {
	if p.every == 0 || p.now%p.every != 0 {
		return
	}
	for line := range p.ranks {
		p.ranks[line].major /= 2
	}
	p.build()
}

func (p *lfu) Evict(line uint32)    { p.remove(line) }
func (p *lfu) Remove(line uint32)   { p.remove(line) }
func (p *lfu) Has(line uint32) bool { return p.has(line) }

func (p *lfu) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) { return p.least(set, busy) }

func (p *lfu) CheckInvariants() error {
	for line, r := range p.ranks {
		if p.has(uint32(line)) && (r.minor == 0 || r.minor > p.now || r.major > p.now) {
			return fmt.Errorf("policy: line %d was used %d times, the last time at %d, after %d accesses", line, r.major, r.minor, p.now)
		}
	}
	return p.check()
}

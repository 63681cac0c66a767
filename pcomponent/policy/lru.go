package policy

import "fmt"

// maxScanWays is the associativity up to which lru keeps a use counter per line
// and scans the set at an eviction. Below it a hit is one store, and the scan of
// at most 1 KiB is cheaper than keeping a list in order at every hit; above it
// the scan would cost more than the miss.
const maxScanWays = 128

// newLRU makes the least-recently-used policy: the victim is the line of the set
// whose last access lies farthest back. Both forms below give the same victims.
//
// Source: Mattson, Gecsei, Slutz, Traiger, "Evaluation techniques for storage
// hierarchies", IBM Systems Journal 9(2), 1970, section "LRU".
func newLRU(sets, ways int, _ Options) (Policy, error) {
	if ways <= maxScanWays {
		return &lruCounters{used: make([]uint64, sets*ways), ways: uint32(ways)}, nil
	}
	return &lruList{makeLists(sets, ways)}, nil
}

// lruList keeps each set ordered by last access; a hit moves a line to the front.
type lruList struct{ lists }

func (p *lruList) Touch(line uint32)            { p.moveFront(line) }
func (p *lruList) Insert(line uint32, _ uint64) { p.pushFront(line) }
func (p *lruList) Remove(line uint32)           { p.remove(line) }
func (p *lruList) Evict(line uint32)            { p.Remove(line) }

func (p *lruList) Has(line uint32) bool { return p.has(line) }
func (p *lruList) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	return p.lastIdle(set, busy)
}
func (p *lruList) CheckInvariants() error { return p.check() }

// lruCounters keeps the number of the last access of each line. The counter has
// 64 bits and so never wraps.
type lruCounters struct {
	used []uint64 // by line: number of its last access; 0 = not in the policy
	now  uint64   // accesses so far
	ways uint32
}

func (p *lruCounters) Touch(line uint32) {
	p.now++
	p.used[line] = p.now
}

func (p *lruCounters) Insert(line uint32, _ uint64) {
	if p.used[line] != 0 {
		panic(fmt.Sprintf("policy: line %d inserted twice", line))
	}
	p.Touch(line)
}

func (p *lruCounters) Remove(line uint32) {
	if p.used[line] == 0 {
		panic(fmt.Sprintf("policy: line %d removed, but it is not there", line))
	}
	p.used[line] = 0
}

func (p *lruCounters) Evict(line uint32) { p.Remove(line) }

func (p *lruCounters) Has(line uint32) bool { return p.used[line] != 0 }

func (p *lruCounters) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	first := set * p.ways
	// Zero, a line that is not there, becomes the largest number by the
	// subtraction and so loses without a branch of its own.
	best, least := uint32(0), ^uint64(0)
	for i, u := range p.used[first : first+p.ways] {
		if u-1 < least && !busy.Has(first+uint32(i)) {
			best, least = first+uint32(i), u-1
		}
	}
	return best, least != ^uint64(0)
}

func (p *lruCounters) CheckInvariants() error {
	seen := make(map[uint64]int, len(p.used))
	for line, u := range p.used {
		if u == 0 {
			continue
		}
		if u > p.now {
			return fmt.Errorf("policy: line %d was used at %d, after the last access %d", line, u, p.now)
		}
		if other, dup := seen[u]; dup {
			return fmt.Errorf("policy: lines %d and %d were both used at %d", other, line, u)
		}
		seen[u] = line
	}
	return nil
}

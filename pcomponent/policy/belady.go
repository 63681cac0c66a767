package policy

import (
	"errors"
	"fmt"
)

// belady evicts the line whose page is used again last, which needs the references
// of the future and makes the fewest misses that any policy can make that admits
// every page. Touch and Insert must be called once for each reference of the
// Future, in its order: so there is one thread, and no prefetching. Among pages
// that are not used again the line with the least number leaves.
//
// Source: Belady, "A study of replacement algorithms for a virtual-storage
// computer", IBM Systems Journal 5(2), 1966, section "MIN".
type belady struct {
	heaps  // by the reference that is next, the latest first
	future *Future
	now    uint64 // references so far
}

// ErrNoFuture is what New gives for belady without a future.
var ErrNoFuture = errors.New("belady needs all references beforehand: only the replay of a trace, or a study of one, can give them")

func newBelady(sets, ways int, o Options) (Policy, error) {
	if o.Future == nil {
		return nil, fmt.Errorf("policy: %w", ErrNoFuture)
	}
	return &belady{heaps: makeHeaps(sets, ways), future: o.Future}, nil
}

// refer counts a reference and ranks its line.
func (p *belady) refer(line uint32) rank {
	next := p.future.after(p.now)
	p.now++
	return rank{uint64(^next), uint64(line)}
}

func (p *belady) Touch(line uint32)                                     { p.change(line, p.refer(line)) }
func (p *belady) Insert(line uint32, _ uint64)                          { p.add(line, p.refer(line)) }
func (p *belady) Evict(line uint32)                                     { p.remove(line) }
func (p *belady) Remove(line uint32)                                    { p.remove(line) }
func (p *belady) Has(line uint32) bool                                  { return p.has(line) }
func (p *belady) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) { return p.least(set, busy) }

func (p *belady) CheckInvariants() error {
	for line, r := range p.ranks {
		if p.has(uint32(line)) && (r.major > uint64(never) || r.minor != uint64(line)) {
			return fmt.Errorf("policy: line %d has rank %d, %d", line, r.major, r.minor)
		}
	}
	return p.check()
}

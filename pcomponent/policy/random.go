package policy

import (
	"fmt"
	"math/rand/v2"
)

// randomDraws bounds the draws of one victim. Only when so many lines in a row
// are busy or empty does the policy walk on from the last draw instead.
const randomDraws = 16

// randomStream is the second half of the generator's seed. It only separates
// this use of a run's seed from others.
const randomStream = 0x65786361636865 // "excache"

// random evicts a line drawn uniformly from the set by a generator with the seed
// of the options, so that a run can be repeated. Lines that are busy or empty are
// drawn again, at most randomDraws times; then the next idle line of the set,
// cyclically from the last draw, is taken.
//
// Source: Belady, "A study of replacement algorithms for a virtual-storage
// computer", IBM Systems Journal 5(2), 1966, section "RAND". Generator: PCG-DXSM,
// O'Neill, "PCG: A family of simple fast space-efficient statistically good
// algorithms for random number generation", HMC-CS-2014-0905.
type random struct {
	present Busy      // one bit per line in the policy
	source  *rand.PCG // of rng
	rng     *rand.Rand
	ways    uint32
	lines   uint32
	drawn   uint32 // the last victim named, if it is still here; else absent
}

func newRandom(sets, ways int, o Options) (Policy, error) {
	lines := sets * ways
	source := rand.NewPCG(o.Seed, randomStream)
	return &random{
		present: make(Busy, (lines+63)/64),
		source:  source,
		rng:     rand.New(source),
		ways:    uint32(ways),
		lines:   uint32(lines),
		drawn:   absent,
	}, nil
}

func (p *random) Touch(uint32) {}

func (p *random) Insert(line uint32, _ uint64) {
	if p.present.Has(line) {
		panic(fmt.Sprintf("policy: line %d inserted twice", line))
	}
	p.present.Set(line)
}

func (p *random) Remove(line uint32) {
	if !p.present.Has(line) {
		panic(fmt.Sprintf("policy: line %d removed, but it is not there", line))
	}
	p.present.Clear(line)
	if p.drawn == line {
		p.drawn = absent
	}
}

func (p *random) Evict(line uint32) { p.Remove(line) }

func (p *random) Has(line uint32) bool { return p.present.Has(line) }

// Victim keeps its draw until the line leaves: a caller that waits and asks
// again gets the same line and the generator makes no second step, so waiting
// never changes the later victims.
func (p *random) Victim(set uint32, _ uint64, busy Busy) (uint32, bool) {
	idle := func(line uint32) bool { return p.present.Has(line) && !busy.Has(line) }
	if p.drawn != absent && p.drawn/p.ways == set && idle(p.drawn) {
		return p.drawn, true
	}
	first := set * p.ways
	way := uint32(0)
	for range randomDraws {
		way = p.rng.Uint32N(p.ways)
		if idle(first + way) {
			p.drawn = first + way
			return p.drawn, true
		}
	}
	for range p.ways {
		if way++; way == p.ways {
			way = 0
		}
		if idle(first + way) {
			p.drawn = first + way
			return p.drawn, true
		}
	}
	return 0, false
}

func (p *random) CheckInvariants() error {
	if p.drawn != absent && !p.present.Has(p.drawn) {
		return fmt.Errorf("policy: the drawn victim %d is not there", p.drawn)
	}
	return nil
}

package link

import (
	"fmt"
	"math/rand/v2"
	"time"

	"splitkernel/sim/units"
)

// Ill is what goes wrong on purpose with messages from one NIC to another, on top of the options, for a while.
type Ill struct {
	Delay        units.Picos // of every message; they stay in order
	Jitter       units.Picos // mean of what comes on top, still in order
	Loss         units.Share
	Duplicate    units.Share
	Reorder      units.Share
	ReorderDelay units.Picos // a reordered message, or a second copy, is late by up to this
}

// illness is an Ill of a fault.
type illness struct {
	fault int
	Ill
}

// MakeIll has messages go wrong from now on, because of a fault with a number. rng gives their chance alone, so that it changes nobody
// else's.
func (n *Net) MakeIll(fault int, from, to NIC, ill Ill, rng *rand.Rand) {
	if n.ill == nil {
		n.ill = map[pair][]illness{}
	}
	n.illRNG = rng
	p := pair{from, to}
	n.ill[p] = append(n.ill[p], illness{fault, ill})
}

// MakeWell ends what a fault does.
func (n *Net) MakeWell(fault int) {
	for p, list := range n.ill { // the order does not show
		var rest []illness
		for _, i := range list {
			if i.fault != fault {
				rest = append(rest, i)
			}
		}
		if n.ill[p] = rest; len(rest) == 0 {
			delete(n.ill, p)
		}
	}
}

// Hold has nothing reach a NIC, and nothing sent by it reach anybody, before a moment: what comes earlier comes then.
func (n *Net) Hold(of NIC, until time.Duration) {
	if n.held == nil {
		n.held = map[NIC]time.Duration{}
	}
	n.held[of] = max(n.held[of], until)
}

// suffer has what goes wrong on purpose happen to a message.
func (n *Net) suffer(p pair, s *Sent) {
	for _, ill := range n.ill[p] {
		if s.n == 0 {
			return
		}
		draw := func(share units.Share) bool {
			return share > 0 && n.illRNG.Int64N(int64(units.Whole)) < int64(share)
		}
		late := func() time.Duration {
			return units.Picos(1 + n.illRNG.Int64N(int64(max(ill.ReorderDelay, 1)))).Duration()
		}
		if draw(ill.Loss) {
			n.stats.Lost++
			s.n = 0
			return
		}
		if ill.Delay > 0 || ill.Jitter > 0 {
			s.arrivals[0] += ill.Delay.Duration() + time.Duration(n.illRNG.ExpFloat64()*float64(ill.Jitter.Duration()))
			if n.last == nil {
				n.last = map[pair]time.Duration{}
			}
			s.arrivals[0] = max(s.arrivals[0], n.last[p])
			n.last[p] = s.arrivals[0]
		}
		if draw(ill.Reorder) {
			n.stats.Reordered++
			s.arrivals[0] += late()
		}
		if draw(ill.Duplicate) && s.n == 1 {
			n.stats.Duplicated++
			s.arrivals[1], s.n = s.arrivals[0]+late(), 2
		}
	}
	until := max(n.held[p.from], n.held[p.to])
	for i := range s.n {
		s.arrivals[i] = max(s.arrivals[i], until)
	}
}

func (i Ill) String() string {
	return fmt.Sprintf("delay %v, jitter %v, loss %v, duplicate %v, reorder %v by %v", i.Delay, i.Jitter, i.Loss, i.Duplicate, i.Reorder, i.ReorderDelay)
}

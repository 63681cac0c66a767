package balance

import (
	"fmt"
	"math"
	"time"

	"splitkernel/gmanagers/events"
)

// balance plans what leaves the components that bear much.
func (b *Balancer) balance(now time.Duration, m *model, plan *Plan) {
	if !b.o.Auto {
		b.balancing = false
		return
	}
	planned := len(plan.Moves)
	for {
		mean, _ := m.mean()
		spread := m.spread()
		switch {
		case mean < b.o.MinLoad:
			b.balancing = false
			return
		case spread > b.o.High:
			b.balancing = true
		case spread <= b.o.Low:
			b.balancing = false
		}
		odd := b.odd(m, mean)
		if m.moving >= b.o.MaxMoves || !b.balancing && !odd {
			return
		}
		t, from, to, mv := b.best(now, m, mean)
		if t == nil {
			break
		}
		giver, taker := &m.sides[from], &m.sides[to]
		why := b.why(giver, taker, spread)
		before := [2][2]float64{giver.parts, taker.parts}
		b.order(now, m, plan, t, from, to, mv)
		p := &plan.Moves[len(plan.Moves)-1]
		p.Before, p.After = spread, m.spread()
		p.Reason = fmt.Sprintf("%s: %v bears %s; %s bears %s and then %s, %s %s and then %s, the mean is %s; spread %.3f and then %.3f, target %.2f; %d candidates",
			why, t.ID, b.text(t.parts), giver.ID, b.text(before[0]), b.text(giver.parts),
			taker.ID, b.text(before[1]), b.text(taker.parts), b.text(m.meanOf(giver)), p.Before, p.After, b.o.Low, p.Considered)
		if f, g := b.slowed(giver.seat), b.slowed(taker.seat); f > 1 || g > 1 {
			p.Reason += fmt.Sprintf("; requests wait %.0f µs at %s and %.0f µs at %s, which therefore count %.2f and %.2f times", giver.seat.queue.value, giver.ID, taker.seat.queue.value, taker.ID, f, g)
		}
	}
	if len(plan.Moves) == planned && m.moving == 0 && m.trials < MaxTrials {
		for i := range m.sides { // nothing gains: whoever joined is as full as it can be
			m.sides[i].seat.joined = false
		}
	}
}

// why says what started the balancing.
func (b *Balancer) why(giver, taker *side, spread float64) string {
	name := b.Name()
	switch {
	case b.balancing && spread > b.o.High:
		return fmt.Sprintf("%s: spread %.3f above %.2f", name, spread, b.o.High)
	case b.balancing:
		return fmt.Sprintf("%s: spread %.3f not yet at %.2f", name, spread, b.o.Low)
	case taker.seat.joined:
		return fmt.Sprintf("%s: %s joined", name, taker.ID)
	case taker.seat.off:
		return fmt.Sprintf("%s: %s bears far less than the mean", name, taker.ID)
	}
	return fmt.Sprintf("%s: %s bears far more than the mean", name, giver.ID)
}

// odd notes who is far from the mean or has come near it, with hysteresis, and reports whether anybody is odd.
func (b *Balancer) odd(m *model, mean float64) bool {
	any := false
	for i := range m.sides {
		s := &m.sides[i]
		if !s.counts {
			continue
		}
		d := math.Abs(s.per(0) - mean)
		if d > FarOff*mean {
			s.seat.off = true
		}
		if d <= b.o.Low*mean || mean <= 0 {
			s.seat.off, s.seat.joined = false, s.seat.joined && mean <= 0
		}
		if s.seat.joined && s.per(0) > mean {
			s.seat.joined = false
		}
		any = any || s.seat.off || s.seat.joined
	}
	return any
}

// best returns the move that lowers the spread most, of the first giver that has one, those that bear most first; nil if
// there is none.
func (b *Balancer) best(now time.Duration, m *model, mean float64) (t *load, from, to int, mv Move) {
	free := func(s *side) bool { return s.counts && s.moves < b.o.MaxComponentMoves }
	order := m.ascending(free)
	for i := len(order) - 1; i > 0; i-- {
		giver := &m.sides[order[i]]
		if giver.per(0) <= mean {
			break
		}
		most := 0.0
		for _, k := range giver.things {
			l := &m.things[k]
			if !b.mayLeave(now, l) {
				continue
			}
			j, lowers := b.taker(m, l, giver, order[:i], mean)
			if j >= 0 && (lowers > most || lowers == most && t != nil && l.Size < t.Size) {
				t, from, to, most = l, order[i], j, lowers
			}
		}
		if t != nil {
			mv.Policy = PolicyName
			mv.Candidates, mv.Considered = b.candidates(m, t, to, order)
			return t, from, to, mv
		}
	}
	return nil, 0, 0, mv
}

// mayLeave reports whether a thing may be moved for balance.
func (b *Balancer) mayLeave(now time.Duration, t *load) bool {
	cool := ms(b.o.CoolDownMS)
	return t.To == "" && t.Fixed == "" && t.bears > 0 &&
		!(t.Placed && now-t.PlacedAt < ms(b.o.SettleMS)) && !(t.HasMoved && now-t.MovedAt < cool) && !(t.memory.ordered && (now == t.memory.orderedAt || now-t.memory.orderedAt < cool))
}

// taker returns the side of takers, which ascend by what they bear, that lowers the spread most with t, and by how much;
// -1 if none gains enough.
func (b *Balancer) taker(m *model, t *load, giver *side, takers []int, mean float64) (best int, most float64) {
	best = -1
	for _, i := range takers {
		to := &m.sides[i]
		if to.per(0) >= giver.per(0)-b.o.MinGain*mean || m.trials >= MaxTrials {
			break // nor does one that bears more
		}
		m.trials++
		if !t.fits(to) || !t.near(to) || !b.balancing && !giver.seat.off && !to.seat.off && !to.seat.joined {
			continue
		}
		if lowers := b.gain(t, giver, to, mean); lowers > most {
			best, most = i, lowers
			if m.even && giver.noise == 0 && to.noise == 0 {
				break // equal ones that bear more gain less
			}
		}
	}
	return best, most
}

// gain returns by how much t lowers Σ power·bears², bears by power, when it goes from giver to to; 0 if it gains too
// little.
func (b *Balancer) gain(t *load, giver, to *side, mean float64) float64 {
	high, then := giver.per(0), max(giver.per(-t.bears), to.per(t.bears))
	noise := noiseMargin * (giver.noise/giver.power + to.noise/to.power)
	if high-then < b.o.MinGain*mean || then >= high || to.per(t.bears)+noise > high {
		return 0
	}
	// Where requests wait depends on where things are, so what waits must not alone make them move: without it the sum has
	// to fall too, or they could go back when the queues have changed places.
	if plain := 2*(giver.bears/giver.plain-to.bears/to.plain) - t.bears*(1/giver.plain+1/to.plain); plain <= 1e-9*giver.bears/giver.plain {
		return 0
	}
	lowers := 2*t.bears*(high-to.per(0)) - t.bears*t.bears*(1/giver.power+1/to.power)
	// What rounding could make of nothing is nothing, or equal things would change places for ever.
	if lowers <= 1e-9*high*high*giver.power {
		return 0
	}
	return lowers
}

// candidates names the sides that had room for t with what they bear, to first and then those that bear least, and counts
// them.
func (b *Balancer) candidates(m *model, t *load, to int, order []int) (named []events.Candidate, n int) {
	say := func(s *side) events.Candidate { return events.Candidate{ID: s.ID, Why: b.text(s.parts)} }
	named = append(named, say(&m.sides[to]))
	for _, i := range order {
		if s := &m.sides[i]; t.fits(s) {
			if n++; i != to && len(named) < MaxNamed {
				named = append(named, say(s))
			}
		}
	}
	return named, n
}

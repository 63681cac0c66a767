package balance

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// seat is what a Balancer remembers of a component.
type seat struct {
	id     wire.NodeID
	epoch  wire.Epoch
	meters [2]meter // of Options.Measure and Second
	queue  meter
	joined bool // and was not filled since
	off    bool // it was far from the mean and has not come near since
}

// memory is what it remembers of a thing.
type memory struct {
	id        ThingID
	holder    wire.NodeID
	meters    [2]meter   // if it was measured
	bears     [2]float64 // at the last look
	ordered   bool
	orderedAt time.Duration
}

// Balancer watches the components of one manager. Make one with New; it is not safe for concurrent use.
type Balancer struct {
	o        Options
	measures []Measure // Options.Measure and, if there is one, Second
	resource string
	choose   Choose
	placer   *placer // of choose, if it is ByPolicy; nil else

	looked    bool // once at least
	lookedAt  time.Duration
	weighedAt time.Duration // the last look that was not for drains only
	next      time.Duration
	balancing bool
	seats     []seat   // ascending by id, as at the last look
	memories  []memory // the same of things
}

// New returns a Balancer whose first look is due. Resource names what room is, for the words: "bytes of memory". Choose
// places what leaves a component that drains.
func New(o Options, resource string, choose Choose) *Balancer {
	b := &Balancer{o: o, measures: []Measure{o.Measure}, resource: resource, choose: choose}
	if o.Second != "" && o.SecondWeight > 0 {
		b.measures = append(b.measures, o.Second)
	}
	return b
}

// Placing is New with the Choose of ByPolicy. A Balancer that is recorded is one of these: a snapshot has all that it remembers.
func Placing(o Options, resource string, p placement.Policy) *Balancer {
	l := &placer{p: p}
	b := New(o, resource, l.choose)
	b.placer = l
	return b
}

// Next returns when the next look is due.
func (b *Balancer) Next() time.Duration { return b.next }

// pause is the least time between two looks for balance.
func (b *Balancer) pause() time.Duration { return min(QuickLook, ms(b.o.IntervalMS)) }

// Soon brings the next look forward, to now or QuickLook after the last one for balance: a component joined, or a move ended.
func (b *Balancer) Soon(now time.Duration) {
	if b.looked {
		now = max(now, b.weighedAt+b.pause())
	}
	b.next = min(b.next, now)
}

// SoonDrain brings it forward to now or DrainLook after the last: a component drains and something else about it is new.
func (b *Balancer) SoonDrain(now time.Duration) {
	if b.looked {
		now = max(now, b.lookedAt+DrainLook)
	}
	b.next = min(b.next, now)
}

// Look plans at now. Ids occur once; what is given is not kept and not changed. Times do not fall.
func (b *Balancer) Look(now time.Duration, components []Component, things []Thing) Plan {
	byID := func(x, y Component) int { return strings.Compare(string(x.ID), string(y.ID)) }
	if !slices.IsSortedFunc(components, byID) {
		components = slices.Clone(components)
		slices.SortFunc(components, byID)
	}
	order := func(x, y Thing) int { return x.ID.compare(y.ID) }
	if !slices.IsSortedFunc(things, order) {
		things = slices.Clone(things)
		slices.SortFunc(things, order)
	}
	b.seatAll(components)
	b.remember(now, things)
	for i, c := range components {
		for k, what := range b.measures {
			at := c.At
			if !what.smooth() && c.BooksAt > 0 {
				at = c.BooksAt
			}
			b.seats[i].meters[k].read(at, what, c.Load, ms(b.o.SmoothingMS))
		}
		b.seats[i].queue.read(c.At, QueueDelay, c.Load, ms(b.o.SmoothingMS))
	}
	m := b.model(components, things)
	plan := Plan{DrainsOnly: b.looked && now < b.weighedAt+b.pause()}
	b.drain(now, m, &plan)
	plan.Spread, plan.Jain = m.spread(), m.jain()
	if !plan.DrainsOnly {
		b.balance(now, m, &plan)
		b.weighedAt, b.next = now, now+ms(b.o.IntervalMS)
	} else {
		b.next = b.weighedAt + b.pause() // whatever brought this look forward may be news for balance too
	}
	plan.Balancing, plan.Cut = b.balancing, m.trials >= MaxTrials
	for i := range b.memories {
		b.memories[i].bears = m.things[i].parts
	}
	b.looked, b.lookedAt = true, now
	return plan
}

// seatAll makes b.seats those of components.
func (b *Balancer) seatAll(components []Component) {
	seats, j := make([]seat, len(components)), 0
	for i, c := range components {
		for j < len(b.seats) && b.seats[j].id < c.ID {
			j++
		}
		if j < len(b.seats) && b.seats[j].id == c.ID && b.seats[j].epoch == c.Epoch {
			seats[i] = b.seats[j]
			continue
		}
		seats[i] = seat{id: c.ID, epoch: c.Epoch, joined: b.looked}
	}
	b.seats = seats
}

// remember makes b.memories those of things, and shifts figures with what changed its holder since the last look.
func (b *Balancer) remember(now time.Duration, things []Thing) {
	memories, j := make([]memory, len(things)), 0
	for i := range things {
		t, m := &things[i], &memories[i]
		for j < len(b.memories) && b.memories[j].id.compare(t.ID) < 0 {
			j++
		}
		if j == len(b.memories) || b.memories[j].id != t.ID {
			*m = memory{id: t.ID, holder: t.Holder}
		} else if *m = b.memories[j]; m.holder != t.Holder {
			for k := range b.measures {
				b.shift(now, m.holder, k, -m.bears[k])
				b.shift(now, t.Holder, k, m.bears[k])
				m.meters[k].seen = false // its new holder counts from 0
			}
			m.holder = t.Holder
			m.ordered = false
		}
		for k, what := range b.measures {
			if t.measured(what) {
				m.meters[k].read(t.At, what, t.Load, ms(b.o.SmoothingMS))
			}
		}
	}
	b.memories = memories
}

func (b *Balancer) shift(now time.Duration, id wire.NodeID, k int, by float64) {
	i, ok := slices.BinarySearchFunc(b.seats, id, func(s seat, id wire.NodeID) int { return cmp.Compare(s.id, id) })
	if ok {
		b.seats[i].meters[k].shift(now, by)
	}
}

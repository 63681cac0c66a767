package balance

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// Choose returns the position in among of the component that gets t, or -1 to leave it for now. All of among have room
// for it and are not to be avoided; they ascend by ID. It keeps nothing. The Choice is filled in if it chose.
type Choose func(t Thing, among []Component) (int, Choice)

// ByPolicy places by a placement policy; what a policy draws or where its turn is comes from the thing, so the same
// looks give the same plans.
func ByPolicy(p placement.Policy) Choose { return (&placer{p: p}).choose }

// placer is ByPolicy with what it remembers.
type placer struct {
	p    placement.Policy
	set  placement.Set
	turn wire.NodeID // of a policy that goes round
}

func (l *placer) choose(t Thing, among []Component) (int, Choice) {
	l.set.Reset()
	for _, c := range among {
		to := placement.Candidate{
			ID: c.ID, Rack: c.Rack, Room: c.Room, Reserved: c.Reserved, Capacity: c.Capacity, Threads: c.Load.Threads, Traffic: c.Load.Ops,
		}
		switch t.ID.Kind {
		case wire.MoveHome:
			to.Homes = c.Placed
		case wire.MoveVolume, wire.MoveCache:
			to.Volumes = c.Placed
		}
		l.set.Add(to)
	}
	key := placement.Hash(uint64(t.ID.Kind), uint64(t.ID.PID), uint64(t.ID.Region), uint64(t.ID.Volume))
	ask := placement.Ask{Need: t.Size, Key: key, Chance: key, After: l.turn, Avoid: t.Avoid, AvoidRacks: t.AvoidRacks}
	i := placement.Choose(l.p, ask, &l.set)
	if i < 0 {
		return i, Choice{}
	}
	if l.p.Rotates {
		l.turn = among[i].ID
	}
	var e events.Event
	e.Explain(l.p, ask, &l.set, i)
	return i, Choice{e.Policy, e.Unit, e.Candidates}
}

// drain plans what leaves the components that drain.
func (b *Balancer) drain(now time.Duration, m *model, plan *Plan) {
	for i := range m.sides {
		s := &m.sides[i]
		if !s.Draining {
			continue
		}
		d := Drain{Node: s.ID, Left: len(s.things) + s.coming}
		leave := slices.Clone(s.things)
		slices.SortStableFunc(leave, func(i, j int) int { return cmp.Compare(m.things[j].Size, m.things[i].Size) })
		for _, k := range leave {
			t := &m.things[k]
			if t.To != "" {
				d.Moving++
				continue
			}
			b.leave(now, m, i, t, plan)
		}
		plan.Drains = append(plan.Drains, d)
	}
}

// leave plans the move of t away from a side that drains, or says why it cannot leave.
func (b *Balancer) leave(now time.Duration, m *model, from int, t *load, plan *Plan) {
	s := &m.sides[from]
	fixed := t.Fixed != ""
	stuck := func(short uint64, format string, args ...any) {
		if len(plan.Stuck) == MaxNamed {
			plan.MoreStuck++
			return
		}
		plan.Stuck = append(plan.Stuck, Stuck{Thing: t.ID, From: s.ID, Fixed: fixed, Short: short, Text: fmt.Sprintf(format, args...)})
	}
	switch {
	case !s.Alive:
		stuck(0, "%s is silent: it cannot send %v", s.ID, t.ID)
		return
	case t.Fixed != "":
		stuck(0, "%v: %s", t.ID, t.Fixed)
		return
	}
	full := m.moving >= max(b.o.MaxMoves, b.o.MaxDrainMoves)
	if full && len(plan.Stuck) == MaxNamed || m.trials >= MaxTrials {
		return // nothing can be ordered, and whatever is stuck is named once there is place
	}
	waits := t.memory.ordered && now-t.memory.orderedAt < RetryPause
	var among []Component
	var at []int
	others, allowed, fit, most := 0, 0, 0, uint64(0)
	best := -1
	for i := range m.sides {
		to := &m.sides[i]
		m.trials++
		if !to.Alive || to.Draining {
			continue
		}
		others++
		if !t.may(to) {
			continue
		}
		allowed++
		if best < 0 || to.Room > most {
			best, most = i, to.Room
		}
		if !t.fits(to) {
			continue
		}
		if fit++; !full && !waits {
			among, at = append(among, *to.Component), append(at, i)
		}
	}
	switch {
	case others == 0:
		stuck(0, "no other component is alive and does not drain")
	case allowed == 0 && len(t.Apart) > 0:
		stuck(0, "%v is apart from %s, of which others are at all %d other components or in their racks: add one, or end one of them", t.ID, apart.Groups(t.Apart), others)
	case allowed == 0:
		stuck(0, "%v avoids all %d other components, which have its replica or are in its rack", t.ID, others)
	case fit == 0:
		barred := ""
		if len(t.Apart) > 0 && allowed < others {
			barred = fmt.Sprintf(", and it is apart from %s, of which others are at the other %d or in their racks", apart.Groups(t.Apart), others-allowed)
		}
		stuck(t.Size-most, "%s: %v wants %d, %s has the most room with %d: short by %d%s", b.resource, t.ID, t.Size, m.sides[best].ID, most, t.Size-most, barred)
	case len(among) > 0:
		if near := slices.DeleteFunc(slices.Clone(at), func(i int) bool { return !t.near(&m.sides[i]) }); len(near) > 0 && len(near) < len(at) {
			at, among = near, among[:0]
			for _, i := range at {
				among = append(among, *m.sides[i].Component)
			}
		}
		i, choice := b.choose(*t.Thing, among)
		if i < 0 {
			return
		}
		spread, room := m.spread(), ""
		if among[i].Room != math.MaxUint64 { // it has a bound
			room = fmt.Sprintf(", %d of it there", among[i].Room)
		}
		b.order(now, m, plan, t, from, at[i], Move{
			Drain: true, Considered: len(among), Choice: choice,
			Reason: fmt.Sprintf("%s drains: %v goes to %s, which the placement policy %s chose among %d with room%s", s.ID, t.ID, among[i].ID, choice.Policy, len(among), room),
		})
		mv := &plan.Moves[len(plan.Moves)-1]
		mv.Before, mv.After = spread, m.spread()
	}
}

// order adds a move to the plan and to the model.
func (b *Balancer) order(now time.Duration, m *model, plan *Plan, t *load, from, to int, mv Move) {
	mv.Thing, mv.From, mv.To = t.ID, m.sides[from].ID, m.sides[to].ID
	m.place(t, from, to)
	t.memory.ordered, t.memory.orderedAt = true, now
	plan.Moves = append(plan.Moves, mv)
}

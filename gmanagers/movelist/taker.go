package movelist

import (
	"slices"

	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// Taker returns who gets what an order moves from giver: the one that it names, if that is in the set, may have it and has room,
// or the one that the policy chooses, which note is told. Ms are what it is apart from by index; a.Avoid, ascending, must not get it either, as
// they have copies of it. Refused says in words why others are none.
func Taker(o Order, giver wire.NodeID, index *apart.Index, ms []apart.Member, p placement.Policy, a placement.Ask, set *placement.Set, note *events.Event, refused func() string) (wire.NodeID, error) {
	copies := a.Avoid
	a.Avoid, a.AvoidRacks = index.Avoid(ms)
	for _, id := range copies {
		if i, ok := slices.BinarySearch(a.Avoid, id); !ok {
			a.Avoid = slices.Insert(slices.Clone(a.Avoid), i, id)
		}
	}
	if i, ok := slices.BinarySearch(a.Avoid, giver); !ok {
		a.Avoid = slices.Insert(a.Avoid, i, giver)
	}
	if o.To == "" {
		a.Within, a.WithinRacks = index.Own(ms)
		i, a := placement.ChooseNear(p, a, set)
		if i < 0 {
			if len(ms) > 0 {
				return "", wire.Errorf(wire.KindNoRoom, "%v, which is apart from %s: no other component can take it: %s", o.Thing, apart.Groups(ms), refused())
			}
			return "", wire.Errorf(wire.KindNoRoom, "%v: no other component can take it: %s", o.Thing, refused())
		}
		note.Explain(p, a, set, i)
		return set.ID(i), nil
	}
	i, ok := set.Find(o.To)
	switch {
	case !ok || set.Closed(i):
		return "", wire.Errorf(wire.KindUnavailable, "%v: %s cannot take it, it is not registered, silent, draining or dead: %s", o.Thing, o.To, refused())
	case slices.Contains(copies, o.To):
		return "", wire.Errorf(wire.KindExists, "%v: %s has a copy of it, and whoever serves it must not", o.Thing, o.To)
	case a.Avoids(o.To, set.Rack(i)):
		return "", wire.Errorf(wire.KindNoRoom, "%v is apart from %s: %s %s", o.Thing, apart.Groups(ms), o.To, index.Why(ms, o.To, set.Rack(i)))
	case !set.Fits(a, i):
		return "", wire.Errorf(wire.KindNoRoom, "%v: %s has no room for it, %d is wanted: %s", o.Thing, o.To, a.Need, refused())
	}
	return o.To, nil
}

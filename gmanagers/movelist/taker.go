package movelist

import (
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// Taker returns who gets what an order moves: the one that it names, if that is in the set and has room, or the one that
// the policy chooses, which note is told. Refused says in words why others are none.
func Taker(o Order, p placement.Policy, a placement.Ask, set *placement.Set, note *events.Event, refused func() string) (wire.NodeID, error) {
	if o.To == "" {
		i := placement.Choose(p, a, set)
		if i < 0 {
			return "", wire.Errorf(wire.KindNoRoom, "%v: no other component can take it: %s", o.Thing, refused())
		}
		note.Explain(p, a, set, i)
		return set.ID(i), nil
	}
	for i := range set.Len() {
		if set.ID(i) != o.To {
			continue
		}
		if !set.Fits(a, i) {
			return "", wire.Errorf(wire.KindNoRoom, "%v: %s has no room for it, %d is wanted: %s", o.Thing, o.To, a.Need, refused())
		}
		return o.To, nil
	}
	return "", wire.Errorf(wire.KindUnavailable, "%v: %s cannot take it, it is not registered, silent, draining or dead: %s", o.Thing, o.To, refused())
}

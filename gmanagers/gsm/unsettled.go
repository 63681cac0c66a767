package gsm

import (
	"fmt"

	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
)

// Unsettled returns the volumes that need something, ascending by id. Memory are the mComponents as GMM has them, and client gives the
// address of the pComponent of a process, empty if it is not known.
func (s *State) Unsettled(memory []membership.Entry, client func(wire.PID) string) (out []repair.Volume) {
	gone := map[wire.NodeID]membership.Entry{} // looked up
	for _, e := range memory {
		gone[e.Member.ID] = e
	}
	for i := range s.volumes {
		v := &s.volumes[i]
		if v.Prepared || v.Lost != 0 {
			continue
		}
		u := repair.Volume{Name: v.Name, Recached: v.Recached, Unconfirmed: v.Copies.Replicated() && v.Confirmed != v.Config}
		if m, ok := gone[v.Cache]; ok && v.CacheEpoch != 0 && !s.caching(v) {
			switch {
			case m.Member.Epoch > v.CacheEpoch:
				u.Gone = fmt.Sprintf("%s was started again, or fenced, and has lost its buffer caches", v.Cache)
			case m.Dead && m.Member.Epoch == v.CacheEpoch:
				u.Gone = fmt.Sprintf("%s is dead", v.Cache)
			}
		}
		s.lacks(v, &u)
		if u.Gone != "" || u.Recached || u.Unconfirmed || u.Missing != "" || len(u.Back) > 0 || v.fills() >= 0 {
			u.Place, u.Client = s.Place(v), client(v.PID)
			out = append(out, u)
		}
	}
	return out
}

// caching reports whether a volume or its buffer cache is moving, whose giver then decides.
func (s *State) caching(v *Volume) bool {
	return s.moves.MovingOf(wire.MoveCache, 0, v.Volume) != nil || s.moves.MovingOf(wire.MoveVolume, 0, v.Volume) != nil
}

// lacks fills in which copy of a volume is to be replaced next, and which are to be looked at. While a copy fills only that counts.
func (s *State) lacks(v *Volume, u *repair.Volume) {
	fills := v.fills()
	for i, r := range v.Replicas {
		e, ok := s.members.Entry(r.Node)
		switch {
		case fills >= 0 && i != fills:
		case !ok || e.Dead:
			if u.Missing == "" || !u.Dead { // before one that only drains
				u.Missing, u.Why, u.Dead = r.Node, fmt.Sprintf("%s is dead", r.Node), i != fills
			}
		case e.Drain && u.Missing == "":
			u.Missing, u.Why = r.Node, fmt.Sprintf("%s drains", r.Node)
		case e.Member.Epoch != r.Member && r.State == wire.ReplicaInSync:
			u.Back = append(u.Back, repair.Back{Node: r.Node, Member: e.Member.Epoch})
		}
	}
	if fills < 0 && u.Missing != "" && s.sources(v, u.Missing) < int(v.Copies.ReadQuorum) {
		u.Missing, u.Why, u.Dead = "", "", false // nothing can be filled before others are back
	}
}

// Holders counts the copies that a volume has at each of two kinds of sComponents: those that are there, and those that are missing.
func (s *State) Holders(v *Volume) (there, missing int) {
	for _, r := range v.Replicas {
		switch {
		case s.missing(r):
			missing++
		case r.State.Counts():
			there++
		}
	}
	return there, missing
}

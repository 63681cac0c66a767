package gmm

import (
	"fmt"

	"splitkernel/gmanagers/membership"
)

// QueryRatio asks for the Ratio. As the other queries of one manager alone it is above 16.
const QueryRatio membership.QueryKind = 17

// Ratio is what an audit compares the books with.
type Ratio struct {
	// Overcommit, in thousandths, is the highest under which something that is still booked was granted; 0 if nothing ever was.
	Overcommit uint64
}

// follow takes over the overcommit of a command: a higher one at once, a lower one, which takes nothing back, when all that is
// booked fits under it. So the ratio that the books tell is one that they keep.
func (s *State) follow(overcommit uint64) {
	if overcommit < MinOvercommit || overcommit > MaxOvercommit {
		return // nothing is granted under it
	}
	if overcommit > s.ratio || overcommit < s.ratio && s.CheckCapacity(overcommit) == nil {
		s.ratio = overcommit
	}
}

// CheckCapacity returns an error if an mComponent has more of vRegions than overcommit, in thousandths, allows.
func (s *State) CheckCapacity(overcommit uint64) error {
	members := s.members.View()
	for i := range members {
		m := &members[i]
		if room := Room(m.Capacity.MemoryBytes, s.regionBytes, overcommit); s.owned[m.ID] > room*Parts {
			return fmt.Errorf("gmm: %q has %g vRegions, has room for %d", m.ID, float64(s.owned[m.ID])/Parts, room)
		}
	}
	return nil
}

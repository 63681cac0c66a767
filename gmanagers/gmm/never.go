package gmm

import (
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
)

// never says why what a Prepare wants would not fit even if no vRegion were owned; "" if it would, or if no mComponent is active.
// Silent ones count, as they may be back.
func (s *State) never(st admission.Step, cmd Command) string {
	if st.Verb != admission.Prepare || st.MemoryBytes == 0 || s.regionBytes == 0 || cmd.Overcommit < MinOvercommit || cmd.Overcommit > MaxOvercommit {
		return ""
	}
	want := (st.MemoryBytes-1)/s.regionBytes + 1
	n, sum, most := 0, uint64(0), uint64(0)
	members := s.members.View()
	for i := range members {
		if s.members.Placeable(i) {
			room := min(Room(members[i].Capacity.MemoryBytes, s.regionBytes, cmd.Overcommit), MaxRegions) // which bounds all together
			n, sum, most = n+1, sum+room, max(most, room)
		}
	}
	if n == 0 || want <= min(sum, MaxReserved) {
		return ""
	}
	return fmt.Sprintf("memory_bytes: of the %d vRegions wanted %s", want, membership.Never(n, "mComponents", sum, most))
}

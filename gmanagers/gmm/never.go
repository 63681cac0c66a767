package gmm

import (
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// never says why what a Prepare wants would not fit even if no vRegion were owned; "" if it would, or if no mComponent is active.
// Silent ones count, as they may be back.
func (s *State) never(st admission.Step, cmd Command) string {
	if st.Verb != admission.Prepare || st.MemoryBytes == 0 && st.Memory.Kind == wire.MemoryNone || s.regionBytes == 0 || cmd.Overcommit < MinOvercommit || cmd.Overcommit > MaxOvercommit {
		return ""
	}
	p := Process{Memory: st.Memory}
	want, each := uint64(0), p.grains()
	if st.MemoryBytes > 0 {
		want = min((st.MemoryBytes-1)/s.regionBytes+1, 1<<40) * each // far more than there can be
	}
	n, sum, most := 0, uint64(0), uint64(0)
	members := s.members.View()
	for i := range members {
		if s.members.Placeable(i) {
			room := min(Room(members[i].Capacity.MemoryBytes, s.regionBytes, cmd.Overcommit), MaxRegions) // which bounds all together
			n, sum, most = n+1, sum+room, max(most, room)
		}
	}
	if k := p.wants(false) + 1; n > 0 && n < k {
		return fmt.Sprintf("memory.replication: %v keeps each vRegion at %d mComponents, there are %d", st.Memory.Kind, k, n)
	}
	perRegion := Parts / p.Grain()
	if sum, most = sum*perRegion, most*perRegion; n == 0 || want <= min(sum, MaxReserved) {
		return ""
	}
	return fmt.Sprintf("memory_bytes: of the %d %s wanted %s", want, p.grainName(), membership.Never(n, "mComponents", sum, most))
}

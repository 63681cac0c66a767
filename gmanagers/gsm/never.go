package gsm

import (
	"fmt"
	"math"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
)

// never says why the volumes that a Prepare wants would not fit even if there were no others: one is larger than every active
// sComponent, or all together are larger than those; "" if neither, or if none is active. Silent ones count, as they may be back.
func (s *State) never(st admission.Step) string {
	if st.Verb != admission.Prepare {
		return ""
	}
	n, sum, most := 0, uint64(0), uint64(0)
	members := s.members.View()
	for i := range members {
		if s.members.Placeable(i) {
			c := members[i].Capacity.StorageBytes
			n, sum, most = n+1, sum+min(c, math.MaxUint64-sum), max(most, c)
		}
	}
	if n == 0 {
		return ""
	}
	biggest := uint64(0)
	for _, v := range st.Volumes {
		if v.Copies.Places() > uint64(n) {
			return fmt.Sprintf("volume %q wants %d copies, and there are %d sComponents", v.Name, v.Copies.Places(), n)
		}
		biggest = max(biggest, admission.VNodeSpec{Volumes: []admission.VolumeSpec{{SizeBytes: v.SizeBytes}}}.StorageBytes())
	}
	if all := (admission.VNodeSpec{Volumes: st.Volumes}).StorageBytes(); biggest > most || all > sum {
		return fmt.Sprintf("storage_bytes: of the %d wanted, %d in one volume, %s", all, biggest, membership.Never(n, "sComponents", sum, most))
	}
	return ""
}

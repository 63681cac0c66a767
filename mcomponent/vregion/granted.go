package vregion

import (
	"fmt"

	"splitkernel/netlayer/wire"
)

// Granted gives the error for a vRegion that was given to this mComponent under an epoch of its membership which is over, or of which it has not
// heard; 0 is not known.
func (o *Owners) Granted(pid wire.PID, region wire.RegionNo, member wire.Epoch) error {
	return o.member.granted(fmt.Sprintf("vRegion %d", region), pid, o.self, member)
}

// Granted is that of the home of a process.
func (h *Home) Granted(pid wire.PID, self wire.NodeID, member wire.Epoch) error {
	return h.member.granted("the home", pid, self, member)
}

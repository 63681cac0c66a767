package vregion

import (
	"cmp"
	"slices"

	"splitkernel/netlayer/wire"
)

// Processes returns the processes whose home is here, ascending; those that a fence has ended are not.
func (h *Home) Processes() []wire.PID {
	out := make([]wire.PID, 0, len(h.procs))
	for pid, p := range h.procs {
		if p.fenced == "" {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out
}

// Holdings returns the vRegions that are served here, ascending by process and vRegion.
func (o *Owners) Holdings() []wire.HeldRegion {
	out := make([]wire.HeldRegion, 0, o.Regions())
	for _, r := range o.slots {
		if r.used {
			out = append(out, wire.HeldRegion{PID: r.pid, Region: r.region, Epoch: r.epoch})
		}
	}
	slices.SortFunc(out, func(a, b wire.HeldRegion) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Region, b.Region))
	})
	return out
}

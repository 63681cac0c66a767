package vregion

import (
	"cmp"
	"slices"

	"splitkernel/netlayer/wire"
)

// Holdings returns the processes whose home is here, ascending; those that a fence has ended are not, nor those that were lost
// when they moved.
func (h *Home) Holdings() []wire.HeldHome {
	out := make([]wire.HeldHome, 0, len(h.procs))
	for pid, p := range h.procs {
		if p.fenced == "" && !p.lost {
			out = append(out, wire.HeldHome{PID: pid, Epoch: p.homeEpoch})
		}
	}
	slices.SortFunc(out, func(a, b wire.HeldHome) int { return cmp.Compare(a.PID, b.PID) })
	return out
}

// Holdings returns the vRegions that are served here, ascending by process and vRegion: none that is on its way here or away. Those that are
// being recovered here are among them: the books have them here, and once these give them up nobody else would have them dropped.
func (o *Owners) Holdings() []wire.HeldRegion {
	out := make([]wire.HeldRegion, 0, o.Regions())
	for i := range o.slots {
		if r := &o.slots[i]; r.used && r.life != arriving && r.life != leaving && r.life != holding {
			out = append(out, wire.HeldRegion{PID: r.pid, Region: r.region, Epoch: r.epoch})
		}
	}
	slices.SortFunc(out, func(a, b wire.HeldRegion) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Region, b.Region))
	})
	return out
}

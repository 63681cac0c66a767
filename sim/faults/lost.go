package faults

import (
	"fmt"
	"slices"

	"splitkernel/netlayer/wire"
)

// Copied tells whether others have all that a component has of a part of the memory of a process: of a vRegion, or of its memory map. A nil
// one knows of no copies.
type Copied func(pid wire.PID, home bool, region wire.RegionNo) bool

// Lost names what nobody has any more after a component has died with its memory. What an sComponent had is still on its disk.
func Lost(node wire.NodeID, had wire.Holdings, copied Copied) (names []string) {
	if copied != nil {
		had.Homes = slices.DeleteFunc(slices.Clone(had.Homes), func(h wire.HeldHome) bool { return copied(h.PID, true, 0) })
		had.Regions = slices.DeleteFunc(slices.Clone(had.Regions), func(r wire.HeldRegion) bool { return copied(r.PID, false, r.Region) })
	}
	add := func(format string, args ...any) {
		names = append(names, fmt.Sprintf(format, args...)+fmt.Sprintf(" at %s", node))
	}
	for _, p := range had.Processes {
		if !p.Saved { // the others go on from a checkpoint
			add("process %d", p.PID)
		}
	}
	for _, h := range had.Homes {
		add("the memory map of process %d", h.PID)
	}
	for i := 0; i < len(had.Regions); { // they ascend by process
		j := i + 1
		for j < len(had.Regions) && had.Regions[j].PID == had.Regions[i].PID {
			j++
		}
		if j-i == 1 {
			add("1 vRegion of process %d", had.Regions[i].PID)
		} else {
			add("%d vRegions of process %d", j-i, had.Regions[i].PID)
		}
		i = j
	}
	for _, v := range had.Caches {
		if !v.Unflushed {
			continue
		}
		add("what was written to volume %d and not flushed,", v.Volume)
	}
	return names
}

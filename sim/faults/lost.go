package faults

import (
	"fmt"

	"splitkernel/netlayer/wire"
)

// Lost names what nobody has any more after a component has died with its memory. What an sComponent had is still on its disk.
func Lost(node wire.NodeID, had wire.Holdings) (names []string) {
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
		add("what was written to volume %d and not flushed,", v.Volume)
	}
	return names
}

package cluster

import (
	"fmt"
	"io"
	"time"

	"splitkernel/sim/tasks"
)

// Info is what is in a trace.
type Info struct {
	Header                Header
	Events                uint64
	Machines              int
	Tasks, Ended          uint64     // tasks that came; of them, those whose end is known
	Uses                  uint64     // events that say what a task or a machine uses
	UsedMachines          int        // machines of which it is told what was used of them
	MachineUse            Use        // of those; 1 is all that one of them has, whatever its size
	TaskUse               Use        // by all tasks together, in cores and bytes
	Span                  float64    // seconds from the first event to the last
	MachineSum            tasks.Size // of the machines, each as it was last
	Largest               tasks.Size // that a task asks for, of each dimension
	CoreHours             float64    // asked for, of tasks whose duration is known
	MemoryHours           float64    // in bytes
	GPUHours              float64
	MeanCores, MeanMemory float64 // that a task asks for
}

// Count reads a whole trace. watch, if not nil, is told now and then how many events there were, and ends it by returning false.
func Count(src *Source, watch func(events uint64) bool) (i Info, partial bool, err error) {
	machines, used := map[tasks.ID]tasks.Size{}, map[tasks.ID]struct{}{}
	byTasks, ofMachines := newUseMeter(), newUseMeter()
	type came struct {
		at   int64
		size tasks.Size
	}
	open := map[tasks.ID]came{}
	var cores, memory float64
	var last time.Duration
	lasts := func(s tasks.Size, hours float64) {
		i.Ended++
		i.CoreHours += float64(s.Cores) / tasks.One * hours
		i.MemoryHours += float64(s.Memory) * hours
		i.GPUHours += float64(s.GPUs) / tasks.One * hours
	}
loop:
	for {
		e, err := src.Next()
		if err == io.EOF {
			break loop
		}
		if err != nil {
			return i, false, err
		}
		i.Events++
		last = e.At
		switch e.Kind {
		case tasks.MachineComes, tasks.MachineChanges:
			if len(machines) >= MaxNames {
				return i, false, fmt.Errorf("more than %d machines", MaxNames)
			}
			machines[e.ID] = e.Size
		case tasks.MachineLeaves:
			ofMachines.ends(e.ID, e.At)
		case tasks.TaskComes:
			i.Tasks++
			i.Largest = i.Largest.Max(e.Size)
			cores, memory = cores+float64(e.Size.Cores)/tasks.One, memory+float64(e.Size.Memory)
			if e.Lasts != tasks.Unknown {
				lasts(e.Size, e.Lasts.Hours())
				break
			}
			if len(open) >= MaxNames {
				return i, false, fmt.Errorf("more than %d tasks at one time", MaxNames)
			}
			open[e.ID] = came{int64(e.At), e.Size}
		case tasks.TaskEnds:
			byTasks.ends(e.ID, e.At)
			if c, ok := open[e.ID]; ok {
				delete(open, e.ID)
				lasts(c.size, float64(int64(e.At)-c.at)/3.6e12)
			}
		case tasks.TaskUses:
			i.Uses++
			err = byTasks.reads(e)
		case tasks.MachineUses:
			i.Uses++
			used[e.ID] = struct{}{}
			err = ofMachines.reads(e)
		}
		if err != nil {
			return i, false, err
		}
		if watch != nil && i.Events&(1<<13-1) == 0 && !watch(i.Events) {
			partial = true
			break loop
		}
	}
	i.Span = last.Seconds()
	i.Header, i.Machines, i.UsedMachines = src.Header(), len(machines), len(used)
	byTasks.finish()
	ofMachines.finish()
	i.TaskUse, i.MachineUse = byTasks.total(), ofMachines.each()
	for _, s := range machines { // sums of whole numbers are the same in any order
		i.MachineSum = i.MachineSum.Plus(s)
	}
	if i.Tasks > 0 {
		i.MeanCores, i.MeanMemory = cores/float64(i.Tasks), memory/float64(i.Tasks)
	}
	return i, partial, nil
}

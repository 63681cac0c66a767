package tasks

import (
	"cmp"
	"time"
)

// Kind is what happens.
type Kind uint8

// Kinds of events. At one time they happen in this order: what leaves makes room for what comes.
const (
	TaskEnds       Kind = 1 // ID; of a task that came with an unknown duration
	MachineLeaves  Kind = 2 // ID
	MachineChanges Kind = 3 // ID, Size is what it has now
	MachineComes   Kind = 4 // ID, Size
	TaskComes      Kind = 5 // ID, Size that it asks for, Lasts, Priority
	TaskUses       Kind = 6 // ID, Size that it uses from now on, Lasts
	MachineUses    Kind = 7 // ID, Size that is used of it from now on, in billionths of what it has of each; Lasts
)

// Unknown is the duration of a task of which it is not yet known when it ends; an event TaskEnds tells it, or nothing does.
const Unknown time.Duration = -1

// ID names a task or a machine; tasks and machines are counted apart. A trace without jobs counts its tasks in Job.
type ID struct {
	Job   uint64
	Index uint32
}

// Event is one thing that happens.
type Event struct {
	At       time.Duration // since the trace began
	Lasts    time.Duration // of TaskComes, or Unknown; of what is used: for how long that is told, 0 = until the next of the same ID
	ID       ID
	Size     Size
	Priority int32 // of TaskComes: more is more important; each trace has its own scale
	Kind     Kind
}

// Compare orders events as they happen.
func Compare(a, b Event) int {
	if c := cmp.Compare(a.At, b.At); c != 0 {
		return c
	}
	return cmp.Compare(a.Kind, b.Kind)
}

// Units say what the amounts of a stream are.
type Units struct {
	// CoresAreFractions and MemoryIsFraction say that 1 is not a core or a byte: amounts are billionths of what the trace
	// calls 1.0, which is mostly its largest machine.
	CoresAreFractions, MemoryIsFraction bool
}

// Source is a stream of events whose times do not run backwards.
type Source interface {
	// Next gives the next event, or io.EOF.
	Next() (Event, error)
	Units() Units
}

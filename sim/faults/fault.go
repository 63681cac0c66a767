package faults

import (
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// Kind is what goes wrong.
type Kind uint8

// The kinds.
const (
	Kill         Kind = 1  // of a process, as kill -9; with For it is started again after that
	Restart      Kind = 2  // kill, if it runs, and start
	Pause        Kind = 3  // SIGSTOP, and SIGCONT when it ends
	Partition    Kind = 4  // nothing comes from one side to the other
	Delay        Kind = 5  // every message comes later
	Lose         Kind = 6  // a share of the messages never comes
	Duplicate    Kind = 7  // a share comes twice
	Reorder      Kind = 8  // a share is overtaken by later ones
	SlowDisk     Kind = 9  // every operation of a disk takes longer
	CorruptBlock Kind = 10 // bytes change on the disk
	DiskFull     Kind = 11 // no block can be written that is not there
)

// names are those of the kinds, as they are written.
var names = [...]string{
	"none", "kill", "restart", "pause", "partition", "delay", "lose", "duplicate", "reorder", "slow-disk", "corrupt-block", "disk-full",
}

func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Network reports whether a fault is one of the messages between components.
func (k Kind) Network() bool { return k >= Partition && k <= Reorder }

// Disk reports whether a fault is one of the disk of an sComponent.
func (k Kind) Disk() bool { return k >= SlowDisk && k <= DiskFull }

// Lasts reports whether a fault has an end: that of its duration, or when somebody heals it.
func (k Kind) Lasts() bool { return k != Restart && k != CorruptBlock }

// Share is a probability or a part of a run in millionths.
type Share uint32

// Whole is 100 %.
const Whole Share = 1_000_000

// Phase is what a cluster is doing: a moment may be when it begins to.
type Phase uint8

// The phases. Idle is when none of the others is, and no moment.
const (
	Idle          Phase = 0
	Migrating     Phase = 1 // something moves to another component
	Recovering    Phase = 2 // a component is dead, or not a member again, or what was lost with it is dealt with
	Admitting     Phase = 3 // a vNode is being admitted or given back
	Checkpointing Phase = 4
)

var phases = [...]string{"idle", "migrating", "recovering", "admitting", "checkpointing"}

// Phases is how many there are, Idle one of them.
const Phases = len(phases)

func (p Phase) String() string {
	if int(p) < len(phases) {
		return phases[p]
	}
	return "unknown"
}

// Moment is when something goes wrong. The zero value is at once.
type Moment struct {
	// Share, if Progress, is of the accesses and block requests of the run, of all vNodes together; After is since its start.
	Share    Share
	After    time.Duration
	Progress bool
	// Phase, if not Idle, is what the cluster begins to do then, for the Nth time if that is not 0; After is how much later.
	Phase Phase
	Nth   uint32
	Given bool
}

// Timed reports whether a moment is a time since the start of the run.
func (m *Moment) Timed() bool { return !m.Progress && m.Phase == Idle }

// Who names components.
type Who struct {
	ID     wire.NodeID  // of one, or
	Any    wire.Role    // one that is drawn, or
	Leader wire.Manager // whoever leads this manager at that moment, or
	All    bool         // on one side of a link: all that are not on the other
}

// Link is a pair of sides. Without sides it is every pair of components.
type Link struct {
	A, B   []Who
	OneWay bool // only what A sends
}

// Everywhere reports whether all messages are meant.
func (l *Link) Everywhere() bool { return len(l.A) == 0 }

// Fault is one sentence. What a kind does not have is zero.
type Fault struct {
	At   Moment
	Kind Kind
	For  time.Duration // 0: until it is healed

	Node Who   // of kill, restart, pause and the disks
	Link Link  // of the network
	Part Share // of lose, duplicate, reorder: above 0

	By     time.Duration // delay: by how much; reorder: by how much at most; slow-disk: what is added
	Jitter time.Duration // delay: the mean of what comes on top
	Times  uint32        // slow-disk: the factor in thousandths, if By is 0

	Volume wire.VolumeID // corrupt-block: which, or a random block if 0
	Block  uint64        // of PageSize bytes
}

// Bounds of what can be said.
const (
	MaxText     = 1024 // bytes of a sentence
	MaxSide     = 64   // components on a side of a link
	MaxDuration = 1000 * time.Hour
	MaxTimes    = 1_000_000        // a factor of 1000
	MaxDelay    = 10 * time.Second // of delay, jitter, reorder and slow-disk: longer than any deadline of the message layer is a loss
	MaxList     = 4096             // faults of a run
	MaxNth      = 1_000_000        // of a phase
	// DefaultBy is how late a reordered message comes at most: some ten times the way of a page on a fast network.
	DefaultBy = 5 * time.Millisecond
)

// Names are the components that a fault names, in order.
func (f *Fault) Names() (ids []wire.NodeID) {
	for _, w := range f.who() {
		if w.ID != "" {
			ids = append(ids, w.ID)
		}
	}
	return ids
}

// who gives all components that a fault names, in order.
func (f *Fault) who() []Who {
	if f.Kind.Network() {
		return slices.Concat(f.Link.A, f.Link.B)
	}
	return []Who{f.Node}
}

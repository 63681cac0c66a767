package pcomponent

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/blockio"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/policy"
)

// Names of limits.
const (
	// MaxCores bounds the processors that a pComponent may offer.
	MaxCores = 4096
	// retryAttempts is the most that netlayer allows: the patience of a process bounds its retries, not their number.
	retryAttempts = 1000
)

// Options are the settings of a pComponent.
type Options struct {
	// ID is the node's name in the cluster file.
	ID wire.NodeID
	// Addr is where the others reach this pComponent: they tell it when an owner, a home or a buffer cache is elsewhere. Empty
	// if nobody listens; then homes and buffer caches cannot move, and new owners are found when the old one turns a process
	// away.
	Addr netlayer.Addr `mapstructure:"-" yaml:"-"`
	// Managers are asked where a volume is that is not where it was; nil if nobody knows better.
	Managers Managers `mapstructure:"-" yaml:"-"`
	// Recorder gets the inputs of the processes' cores; nil is off.
	Recorder tape.Recorder `mapstructure:"-" yaml:"-"`
	// TraceSample has one fetch in so many be a trace, whose spans Net.Spans gets; 0 is none.
	TraceSample int `mapstructure:"-" yaml:"-"`
	// Cores is the number of processors that it offers; utilisation is measured against it.
	Cores int
	// ExCacheBytes is what the ExCaches of all its processes may hold together.
	ExCacheBytes uint64
	// MapPatienceMS is how long a change of the memory map waits for its home, and by that for the managers, in ms. It is longer
	// than the patience of a fault: without managers only placement waits.
	MapPatienceMS int
	// BlockPatienceMS is how long a block request is retried before it fails, in ms.
	BlockPatienceMS int
	// Fault are the settings of the fault protocol of its processes.
	Fault fault.Options
	// Net are the settings of its connections.
	Net netlayer.Options
}

// DefaultOptions are those of a small pComponent.
func DefaultOptions() Options {
	return Options{Cores: 2, ExCacheBytes: 256 << 20, MapPatienceMS: 60_000, BlockPatienceMS: blockio.DefaultPatienceMS, Fault: fault.DefaultOptions(), Net: netlayer.DefaultOptions()}
}

// Validate reports every setting out of bounds.
func (o Options) Validate() error {
	var errs []error
	if o.Cores < 1 || o.Cores > MaxCores {
		errs = append(errs, fmt.Errorf("cores: %d, want 1 to %d", o.Cores, MaxCores))
	}
	if o.ExCacheBytes < wire.PageSize || o.ExCacheBytes > excache.MaxLines*wire.PageSize {
		errs = append(errs, fmt.Errorf("excache_bytes: %d, want %d to %d", o.ExCacheBytes, wire.PageSize, uint64(excache.MaxLines)*wire.PageSize))
	}
	for _, p := range []struct {
		key string
		ms  int
	}{{"map_patience_ms", o.MapPatienceMS}, {"block_patience_ms", o.BlockPatienceMS}} {
		if p.ms < 1 || p.ms > fault.MaxPatienceMS {
			errs = append(errs, fmt.Errorf("%s: %d, want 1 to %d", p.key, p.ms, fault.MaxPatienceMS))
		}
	}
	if err := o.Fault.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("fault: %w", err))
	}
	return errors.Join(errs...)
}

// ProcessOptions say what a process is. GPM and GMM decided PID, Epoch and Home.
type ProcessOptions struct {
	PID     wire.PID
	Epoch   wire.Epoch
	Name    string
	Home    wire.Owner // the home mComponent; Region is not used
	Threads int
	ExCache excache.Options
	// Future is what belady knows of the accesses to come, from the first on; nil otherwise. A process that has it does not move: where it
	// came to, nobody knows them.
	Future *policy.Future
	// RegionBytes is the size of a vRegion in bytes, the same in the whole cluster.
	RegionBytes uint64
	// Program says to whoever re-executes a recorded process what made its accesses; the driver's, and not looked at here.
	Program []byte
	// Saved says that the process goes on elsewhere from a checkpoint if it is lost here.
	Saved bool
	// Far tells how many steps of its program the process has made, of how many in all: 0 where nobody knows. It is asked for metrics, at any time, without
	// a lock; nil knows nothing.
	Far func() (steps, whole uint64)
	// OnDamaged hears of each page that came with a wrong checksum. It is called with the process's lock held.
	OnDamaged func(page wire.PageNo, owner wire.NodeID, err error)
	// OnEvent hears of each fetch and flush, for the history of a page; nil is off. Called with the process's lock held.
	OnEvent func(Event)
}

// Event is one thing that happened to a page of a process.
type Event struct {
	At      time.Duration // since the process was opened
	What    string        // "p_local", "fetch", "take_back", "flush", "flush_acked", "unmap"
	Page    wire.PageNo
	Version uint64 // of a flush
	Node    wire.NodeID
}

package scomponent

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
	"splitkernel/scomponent/migrate"
)

// Options are the settings of an sComponent. Who it is is set by the program, the rest may come from a file.
type Options struct {
	Node    wire.NodeID    `mapstructure:"-" yaml:"-"`
	Log     *slog.Logger   `mapstructure:"-" yaml:"-"` // nil discards
	Devices blockdev.Store `mapstructure:"-" yaml:"-"` // nil is the folder data_dir; tests bring others. Close closes it.

	Addr    string           `mapstructure:"-" yaml:"-"` // under which other components reach it; empty if it moves no volumes
	Net     netlayer.Options `mapstructure:"-" yaml:"-"` // of the peers to other components, when volumes move
	Migrate migrate.Options  `mapstructure:"-" yaml:"-"` // of the moves of volumes; zero is migrate.DefaultOptions

	// IncomingTimeout is for how long nothing may come of a volume that moves here before it is given up; 0 is
	// DefaultIncomingTimeout. A complete one is kept, and its giver asked at such intervals.
	IncomingTimeout time.Duration `mapstructure:"-" yaml:"-"`

	// Recorder gets what the cores of volumes and of their moves are told; nil is off.
	Recorder tape.Recorder `mapstructure:"-" yaml:"-"`

	BootID string `mapstructure:"-" yaml:"-"` // names this start of the machine; empty asks the kernel

	// DataDir is the folder of the volumes' files. It is made if need be and locked against a second process.
	DataDir string `mapstructure:"data_dir" yaml:"data_dir"`
	// CapacityBytes bounds the sum of the sizes of the volumes, in bytes. Files are sparse: it is what may be promised.
	CapacityBytes uint64 `mapstructure:"capacity_bytes" yaml:"capacity_bytes"`
	// FlushQueue bounds the flushes of one volume that wait for the next fdatasync; one more is refused as busy.
	FlushQueue int `mapstructure:"flush_queue" yaml:"flush_queue"`
	// MaxVolumes bounds the volumes, each of which holds two files open.
	MaxVolumes int `mapstructure:"max_volumes" yaml:"max_volumes"`
}

// DefaultIncomingTimeout is twice the longest pause of a giver that is alive: moveCallTimeout for a lost answer.
const DefaultIncomingTimeout = 2 * moveCallTimeout

// DefaultOptions returns the defaults: 16 GiB of promises, and 256 flushes as many as a server's queue holds.
func DefaultOptions() Options {
	return Options{DataDir: "data", CapacityBytes: 16 << 30, FlushQueue: 256, MaxVolumes: 256}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	if o.DataDir == "" && o.Devices == nil {
		errs = append(errs, errors.New("data_dir: empty, want a folder"))
	}
	if o.CapacityBytes < wire.PageSize || o.CapacityBytes > 1<<60 {
		errs = append(errs, fmt.Errorf("capacity_bytes: %d, want %d to %d", o.CapacityBytes, wire.PageSize, uint64(1<<60)))
	}
	if o.FlushQueue < 1 || o.FlushQueue > 1<<16 {
		errs = append(errs, fmt.Errorf("flush_queue: %d, want 1 to %d", o.FlushQueue, 1<<16))
	}
	if o.MaxVolumes < 1 || o.MaxVolumes > 1<<16 {
		errs = append(errs, fmt.Errorf("max_volumes: %d, want 1 to %d", o.MaxVolumes, 1<<16))
	}
	if o.Migrate != (migrate.Options{}) {
		if err := o.Migrate.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("migrate: %w", err))
		}
	}
	if o.IncomingTimeout < 0 || o.IncomingTimeout > 0 && o.IncomingTimeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("incoming_timeout_ms: %v, want 0 or at least 1 ms", o.IncomingTimeout))
	}
	return errors.Join(errs...)
}

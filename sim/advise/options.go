package advise

import (
	"errors"
	"fmt"

	"splitkernel/configs"
)

// Bounds of options.
const (
	MaxSlowdown = 1000
	MaxProfiles = 12 // as many as a plot has colours for
	MaxWorkers  = 256
)

// Options say what to advise on.
type Options struct {
	Path, Format string  // of the trace
	Name         string  // of the program, for sentences
	Slowdown     float64 // what is allowed against all memory local, as a share: 0.05 is 5 % longer; above 0, at most MaxSlowdown
	Profiles     []string
	MaxRefs      uint64 // simulate only so many references; 0 is all
	Workers      int    // profiles at a time, 1 to MaxWorkers
	Version      string // of the reports of the runs
	// Progress is told how many references were simulated, and how many there will be at least; by several goroutines, one at a time. May be nil.
	Progress func(done, least uint64)
	// Reading is told, before that, how many records of a pass over the trace were read, and how many there will be, 0 = unknown; the trace is read
	// two to four times. May be nil.
	Reading func(done, total uint64)
}

// DefaultOptions are 5 % on every bundled profile, one after the other.
func DefaultOptions() Options {
	return Options{Slowdown: 0.05, Profiles: configs.BundledHardware(), Workers: 1}
}

// Validate finds every fault.
func (o Options) Validate() error {
	var errs []error
	if o.Path == "" {
		errs = append(errs, errors.New("path: empty, want a trace"))
	}
	if !(o.Slowdown > 0 && o.Slowdown <= MaxSlowdown) {
		errs = append(errs, fmt.Errorf("slowdown: %v, want a share above 0, at most %d", o.Slowdown, MaxSlowdown))
	}
	if len(o.Profiles) < 1 || len(o.Profiles) > MaxProfiles {
		errs = append(errs, fmt.Errorf("%d hardware profiles, want 1 to %d", len(o.Profiles), MaxProfiles))
	}
	if o.Workers < 1 || o.Workers > MaxWorkers {
		errs = append(errs, fmt.Errorf("%d workers, want 1 to %d", o.Workers, MaxWorkers))
	}
	return errors.Join(errs...)
}

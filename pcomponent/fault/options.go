package fault

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// MaxThreads bounds the threads of one process.
const MaxThreads = 1024

// MaxPatienceMS bounds every patience, in ms: an hour.
const MaxPatienceMS = 3_600_000

// DamagedFetches is how often a page is fetched again after its checksum did not fit, before the process fails.
const DamagedFetches = 3

// StewardInterval is how often who drives a Core looks for pauses that have ended, and live for answers that nobody waits for.
const StewardInterval = 10 * time.Millisecond

// Options are the settings of the fault protocol of one process.
type Options struct {
	// RegionBytes is the size of a vRegion in bytes, a power of two of at least one page.
	RegionBytes uint64 `yaml:"-"`
	// Threads is the number of threads that may fault at once, 1 to MaxThreads.
	Threads int `yaml:"-"`
	// Piggyback sends a dirty victim with the miss when both go to the same mComponent (LegoOS, default on).
	Piggyback bool
	// PatienceMS is how long a fault or a flush is retried against an mComponent that cannot be reached before the process
	// fails, in ms.
	PatienceMS int
	// BackoffMS is the pause before the first retry, in ms; it doubles up to MaxBackoffMS.
	BackoffMS int
	// MaxBackoffMS bounds the pause between two retries, in ms.
	MaxBackoffMS int
}

// DefaultOptions are the settings of LegoOS where it has them.
func DefaultOptions() Options {
	return Options{RegionBytes: 1 << 30, Threads: 1, Piggyback: true, PatienceMS: 20_000, BackoffMS: 10, MaxBackoffMS: 500}
}

// Validate reports every setting out of bounds.
func (o Options) Validate() error {
	var errs []error
	if o.RegionBytes < wire.PageSize || o.RegionBytes&(o.RegionBytes-1) != 0 {
		errs = append(errs, fmt.Errorf("region_bytes: %d, want a power of two of at least %d", o.RegionBytes, wire.PageSize))
	}
	if o.Threads < 1 || o.Threads > MaxThreads {
		errs = append(errs, fmt.Errorf("threads: %d, want 1 to %d", o.Threads, MaxThreads))
	}
	if o.PatienceMS < 1 || o.PatienceMS > MaxPatienceMS {
		errs = append(errs, fmt.Errorf("patience_ms: %d, want 1 to %d", o.PatienceMS, MaxPatienceMS))
	}
	if o.BackoffMS < 1 || o.MaxBackoffMS < o.BackoffMS || o.MaxBackoffMS > MaxPatienceMS {
		errs = append(errs, fmt.Errorf("backoff_ms: %d and max_backoff_ms: %d, want 1 ≤ backoff_ms ≤ max_backoff_ms ≤ %d", o.BackoffMS, o.MaxBackoffMS, MaxPatienceMS))
	}
	return errors.Join(errs...)
}

func (o Options) patience() time.Duration { return time.Duration(o.PatienceMS) * time.Millisecond }

// backoff gives the pause before attempt n (from 1).
func (o Options) backoff(n int) time.Duration {
	d, limit := time.Duration(o.BackoffMS)*time.Millisecond, time.Duration(o.MaxBackoffMS)*time.Millisecond
	for ; n > 1 && d < limit; n-- {
		d *= 2
	}
	return min(d, limit)
}

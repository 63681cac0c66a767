package replica

import (
	"errors"
	"fmt"
	"time"
)

// Options bounds a group.
type Options struct {
	Patience   time.Duration // how long an operation waits for a quorum
	RetryMin   time.Duration // first pause before a copy is tried again that cannot be reached; it doubles up to RetryMax
	RetryMax   time.Duration
	Hedge      time.Duration // after which the block is asked of another copy than the one that was chosen
	Window     int           // blocks that are repaired at once
	Batch      int           // blocks whose versions are compared at once
	Missed     int           // blocks that a copy missed that are remembered one by one; with more, all are compared
	Stragglers int           // writes that are done and still on their way to slow copies
	ScrubEvery time.Duration // from the end of one scrub to the next; 0: none
	ScrubPause time.Duration // between two batches of a scrub
}

// DefaultOptions returns the defaults. Patience is that of the buffer cache with one sComponent.
func DefaultOptions() Options {
	return Options{Patience: 4 * time.Second, RetryMin: 10 * time.Millisecond, RetryMax: 500 * time.Millisecond, Hedge: 100 * time.Millisecond,
		Window: 16, Batch: 1024, Missed: 1 << 14, Stragglers: 64, ScrubEvery: 10 * time.Minute, ScrubPause: 100 * time.Millisecond}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	for _, d := range []struct {
		key    string
		v      time.Duration
		lo, hi time.Duration
	}{{"patience_ms", o.Patience, time.Millisecond, time.Hour}, {"retry_min_ms", o.RetryMin, time.Millisecond, o.RetryMax}, {"retry_max_ms", o.RetryMax, time.Millisecond, time.Minute},
		{"hedge_ms", o.Hedge, time.Millisecond, time.Minute}, {"scrub_every_ms", o.ScrubEvery, 0, 1000 * time.Hour}, {"scrub_pause_ms", o.ScrubPause, 0, time.Hour}} {
		if d.v < d.lo || d.v > d.hi {
			errs = append(errs, fmt.Errorf("%s: %v, want %v to %v", d.key, d.v, d.lo, d.hi))
		}
	}
	for _, b := range []struct {
		key   string
		v, hi int
	}{{"repair_window_blocks", o.Window, 1 << 10}, {"scrub_batch_blocks", o.Batch, maxBatch}, {"max_missed_blocks", o.Missed, 1 << 20}, {"max_stragglers", o.Stragglers, 1 << 12}} {
		if b.v < 1 || b.v > b.hi {
			errs = append(errs, fmt.Errorf("%s: %d, want 1 to %d", b.key, b.v, b.hi))
		}
	}
	return errors.Join(errs...)
}

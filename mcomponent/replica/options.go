package replica

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// Options bounds the two roles.
type Options struct {
	// WindowMessages bounds the messages that are under way to one holder of one vRegion; more pages wait in order. Those of a fill are at
	// most half of them.
	WindowMessages int `yaml:"replica_window_messages"`
	// RetryMS is the first pause before a holder that did not answer is tried again, in ms; it doubles up to MaxRetryMS.
	RetryMS    int `yaml:"replica_retry_ms"`
	MaxRetryMS int `yaml:"replica_max_retry_ms"`
	// LogBytes bounds the pages in the memory of all logs that this mComponent keeps for others, in bytes. 0 keeps none: every flush
	// waits or is skipped.
	LogBytes uint64 `yaml:"replica_log_bytes"`
	// FileBytes is how large a backup file is asked for, in bytes: what the logs that this mComponent keeps for others may have beside
	// LogBytes. 0 asks for none: what a log has is in memory.
	FileBytes uint64 `yaml:"replica_file_bytes"`
	// SaveMessages bounds the pages that are on their way to backup files, which become durable together.
	SaveMessages int `yaml:"replica_save_messages"`
	// CheckMS is between two questions to GSM whether the backup file is still where it was, in ms: its sComponent may drain, or be dead while
	// nothing is written.
	CheckMS int `yaml:"replica_check_ms"`
	// AgainMS is between two rounds of questions to owners for what is in files that are left, in ms.
	AgainMS int `yaml:"replica_again_ms"`
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{WindowMessages: 64, RetryMS: 2, MaxRetryMS: 200, LogBytes: 64 << 20, FileBytes: 1 << 30, SaveMessages: 256, CheckMS: 5_000, AgainMS: 1_000}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	for _, b := range []struct {
		key   string
		v     int
		least int
	}{{"replica_window_messages", o.WindowMessages, 2}, {"replica_retry_ms", o.RetryMS, 1}, {"replica_max_retry_ms", o.MaxRetryMS, o.RetryMS}, {"replica_save_messages", o.SaveMessages, 1},
		{"replica_check_ms", o.CheckMS, 1}, {"replica_again_ms", o.AgainMS, 1}} {
		if b.v < b.least || b.v > 1<<20 {
			errs = append(errs, fmt.Errorf("%s: %d, want %d to %d", b.key, b.v, b.least, 1<<20))
		}
	}
	if o.LogBytes%wire.PageSize != 0 {
		errs = append(errs, fmt.Errorf("replica_log_bytes: %d, want a multiple of %d", o.LogBytes, wire.PageSize))
	}
	if o.FileBytes%wire.PageSize != 0 || o.FileBytes > MaxFileBytes {
		errs = append(errs, fmt.Errorf("replica_file_bytes: %d, want a multiple of %d of at most %d", o.FileBytes, wire.PageSize, uint64(MaxFileBytes)))
	}
	return errors.Join(errs...)
}

// MaxFileBytes bounds a backup file.
const MaxFileBytes = 1 << 42

func (o Options) check() time.Duration { return time.Duration(o.CheckMS) * time.Millisecond }
func (o Options) again() time.Duration { return time.Duration(o.AgainMS) * time.Millisecond }

func (o Options) pause(attempts int) time.Duration {
	d := o.RetryMS
	for i := 1; i < attempts && d < o.MaxRetryMS; i++ {
		d *= 2
	}
	return time.Duration(min(d, o.MaxRetryMS)) * time.Millisecond
}

package buffercache

import (
	"errors"
	"fmt"
)

// Options bounds the cache.
type Options struct {
	// Blocks is the capacity in blocks of 4 KiB.
	Blocks int
	// Window bounds the blocks being written back at once.
	Window int
	// MaxWaiters bounds the reads and writes that wait for a free block; one more is refused as busy.
	MaxWaiters int
	// MaxVolumes bounds the volumes attached at once.
	MaxVolumes int
}

// DefaultOptions returns the defaults: 16 MiB of blocks. 32 write-backs in flight keep an NVMe disk busy.
func DefaultOptions() Options {
	return Options{Blocks: 4096, Window: 32, MaxWaiters: 1024, MaxVolumes: 256}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	for _, b := range []struct {
		key string
		v   int
	}{{"buffer_cache_blocks", o.Blocks}, {"writeback_window_blocks", o.Window}, {"max_block_waiters", o.MaxWaiters}, {"max_volumes", o.MaxVolumes}} {
		if b.v < 1 || b.v > 1<<28 {
			errs = append(errs, fmt.Errorf("%s: %d, want 1 to %d", b.key, b.v, 1<<28))
		}
	}
	return errors.Join(errs...)
}

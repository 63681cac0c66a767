package buffercache

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/pcomponent/policy"
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
	// Policy is who leaves, by the name of package policy; empty is lru. belady, which must know all accesses beforehand, is none for it.
	Policy string
}

// defaultPolicy is what an empty name means.
const defaultPolicy = "lru"

// maxBlocks bounds Blocks, and what else Options count.
const maxBlocks = 1 << 28

// sweepEvery is the number of accesses between two sweeps of lru-sweep.
const sweepEvery = 4096

func (o Options) policy() string {
	if o.Policy == "" {
		return defaultPolicy
	}
	return o.Policy
}

// Policies are the names that Policy may have.
func Policies() []string {
	return slices.DeleteFunc(policy.Names(), func(name string) bool { return name == "belady" })
}

// DefaultOptions returns the defaults: 16 MiB of blocks. 32 write-backs in flight keep an NVMe disk busy.
func DefaultOptions() Options {
	return Options{Blocks: 4096, Window: 32, MaxWaiters: 1024, MaxVolumes: 256, Policy: defaultPolicy}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	for _, b := range []struct {
		key string
		v   int
	}{{"buffer_cache_blocks", o.Blocks}, {"writeback_window_blocks", o.Window}, {"max_block_waiters", o.MaxWaiters}, {"max_volumes", o.MaxVolumes}} {
		if b.v < 1 || b.v > maxBlocks {
			errs = append(errs, fmt.Errorf("%s: %d, want 1 to %d", b.key, b.v, maxBlocks))
		}
	}
	if !slices.Contains(Policies(), o.policy()) {
		errs = append(errs, fmt.Errorf("buffer_cache_policy: %q, want one of %s", o.Policy, strings.Join(Policies(), ", ")))
	}
	return errors.Join(errs...)
}

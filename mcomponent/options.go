package mcomponent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/cachemove"
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	quorum "splitkernel/scomponent/replica"
)

// Managers is what an mComponent needs of the managers; gmanagers/client.Client is one.
type Managers interface {
	// ActivateRegion has GMM choose the owner of a vRegion. Asked again it gives the same. It retries until ctx ends.
	ActivateRegion(ctx context.Context, pid wire.PID, region wire.RegionNo) (wire.Activated, error)
	// BackupFile has GSM give the backup file of its logs, or takes it back. Asked again it gives the same, unless that cannot be used any more.
	BackupFile(ctx context.Context, q wire.FileReq) (wire.ReplicaFile, error)
}

// MinServerWorkers is how many workers the server of an mComponent needs at least: one for each memory map that may wait
// for GMM or an owner, one for each block request that may wait for an sComponent, and some for all else, so that neither
// dead managers nor dead sComponents stop the others. A worker that waits costs some KiB.
const MinServerWorkers = maxHomeWaits + maxBlockWaits + 64

// maxBlockWaits bounds the block requests that wait at once for an sComponent, and maxVolumeWaits those of one volume, so that
// one that is dead or moving leaves room for the others; more are refused as busy. A pComponent has blockio.Window (16) requests of a
// volume under way, so four of them may wait for each other's blocks before anything is refused.
const (
	maxBlockWaits  = 192
	maxVolumeWaits = 64
)

// maxHomeExits bounds the exits of processes that wait for owners at once; more are refused as busy, which callers retry.
const maxHomeExits = 8

// maxHomeSwitches bounds the changes of owner that wait for pComponents at once; more are refused as busy.
const maxHomeSwitches = 8

// maxHomeWaits bounds the memory-map operations that wait at a home at once; more are refused as busy.
const maxHomeWaits = 192

// Options are the settings of an mComponent. Who it is and whom it talks to is set by the program, the rest may come from a
// file.
type Options struct {
	Node     wire.NodeID      `mapstructure:"-" yaml:"-"`
	Log      *slog.Logger     `mapstructure:"-" yaml:"-"` // nil discards
	Net      netlayer.Options `mapstructure:"-" yaml:"-"` // of the peers to other components
	Managers Managers         `mapstructure:"-" yaml:"-"`
	// Addr is where the others reach this mComponent: it is told to them when a move comes back to it.
	Addr netlayer.Addr `mapstructure:"-" yaml:"-"`
	// Recorder gets the inputs of all cores; nil is off.
	Recorder tape.Recorder `mapstructure:"-" yaml:"-"`
	// Migrate are the settings of moves; tests change them.
	Migrate migrate.Options `mapstructure:"-" yaml:"-"`

	CacheMove cachemove.Options `mapstructure:"-" yaml:"-"` // of the moves of buffer caches; zero is cachemove.DefaultOptions

	// Copies are the settings of volumes with several copies, but for those below; zero is its DefaultOptions.
	Copies quorum.Options `mapstructure:"-" yaml:"-"`

	// MemoryBytes is how many bytes of pages it holds, a multiple of the page size. Memory is taken when pages are used.
	MemoryBytes uint64 `mapstructure:"memory_bytes" yaml:"memory_bytes"`
	// RegionBytes is the size of a vRegion, the same in the whole cluster: a power of two of at least a page.
	RegionBytes uint64 `mapstructure:"region_bytes" yaml:"region_bytes"`
	// Workers is how many requests are served at once, apart from those that wait for another component.
	Workers int `mapstructure:"workers" yaml:"workers"`
	// BufferCacheBytes is how many bytes of blocks it holds, a multiple of the block size; on top of memory_bytes.
	BufferCacheBytes uint64 `mapstructure:"buffer_cache_bytes" yaml:"buffer_cache_bytes"`
	// BufferCachePolicy is which of its blocks leaves, by the name of package policy; lru is the least recently used, or written back.
	BufferCachePolicy string `mapstructure:"buffer_cache_policy" yaml:"buffer_cache_policy"`
	// MaxVMAsPerProcess bounds the vma tree of a process at its home.
	MaxVMAsPerProcess int `mapstructure:"max_vmas_per_process" yaml:"max_vmas_per_process"`
	// MaxRegionsPerProcess bounds the active vRegions of a process.
	MaxRegionsPerProcess int `mapstructure:"max_regions_per_process" yaml:"max_regions_per_process"`
	// MaxOwnedRegions bounds the vRegions that this mComponent owns, of all processes.
	MaxOwnedRegions int `mapstructure:"max_owned_regions" yaml:"max_owned_regions"`
	// MaxOutstanding bounds the asks to GMM that are outstanding, and apart from them the requests to owners; further ones
	// wait in order.
	MaxOutstanding int `mapstructure:"max_outstanding" yaml:"max_outstanding"`
	// WritebackWindowBlocks bounds the blocks being written back at once.
	WritebackWindowBlocks int `mapstructure:"writeback_window_blocks" yaml:"writeback_window_blocks"`
	// MaxBlockWaiters bounds the block requests that wait for a free block of the buffer cache.
	MaxBlockWaiters int `mapstructure:"max_block_waiters" yaml:"max_block_waiters"`
	// MaxVolumes bounds the volumes whose buffer cache this is.
	MaxVolumes int `mapstructure:"max_volumes" yaml:"max_volumes"`
	// ActivateTimeoutMS bounds an ask to GMM, its retries over leader changes included, in ms. After it the caller is told that
	// managers do not answer, and asks again while it has patience. It is longer than most elections, and shorter than the
	// call_timeout_ms of a pComponent's connections, or that would give up just before it hears why.
	ActivateTimeoutMS int `mapstructure:"activate_timeout_ms" yaml:"activate_timeout_ms"`
	// ReplicaLogBytes bounds the pages of all logs that it keeps in its memory for vRegions of others, in bytes, a multiple of the page size. They
	// are part of memory_bytes. 0 keeps none: every flush to such a log waits for the backup file, or is skipped.
	ReplicaLogBytes uint64 `mapstructure:"replica_log_bytes" yaml:"replica_log_bytes"`
	// ReplicaFileBytes is how large a backup file GSM is asked for, in bytes, a multiple of the page size: what logs have beside replica_log_bytes. There may be
	// less: no file takes more than an eighth of an sComponent. 0 asks for none.
	ReplicaFileBytes uint64 `mapstructure:"replica_file_bytes" yaml:"replica_file_bytes"`
	// ReplicaWindowMessages bounds the pages under way to one holder of one vRegion; more wait in order. Those of a fill are at most half of them.
	ReplicaWindowMessages int `mapstructure:"replica_window_messages" yaml:"replica_window_messages"`
	// RecoveryWindowMessages bounds the questions for pages, 64 each, that a recovery has under way in the background.
	RecoveryWindowMessages int `mapstructure:"recovery_window_messages" yaml:"recovery_window_messages"`
	// ShareHedgeMS is after how long one more holder is asked for a share of a page that is missed, in ms: about the slowest answers of holders that are
	// well. Shorter ones make more messages, and pages of parity shares, which cost computing; longer ones wait for a holder that hangs.
	ShareHedgeMS int `mapstructure:"share_hedge_ms" yaml:"share_hedge_ms"`
	// StorageTimeoutMS bounds one request to an sComponent, in ms: a slow disk may take seconds for an fdatasync.
	StorageTimeoutMS int `mapstructure:"storage_timeout_ms" yaml:"storage_timeout_ms"`
	// ScrubEveryMS is from the end of one comparison of all copies of a volume, bytes and checksums, to the next, in ms; 0: none.
	ScrubEveryMS int `mapstructure:"scrub_every_ms" yaml:"scrub_every_ms"`
	// ScrubPauseMS is between two batches of 1024 blocks of it, in ms.
	ScrubPauseMS int `mapstructure:"scrub_pause_ms" yaml:"scrub_pause_ms"`
	// Inject are faults on purpose, for tests of the page check. All zero in any real cluster.
	Inject Inject `mapstructure:"inject" yaml:"inject"`
}

// Inject are test doors for law 3: each makes this mComponent wrong once, and the run must notice.
type Inject struct {
	// FlipByteAtMiss flips one byte of the stored page before the Nth miss of a page that was flushed before is served; 0 never.
	FlipByteAtMiss uint64 `mapstructure:"flip_byte_at_miss" yaml:"flip_byte_at_miss"`
	// DropFlushAt acknowledges the Nth flush without applying it; 0 never.
	DropFlushAt uint64 `mapstructure:"drop_flush_at" yaml:"drop_flush_at"`
}

// DefaultOptions returns the defaults: 64 MiB of pages and 16 MiB of blocks, for a cluster on a laptop.
func DefaultOptions() Options {
	v, b, r := vregion.DefaultOptions(), buffercache.DefaultOptions(), replica.DefaultOptions()
	return Options{
		MemoryBytes: 64 << 20, RegionBytes: v.RegionBytes, Workers: 4, BufferCacheBytes: uint64(b.Blocks) * wire.PageSize, BufferCachePolicy: b.Policy,
		MaxVMAsPerProcess: v.MaxVMAsPerProcess, MaxRegionsPerProcess: v.MaxRegionsPerProcess, MaxOwnedRegions: 1 << 20,
		MaxOutstanding: v.MaxOutstanding, WritebackWindowBlocks: b.Window, MaxBlockWaiters: b.MaxWaiters, MaxVolumes: b.MaxVolumes,
		Migrate: migrate.DefaultOptions(), ActivateTimeoutMS: 4_000, StorageTimeoutMS: 5_000, ScrubEveryMS: 600_000, ScrubPauseMS: 100,
		ReplicaLogBytes: r.LogBytes, ReplicaFileBytes: r.FileBytes, ReplicaWindowMessages: 1024, RecoveryWindowMessages: recovery.DefaultOptions().WindowMessages,
		ShareHedgeMS: erasure.DefaultOptions().HedgeMS,
	}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	pages := func(key string, v uint64) {
		if v < wire.PageSize || v%wire.PageSize != 0 || v > arena.MaxFrames*wire.PageSize {
			errs = append(errs, fmt.Errorf("%s: %d, want a multiple of %d from %d to %d", key, v, wire.PageSize, wire.PageSize, uint64(arena.MaxFrames)*wire.PageSize))
		}
	}
	between := func(key string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%s: %d, want %d to %d", key, v, lo, hi))
		}
	}
	pages("memory_bytes", o.MemoryBytes)
	if r := o.RegionBytes; r < wire.PageSize || r&(r-1) != 0 || r > maxRegionBytes {
		errs = append(errs, fmt.Errorf("region_bytes: %d, want a power of two from %d to %d", r, wire.PageSize, uint64(maxRegionBytes)))
	}
	between("workers", o.Workers, 1, 1024)
	pages("buffer_cache_bytes", o.BufferCacheBytes)
	if names := buffercache.Policies(); !slices.Contains(names, o.BufferCachePolicy) {
		errs = append(errs, fmt.Errorf("buffer_cache_policy: %q, want one of %s", o.BufferCachePolicy, strings.Join(names, ", ")))
	}
	between("max_vmas_per_process", o.MaxVMAsPerProcess, 1, 1<<24)
	between("max_regions_per_process", o.MaxRegionsPerProcess, 1, 1<<24)
	between("max_owned_regions", o.MaxOwnedRegions, 1, 1<<24)
	between("max_outstanding", o.MaxOutstanding, 1, 4096)
	between("writeback_window_blocks", o.WritebackWindowBlocks, 1, 4096)
	between("max_block_waiters", o.MaxBlockWaiters, 1, 1<<16)
	between("max_volumes", o.MaxVolumes, 1, 1<<16)
	between("activate_timeout_ms", o.ActivateTimeoutMS, 1, 3_600_000)
	if err := errors.Join(o.replica().Validate(), o.recovery().Validate(), o.erasure().Validate()); err != nil {
		errs = append(errs, err)
	}
	if err := o.Migrate.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("migrate: %w", err))
	}
	between("storage_timeout_ms", o.StorageTimeoutMS, 1, 3_600_000)
	between("scrub_every_ms", o.ScrubEveryMS, 0, 3_600_000_000)
	between("scrub_pause_ms", o.ScrubPauseMS, 0, 3_600_000)
	if err := o.cacheMove().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("cache_move: %w", err))
	}
	return errors.Join(errs...)
}

// maxRegionBytes keeps vregion's place_base a multiple of every size.
const maxRegionBytes = 1 << 40

// Cores gives the settings of the cores that a virtual mComponent has too.
func (o Options) Cores() (vregion.Options, buffercache.Options) { return o.vregion(), o.buffercache() }

// Redundancy gives the settings of the cores of redundancy that a virtual mComponent has too.
func (o Options) Redundancy() (replica.Options, erasure.Options) { return o.replica(), o.erasure() }

func (o Options) vregion() vregion.Options {
	v := vregion.DefaultOptions()
	v.RegionBytes, v.MaxVMAsPerProcess, v.MaxRegionsPerProcess, v.MaxOutstanding = o.RegionBytes, o.MaxVMAsPerProcess, o.MaxRegionsPerProcess, o.MaxOutstanding
	return v
}

func (o Options) cacheMove() cachemove.Options {
	if o.CacheMove == (cachemove.Options{}) {
		return cachemove.DefaultOptions()
	}
	return o.CacheMove
}

func (o Options) replica() replica.Options {
	r := replica.DefaultOptions()
	r.LogBytes, r.FileBytes, r.WindowMessages = o.ReplicaLogBytes, o.ReplicaFileBytes, o.ReplicaWindowMessages
	return r
}

func (o Options) erasure() erasure.Options {
	e := erasure.DefaultOptions()
	e.HedgeMS = o.ShareHedgeMS
	return e
}

func (o Options) recovery() recovery.Options {
	r := recovery.DefaultOptions()
	r.WindowMessages = o.RecoveryWindowMessages
	return r
}

// Replica gives the settings of the core that coordinates copies of volumes.
func (o Options) Replica() quorum.Options {
	r := o.Copies
	if r == (quorum.Options{}) {
		r = quorum.DefaultOptions()
	}
	r.ScrubEvery, r.ScrubPause = time.Duration(o.ScrubEveryMS)*time.Millisecond, time.Duration(o.ScrubPauseMS)*time.Millisecond
	return r
}

func (o Options) buffercache() buffercache.Options {
	return buffercache.Options{Blocks: int(o.BufferCacheBytes / wire.PageSize), Window: o.WritebackWindowBlocks, MaxWaiters: o.MaxBlockWaiters, MaxVolumes: o.MaxVolumes, Policy: o.BufferCachePolicy}
}

package mcomponent

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/latency"
	"splitkernel/netlayer/wire"
	quorum "splitkernel/scomponent/replica"
)

// counts are updated without a lock; what the cores count is not counted again.
type counts struct {
	notOwner, stale, unmapped, noMemory   atomic.Uint64
	mapErrors, blockErrors, storageErrors atomic.Uint64
	homeRefused, blockRefused             atomic.Uint64
	pagesRestored                         atomic.Uint64 // by rollbacks
	sharedMisses                          atomic.Uint64 // served with pages that others have, in shares
	blockReadBytes, blockWriteBytes       atomic.Uint64

	cacheMovesDone, cacheMovesUndone, cacheMovesLost, cacheMoveBytes atomic.Uint64
}

// refused counts a refused miss or flush by kind and returns its error.
func (c *counts) refused(err error) error {
	switch wire.KindOf(err) {
	case wire.KindNotOwner:
		c.notOwner.Add(1)
	case wire.KindStale:
		c.stale.Add(1)
	case wire.KindUnmapped:
		c.unmapped.Add(1)
	case wire.KindNoMemory:
		c.noMemory.Add(1)
	}
	return err
}

// Stats are the numbers of an mComponent; counts are since its start.
type Stats struct {
	Pages        pagestore.Stats
	Home         vregion.Stats
	Blocks       buffercache.Stats
	OwnedRegions int
	Incoming     int    // vRegions and memory maps on their way here
	MappedBytes  uint64 // in the vRegions that it owns
	WorkersBusy  int
	WorkerWaits  uint64 // requests that waited for a worker
	HomeRefused  uint64 // memory maps and exits refused as busy because too many waited
	BlockRefused uint64 // block requests refused as busy because too many waited for sComponents

	NotOwner, Stale, Unmapped, NoMemory   uint64 // misses and flushes refused
	MapErrors, BlockErrors, StorageErrors uint64
	BlockReadBytes, BlockWriteBytes       uint64
	PagesRestored                         uint64 // by rollbacks to checkpoints
	SharedMisses                          uint64 // served with pages that others have, in shares

	Primary    replica.Stats       // of the redundancy of what is served here
	Holder     replica.HolderStats // of what is held for others
	Shares     erasure.Stats       // of what is served here and lies in shares
	LogBehind  string              // why pages of logs are in memory that ought to be in a backup file
	Recoveries int                 // vRegions that are being recovered

	CacheMovesDone, CacheMovesUndone, CacheMovesLost uint64 // moves of buffer caches given away, by how they ended
	CacheMoveBytes                                   uint64 // written back for them

	Copies        quorum.Stats // of volumes with several copies
	CopiedVolumes int          // such volumes whose buffer cache it is
	CopiesBehind  int          // copies that cannot be reached or are catching up
}

// movedCache counts the move of a buffer cache that has ended.
func (c *Component) movedCache(s wire.MoveStatusRep) {
	n := &c.counts
	switch s.State {
	case wire.MoveDone:
		n.cacheMovesDone.Add(1)
	case wire.MoveUndone:
		n.cacheMovesUndone.Add(1)
	default:
		n.cacheMovesLost.Add(1)
	}
	n.cacheMoveBytes.Add(s.Bytes)
	c.metrics.cachePause.Observe(float64(s.PauseUS) / 1e6)
}

// Stats gives the numbers.
func (c *Component) Stats() Stats {
	n := &c.counts
	s := Stats{
		WorkersBusy: int(c.workers.busy.Load()), WorkerWaits: c.workers.waits.Load(), HomeRefused: n.homeRefused.Load(), BlockRefused: n.blockRefused.Load(),
		PagesRestored: n.pagesRestored.Load(), SharedMisses: n.sharedMisses.Load(),
		NotOwner: n.notOwner.Load(), Stale: n.stale.Load(), Unmapped: n.unmapped.Load(), NoMemory: n.noMemory.Load(),
		MapErrors: n.mapErrors.Load(), BlockErrors: n.blockErrors.Load(), StorageErrors: n.storageErrors.Load(),
		BlockReadBytes: n.blockReadBytes.Load(), BlockWriteBytes: n.blockWriteBytes.Load(),
		CacheMovesDone: n.cacheMovesDone.Load(), CacheMovesUndone: n.cacheMovesUndone.Load(), CacheMovesLost: n.cacheMovesLost.Load(), CacheMoveBytes: n.cacheMoveBytes.Load(),
	}
	c.mu.Lock()
	s.Pages, s.OwnedRegions, s.MappedBytes = c.store.Stats(), c.owners.Regions(), c.owners.MappedBytes()
	s.Incoming = c.taker.Len()
	s.Primary, s.Holder = c.replicas.primary.Stats(), c.replicas.holder.Stats()
	s.Shares = c.shares.core.Stats()
	s.LogBehind = c.replicas.holder.Behind()
	for _, v := range c.recoveries { // a sum: no order
		if !v.r.Ended() {
			s.Recoveries++
		}
	}
	c.mu.Unlock()
	c.homeMu.Lock()
	s.Home = c.home.Stats()
	s.Incoming += c.homeTaker.Len()
	c.homeMu.Unlock()
	c.cacheMu.Lock()
	s.Blocks = c.cache.Stats()
	c.cacheMu.Unlock()
	s.Copies, s.CopiedVolumes, s.CopiesBehind = c.copyStats()
	return s
}

// Fetches is the number of pages sent.
func (s Stats) Fetches() uint64 { return s.Pages.Misses + s.SharedMisses }

// ResidentBytes is what its pages take.
func (s Stats) ResidentBytes() uint64 { return uint64(s.Pages.Used) * wire.PageSize }

// Load is what the heartbeat reports.
func (c *Component) Load() wire.Load {
	s := c.Stats()
	return wire.Load{
		ReservedBytes: s.MappedBytes, ResidentBytes: s.ResidentBytes(), Misses: s.Fetches(), Flushes: s.Pages.Flushes,
		BlockOps:   s.Blocks.Reads + s.Blocks.Writes + s.Blocks.Flushes,
		BlockBytes: s.BlockReadBytes + s.BlockWriteBytes, MapOps: s.Home.Calls,
		Regions: uint32(s.OwnedRegions), Homes: uint32(s.Home.Processes), Volumes: uint32(s.Blocks.Volumes),
	}
}

// WorkerWaits is how long misses and flushes have waited for a worker since the start, and how many needed one.
func (c *Component) WorkerWaits() (time.Duration, uint64) {
	c.mu.Lock()
	s := c.store.Stats()
	c.mu.Unlock()
	return time.Duration(c.workers.waited.Load()), s.Misses + s.Flushes + s.OldFlushes
}

// Capacity is what the component offers.
func (c *Component) Capacity() wire.Capacity {
	return wire.Capacity{MemoryBytes: c.o.MemoryBytes, RegionBytes: c.o.RegionBytes, BufferCacheBytes: c.o.BufferCacheBytes}
}

// Counters gives the numbers by name, in order.
func (c *Component) Counters() []wire.Counter {
	s := c.Stats()
	b := &s.Blocks
	r := &s.Copies
	l := []wire.Counter{
		{Name: "activations", Value: float64(s.Home.Activations)},
		{Name: "asks", Value: float64(s.Home.Asks)},
		{Name: "asks_shared", Value: float64(s.Home.SharedAsks)},
		{Name: "best_fits", Value: float64(s.Home.BestFits)},
		{Name: "block_cache_evictions", Value: float64(b.Evictions)},
		{Name: "block_cache_hits", Value: float64(b.Hits)},
		{Name: "block_cache_misses", Value: float64(b.Misses)},
		{Name: "block_coalesced", Value: float64(b.Coalesced)},
		{Name: "block_errors", Value: float64(s.BlockErrors)},
		{Name: "block_flushes", Value: float64(b.Flushes)},
		{Name: "block_lost", Value: float64(b.LostBlocks)},
		{Name: "block_read_bytes", Value: float64(s.BlockReadBytes)},
		{Name: "block_reads", Value: float64(b.Reads)},
		{Name: "block_write_bytes", Value: float64(s.BlockWriteBytes)},
		{Name: "block_writes", Value: float64(b.Writes)},
		{Name: "fetched_bytes", Value: float64(s.Fetches() * wire.PageSize)},
		{Name: "fetches", Value: float64(s.Fetches())},
		{Name: "flushed_bytes", Value: float64(s.Pages.Flushes * wire.PageSize)},
		{Name: "flushes", Value: float64(s.Pages.Flushes)},
		{Name: "flushes_old", Value: float64(s.Pages.OldFlushes)},
		{Name: "held_file_pages", Value: float64(s.Holder.FilePages)},
		{Name: "held_file_pages_lost", Value: float64(s.Holder.Unread)},
		{Name: "held_log_full", Value: float64(s.Holder.Full)},
		{Name: "held_log_pages", Value: float64(s.Holder.LoggedPages)},
		{Name: "held_pages", Value: float64(s.Holder.Pages)},
		{Name: "held_regions", Value: float64(s.Holder.Regions)},
		{Name: "held_save_errors", Value: float64(s.Holder.SaveErrors)},
		{Name: "held_saved", Value: float64(s.Holder.Saved)},
		{Name: "held_skipped", Value: float64(s.Holder.Skipped)},
		{Name: "held_writes", Value: float64(s.Holder.Writes)},
		{Name: "home_calls", Value: float64(s.Home.Calls)},
		{Name: "home_processes", Value: float64(s.Home.Processes)},
		{Name: "home_refused_busy", Value: float64(s.HomeRefused)},
		{Name: "home_regions", Value: float64(s.Home.Regions)},
		{Name: "map_errors", Value: float64(s.MapErrors)},
		{Name: "mapped_bytes", Value: float64(s.MappedBytes)},
		{Name: "mmaps", Value: float64(s.Home.Mmaps)},
		{Name: "munmaps", Value: float64(s.Home.Munmaps)},
		{Name: "owner_retries", Value: float64(s.Home.OwnerRetries)},
		{Name: "owner_switches", Value: float64(s.Home.Switches)},
		{Name: "owned_regions", Value: float64(s.OwnedRegions)},
		{Name: "pages_freed", Value: float64(s.Pages.Freed)},
		{Name: "pages_kept", Value: float64(s.Pages.PreImages)},
		{Name: "pages_peak", Value: float64(s.Pages.Peak)},
		{Name: "pages_restored", Value: float64(s.PagesRestored)},
		{Name: "refused_no_memory", Value: float64(s.NoMemory)},
		{Name: "refused_not_owner", Value: float64(s.NotOwner)},
		{Name: "refused_stale", Value: float64(s.Stale)},
		{Name: "refused_unmapped", Value: float64(s.Unmapped)},
		{Name: "recovering_regions", Value: float64(s.Recoveries)},
		{Name: "replica_filled", Value: float64(s.Primary.Filled)},
		{Name: "replica_lost", Value: float64(s.Primary.Lost)},
		{Name: "replica_retries", Value: float64(s.Primary.Retries)},
		{Name: "replica_sent", Value: float64(s.Primary.Sent)},
		{Name: "replica_unprotected", Value: float64(s.Primary.Unprotected)},
		{Name: "replicated_regions", Value: float64(s.Primary.Regions)},
		{Name: "resident_bytes", Value: float64(s.ResidentBytes())},
		{Name: "share_reads", Value: float64(s.Shares.Reads)},
		{Name: "share_reads_computed", Value: float64(s.Shares.Computed)},
		{Name: "copies_behind", Value: float64(s.CopiesBehind)},
		{Name: "copies_blocks_scrubbed", Value: float64(r.Scrubbed)},
		{Name: "copies_caught_up", Value: float64(r.CaughtUp)},
		{Name: "copies_corrupt", Value: float64(r.Corrupt)},
		{Name: "copies_missed_writes", Value: float64(r.Missed)},
		{Name: "copies_quorum_waits", Value: float64(r.Waits)},
		{Name: "copies_repaired", Value: float64(r.Repaired)},
		{Name: "copies_scrubs", Value: float64(r.Scrubs)},
		{Name: "copies_unrepaired", Value: float64(r.Unrepaired)},
		{Name: "copies_volumes", Value: float64(s.CopiedVolumes)},
		{Name: "copies_write_backs", Value: float64(r.WriteBacks)},
		{Name: "storage_errors", Value: float64(s.StorageErrors)},
		{Name: "storage_flushes", Value: float64(b.StorageFlushes)},
		{Name: "storage_marks", Value: float64(b.Marks)},
		{Name: "storage_reads", Value: float64(b.StorageReads)},
		{Name: "storage_writes", Value: float64(b.StorageWrites)},
		{Name: "volumes", Value: float64(b.Volumes)},
		{Name: "worker_waits", Value: float64(s.WorkerWaits)},
		{Name: "zero_fills", Value: float64(s.Pages.ZeroFills)},
	}
	l = append(l, c.latency.Counters()...)
	slices.SortFunc(l, func(a, b wire.Counter) int { return strings.Compare(a.Name, b.Name) })
	return l
}

// newLatency makes the recorder of block operations, by op - wire.OpBlockRead.
func newLatency() *latency.Recorder { return latency.New("block_read", "block_write", "block_flush") }

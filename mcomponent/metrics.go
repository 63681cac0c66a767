package mcomponent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"splitkernel/netlayer/wire"
)

// metrics are latencies; everything else is read from Stats when it is scraped. Misses and flushes are timed by the
// pComponent, which sees the whole of them; a clock here would cost as much as the miss.
type metrics struct {
	block      *prometheus.HistogramVec
	toStorage  *prometheus.HistogramVec
	activation prometheus.Histogram
	moves      *prometheus.CounterVec
	moveBytes  *prometheus.CounterVec
	movePause  *prometheus.HistogramVec
	cachePause prometheus.Histogram
	byOp       [3]prometheus.Observer
	storage    [5]prometheus.Observer // by buffercache.EffectKind - 1
}

func newMetrics() *metrics {
	buckets := prometheus.ExponentialBuckets(4e-6, 2, 20) // 4 µs to 2 s
	m := &metrics{
		block: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "splitkernel", Subsystem: "mcomponent", Name: "block_operation_duration_seconds",
			Help: "Time from the start to the end of a block operation at the buffer cache, by operation.", Buckets: buckets}, []string{"op"}),
		toStorage: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "splitkernel", Subsystem: "mcomponent", Name: "storage_operation_duration_seconds",
			Help: "Time of a request of the buffer cache to an sComponent, retries included, by operation.", Buckets: buckets}, []string{"op"}),
		activation: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "splitkernel", Subsystem: "mcomponent", Name: "region_activation_duration_seconds",
			Help: "Time of an ask to GMM for the owner of a vRegion, retries included.", Buckets: buckets}),
		moves: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "splitkernel", Subsystem: "mcomponent", Name: "moves_total",
			Help: "Moves given away that have ended, by what moved and how it ended: done, undone or lost."}, []string{"kind", "outcome"}),
		moveBytes: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "splitkernel", Subsystem: "mcomponent", Name: "moved_bytes_total",
			Help: "Bytes sent by moves that have ended, pages sent again included, by what moved."}, []string{"kind"}),
		movePause: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "splitkernel", Subsystem: "mcomponent", Name: "move_pause_duration_seconds",
			Help: "Time of a switch-over, in which nobody served what moved, by what moved.", Buckets: prometheus.ExponentialBuckets(1e-4, 2, 18)}, []string{"kind"}), // 100 µs to 13 s
	}
	for _, k := range []wire.MoveKind{wire.MoveRegion, wire.MoveHome} { // so that they are served from the start
		for _, s := range []wire.MoveState{wire.MoveDone, wire.MoveUndone, wire.MoveLost} {
			m.moves.WithLabelValues(k.String(), s.String())
		}
		m.moveBytes.WithLabelValues(k.String())
		m.movePause.WithLabelValues(k.String())
	}
	m.cachePause = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "splitkernel", Subsystem: "mcomponent", Name: "buffer_cache_move_pause_duration_seconds",
		Help: "Time during which requests of a volume were refused because its buffer cache moved away, by move that ended.", Buckets: prometheus.ExponentialBuckets(1e-4, 2, 18)}) // 0.1 ms to 13 s
	for i, op := range []string{"read", "write", "flush"} {
		m.byOp[i] = m.block.WithLabelValues(op)
	}
	for i, op := range []string{"attach", "mark", "read", "write", "flush"} {
		m.storage[i] = m.toStorage.WithLabelValues(op)
	}
	return m
}

// moved counts a move that has ended.
func (m *metrics) moved(k wire.MoveKind, s wire.MoveStatusRep) {
	m.moves.WithLabelValues(k.String(), s.State.String()).Inc()
	m.moveBytes.WithLabelValues(k.String()).Add(float64(s.Bytes))
	if s.PauseUS > 0 {
		m.movePause.WithLabelValues(k.String()).Observe(float64(s.PauseUS) / 1e6)
	}
}

func (m *metrics) observe(op wire.Op, d time.Duration) {
	m.byOp[op-wire.OpBlockRead].Observe(d.Seconds())
}

// Register registers the component's metrics.
func (c *Component) Register(r prometheus.Registerer) error {
	for _, col := range []prometheus.Collector{
		c.metrics.block, c.metrics.toStorage, c.metrics.activation, c.metrics.moves, c.metrics.moveBytes, c.metrics.movePause, c.metrics.cachePause, collector{c},
	} {
		if err := r.Register(col); err != nil {
			return err
		}
	}
	return nil
}

// collector exports Stats.
type collector struct{ c *Component }

type export struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*Stats, *Options) float64
}

func gauge(name, help string, value func(*Stats, *Options) float64) export {
	return export{prometheus.NewDesc(prometheus.BuildFQName("splitkernel", "mcomponent", name), help, nil, nil), prometheus.GaugeValue, value}
}

func counter(name, help string, value func(*Stats) uint64) export {
	return export{prometheus.NewDesc(prometheus.BuildFQName("splitkernel", "mcomponent", name), help, nil, nil), prometheus.CounterValue,
		func(s *Stats, _ *Options) float64 { return float64(value(s)) }}
}

var exported = []export{
	gauge("memory_capacity_bytes", "Bytes of pages that it can hold.", func(_ *Stats, o *Options) float64 { return float64(o.MemoryBytes) }),
	gauge("memory_reserved_bytes", "Bytes mapped in the vRegions that it owns.", func(s *Stats, _ *Options) float64 { return float64(s.MappedBytes) }),
	gauge("memory_resident_bytes", "Bytes of pages that it holds.", func(s *Stats, _ *Options) float64 { return float64(s.ResidentBytes()) }),
	gauge("memory_reserved_ratio", "Mapped bytes over capacity; above 1 more is promised than there is.", func(s *Stats, o *Options) float64 { return float64(s.MappedBytes) / float64(o.MemoryBytes) }),
	gauge("memory_resident_ratio", "Bytes held over capacity.", func(s *Stats, o *Options) float64 { return float64(s.ResidentBytes()) / float64(o.MemoryBytes) }),
	gauge("owned_regions", "vRegions that it owns.", func(s *Stats, _ *Options) float64 { return float64(s.OwnedRegions) }),
	gauge("home_processes", "Processes whose home it is.", func(s *Stats, _ *Options) float64 { return float64(s.Home.Processes) }),
	gauge("workers", "Requests that may be served at once.", func(_ *Stats, o *Options) float64 { return float64(o.Workers) }),
	gauge("workers_busy", "Requests being served.", func(s *Stats, _ *Options) float64 { return float64(s.WorkersBusy) }),
	counter("worker_waits_total", "Requests that waited for a worker.", func(s *Stats) uint64 { return s.WorkerWaits }),
	counter("pages_fetched_total", "Pages sent to pComponents.", func(s *Stats) uint64 { return s.Fetches() }),
	counter("pages_zero_filled_total", "Pages allocated by a first fault.", func(s *Stats) uint64 { return s.Pages.ZeroFills }),
	counter("pages_flushed_total", "Flushes applied.", func(s *Stats) uint64 { return s.Pages.Flushes }),
	counter("pages_flushed_old_total", "Flushes acknowledged without effect because a newer version was there.", func(s *Stats) uint64 { return s.Pages.OldFlushes }),
	counter("refused_not_owner_total", "Misses and flushes of vRegions of another owner.", func(s *Stats) uint64 { return s.NotOwner }),
	counter("refused_stale_total", "Misses and flushes under an old owner epoch.", func(s *Stats) uint64 { return s.Stale }),
	counter("refused_unmapped_total", "Misses and flushes of addresses without a mapping.", func(s *Stats) uint64 { return s.Unmapped }),
	counter("refused_no_memory_total", "Misses and flushes for which no page was free.", func(s *Stats) uint64 { return s.NoMemory }),
	counter("region_asks_total", "Asks to GMM for an owner.", func(s *Stats) uint64 { return s.Home.Asks }),
	counter("owner_switches_total", "Changes of owner or epoch of a vRegion that the home took from a giver.", func(s *Stats) uint64 { return s.Home.Switches }),
	counter("owner_retries_total", "Requests of the home to an owner sent again because the vRegion was moving.", func(s *Stats) uint64 { return s.Home.OwnerRetries }),
	gauge("incoming_moves", "vRegions and memory maps on their way here.", func(s *Stats, _ *Options) float64 { return float64(s.Incoming) }),
	counter("home_calls_total", "Memory-map calls that it served as a home.", func(s *Stats) uint64 { return s.Home.Calls }),
	counter("home_backlogged_total", "Asks and requests of the home that waited for max_outstanding.", func(s *Stats) uint64 { return s.Home.Backlogged }),
	counter("home_refused_busy_total", "Operations of the home refused as busy: too many memory maps or exits of processes waited.", func(s *Stats) uint64 { return s.HomeRefused + s.Home.RefusedBusy }),
	counter("map_errors_total", "Memory-map operations answered with an error.", func(s *Stats) uint64 { return s.MapErrors }),
	gauge("buffer_cache_capacity_bytes", "Bytes of blocks that it can hold.", func(_ *Stats, o *Options) float64 { return float64(o.BufferCacheBytes) }),
	gauge("buffer_cache_used_bytes", "Bytes of blocks that it holds.", func(s *Stats, _ *Options) float64 { return float64(s.Blocks.Used) * wire.PageSize }),
	gauge("buffer_cache_dirty_bytes", "Bytes of blocks that are not all at their sComponent.", func(s *Stats, _ *Options) float64 { return float64(s.Blocks.Dirty) * wire.PageSize }),
	gauge("block_requests_waiting", "Block requests that wait for a free block.", func(s *Stats, _ *Options) float64 { return float64(s.Blocks.Waiting) }),
	counter("block_waits_total", "Block requests that had to wait for a free block.", func(s *Stats) uint64 { return s.Blocks.Waits }),
	counter("block_refused_total", "Block requests refused because max_block_waiters waited or nothing could be written back.", func(s *Stats) uint64 { return s.Blocks.RefusedBusy }),
	counter("block_wait_refused_total", "Block requests refused as busy because too many waited for sComponents.", func(s *Stats) uint64 { return s.BlockRefused }),
	counter("block_hits_total", "Block reads served from the cache.", func(s *Stats) uint64 { return s.Blocks.Hits }),
	counter("block_misses_total", "Block reads that went to the sComponent.", func(s *Stats) uint64 { return s.Blocks.Misses }),
	counter("block_coalesced_total", "Block reads that waited for another's.", func(s *Stats) uint64 { return s.Blocks.Coalesced }),
	counter("block_evictions_total", "Clean blocks evicted.", func(s *Stats) uint64 { return s.Blocks.Evictions }),
	counter("block_writebacks_total", "Writes to sComponents.", func(s *Stats) uint64 { return s.Blocks.StorageWrites }),
	counter("block_lost_total", "Dirty blocks dropped because their volume failed.", func(s *Stats) uint64 { return s.Blocks.LostBlocks }),
	counter("block_read_bytes_total", "Bytes of blocks read.", func(s *Stats) uint64 { return s.BlockReadBytes }),
	counter("block_written_bytes_total", "Bytes of blocks written.", func(s *Stats) uint64 { return s.BlockWriteBytes }),
	counter("block_errors_total", "Block operations answered with an error.", func(s *Stats) uint64 { return s.BlockErrors }),
	counter("buffer_cache_moves_done_total", "Buffer caches of volumes given to other mComponents.", func(s *Stats) uint64 { return s.CacheMovesDone }),
	counter("buffer_cache_moves_undone_total", "Moves of buffer caches given up; the volume is served here as before.", func(s *Stats) uint64 { return s.CacheMovesUndone }),
	counter("buffer_cache_moves_lost_total", "Moves of buffer caches after which nobody served the volume.", func(s *Stats) uint64 { return s.CacheMovesLost }),
	counter("buffer_cache_move_written_bytes_total", "Bytes of blocks written back so that a buffer cache could move.", func(s *Stats) uint64 { return s.CacheMoveBytes }),
	gauge("replicated_regions", "vRegions that it owns and that have copies or a log elsewhere, or are to have.", func(s *Stats, _ *Options) float64 { return float64(s.Primary.Regions) }),
	gauge("recovering_regions", "vRegions whose owner was lost and which it recovers.", func(s *Stats, _ *Options) float64 { return float64(s.Recoveries) }),
	counter("replica_pages_sent_total", "Pages sent to holders, those sent again included.", func(s *Stats) uint64 { return s.Primary.Sent }),
	counter("replica_pages_filled_total", "Pages sent to holders that did not have them yet.", func(s *Stats) uint64 { return s.Primary.Filled }),
	counter("replica_retries_total", "Messages to holders that got no answer, or another than they wanted.", func(s *Stats) uint64 { return s.Primary.Retries }),
	gauge("replica_pages_unprotected", "Pages that a full log has skipped and that were not written again since.", func(s *Stats, _ *Options) float64 { return float64(s.Primary.Unprotected) }),
	gauge("replica_pages_lost", "Pages of vRegions that it owns of which only the version is known.", func(s *Stats, _ *Options) float64 { return float64(s.Primary.Lost) }),
	counter("share_reads_total", "Pages made of the shares of holders.", func(s *Stats) uint64 { return s.Shares.Reads }),
	counter("share_reads_computed_total", "Pages made of shares of which a data share was missing.", func(s *Stats) uint64 { return s.Shares.Computed }),
	counter("share_asks_hedged_total", "Holders asked for a share because another was slow.", func(s *Stats) uint64 { return s.Shares.Hedged }),
	counter("share_asks_failed_total", "Holders that did not give the share that they were asked for.", func(s *Stats) uint64 { return s.Shares.Failed }),
	counter("share_pages_bad_total", "Times that shares did not make the page that was flushed.", func(s *Stats) uint64 { return s.Shares.Bad }),
	gauge("held_regions", "vRegions of others that it holds.", func(s *Stats, _ *Options) float64 { return float64(s.Holder.Regions) }),
	gauge("held_pages", "Pages of others that it holds, those in backup files included.", func(s *Stats, _ *Options) float64 { return float64(s.Holder.Pages) }),
	gauge("held_log_pages", "Pages of others in the memory of its logs.", func(s *Stats, _ *Options) float64 { return float64(s.Holder.LoggedPages) }),
	counter("held_pages_written_total", "Pages of others that it took.", func(s *Stats) uint64 { return s.Holder.Writes }),
	counter("held_pages_skipped_total", "Pages of others that a full log has skipped.", func(s *Stats) uint64 { return s.Holder.Skipped }),
	counter("held_log_full_total", "Pages of others turned away because there was no room.", func(s *Stats) uint64 { return s.Holder.Full }),
	counter("held_pages_saved_total", "Pages of others that went from logs to backup files.", func(s *Stats) uint64 { return s.Holder.Saved }),
	counter("held_save_errors_total", "Pages of logs that could not be written to a backup file and are tried again.", func(s *Stats) uint64 { return s.Holder.SaveErrors }),
	counter("held_file_pages_lost_total", "Pages of logs of which the backup file does not have what was written.", func(s *Stats) uint64 { return s.Holder.Unread }),
	gauge("held_file_pages", "Pages of others in backup files.", func(s *Stats, _ *Options) float64 { return float64(s.Holder.FilePages) }),
	gauge("held_log_behind", "1 while pages of logs stay in memory because their backup file cannot be used or is full, else 0.", func(s *Stats, _ *Options) float64 {
		if s.LogBehind != "" {
			return 1
		}
		return 0
	}),
	gauge("copies_volumes", "Volumes with several copies whose buffer cache it is.", func(s *Stats, _ *Options) float64 { return float64(s.CopiedVolumes) }),
	gauge("copies_behind", "Copies of volumes that cannot be reached or are catching up.", func(s *Stats, _ *Options) float64 { return float64(s.CopiesBehind) }),
	counter("copies_blocks_repaired_total", "Blocks written to a copy that lacked them or whose own did not fit its checksum.", func(s *Stats) uint64 { return s.Copies.Repaired }),
	counter("copies_blocks_corrupt_total", "Blocks of copies found whose bytes did not fit their checksums.", func(s *Stats) uint64 { return s.Copies.Corrupt }),
	counter("copies_blocks_unrepaired_total", "Repairs that found no copy to repair from.", func(s *Stats) uint64 { return s.Copies.Unrepaired }),
	counter("copies_blocks_scrubbed_total", "Blocks of copies compared with the others.", func(s *Stats) uint64 { return s.Copies.Scrubbed }),
	counter("copies_scrubs_total", "Scrubs of volumes that ended.", func(s *Stats) uint64 { return s.Copies.Scrubs }),
	counter("copies_writes_missed_total", "Writes that a copy missed.", func(s *Stats) uint64 { return s.Copies.Missed }),
	counter("copies_caught_up_total", "Copies that were caught up with by comparing all blocks, or filled.", func(s *Stats) uint64 { return s.Copies.CaughtUp }),
	counter("copies_write_backs_total", "Reads that wrote back what they returned, as copies differed.", func(s *Stats) uint64 { return s.Copies.WriteBacks }),
	counter("copies_quorum_waits_total", "Operations that waited for a quorum of copies.", func(s *Stats) uint64 { return s.Copies.Waits }),
	counter("storage_errors_total", "Requests to sComponents that failed.", func(s *Stats) uint64 { return s.StorageErrors }),
}

func (k collector) Describe(ch chan<- *prometheus.Desc) {
	for _, e := range exported {
		ch <- e.desc
	}
}

func (k collector) Collect(ch chan<- prometheus.Metric) {
	s := k.c.Stats()
	for _, e := range exported {
		ch <- prometheus.MustNewConstMetric(e.desc, e.kind, e.value(&s, &k.c.o))
	}
}

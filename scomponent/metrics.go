package scomponent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"splitkernel/netlayer/wire"
)

// metrics are the latencies of block operations; everything else is read from Stats when it is scraped.
type metrics struct {
	latency *prometheus.HistogramVec
	pause   prometheus.Histogram
	byOp    [3]prometheus.Observer
}

func newMetrics() *metrics {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "splitkernel", Subsystem: "scomponent", Name: "block_operation_duration_seconds",
		Help:    "Time from the start to the end of a block operation at the sComponent, by operation.",
		Buckets: prometheus.ExponentialBuckets(4e-6, 2, 20), // 4 µs to 2 s
	}, []string{"op"})
	pause := prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "splitkernel", Subsystem: "scomponent", Name: "move_pause_duration_seconds",
		Help:    "Time during which a volume that was given away was served nowhere, by move that ended.",
		Buckets: prometheus.ExponentialBuckets(1e-4, 2, 18), // 0.1 ms to 13 s
	})
	return &metrics{h, pause, [3]prometheus.Observer{h.WithLabelValues("read"), h.WithLabelValues("write"), h.WithLabelValues("flush")}}
}

func (m *metrics) observe(op wire.Op, d time.Duration) {
	m.byOp[op-wire.OpBlockRead].Observe(d.Seconds())
}

// Register registers the component's metrics.
func (c *Component) Register(r prometheus.Registerer) error {
	for _, col := range []prometheus.Collector{c.metrics.latency, c.metrics.pause, collector{c}} {
		if err := r.Register(col); err != nil {
			return err
		}
	}
	return nil
}

// collector exports Stats.
type collector struct{ c *Component }

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("splitkernel", "scomponent", name), help, nil, nil)
}

var exported = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(Stats, Options) float64
}{
	{desc("capacity_bytes", "Bytes that volumes may promise."), prometheus.GaugeValue, func(_ Stats, o Options) float64 { return float64(o.CapacityBytes) }},
	{desc("reserved_bytes", "Sum of the sizes of the volumes."), prometheus.GaugeValue, func(s Stats, _ Options) float64 { return float64(s.ReservedBytes) }},
	{desc("resident_bytes", "Bytes that the files of the volumes take."), prometheus.GaugeValue, func(s Stats, _ Options) float64 { return float64(s.ResidentBytes) }},
	{desc("reserved_ratio", "Promised bytes over capacity."), prometheus.GaugeValue, func(s Stats, o Options) float64 { return float64(s.ReservedBytes) / float64(o.CapacityBytes) }},
	{desc("resident_ratio", "Bytes on the medium over capacity."), prometheus.GaugeValue, func(s Stats, o Options) float64 { return float64(s.ResidentBytes) / float64(o.CapacityBytes) }},
	{desc("volumes", "Volumes."), prometheus.GaugeValue, func(s Stats, _ Options) float64 { return float64(s.Volumes) }},
	{desc("flushes_waiting", "Flushes that wait for an fdatasync that has not begun."), prometheus.GaugeValue, func(s Stats, _ Options) float64 { return float64(s.FlushWaiting) }},
	{desc("flushes_refused_total", "Flushes refused because flush_queue was full."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.FlushRefused) }},
	{desc("syncs_total", "Calls of fdatasync for flushes."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.Syncs) }},
	{desc("moves_underway", "Volumes that are being given away."), prometheus.GaugeValue, func(s Stats, _ Options) float64 { return float64(s.MovesUnderway) }},
	{desc("incoming_volumes", "Volumes that come from other sComponents and are not served yet."), prometheus.GaugeValue, func(s Stats, _ Options) float64 { return float64(s.Incoming) }},
	{desc("moves_started_total", "Moves begun as the giver."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.MovesStarted) }},
	{desc("moves_done_total", "Volumes given away."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.MovesDone) }},
	{desc("moves_undone_total", "Moves given up; the volume is served here as before."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.MovesUndone) }},
	{desc("moves_lost_total", "Moves whose taker fell silent and may serve."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.MovesLost) }},
	{desc("moves_taken_total", "Volumes taken from other sComponents."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.MovesTaken) }},
	{desc("moved_out_bytes_total", "Bytes of blocks sent to takers."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.MovedOutBytes) }},
	{desc("moved_in_bytes_total", "Bytes of blocks that came from givers."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.MovedInBytes) }},
	{desc("read_bytes_total", "Bytes of blocks sent."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.ReadBytes) }},
	{desc("written_bytes_total", "Bytes of blocks stored."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.WrittenBytes) }},
	{desc("blocks_verified_total", "Blocks of copies that were looked at for a buffer cache or a scrub."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.Verified) }},
	{desc("checksum_errors_total", "Reads of sectors whose checksum did not fit."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.Corrupt) }},
	{desc("no_space_errors_total", "Writes refused because the disk was full."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.NoSpace) }},
	{desc("stale_refused_total", "Block operations refused because their epoch was old."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.Stale) }},
	{desc("block_errors_total", "Block operations answered with an error."), prometheus.CounterValue, func(s Stats, _ Options) float64 { return float64(s.Failed) }},
}

func (k collector) Describe(ch chan<- *prometheus.Desc) {
	for _, e := range exported {
		ch <- e.desc
	}
}

func (k collector) Collect(ch chan<- prometheus.Metric) {
	s := k.c.Stats()
	for _, e := range exported {
		ch <- prometheus.MustNewConstMetric(e.desc, e.kind, e.value(s, k.c.o))
	}
}

package pcomponent

import "github.com/prometheus/client_golang/prometheus"

// metrics are the histograms; the counters are read from the cores when they are collected.
type metrics struct {
	fault *prometheus.HistogramVec
}

// faultBuckets go from 250 ns to 4 s, each four times the one before.
var faultBuckets = prometheus.ExponentialBuckets(250e-9, 4, 13)

func newMetrics() *metrics {
	return &metrics{fault: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "splitkernel_pcomponent_fault_seconds", Help: "Latency of page faults by what they came to.", Buckets: faultBuckets,
	}, []string{"kind"})}
}

// observers give the histogram of each kind, in the order of faultNames.
func (m *metrics) observers() (obs [len(faultNames)]observer) {
	for i, k := range faultNames {
		obs[i] = m.fault.WithLabelValues(k)
	}
	return obs
}

// Register exports the component's metrics.
func (c *Component) Register(r prometheus.Registerer) error {
	if err := r.Register(c.metrics.fault); err != nil {
		return err
	}
	return r.Register(&collector{c: c})
}

// collector reads the cores' counters at each scrape.
type collector struct{ c *Component }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("splitkernel_pcomponent_"+name, help, labels, nil)
}

var (
	descAccesses  = desc("accesses_total", "Memory accesses by read or write.", "op")
	descHits      = desc("hits_total", "Accesses that the ExCache served.")
	descFaults    = desc("faults_total", "Misses of the ExCache by what they came to.", "kind")
	descEvictions = desc("evictions_total", "Lines evicted from the ExCache.")
	descFlushes   = desc("flushes_total", "Dirty lines written back; final: at the end of a process.", "final")
	descPiggy     = desc("piggybacked_total", "Flushes that travelled with a miss.")
	descRetries   = desc("retries_total", "Messages sent again.")
	descDamaged   = desc("damaged_pages_total", "Pages received with a wrong checksum.")
	descBlocks    = desc("block_requests_total", "Block requests of processes.")
	descProcesses = desc("processes", "Processes that run.")
	descThreads   = desc("threads", "Threads of the processes that run.")
	descReserved  = desc("excache_reserved_bytes", "ExCache given to processes.")
	descCapacity  = desc("excache_capacity_bytes", "ExCache that may be given.")
	descMemory    = desc("excache_utilisation_ratio", "ExCache given over ExCache there is.")
	descCores     = desc("cores", "Processors that it offers.")
	descBusy      = desc("processor_utilisation_ratio", "Thread time not waiting over processors times time, since the last scrape.")
	descLink      = desc("link_utilisation_ratio", "Page bytes moved per second over the configured capacity of the link, since the last scrape.")
)

// Describe implements prometheus.Collector.
func (m *collector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(m, ch)
}

// Collect implements prometheus.Collector.
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	t, l, capacity := m.c.totals(), m.c.load(), m.c.Capacity()
	s := t.cache
	counter(descAccesses, s.Reads, "read")
	counter(descAccesses, s.Writes, "write")
	counter(descHits, s.Hits)
	for i, n := range []uint64{s.PLocal, s.Fetches, s.Coalesced, s.VictimHits} {
		counter(descFaults, n, faultNames[i])
	}
	counter(descEvictions, s.Evictions)
	counter(descFlushes, s.Flushes, "false")
	counter(descFlushes, s.FinalFlushes, "true")
	counter(descPiggy, s.Piggybacked)
	counter(descRetries, t.faults.Retries)
	counter(descDamaged, t.faults.Damaged)
	counter(descBlocks, t.blocks)
	gauge(descProcesses, float64(l.Processes))
	gauge(descThreads, float64(l.Threads))
	gauge(descReserved, float64(l.ReservedBytes))
	gauge(descCapacity, float64(m.c.o.ExCacheBytes))
	gauge(descMemory, float64(l.ReservedBytes)/float64(m.c.o.ExCacheBytes))
	gauge(descCores, float64(capacity.Cores))

	busy, link := m.c.scrape.at(t)
	gauge(descBusy, busy/float64(capacity.Cores))
	if m.c.o.LinkBytesPerSecond > 0 {
		gauge(descLink, link/float64(m.c.o.LinkBytesPerSecond))
	}
}

package pcomponent

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"splitkernel/netlayer/wire"
)

// metrics are the histograms; the counters are read from the cores when they are collected.
type metrics struct {
	fault *prometheus.HistogramVec
	moves *prometheus.CounterVec
	pause prometheus.Histogram
}

// faultBuckets go from 250 ns to 4 s, each four times the one before.
var faultBuckets = prometheus.ExponentialBuckets(250e-9, 4, 13)

// pauseBuckets go from 250 µs to 65 s, each twice the one before.
var pauseBuckets = prometheus.ExponentialBuckets(250e-6, 2, 19)

func newMetrics() *metrics {
	m := &metrics{moves: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "splitkernel_pcomponent_moves_total", Help: "Moves of processes away from this component that have ended, by how.",
	}, []string{"outcome"}), pause: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "splitkernel_pcomponent_move_pause_seconds", Help: "Time in which nobody served a process that moved away.", Buckets: pauseBuckets,
	}), fault: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "splitkernel_pcomponent_fault_duration_seconds", Help: "Time from the start to the end of a page fault, by what it came to.", Buckets: faultBuckets,
	}, []string{"kind"})}
	for _, s := range []wire.MoveState{wire.MoveDone, wire.MoveUndone, wire.MoveLost} {
		m.moves.WithLabelValues(s.String())
	}
	m.observers() // so that every kind is there before its first fault
	return m
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
	for _, m := range []prometheus.Collector{c.metrics.fault, c.metrics.moves, c.metrics.pause} {
		if err := r.Register(m); err != nil {
			return err
		}
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
	descAhead     = desc("prefetched_total", "Pages prefetched that are not under way and unused any more, by what they came to: useful, or wasted as they left unused, or dropped as they did not come.", "outcome")
	descIssued    = desc("prefetches_issued_total", "Pages prefetched.")
	descLate      = desc("prefetches_late_total", "Useful prefetched pages that had not come when they were used.")
	descNotAhead  = desc("prefetches_refused_total", "Pages that a prefetcher guessed and that were not prefetched: the bound was reached, or there was no clean victim.")
	descPiggy     = desc("piggybacked_total", "Flushes that travelled with a miss.")
	descRetries   = desc("retries_total", "Messages sent again.")
	descRedirects = desc("redirects_total", "Messages that went to a component that is not the owner, whose owner was asked for again.")
	descStalls    = desc("stalls_total", "Faults that could not begin, by what they waited for: flush_frames and line are bounds that were reached, page_flush is the write-back of the page itself, prefetch a page brought ahead that is on its way to the victim's line or overdue.", "reason")
	descDamaged   = desc("damaged_pages_total", "Pages received with a wrong checksum.")
	descBlocks    = desc("block_requests_total", "Block requests of processes.")
	descWindow    = desc("block_window_full_total", "Parts of block requests that waited because as many as the window allows were under way.")
	descProcesses = desc("processes", "Processes that run.")
	descThreads   = desc("threads", "Threads of the processes that run.")
	descReserved  = desc("excache_reserved_bytes", "ExCache given to processes.")
	descResident  = desc("excache_resident_bytes", "Memory that the ExCaches really take, their frames for flushes and victims included.")
	descCapacity  = desc("excache_capacity_bytes", "ExCache that may be given.")
	descReservedR = desc("excache_reserved_ratio", "ExCache given over ExCache that may be given.")
	descResidentR = desc("excache_resident_ratio", "Memory taken over ExCache that may be given.")
)

// MaxVNodeSeries is how many names of vNodes have series of their own at a pComponent; others are summed under OtherVNodes. So a cluster of a thousand
// components has a bounded number of series, whatever runs on it.
const MaxVNodeSeries = 32

// OtherVNodes is the label of the processes that have no series of their own. No vNode has such a name.
const OtherVNodes = "(others)"

var (
	descVNodeAccesses = desc("vnode_accesses_total", "Accesses of the processes of a vNode that run here.", "vnode")
	descVNodeHits     = desc("vnode_hits_total", "Accesses of the processes of a vNode that the ExCache served.", "vnode")
	descVNodeFaults   = desc("vnode_faults_total", "Misses of the processes of a vNode by what they came to.", "vnode", "kind")
	descVNodeFlushes  = desc("vnode_flushes_total", "Dirty lines of a vNode written back.", "vnode")
	descVNodeBlocks   = desc("vnode_block_requests_total", "Block requests of a vNode.", "vnode")
	descVNodeBusy     = desc("vnode_busy_seconds_total", "Time in which threads of a vNode did not wait.", "vnode")
	descVNodeThreads  = desc("vnode_threads", "Threads of a vNode that run here.", "vnode")
	descVNodeSteps    = desc("vnode_steps", "References and block requests that the processes of a vNode that run here have replayed, of those in vnode_steps_planned.", "vnode")
	descVNodePlanned  = desc("vnode_steps_planned", "References and block requests of the traces of a vNode's processes that run here, all repetitions; of those whose length is known, and missing without one.", "vnode")
	descVNodeReserved = desc("vnode_excache_reserved_bytes", "ExCache given to a vNode.", "vnode")
)

// vnode are the processes of one name.
type vnode struct {
	name    string
	t       totals
	threads int
	lines   uint64
	steps   uint64 // made by those of which it is known how many they make
	planned uint64
}

// vnodes sums the processes that run by name, oldest first; from the limit on they share the last entry.
func (c *Component) vnodes() (list []vnode) {
	at := map[string]int{}
	for _, p := range c.open() {
		name := strings.ToValidUTF8(p.o.Name, "?") // it came over the wire, and a label must be text
		i, known := at[name]
		if !known && len(at) >= MaxVNodeSeries {
			name = OtherVNodes
			i, known = at[name]
		}
		if !known {
			i = len(list)
			at[name] = i
			list = append(list, vnode{name: name})
		}
		v := &list[i]
		v.t.add(p.totals())
		v.threads += p.o.Threads
		v.lines += uint64(p.o.ExCache.Lines)
		if p.o.Far != nil {
			if steps, whole := p.o.Far(); whole > 0 {
				v.steps, v.planned = v.steps+steps, v.planned+whole
			}
		}
	}
	return list
}

// Describe implements prometheus.Collector. Not by collecting: that would not tell of vNodes, of which none runs yet.
func (m *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descAccesses, descHits, descFaults, descEvictions, descFlushes, descPiggy, descRetries, descRedirects, descStalls, descDamaged, descBlocks, descWindow, descAhead, descIssued, descLate, descNotAhead,
		descProcesses, descThreads, descReserved, descResident, descCapacity, descReservedR, descResidentR,
		descVNodeAccesses, descVNodeHits, descVNodeFaults, descVNodeFlushes, descVNodeBlocks, descVNodeBusy, descVNodeThreads, descVNodeReserved,
		descVNodeSteps, descVNodePlanned,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	t, l, capacity := m.c.totals(), m.c.Load(), float64(m.c.o.ExCacheBytes)
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
	counter(descIssued, s.PrefetchIssued)
	counter(descAhead, s.PrefetchUseful, "useful")
	counter(descAhead, s.PrefetchWasted, "wasted")
	counter(descAhead, s.PrefetchDropped, "dropped")
	counter(descLate, s.PrefetchLate)
	counter(descNotAhead, s.PrefetchRefused)
	counter(descRetries, t.faults.Retries)
	counter(descRedirects, t.faults.Redirects)
	counter(descStalls, t.faults.StallFlush, "flush_frames")
	counter(descStalls, t.faults.StallLine, "line")
	counter(descStalls, t.faults.StallPage, "page_flush")
	counter(descStalls, t.faults.StallPrefetch, "prefetch")
	counter(descDamaged, t.faults.Damaged)
	counter(descBlocks, t.blocks)
	counter(descWindow, m.c.windowFull.Load())
	gauge(descProcesses, float64(l.Processes))
	gauge(descThreads, float64(l.Threads))
	gauge(descReserved, float64(l.ReservedBytes))
	gauge(descResident, float64(l.ResidentBytes))
	gauge(descCapacity, capacity)
	gauge(descReservedR, float64(l.ReservedBytes)/capacity)
	gauge(descResidentR, float64(l.ResidentBytes)/capacity)
	for _, v := range m.c.vnodes() {
		s := v.t.cache
		counter(descVNodeAccesses, s.Accesses, v.name)
		counter(descVNodeHits, s.Hits, v.name)
		for i, n := range []uint64{s.PLocal, s.Fetches, s.Coalesced, s.VictimHits} {
			counter(descVNodeFaults, n, v.name, faultNames[i])
		}
		counter(descVNodeFlushes, s.Flushes+s.FinalFlushes, v.name)
		counter(descVNodeBlocks, v.t.blocks, v.name)
		ch <- prometheus.MustNewConstMetric(descVNodeBusy, prometheus.CounterValue, v.t.busy.Seconds(), v.name)
		gauge(descVNodeThreads, float64(v.threads), v.name)
		gauge(descVNodeReserved, float64(v.lines*wire.PageSize), v.name)
		if v.planned > 0 {
			gauge(descVNodeSteps, float64(v.steps), v.name)
			gauge(descVNodePlanned, float64(v.planned), v.name)
		}
	}
}

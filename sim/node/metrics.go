package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/record"
)

// registerer is where the rooms register their metrics.
type registerer = prometheus.Registerer

// Bounds of a client, so that one cannot hold the process up. Answers have none here: a profile takes as long as asked.
const (
	readHeaderTimeout = 2 * time.Second
	readTimeout       = 10 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
)

// monitor is the HTTP side of a node: metrics, health, profiles and, at a manager, the API.
type monitor struct {
	registry *prometheus.Registry
	ready    atomic.Bool
	listener net.Listener
	server   *http.Server
	done     chan error
	level    http.HandlerFunc // of LogLevelPath; nil serves none
}

// register offers what the tape could not take. Nothing is recorded without a tape, and both are 0.
func (t nodeTape) register(r registerer) error {
	counter := func(name, help string, value func(record.End) uint64) error {
		return r.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "splitkernel", Subsystem: "node", Name: name, Help: help}, func() float64 {
			if t.w == nil {
				return 0
			}
			return float64(value(t.w.Stats()))
		}))
	}
	return errors.Join(
		counter("record_dropped_total", "Records of cores that came after the tape was full.", func(e record.End) uint64 { return e.Dropped }),
		counter("record_segments_deleted_total", "Oldest segments of the tape that were deleted, because it had its size.", func(e record.End) uint64 { return e.Deleted }),
		counter("record_states_left_out_total", "States of cores that were not written at the beginning of a segment, because they were too large for the tape.", func(e record.End) uint64 { return e.NoState }),
		counter("record_waits_total", "Records of cores that waited, because more than MaxBuffered was still to be written.", func(e record.End) uint64 { return e.Waits }),
	)
}

// newMonitor listens at an address, or on a free loopback port. serve answers, close ends it.
func newMonitor(address string) (*monitor, error) {
	l, err := net.Listen("tcp", cmp.Or(address, "127.0.0.1:0"))
	if err != nil && address != "" {
		return nil, fmt.Errorf("listen for HTTP at http_listen: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP on a free loopback port: %w", err)
	}
	m := &monitor{registry: prometheus.NewRegistry(), listener: l, done: make(chan error, 1)}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "splitkernel", Subsystem: "node", Name: "ready",
		Help: "1 while the node serves and its managers know it.",
	}, func() float64 {
		if m.ready.Load() {
			return 1
		}
		return 0
	}))
	return m, nil
}

// serve answers from now on. health appends the metrics of another library, api serves what is below /api/; both may be nil. links are told at /links.
func (m *monitor) serve(health func(io.Writer), api http.Handler, links func() []netlayer.LinkUse) {
	mux := http.NewServeMux()
	page := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{DisableCompression: true}) // so that more can follow
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		page.ServeHTTP(w, r)
		if health != nil {
			health(w)
		}
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !m.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	if m.loopback() && m.level != nil {
		mux.HandleFunc(LogLevelPath, m.level)
	}
	if m.loopback() { // profiles and links tell too much, and cost too much, for others
		mux.HandleFunc("/links", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(links()) // who asked may have gone
		})
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	if api != nil {
		mux.Handle("/api/", api)
	}
	m.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	go func() { m.done <- m.server.Serve(m.listener) }()
}

func (m *monitor) addr() string { return m.listener.Addr().String() }

// loopback reports whether only this machine can reach the node.
func (m *monitor) loopback() bool {
	a, ok := m.listener.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// close ends the server at once: a scrape that is cut off is repeated, a profile was for a process that is ending.
func (m *monitor) close() error {
	if m.server == nil {
		return m.listener.Close()
	}
	err := m.server.Close()
	if serve := <-m.done; !errors.Is(serve, http.ErrServerClosed) && !errors.Is(serve, context.Canceled) {
		err = errors.Join(err, serve)
	}
	return err
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("splitkernel", "node", name), help, labels, nil)
}

var (
	descProcessors = desc("processors", "Processors: those that a pComponent offers to its processes, elsewhere those that the process may use.")
	descBusy       = desc("processor_busy_seconds_total", "Time in which threads did not wait: of a pComponent those of its processes, elsewhere those of the process.")
	descCores      = desc("processor_utilisation_ratio", "Thread time not waiting over processors times time, over the last window; above 1 there were more threads than processors.")
	descWorkers    = desc("worker_utilisation_ratio", "Time in which the server's workers had a request over workers times time, over the last window.")
	descLink       = desc("link_capacity_bytes_per_second", "Configured capacity of the link in each direction.")
	descLinkBytes  = desc("link_transferred_bytes_total", "Bytes of frames, headers included, of all connections, by direction.", "direction")
	descLinkUse    = desc("link_utilisation_ratio", "Bytes of frames per second over the capacity of the link, over the last window, by direction.", "direction")
	descWindow     = desc("utilisation_window_seconds", "Length of the last window; 0 while none has ended.")
)

var (
	descQueue   = desc("queue_delay_seconds", "Mean wait of a request for a worker, as the last heartbeat told the managers.")
	descHottest = desc("hottest_operations_per_second", "What bears most, of each kind of thing that managers move: operations per second, as the last heartbeat told.", "thing")
)

// Describe implements prometheus.Collector.
func (m *membership) Describe(ch chan<- *prometheus.Desc) {
	ch <- descQueue
	ch <- descHottest
}

// Collect implements prometheus.Collector.
func (m *membership) Collect(ch chan<- prometheus.Metric) {
	var load wire.Load
	if l := m.told.Load(); l != nil {
		load = *l
	}
	ch <- prometheus.MustNewConstMetric(descQueue, prometheus.GaugeValue, float64(load.QueueDelayUS)/1e6)
	for _, k := range thingsOf(m.self.Role) {
		most := uint64(0)
		for _, h := range load.Hot {
			if h.Kind == k {
				most = max(most, h.Ops)
			}
		}
		ch <- prometheus.MustNewConstMetric(descHottest, prometheus.GaugeValue, float64(most), k.String())
	}
}

// thingsOf is what a component of a role holds that can move.
func thingsOf(role wire.Role) []wire.MoveKind {
	switch role {
	case wire.RoleCompute:
		return []wire.MoveKind{wire.MoveProcess}
	case wire.RoleMemory:
		return []wire.MoveKind{wire.MoveRegion, wire.MoveHome, wire.MoveCache}
	}
	return []wire.MoveKind{wire.MoveVolume}
}

// Describe implements prometheus.Collector.
func (u *usage) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descProcessors, descBusy, descCores, descWorkers, descLink, descLinkBytes, descLinkUse, descWindow} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (u *usage) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	r, s := u.rates(), u.take(time.Now())
	gauge(descProcessors, u.processors)
	ch <- prometheus.MustNewConstMetric(descBusy, prometheus.CounterValue, s.busy.Seconds())
	gauge(descCores, r.cores/u.processors)
	if s.net.Workers > 0 {
		gauge(descWorkers, r.workers/float64(s.net.Workers))
	}
	for direction, n := range map[string]uint64{"in": s.net.InBytes, "out": s.net.OutBytes} {
		ch <- prometheus.MustNewConstMetric(descLinkBytes, prometheus.CounterValue, float64(n), direction)
	}
	if u.link > 0 {
		gauge(descLink, u.link)
		gauge(descLinkUse, r.inBytes/u.link, "in")
		gauge(descLinkUse, r.outBytes/u.link, "out")
	}
	gauge(descWindow, r.window.Seconds())
}

var descFaults = prometheus.NewDesc("splitkernel_node_faults_injected_total", "What this node did wrong on purpose, by kind.", []string{"kind"}, nil)

// Describe implements prometheus.Collector.
func (f *faults) Describe(ch chan<- *prometheus.Desc) { ch <- descFaults }

// Collect implements prometheus.Collector.
func (f *faults) Collect(ch chan<- prometheus.Metric) {
	for _, k := range f.kinds() {
		ch <- prometheus.MustNewConstMetric(descFaults, prometheus.CounterValue, float64(k.n), k.name)
	}
}

var descSpans = prometheus.NewDesc("splitkernel_node_spans_total", "Spans of requests that this node told of, by what became of them. Only with trace.otlp_endpoint.", []string{"outcome"}, nil)

// Describe implements prometheus.Collector.
func (s *Spans) Describe(ch chan<- *prometheus.Desc) { ch <- descSpans }

// Collect implements prometheus.Collector.
func (s *Spans) Collect(ch chan<- prometheus.Metric) {
	sent, dropped := s.Counts()
	ch <- prometheus.MustNewConstMetric(descSpans, prometheus.CounterValue, float64(sent), "sent")
	ch <- prometheus.MustNewConstMetric(descSpans, prometheus.CounterValue, float64(dropped), "dropped")
}

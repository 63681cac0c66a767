package node

import (
	"context"
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
)

// registerer is where the rooms register their metrics.
type registerer = prometheus.Registerer

// readHeaderTimeout bounds how long a client may take over its request, so that one cannot hold the process up.
const readHeaderTimeout = 2 * time.Second

// monitor is the HTTP side of a node: metrics, health and profiles, on a loopback port that the kernel chooses.
type monitor struct {
	registry *prometheus.Registry
	ready    atomic.Bool
	listener net.Listener
	server   *http.Server
	done     chan error
}

// newMonitor listens. serve answers, close ends it.
func newMonitor() (*monitor, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for metrics on a free loopback port: %w", err)
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

// serve answers from now on. health, which may be nil, appends the metrics of another library.
func (m *monitor) serve(health func(io.Writer)) {
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
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: readHeaderTimeout}
	go func() { m.done <- m.server.Serve(m.listener) }()
}

func (m *monitor) addr() string { return m.listener.Addr().String() }

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

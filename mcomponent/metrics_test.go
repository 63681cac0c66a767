package mcomponent

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

func TestMetricsAndCounters(t *testing.T) {
	cl := newCluster(t, 1, nil)
	r := prometheus.NewPedanticRegistry()
	if err := cl.m[0].Register(r); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if !slices.IsSortedFunc(cl.m[0].Counters(), func(a, b wire.Counter) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the counters are not sorted by name")
	}
}

// values gives the value of each metric without labels.
func values(t *testing.T, c *Component) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := c.Register(r); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[strings.TrimPrefix(f.GetName(), "splitkernel_mcomponent_")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return got
}

func wantValues(t *testing.T, c *Component, want map[string]float64) {
	t.Helper()
	got := values(t, c)
	for name, v := range want {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s is %v (%v), want %v", name, g, ok, v)
		}
	}
}

// TestUtilisationOfMemory: reserved is what is mapped, resident what was touched, both over the capacity.
func TestUtilisationOfMemory(t *testing.T) {
	cl := newCluster(t, 1, func(o *Options) { o.MemoryBytes = 64 * wire.PageSize })
	m := cl.m[0]
	cl.open(m, 7)
	cl.mmap(m, 7, 16*wire.PageSize, 32*wire.PageSize)
	for p := wire.PageNo(16); p < 24; p++ {
		cl.must(m.flushPage(7, p, 1, 1, filled(1)))
	}
	wantValues(t, m.Component, map[string]float64{
		"memory_capacity_bytes": 64 * wire.PageSize, "memory_reserved_bytes": 32 * wire.PageSize, "memory_resident_bytes": 8 * wire.PageSize,
		"memory_reserved_ratio": 0.5, "memory_resident_ratio": 0.125, "pages_flushed_total": 8, "workers_busy": 0,
	})
	cl.must(m.control(wire.OpProcessExit, wire.ProcessExitReq{PID: 7, Epoch: 1}, nil))
	wantValues(t, m.Component, map[string]float64{"memory_reserved_ratio": 0, "memory_resident_ratio": 0, "pages_flushed_total": 8})
}

// TestRefusedExitsAreExported fills the places of exits that wait.
func TestRefusedExitsAreExported(t *testing.T) {
	cl := newCluster(t, 1, nil)
	m := cl.m[0]
	cl.open(m, 7)
	for range maxHomeExits {
		m.exits <- struct{}{}
	}
	req := wire.ProcessExitReq{PID: 7, Epoch: 1}
	err := m.exit(&netlayer.Request{Op: wire.OpProcessExit, Body: wire.Marshal(req)})
	if wire.KindOf(err) != wire.KindBusy {
		t.Errorf("one exit more: %v, want busy", err)
	}
	wantValues(t, m.Component, map[string]float64{"home_refused_busy_total": 1})
	for range maxHomeExits {
		<-m.exits
	}
}

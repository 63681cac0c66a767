package pcomponent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/blockio"
)

func TestMetrics(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(4, "list"), 1, nil)
	mapPages(t, p, 0, 64, true)
	w := counts{}
	th := p.Thread(0)
	th.Begin()
	for k := range uint64(64) {
		w.touch(t, th, k%32, true)
	}
	th.End()
	r := prometheus.NewPedanticRegistry()
	if err := p.c.Register(r); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", problems, err)
	}
	want := `
# HELP splitkernel_pcomponent_faults_total Misses of the ExCache by what they came to.
# TYPE splitkernel_pcomponent_faults_total counter
splitkernel_pcomponent_faults_total{kind="coalesced"} 0
splitkernel_pcomponent_faults_total{kind="fetch"} 32
splitkernel_pcomponent_faults_total{kind="p_local"} 32
splitkernel_pcomponent_faults_total{kind="victim_hit"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "splitkernel_pcomponent_faults_total"); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(r, "splitkernel_pcomponent_fault_duration_seconds"); err != nil || n != len(faultNames) {
		t.Fatalf("%d series, %v", n, err)
	}
}

// gathered gives the value of each series without labels, and of those with one label by name{value}.
func gathered(t *testing.T, c *Component) map[string]float64 {
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
		name := strings.TrimPrefix(f.GetName(), "splitkernel_pcomponent_")
		for _, m := range f.GetMetric() {
			key := name
			for _, l := range m.GetLabel() {
				key += "{" + l.GetValue() + "}"
			}
			got[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return got
}

// TestUtilisation: what is reserved, what is really taken, and what threads did not wait.
func TestUtilisation(t *testing.T) {
	os := startOwners(t, 1)
	x := small(256, "list")
	began := time.Now()
	p := open(t, os[0], x, 1, nil)
	c := p.c
	mapPages(t, p, 0, 64, true)
	fresh := gathered(t, c)
	th := p.Thread(0)
	w := counts{}
	th.Begin()
	for k := range uint64(64) {
		w.touch(t, th, k, true)
	}
	th.End()
	got, wall := gathered(t, c), time.Since(began)

	capacity, reserved, frames := float64(DefaultOptions().ExCacheBytes), float64(256*wire.PageSize), float64(p.frames.Frames()*wire.PageSize)
	if got["excache_capacity_bytes"] != capacity || got["excache_reserved_bytes"] != reserved || got["excache_reserved_ratio"] != reserved/capacity {
		t.Errorf("capacity %v, reserved %v, ratio %v; want %v, %v and their ratio", got["excache_capacity_bytes"], got["excache_reserved_bytes"], got["excache_reserved_ratio"], capacity, reserved)
	}
	if r := got["excache_resident_bytes"]; r < 64*wire.PageSize || r > frames || r < fresh["excache_resident_bytes"] || got["excache_resident_ratio"] != r/capacity {
		t.Errorf("%v bytes resident (%v before the first access), ratio %v, want 64 touched pages to %v bytes", r, fresh["excache_resident_bytes"], got["excache_resident_ratio"], frames)
	}
	if b := c.Busy(); b <= 0 || b > wall {
		t.Errorf("one thread was busy for %s in %s", b, wall)
	}
	before := c.Busy()
	if err := p.Close(background(t)); err != nil {
		t.Fatal(err)
	}
	got = gathered(t, c)
	if got["excache_reserved_bytes"] != 0 || got["excache_resident_bytes"] != 0 || got["accesses_total{write}"] != 64 || c.Busy() != before {
		t.Errorf("after the end of its only process: %v, busy %s, want %s", got, c.Busy(), before)
	}
}

// TestBoundsThatAreReachedAreExported: flush frames, lines and the window of a block request.
func TestBoundsThatAreReachedAreExported(t *testing.T) {
	os := startOwners(t, 1)
	x := small(4, "list")
	x.FlushFrames = 1
	p := open(t, os[0], x, 1, nil)
	mapPages(t, p, 0, 64, true)
	w := counts{}
	th := p.Thread(0)
	th.Begin()
	for k := range uint64(64) {
		w.touch(t, th, k, true)
	}
	th.End()
	ctx := background(t)
	v, err := p.Attach(ctx, VolumeOptions{ID: 3, Epoch: 1, SizeBytes: 1 << 20, Cache: os[0].id, CacheAddr: string(os[0].addr)})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Write(ctx, 0, make([]byte, blockio.Window*wire.PageSize)); err != nil {
		t.Fatal(err)
	}
	if n := gathered(t, p.c)["block_window_full_total"]; n != 0 {
		t.Errorf("%v waits of a request as large as the window", n)
	}
	if err := v.Write(ctx, 0, make([]byte, (blockio.Window+3)*wire.PageSize)); err != nil {
		t.Fatal(err)
	}
	got := gathered(t, p.c)
	if got["block_window_full_total"] != 3 {
		t.Errorf("%v waits for the window, want 3", got["block_window_full_total"])
	}
	// 60 dirty victims over one flush frame: p-local fills do not wait for an owner, so most find it used.
	if got["stalls_total{flush_frames}"] < 1 || got["stalls_total{page_flush}"] != 0 || got["stalls_total{line}"] != 0 {
		t.Errorf("stalls %v, %v, %v, want only for flush frames", got["stalls_total{flush_frames}"], got["stalls_total{page_flush}"], got["stalls_total{line}"])
	}
	if s := p.Report().Faults; float64(s.StallFlush) != got["stalls_total{flush_frames}"] {
		t.Errorf("%+v", s)
	}
}

// TestSeriesOfVNodesAreBounded: each name of a vNode has its series up to the bound, what comes above shares one, and the sum is that of the component.
func TestSeriesOfVNodesAreBounded(t *testing.T) {
	os := startOwners(t, 1)
	const more = 3
	p := open(t, os[0], small(4, "list"), 1, func(o *ProcessOptions) { o.Name = "v0" })
	c := p.c
	open := func(pid int, name string) {
		o := p.o
		if name != "v0" { // of one name some may know how far they are
			o.Far = func() (steps, whole uint64) { return 3, uint64(pid) % 1000 * 10 }
		}
		o.PID, o.Name = wire.PID(pid), name
		q, err := c.Open(background(t), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { q.Close(background(t)) })
	}
	open(900, "v0") // of one name: one series
	for i := 1; i < MaxVNodeSeries+more; i++ {
		open(1000+i, fmt.Sprintf("v%d", i))
	}
	mapPages(t, p, 0, 8, true)
	th := p.Thread(0)
	w := counts{}
	th.Begin()
	for k := range uint64(8) {
		w.touch(t, th, k, true)
	}
	th.End()
	got := gathered(t, c)
	names, threads := 0, 0.0
	for key, v := range got {
		if strings.HasPrefix(key, "vnode_threads{") {
			names++
			threads += v
		}
	}
	if names != MaxVNodeSeries+1 || threads != MaxVNodeSeries+more+1 {
		t.Errorf("%d names with %v threads, want %d with %d", names, threads, MaxVNodeSeries+1, MaxVNodeSeries+more+1)
	}
	if got["vnode_threads{v0}"] != 2 || got["vnode_threads{"+OtherVNodes+"}"] != more {
		t.Errorf("v0 has %v threads, want 2; those above the bound %v, want %d", got["vnode_threads{v0}"], got["vnode_threads{"+OtherVNodes+"}"], more)
	}
	if got["vnode_steps{v2}"] != 3 || got["vnode_steps_planned{v2}"] != 20 || got["vnode_steps{"+OtherVNodes+"}"] != 3*more {
		t.Errorf("v2 has made %v of %v steps, want 3 of 20; those above the bound %v, want %d", got["vnode_steps{v2}"], got["vnode_steps_planned{v2}"], got["vnode_steps{"+OtherVNodes+"}"], 3*more)
	}
	if _, there := got["vnode_steps_planned{v0}"]; there {
		t.Error("v0 has a length that nobody told")
	}
	if got["vnode_accesses_total{v0}"] != 8 || got["vnode_faults_total{p_local}{v0}"]+got["vnode_hits_total{v0}"] != 8 || got["vnode_excache_reserved_bytes{v0}"] != 2*4*wire.PageSize {
		t.Errorf("the series of v0: %v accesses, %v p-local, %v hits, %v bytes", got["vnode_accesses_total{v0}"], got["vnode_faults_total{p_local}{v0}"], got["vnode_hits_total{v0}"], got["vnode_excache_reserved_bytes{v0}"])
	}
}

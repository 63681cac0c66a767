package replay

import (
	"math"
	"strings"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/pcomponent/slowest"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
)

// TestVirtualRunOfPrograms runs the bundled programs in virtual time.
func TestVirtualRunOfPrograms(t *testing.T) {
	virtualOnly(t)
	w, err := configs.LoadWorkload("programs", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if raceEnabled {
		for i := range w.Vnodes {
			w.Vnodes[i].MaxRefs = 10_000
		}
	}
	o := VirtualOptions{Workload: w, Cluster: c, Hardware: hardware.DefaultOptions(), HardwareName: "flat", TempDir: t.TempDir(), Local: true}
	began := time.Now()
	s, err := RunVirtual(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", time.Since(began))
	for _, v := range s.VNodes {
		t.Logf("%s %s %v %.3f s, local %.3f s, slowdown %.2f", v.Name, v.State, v.Error, v.Seconds, v.LocalSeconds, v.Slowdown)
		if v.State != StateDone || v.Counters.IntegrityErrors != 0 || v.Counters.PagesChecked != v.Counters.Accesses || v.Counters.Accesses == 0 || v.Slowdown <= 1 {
			t.Errorf("%s: %s (%s), %+v, slowdown %v", v.Name, v.State, v.Error, v.Counters, v.Slowdown)
		}
	}
	t.Logf("%+v", s.Modelled)
	for _, err := range s.Timeline.Check(&s.Total, true) {
		t.Error(err)
	}
	if n := len(s.Timeline.Series.Intervals); n <= report.MaxIntervals/2 || s.Timeline.Series.IntervalSeconds*float64(n-1) > s.WallSeconds || len(s.Timeline.Events) == 0 {
		t.Errorf("%d intervals of %v s and %d events in %v s", n, s.Timeline.Series.IntervalSeconds, len(s.Timeline.Events), s.WallSeconds)
	}
	report.WriteTable(testWriter{t}, s)
	checkSlowest(t, s)
}

// checkSlowest: of a virtual run the slowest fault is the maximum that the histograms have, every stage of every fault is known, and they add up.
func checkSlowest(t *testing.T, s *report.Summary) {
	t.Helper()
	most := 0.0
	for _, l := range s.Total.FaultLatency {
		most = max(most, l.Max)
	}
	if s.Slowest == nil || len(s.Slowest.Faults) != slowest.Size {
		t.Fatalf("%+v, want the %d slowest faults", s.Slowest, slowest.Size)
	}
	if got := s.Slowest.Faults[0].Micros; math.Abs(got-most) > most/500 {
		t.Errorf("the slowest fault took %v µs, the longest of all %v", got, most)
	}
	for i, f := range s.Slowest.Faults {
		sum := 0.0
		for _, g := range f.Stages {
			sum += g.Micros
		}
		if math.Abs(sum-f.Micros) > 0.002 || !f.Timed || i > 0 && f.Micros > s.Slowest.Faults[i-1].Micros {
			t.Errorf("fault %d is not explained: %+v", i, f)
		}
	}
	var b strings.Builder
	if err := s.Slowest.Write(&b); err != nil || strings.Count(b.String(), "\n") != slowest.Size+1 || !strings.Contains(b.String(), "request_nic_and_wire") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }

// TestVirtualQueue: vNodes that may wait run one after the other on a cluster that has room for one at a time, and a vNode of a
// high priority has another ended for it.
func TestVirtualQueue(t *testing.T) {
	c, err := configs.LoadCluster("laptop", configs.Overrides{Set: []string{"pcomponent.excache_bytes=256KiB"}})
	if err != nil {
		t.Fatal(err)
	}
	w := &configs.Workload{Name: "queue", Seed: 1}
	add := func(name, ifFull string, priority, repeat int) {
		v := configs.DefaultVNode()
		v.Name, v.Trace, v.IfFull, v.Priority, v.Repeat, v.Excache.Lines, v.Excache.Ways = name, "generator:zipf?pages=256&refs=2000", ifFull, priority, repeat, 64, 0
		w.Vnodes = append(w.Vnodes, v)
	}
	add("first", "refuse", 5, 1)
	add("low", "refuse", 2, 1000)
	add("refused", "refuse", 5, 1)
	add("waits", "queue", 5, 1)
	add("also", "queue", 5, 1)
	add("high", "preempt", 8, 1)
	s, err := RunVirtual(t.Context(), VirtualOptions{Workload: w, Cluster: c, Hardware: hardware.DefaultOptions(), HardwareName: "flat", TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, v := range s.VNodes {
		if v.State != StateDone {
			failed = append(failed, v.Name)
		} else if v.Counters.Accesses != 2000 {
			t.Errorf("%s made %d accesses, want 2000", v.Name, v.Counters.Accesses)
		}
	}
	if len(failed) != 2 || failed[0] != "low" || failed[1] != "refused" || !strings.Contains(s.Failed[0], `preempted by vNode "high"`) {
		t.Errorf("failed: %q, want low, preempted by high, and refused", s.Failed)
	}
}

// TestVirtualNoRoom: a vNode that fits nowhere fails by name, as live, and the others run; it has no slowdown.
func TestVirtualNoRoom(t *testing.T) {
	c, err := configs.LoadCluster("laptop", configs.Overrides{Set: []string{"pcomponent.excache_bytes=256KiB"}})
	if err != nil {
		t.Fatal(err)
	}
	w := &configs.Workload{Name: "room", Seed: 1}
	for i, name := range []string{"large", "fits"} {
		v := configs.DefaultVNode()
		v.Name, v.Trace, v.Excache.Lines, v.Excache.Ways = name, "generator:zipf?pages=256&refs=2000", 65-i, 0
		w.Vnodes = append(w.Vnodes, v)
	}
	s, err := RunVirtual(t.Context(), VirtualOptions{Workload: w, Cluster: c, Hardware: hardware.DefaultOptions(), HardwareName: "flat", TempDir: t.TempDir(), Local: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Failed) != 1 || !strings.HasPrefix(s.Failed[0], `large: not admitted: no room: excache_lines: vNode "large" wants 65`) {
		t.Errorf("failed: %q", s.Failed)
	}
	for _, v := range s.VNodes {
		if fits := v.Name == "fits"; fits != (v.State == StateDone) || fits != (v.Slowdown > 0) {
			t.Errorf("%s: %s, slowdown %v", v.Name, v.State, v.Slowdown)
		}
	}
}

// virtualOnly leaves a test of virtual time out under the race detector.
func virtualOnly(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("one goroutine, and much of it: make test runs this without -race")
	}
}

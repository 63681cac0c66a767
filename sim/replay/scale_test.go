package replay

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
)

// thousand runs the bundled cluster and workload of that name with one in `of` of their nodes and processes.
func thousand(tb testing.TB, of int) *report.Summary {
	tb.Helper()
	set := func(key string, n int) string { return fmt.Sprintf("%s.count=%d", key, n/of) }
	over := configs.Overrides{Set: []string{
		set("nodes.p", 1000), set("nodes.m", 1000), set("nodes.s", 100),
		set("workload.vnodes.zipf", 6000), set("workload.vnodes.scan", 2000), set("workload.vnodes.phases", 2000),
	}}
	c, err := configs.LoadCluster("thousand", over)
	if err != nil {
		tb.Fatal(err)
	}
	w, err := configs.LoadWorkload("thousand", over)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := RunVirtual(tb.Context(), VirtualOptions{Workload: w, Cluster: c, Hardware: hardware.DefaultOptions(), HardwareName: "flat"})
	if err != nil {
		tb.Fatal(err)
	}
	if len(s.Failed) > 0 || len(s.VNodes) != 10_000/of || s.Total.Accesses != uint64(6000*1000+2000*500+2000*1000)/uint64(of) || s.Total.IntegrityErrors != 0 {
		tb.Fatalf("%d vNodes, %d failed (first %.200q), %d accesses", len(s.VNodes), len(s.Failed), s.Failed[:min(len(s.Failed), 1)], s.Total.Accesses)
	}
	return s
}

// TestThousandInSmall: a tenth of the thousand (under the race detector a hundredth): every process ends, and the work is spread
// over all components.
func TestThousandInSmall(t *testing.T) {
	of := 10
	if raceEnabled {
		of = 100
	}
	idle := 0
	for _, x := range thousand(t, of).Components {
		if x.Role != "scomponent" && x.Accesses+x.Fetches == 0 {
			idle++
		}
	}
	if idle > 0 {
		t.Errorf("%d components did nothing", idle)
	}
}

// BenchmarkThousand is the whole: 1000 pComponents, 1000 mComponents, 100 sComponents, 10 000 processes. It must fit into 8 GiB.
func BenchmarkThousand(b *testing.B) {
	const most = 8 << 30
	for b.Loop() {
		before := used(b)
		s := thousand(b, 1)
		took := used(b) - before
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		peak := u.Maxrss * 1024
		if runtime.GOOS == "darwin" { // bytes there
			peak = u.Maxrss
		}
		b.ReportMetric(float64(peak)/(1<<30), "peak-GiB")
		b.ReportMetric(took.Seconds(), "cpu-s")
		b.ReportMetric(float64(s.Modelled.Events)/took.Seconds(), "events/cpu-s")
		if peak > most {
			b.Fatalf("%d bytes, want at most %d", peak, int64(most))
		}
	}
}

package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sweepOf reads a sweep from text that lies beside a workload w.yaml with the vNode a.
func sweepOf(t *testing.T, text string) *Sweep {
	t.Helper()
	dir := filepath.Dir(writeWorkload(t, "name: w\nvnodes: [{name: a, trace: t.txt, excache: {lines: 64}}]\n"))
	path := filepath.Join(dir, "s.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadSweep(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustRuns(t *testing.T, s *Sweep, env ...string) []SweepRun {
	t.Helper()
	runs, err := s.Runs(env)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// TestSweepRuns: every key of the three files can be varied; the first varies slowest and the seeds fastest.
func TestSweepRuns(t *testing.T) {
	s := sweepOf(t, `name: s
workload: ./w.yaml
seeds: [7, 3]
matrix:
  workload.vnodes.a.excache.policy: [lru, fifo]
  hardware.link.latency: [1 us, 250 ns]
  nodes.p2.cores: [1, 3]
  hardware: [cxl, rdma-100g]
exclude:
  - {hardware: cxl, nodes.p2.cores: 3}
  - {workload.vnodes.a.excache.policy: fifo, hardware.link.latency: [1 us]}
only:
  - {hardware: [cxl, rdma-100g]}
`)
	var got []string
	for _, r := range mustRuns(t, s, "SPLITKERNEL_PCOMPONENT_CORES=2", "SPLITKERNEL_WORKLOAD_SEED=99") {
		p1, p2 := r.Cluster.Resolve("p1").Compute.Cores, r.Cluster.Resolve("p2").Compute.Cores
		if p1 != 2 || r.Workload.Seed != r.Seed {
			t.Errorf("p1 has %d cores and the workload seed %d, want 2 from the environment and %d", p1, r.Workload.Seed, r.Seed)
		}
		if src := r.Hardware.Source("link.latency"); src != changedSource {
			t.Errorf("source of the latency %q, want %q", src, changedSource)
		}
		got = append(got, fmt.Sprint(r.Workload.Vnodes[0].Excache.Policy, " ", r.Hardware.Link.Latency, " ", p2, " ", r.Hardware.Name, " ", r.Seed))
	}
	want := strings.Split(strings.TrimSpace(`
lru 1 us 1 cxl 7
lru 1 us 1 cxl 3
lru 1 us 1 rdma-100g 7
lru 1 us 1 rdma-100g 3
lru 1 us 3 rdma-100g 7
lru 1 us 3 rdma-100g 3
lru 250 ns 1 cxl 7
lru 250 ns 1 cxl 3
lru 250 ns 1 rdma-100g 7
lru 250 ns 1 rdma-100g 3
lru 250 ns 3 rdma-100g 7
lru 250 ns 3 rdma-100g 3
fifo 250 ns 1 cxl 7
fifo 250 ns 1 cxl 3
fifo 250 ns 1 rdma-100g 7
fifo 250 ns 1 rdma-100g 3
fifo 250 ns 3 rdma-100g 7
fifo 250 ns 3 rdma-100g 3`), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("runs\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if hardware := mustRuns(t, sweepOf(t, "name: s\nworkload: ./w.yaml\n"))[0].Hardware.Name; hardware != DefaultHardware {
		t.Errorf("hardware %s, want %s", hardware, DefaultHardware)
	}
}

// TestExcludedRunsHaveNoFaults: what is left out need not make sense.
func TestExcludedRunsHaveNoFaults(t *testing.T) {
	text := `name: s
engine: live
workload: ./w.yaml
matrix:
  workload.vnodes.a.excache.lines: [0, 64]
  workload.vnodes.a.excache.share_percent: [0, 50]
`
	if _, err := sweepOf(t, text).Runs(nil); err == nil || !strings.Contains(err.Error(), "both lines and share_percent") || !strings.Contains(err.Error(), "share_percent=50)") {
		t.Errorf("faults %v, want those of both sizes, with the run that has them", err)
	}
	runs := mustRuns(t, sweepOf(t, text+`exclude:
  - {workload.vnodes.a.excache.lines: 64, workload.vnodes.a.excache.share_percent: 50}
  - {workload.vnodes.a.excache.lines: 0, workload.vnodes.a.excache.share_percent: 0}
`))
	if len(runs) != 2 || runs[0].Hardware != nil {
		t.Errorf("%d runs, want 2 live ones", len(runs))
	}
}

func TestBundledSweeps(t *testing.T) {
	if names := BundledSweeps(); !slices.Contains(names, "excache-size") {
		t.Errorf("no excache-size among %v", names)
	}
	for _, name := range BundledSweeps() {
		s, err := LoadSweep(name)
		if err != nil {
			t.Fatal(err)
		}
		if runs := mustRuns(t, s); s.Name != name || len(runs) < 2 {
			t.Errorf("%s calls itself %s and has %d runs", name, s.Name, len(runs))
		}
	}
}

// TestFlat: keys are those of --set, sizes have units, and the token is a secret.
func TestFlat(t *testing.T) {
	c := mustCluster(t, Overrides{Set: []string{"token=hush", "nodes.p2.cores=5"}})
	w, err := LoadWorkload("sort", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := LoadHardware("cxl")
	if err != nil {
		t.Fatal(err)
	}
	got := Flat(c, w, h)
	for key, want := range map[string]any{
		"token": "(set)", "nodes.p2.cores": 5, "pcomponent.cores": 2, "mcomponent.memory_bytes": "64MiB", "workload.seed": uint64(1),
		"workload.vnodes.sort.excache.policy": "clock", "hardware": "cxl", "hardware.link.latency": "85 ns", "hardware.processor.cpi": "1",
	} {
		if got[key] != want {
			t.Errorf("%s is %v (%T), want %v", key, got[key], got[key], want)
		}
	}
	if _, ok := got["nodes.p1.cores"]; ok {
		t.Error("nodes.p1.cores is there, but p1 has what its section says")
	}
	if n := len(Flat(c, w, nil)); n != len(got)-len(HardwareKeys())-1 {
		t.Errorf("%d keys without hardware, %d with", n, len(got))
	}
}

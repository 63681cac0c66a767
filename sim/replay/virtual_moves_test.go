package replay

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
	"splitkernel/sim/vcluster"
)

// moving has things of process 1 of one kind move at the same distances during a run of so many seconds.
func moving(k wire.MoveKind, regions []wire.RegionNo, volumes int, seconds float64, n int) (out []vcluster.Order) {
	for i := range n {
		x := movelist.Thing{Kind: k, PID: 1}
		switch k {
		case wire.MoveRegion:
			x.Region = regions[i%len(regions)]
		case wire.MoveVolume, wire.MoveCache:
			x.PID, x.Volume = 0, wire.VolumeID(1+i%volumes)
		}
		out = append(out, vcluster.Order{At: time.Duration(float64(i+1) / float64(n+1) * seconds * float64(time.Second)), Thing: x})
	}
	return out
}

// doneOf is how many moves of a kind a run did.
func doneOf(s *report.Summary, k wire.MoveKind) int {
	for _, m := range s.Moves {
		if m.Kind == k.String() {
			return m.Done
		}
	}
	return 0
}

// TestLaw1WithMoves: what moves changes no logical counter: a virtual run in which vRegions, the home, volumes and buffer caches move has
// the counters of the live run in which nothing did. A process that moves loses its ExCache, so then only what its program did is the same.
func TestLaw1WithMoves(t *testing.T) {
	w := newWorld(t)
	w.law = w.node("p1", "")
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		trace, mechanism string
		lines            int
	}{{"wordcount", excache.MechanismList, 1024}, {"sort", excache.MechanismVictim, 512}, {"sqlite", excache.MechanismWriteProtect, 1024}} {
		x := excache.DefaultOptions()
		x.Mechanism, x.Lines = c.mechanism, c.lines
		refs := uint64(600_000)
		if raceEnabled {
			if refs = 10_000; c.trace != "sort" {
				continue
			}
		}
		path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", c.trace+".skt"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := known(context.Background(), path, "")
		if err != nil {
			t.Fatal(err)
		}
		v := configs.DefaultVNode()
		v.Name, v.Trace, v.MaxRefs, v.Excache.Options = "one", path, refs, x
		w.pid++
		s := specOf(&v, path, info)
		s.PID, s.Epoch, s.RegionBytes, s.Home = w.pid, 1, worldRegion, w.m[0]
		s.ExCache.Seed++ // as a run with a workload of seed 1 draws
		s.Volumes = w.volumes(info)
		live := w.law.host.Await(s)
		if live.Error != "" {
			t.Fatalf("live: %s", live.Error)
		}
		var regions []wire.RegionNo
		for _, o := range live.Regions {
			no := wire.RegionNo(uint64(o.Region) * worldRegion / cluster.RegionBytes)
			if !slices.Contains(regions, no) {
				regions = append(regions, no)
			}
		}
		run := func(orders []vcluster.Order) *report.Summary {
			t.Helper()
			sum, err := RunVirtual(t.Context(), VirtualOptions{
				Workload: &configs.Workload{Name: "law1", Seed: 1, Vnodes: []configs.VNode{v}}, Cluster: cluster, Hardware: hardware.DefaultOptions(),
				Traces: []Trace{{Path: path, Info: info}}, Orders: orders,
			})
			if err != nil || len(sum.Failed) > 0 || sum.Total.IntegrityErrors > 0 {
				t.Fatal(err, sum)
			}
			return sum
		}
		still := run(nil)
		if got, want := logical(still.Total), logical(live.Counters); !reflect.DeepEqual(got, want) {
			t.Errorf("%s, nothing moves:\nvirtual %+v\nlive    %+v", c.trace, got, want)
		}
		for _, k := range []wire.MoveKind{wire.MoveRegion, wire.MoveCache, wire.MoveHome, wire.MoveVolume} { // one after the other: some exclude each other for a moment
			if len(info.Volumes) == 0 && (k == wire.MoveCache || k == wire.MoveVolume) {
				continue
			}
			moved := run(moving(k, regions, len(info.Volumes), still.VNodes[0].Seconds, 5))
			if got, want := logical(moved.Total), logical(live.Counters); !reflect.DeepEqual(got, want) {
				t.Errorf("%s with moves of each %v:\nvirtual %+v\nlive    %+v", c.trace, k, got, want)
			}
			if doneOf(moved, k) == 0 {
				t.Errorf("%s: no %v moved: %+v", c.trace, k, moved.Moves)
			}
		}
		away := run(moving(wire.MoveProcess, regions, 0, still.VNodes[0].Seconds, 5))
		if doneOf(away, wire.MoveProcess) == 0 {
			t.Errorf("%s: the process did not move: %+v", c.trace, away.Moves)
		}
		program := func(c report.Counters) []uint64 {
			return []uint64{c.Accesses, c.Reads, c.Writes, c.PagesChecked, c.SectorsChecked, c.BlockReads, c.BlockWrites, c.BlockFlushes, c.BlockReadBytes, c.BlockWriteBytes, c.IntegrityErrors}
		}
		if got, want := program(away.Total), program(live.Counters); !slices.Equal(got, want) {
			t.Errorf("%s whose process moves: %v, live %v", c.trace, got, want)
		}
		if away.Total.Misses < live.Counters.Misses {
			t.Errorf("%s: %d misses although its ExCache was lost, live %d", c.trace, away.Total.Misses, live.Counters.Misses)
		}
	}
}

// TestLaw2WithMoves: two runs of a seed in which everything moves, by order and by a drain, are the same byte by byte, and the report
// tells what moved, with its pauses, and where everything was at last.
func TestLaw2WithMoves(t *testing.T) {
	if raceEnabled {
		t.Skip("virtual time is one goroutine, and TestVirtualRunOfPrograms has what is around it: make test runs this without -race")
	}
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	run := func() (*report.Summary, []byte) {
		t.Helper()
		w, err := configs.LoadWorkload("programs", configs.Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range w.Vnodes {
			w.Vnodes[i].MaxRefs = 20_000
			w.Vnodes[i].Order, w.Vnodes[i].Threads = OrderThreads, 2
		}
		var orders []vcluster.Order
		for i := range 6 {
			at := time.Duration(i+1) * 3 * time.Millisecond
			orders = append(orders,
				vcluster.Order{At: at, Thing: movelist.Thing{Kind: wire.MoveProcess, PID: wire.PID(1 + i%3)}},
				vcluster.Order{At: at, Thing: movelist.Thing{Kind: wire.MoveHome, PID: wire.PID(1 + i%3)}},
				vcluster.Order{At: at, Thing: movelist.Thing{Kind: wire.MoveCache, Volume: wire.VolumeID(1 + i)}})
		}
		out := t.TempDir()
		s, err := RunVirtual(t.Context(), VirtualOptions{Workload: w, Cluster: cluster, Hardware: hardware.DefaultOptions(), TempDir: t.TempDir(), OutDir: out, Orders: orders})
		if err != nil || len(s.Failed) > 0 {
			t.Fatal(err, s)
		}
		b, err := os.ReadFile(filepath.Join(out, "summary.json"))
		if err != nil {
			t.Fatal(err)
		}
		return s, b
	}
	s, first := run()
	was := runtime.GOMAXPROCS(1)
	_, again := run()
	runtime.GOMAXPROCS(was)
	if !bytes.Equal(first, again) {
		t.Error("two runs of a seed with moves differ")
	}
	for _, k := range []wire.MoveKind{wire.MoveProcess, wire.MoveHome, wire.MoveCache} {
		if doneOf(s, k) == 0 {
			t.Errorf("no %v moved: %+v", k, s.Moves)
		}
	}
	for _, m := range s.Moves {
		if m.Done > 0 && (m.Pause.Max <= 0 || m.Pause.P50 > m.Pause.P99 || m.Pause.P99 > m.Pause.Max || m.Took.Max < m.Pause.Max) {
			t.Errorf("%+v, want pauses that are part of what it took", m)
		}
	}
	if s.Engine != "virtual" || !bytes.Contains(first, []byte(`"pause"`)) {
		t.Errorf("engine %s, summary %s", s.Engine, first)
	}
	sum := uint64(0)
	for _, c := range s.Components {
		if c.Role == wire.RoleCompute.String() {
			sum += c.Accesses
		}
	}
	if sum != s.Total.Accesses {
		t.Errorf("pComponents made %d accesses, the vNodes %d", sum, s.Total.Accesses)
	}
	t.Logf("%+v", s.Moves)
}

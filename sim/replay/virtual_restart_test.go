package replay

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
	"splitkernel/sim/vcluster"
)

// TestVirtualRestarts has random pComponents die, or be cut off while they go on, and leaders change, at random moments: while processes run,
// make checkpoints, are brought back and are brought back again. Every process ends well, with each access counted once, no page and no
// sector is wrong, and everything is given back.
func TestVirtualRestarts(t *testing.T) {
	virtualOnly(t)
	cluster, info := threeComputes(t)
	restarts, repeated := 0, uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		refs := uint64(rapid.IntRange(2_000, 30_000).Draw(t, "refs"))
		w := &configs.Workload{Name: "restarts", Seed: rapid.Uint64Range(1, 1<<20).Draw(t, "seed")}
		var traces []Trace
		total := uint64(0)
		for i, name := range []string{"sort", "sqlite"} {
			v := configs.DefaultVNode()
			v.Name, v.Trace, v.MaxRefs, v.Excache.Lines, v.Excache.Ways = name, info[name].Path, refs, 64, 0
			v.Repeat = rapid.IntRange(1, 2).Draw(t, "repeat")
			v.Order = rapid.SampledFrom([]string{OrderTrace, OrderThreads}).Draw(t, "order")
			v.Checkpoint.Every = rapid.SampledFrom([]uint64{300, 5_000}).Draw(t, "every")
			if i == 1 && rapid.Bool().Draw(t, "from the beginning") {
				v.Checkpoint.Every, v.Restart = 0, configs.RestartBeginning
			}
			w.Vnodes = append(w.Vnodes, v)
			traces = append(traces, info[name])
			total += min(refs, info[name].Info.Refs) * uint64(v.Repeat)
		}
		var faults []vcluster.Fault
		at := time.Duration(0)
		for i := range rapid.IntRange(1, 4).Draw(t, "faults") {
			units := []time.Duration{20 * time.Microsecond, 100 * time.Microsecond, 500 * time.Microsecond}
			if i > 0 { // it is noticed after a while
				units = []time.Duration{100 * time.Microsecond, 2 * time.Millisecond, 10 * time.Millisecond}
			}
			at += time.Duration(rapid.IntRange(1, 400).Draw(t, "after")) * rapid.SampledFrom(units).Draw(t, "unit")
			node := rapid.SampledFrom([]wire.NodeID{"p1", "p2", "p1", "p2", "p3"}).Draw(t, "node")
			switch rapid.SampledFrom([]string{"kill", "kill", "silent", "leader"}).Draw(t, "what") {
			case "kill":
				back := at + time.Duration(rapid.IntRange(1, 6_000).Draw(t, "back"))*time.Millisecond
				faults = append(faults, vcluster.Fault{At: at, What: vcluster.Kill, Node: node}, vcluster.Fault{At: back, What: vcluster.Start, Node: node})
			case "silent":
				faults = append(faults, vcluster.Fault{At: at, What: vcluster.Partition, Node: node, For: time.Duration(rapid.IntRange(1, 12).Draw(t, "for")) * time.Second})
			case "leader":
				faults = append(faults, vcluster.Fault{At: at, What: vcluster.ChangeLeader})
			}
		}
		sum, err := RunVirtual(context.Background(), VirtualOptions{Workload: w, Cluster: cluster, Hardware: hardware.DefaultOptions(), Traces: traces, Faults: faults})
		if err != nil {
			t.Fatal(err)
		}
		if len(sum.Failed) > 0 || sum.Total.IntegrityErrors > 0 {
			t.Fatalf("failed: %v, wrong: %v, warnings: %v", sum.Failed, sum.Integrity, sum.Warnings)
		}
		if sum.Total.Accesses != total || sum.Total.PagesChecked != total {
			t.Fatalf("%d accesses, %d pages checked, want %d", sum.Total.Accesses, sum.Total.PagesChecked, total)
		}
		for _, v := range sum.VNodes {
			restarts += len(v.Restarts)
			for _, r := range v.Restarts {
				repeated += r.AccessesRepeated
			}
		}
	})
	if restarts == 0 {
		t.Error("no process was restarted")
	}
	t.Logf("%d restarts, %d accesses repeated", restarts, repeated)
}

// threeComputes is the cluster of tests of restarts, and its programs.
func threeComputes(t *testing.T) (*configs.Cluster, map[string]Trace) {
	t.Helper()
	info := map[string]Trace{}
	for _, name := range []string{"sort", "sqlite"} {
		path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", name+".skt"))
		if err != nil {
			t.Fatal(err)
		}
		i, err := known(context.Background(), path, "")
		if err != nil {
			t.Fatal(err)
		}
		info[name] = Trace{Path: path, Info: i}
	}
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range cluster.Nodes {
		if n.ID == "p1" {
			n.ID = "p3"
			cluster.Nodes = append(cluster.Nodes, n)
			break
		}
	}
	return cluster, info
}

// TestVirtualRestartWhereItWas has a process brought back at the pComponent that it was cut off with, since no other runs: what it was before
// makes room.
func TestVirtualRestartWhereItWas(t *testing.T) {
	cluster, info := threeComputes(t)
	v := configs.DefaultVNode()
	v.Name, v.Trace, v.MaxRefs, v.Excache.Lines, v.Excache.Ways = "sort", info["sort"].Path, 6_000, 64, 0
	v.Checkpoint.Every = 300
	run := func(faults ...vcluster.Fault) report.VNode {
		sum, err := RunVirtual(context.Background(), VirtualOptions{
			Workload: &configs.Workload{Name: "here", Seed: 7, Vnodes: []configs.VNode{v}}, Cluster: cluster, Hardware: hardware.DefaultOptions(), Traces: []Trace{info["sort"]}, Faults: faults,
		})
		if err != nil || len(sum.Failed) > 0 || sum.Total.IntegrityErrors > 0 || sum.Total.Accesses != v.MaxRefs {
			t.Fatalf("%v: failed: %v, wrong: %v, %d accesses", err, sum.Failed, sum.Integrity, sum.Total.Accesses)
		}
		return sum.VNodes[0]
	}
	whole := run()
	at := whole.PComponent
	faults := []vcluster.Fault{{At: time.Duration(whole.Seconds * float64(time.Second) / 2), What: vcluster.Partition, Node: at, For: 4 * time.Second}}
	for _, n := range []wire.NodeID{"p1", "p2", "p3"} {
		if n != at {
			faults = append(faults, vcluster.Fault{At: time.Microsecond, What: vcluster.Kill, Node: n})
		}
	}
	if got := run(faults...); len(got.Restarts) != 1 || got.Restarts[0].To != at || got.Restarts[0].BackAtSeconds > 10 {
		t.Errorf("restarts %+v, want one at %s within a few seconds", got.Restarts, at)
	}
}

// TestVirtualRestartsAtTheEnd has the pComponent of a process die, and come back a moment later, at each of many moments around its end: its
// accesses are made, and it gives its volumes up. It ends well, once or twice, and nothing of it is left.
func TestVirtualRestartsAtTheEnd(t *testing.T) {
	virtualOnly(t)
	cluster, info := threeComputes(t)
	run := func(faults ...vcluster.Fault) *report.Summary {
		v := configs.DefaultVNode()
		v.Name, v.Trace, v.MaxRefs, v.Excache.Lines, v.Excache.Ways = "sqlite", info["sqlite"].Path, 3_000, 64, 0
		v.Checkpoint.Every = 300
		sum, err := RunVirtual(context.Background(), VirtualOptions{
			Workload: &configs.Workload{Name: "end", Seed: 5, Vnodes: []configs.VNode{v}}, Cluster: cluster, Hardware: hardware.DefaultOptions(), Traces: []Trace{info["sqlite"]}, Faults: faults,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(sum.Failed)+len(sum.Warnings) > 0 || sum.Total.IntegrityErrors > 0 || sum.Total.Accesses != v.MaxRefs {
			t.Fatalf("%v: failed: %v, warnings: %v, wrong: %v, %d accesses", faults, sum.Failed, sum.Warnings, sum.Integrity, sum.Total.Accesses)
		}
		return sum
	}
	whole := run()
	node, end := whole.VNodes[0].PComponent, time.Duration(whole.WallSeconds*float64(time.Second))
	once, twice := 0, 0
	const moments = 24
	for i := range moments {
		at := end - time.Duration(i)*50*time.Microsecond
		sum := run(vcluster.Fault{At: at, What: vcluster.Kill, Node: node}, vcluster.Fault{At: at + time.Millisecond, What: vcluster.Start, Node: node})
		if len(sum.VNodes[0].Restarts) == 0 {
			once++
		} else {
			twice++
		}
	}
	if t.Logf("it ended once %d times, was brought back %d times", once, twice); once == 0 || twice == 0 {
		t.Error("the moments are not around its end")
	}
}

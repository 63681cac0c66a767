package replay

import (
	"context"
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
)

// TestVirtualProgress: a virtual run tells how far it is, its run with all memory at hand among it.
func TestVirtualProgress(t *testing.T) {
	virtualOnly(t)
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	v := configs.DefaultVNode()
	v.Name, v.Trace = "one", "generator:sequential?pages=500&refs=100000"
	info, err := known(context.Background(), v.Trace, "")
	if err != nil {
		t.Fatal(err)
	}
	var last, total uint64
	sum, err := RunVirtual(context.Background(), VirtualOptions{
		Workload: &configs.Workload{Name: "far", Seed: 1, Vnodes: []configs.VNode{v}}, Cluster: cluster, Hardware: hardware.DefaultOptions(),
		Traces: []Trace{{Path: v.Trace, Info: info}}, Local: true,
		Progress: func(done, of uint64) {
			if done <= last || done > of {
				t.Errorf("%d of %d after %d", done, of, last)
			}
			last, total = done, of
		},
	})
	if err != nil || len(sum.Failed) > 0 {
		t.Fatalf("%v, failed %v", err, sum.Failed)
	}
	if total != 200_000 || last < total*8/10 {
		t.Errorf("%d of %d in the end, want nearly all of 200000", last, total)
	}
}

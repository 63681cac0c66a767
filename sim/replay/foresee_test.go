package replay

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/configs"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/policy"
	"splitkernel/sim/hardware"
	"splitkernel/sim/trace"
)

// virtualMisses runs a bundled trace alone and gives its misses.
func virtualMisses(t *testing.T, name, policyName string, lines, repeat int) uint64 {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", name+".skt"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := known(context.Background(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	v := configs.DefaultVNode()
	v.Name, v.Trace, v.MaxRefs, v.Repeat, v.Threads = "one", path, 20_000, repeat, 1
	v.Excache.Policy, v.Excache.Ways, v.Excache.Lines = policyName, 0, lines
	sum, err := RunVirtual(context.Background(), VirtualOptions{
		Workload: &configs.Workload{Name: "foresee", Seed: 1, Vnodes: []configs.VNode{v}}, Cluster: cluster, Hardware: hardware.DefaultOptions(),
		Traces: []Trace{{Path: path, Info: info}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sum.Failed) > 0 || sum.Total.IntegrityErrors > 0 {
		t.Fatalf("failed %v, wrong %v", sum.Failed, sum.Integrity)
	}
	return sum.Total.Misses
}

// TestBeladyIsLeast: in runs, too, nobody misses less, also when the trace is repeated.
func TestBeladyIsLeast(t *testing.T) {
	virtualOnly(t)
	for _, repeat := range []int{1, 2} {
		least := virtualMisses(t, "sort", foreseeing, 60, repeat)
		for _, name := range []string{"lru", "arc", "s3-fifo"} {
			if n := virtualMisses(t, "sort", name, 60, repeat); n <= least {
				t.Errorf("%d times: %s misses %d, belady %d", repeat, name, n, least)
			}
		}
	}
}

// TestForeseeable: what belady cannot do is refused by name, before anything runs.
func TestForeseeable(t *testing.T) {
	good := func() Spec {
		x := excache.DefaultOptions()
		x.Policy = foreseeing
		return Spec{Name: "a", Threads: 1, Repeat: 2, ExCache: x}
	}
	for _, c := range []struct {
		change func(*Spec)
		refs   uint64
		want   string
	}{
		{func(*Spec) {}, policy.MaxFuture / 2, ""},
		{func(*Spec) {}, policy.MaxFuture/2 + 1, "want at most 268435456 in all"},
		{func(s *Spec) { s.MaxRefs = 10 }, policy.MaxFuture, ""},
		{func(s *Spec) { s.Threads = 2 }, 1, "a trace of 2 threads, want one thread"},
		{func(s *Spec) { s.Checkpoints.On = true }, 1, "want no checkpoints"},
		{func(s *Spec) { s.Threads, s.ExCache.Policy = 2, "lru" }, 1, ""},
	} {
		s := good()
		c.change(&s)
		err := s.foreseeable(trace.Info{Refs: c.refs})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v with %d references: %v, want %q", s, c.refs, err, c.want)
		}
	}
}

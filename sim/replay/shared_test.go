package replay

import (
	"reflect"
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
	"splitkernel/sim/units"
)

// TestSharedProcessor: components that share one processor count the same as those that have their own, and take longer; a live replay
// costs its driver's time for each reference, whatever the program's instructions.
func TestSharedProcessor(t *testing.T) {
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	run := func(change func(o *VirtualOptions)) (logicalCounters any, seconds float64, accesses uint64) {
		t.Helper()
		w, err := configs.LoadWorkload("programs", configs.Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range w.Vnodes {
			w.Vnodes[i].MaxRefs = 4_000
		}
		o := VirtualOptions{Workload: w, Cluster: cluster, Hardware: hardware.DefaultOptions(), TempDir: t.TempDir()}
		change(&o)
		s, err := RunVirtual(t.Context(), o)
		if err != nil || len(s.Failed) > 0 {
			t.Fatal(err, s)
		}
		sum := 0.0
		for _, v := range s.VNodes {
			sum += v.Seconds
		}
		return logical(s.Total), sum, s.Total.Accesses
	}
	own, alone, n := run(func(*VirtualOptions) {})
	same, together, _ := run(func(o *VirtualOptions) { o.Hardware.Processor.Shared = 1 })
	if !reflect.DeepEqual(own, same) || together <= alone {
		t.Errorf("on one processor %v s and %+v, with their own %v s and %+v: want the same counters and more time", together, same, alone, own)
	}
	_, free, _ := run(func(o *VirtualOptions) { o.Replayed = true })
	_, dear, _ := run(func(o *VirtualOptions) { o.Replayed, o.Hardware.Processor.Reference = true, units.Microsecond })
	if more := float64(n) * 1e-6; dear-free < more*0.9 || dear-free > more*1.1 {
		t.Errorf("references of 1 µs make %d accesses %v s longer, want about %v", n, dear-free, more)
	}
}

package replay

import (
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
)

// TestVirtualRunOfShares: the settings of redundancy reach the virtual mComponents, and the report of a run says what its memory survives and what
// was done for that.
func TestVirtualRunOfShares(t *testing.T) {
	virtualOnly(t)
	c, err := configs.LoadCluster("redundant", configs.Overrides{Set: []string{"mcomponent.share_hedge_ms=7", "mcomponent.replica_log_bytes=64KiB"}})
	if err != nil {
		t.Fatal(err)
	}
	w, err := configs.LoadWorkload("shares", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range w.Vnodes {
		w.Vnodes[i].MaxRefs = 8_000
	}
	o := VirtualOptions{Workload: w, Cluster: c, Hardware: hardware.DefaultOptions(), TempDir: t.TempDir()}
	n := virtualCluster(o).Nodes
	for i := range n {
		if n[i].MemoryBytes > 0 && (n[i].Erasure.HedgeMS != 7 || n[i].Replica.LogBytes != 64<<10) {
			t.Fatalf("%s: %+v, %+v", n[i].ID, n[i].Erasure, n[i].Replica)
		}
	}
	s, err := RunVirtual(t.Context(), o)
	if err != nil || len(s.Failed) > 0 || s.Total.IntegrityErrors > 0 {
		t.Fatal(err, s)
	}
	for _, v := range s.VNodes {
		if v.Memory == nil || v.Memory.Survives != 1 || v.Memory.PagesPerPage != 1.5 || v.Memory.MissAsks != 2 {
			t.Errorf("%s: %+v", v.Name, v.Memory)
		}
	}
	if r := s.Redundancy; r == nil || r.Sent < 3*(s.Total.Flushes+s.Total.FinalFlushes) || r.Made == 0 || r.Made > s.Total.Fetches || r.Rebuilt+r.Computed > 0 {
		t.Errorf("%+v of %d flushes and %d fetches, and nobody was lost", r, s.Total.Flushes+s.Total.FinalFlushes, s.Total.Fetches)
	}
}

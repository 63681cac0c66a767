package gmm

import (
	"fmt"
	"runtime"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// million makes a state with 2^20 vRegions of 1024 processes at 64 mComponents.
func million(b *testing.B) *State {
	b.Helper()
	const members, processes, regions = 64, 1024, 1024
	s, seq := New(), uint64(0)
	var live []membership.Live
	do := func(q Request) {
		seq++
		c := Command{Client: 1, Seq: seq, Overcommit: 4000, Stamp: membership.Stamp{Policy: "least_loaded", Live: live}, Request: q}
		if r := s.Apply(c); r.Kind != wire.KindNone {
			b.Fatal(r)
		}
	}
	for i := range members {
		id := wire.NodeID(fmt.Sprintf("m%02d", i))
		do(Request{Op: OpRegister, Member: wire.Member{ID: id, Role: wire.RoleMemory, Addr: "inproc:" + string(id), Capacity: wire.Capacity{MemoryBytes: 1 << 50, RegionBytes: 1 << 30}}})
		live = append(live, membership.Live{ID: id, Epoch: 1})
	}
	for pid := wire.PID(1); pid <= processes; pid++ {
		do(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: pid}, {Verb: admission.Commit, PID: pid}}})
		for r := range wire.RegionNo(regions) {
			do(Request{Op: OpActivate, PID: pid, Region: r})
		}
	}
	return s
}

// heap returns the bytes in use after a collection.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMillionRegions is what a state of 2^20 vRegions takes: its heap, a snapshot, and a state restored from one.
func BenchmarkMillionRegions(b *testing.B) {
	was := heap()
	s := million(b)
	took := float64(heap()-was) / (1 << 20)
	snap := s.Snapshot()
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			snap = s.Snapshot()
		}
		b.ReportMetric(took, "state-MiB")
		b.ReportMetric(float64(len(snap))/(1<<20), "snapshot-MiB")
	})
	b.Run("freeze", func(b *testing.B) { // what commands wait for
		for b.Loop() {
			s.Freeze()
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		was := heap()
		var n *State
		for b.Loop() {
			n = New()
			if err := n.Restore(snap); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-was)/(1<<20), "state-MiB")
		runtime.KeepAlive(n)
	})
	runtime.KeepAlive(s)
}

package gmm

import (
	"fmt"
	"runtime"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/statetest"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// BenchmarkPlace: a home, or a vRegion, is placed among 10 000 mComponents: all that a replica does with a command, its bytes decoded
// and the result encoded. What was placed is given back meanwhile, beside the clock.
func BenchmarkPlace(b *testing.B) {
	for _, policy := range placement.Names() {
		for _, home := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/home=%v", policy, home), func(b *testing.B) {
				s, seq, pid := New(), uint64(0), wire.PID(0)
				next := func(q Request) Command {
					seq++
					return Command{Client: 1, Seq: seq, Overcommit: 4000, Stamp: membership.Stamp{Policy: policy, Chance: seq * 0x9e3779b97f4a7c15}, Request: q}
				}
				for i := range statetest.BenchMembers {
					s.Apply(next(Request{Op: OpRegister, Member: wire.Member{
						ID: wire.NodeID(fmt.Sprintf("m%05d", i)), Role: wire.RoleMemory, Addr: "tcp:10.0.0.1:7000", Capacity: wire.Capacity{MemoryBytes: 1<<32 + uint64(i)<<20, RegionBytes: 1 << 20},
					}}))
				}
				begin := func() []byte {
					pid++
					return next(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: pid}}}).Encode()
				}
				end := func(Result) {
					s.Apply(next(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Free, PID: s.processes[0].PID}}}))
				}
				if !home {
					s.ApplyBytes(begin())
					s.Apply(next(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Commit, PID: pid}}}))
					region := wire.RegionNo(0)
					begin = func() []byte { region++; return next(Request{Op: OpActivate, PID: pid, Region: region}).Encode() }
					end = func(res Result) {
						if res.Err() != nil {
							b.Fatal(res.Err())
						}
						if region > MaxRegions-10000 { // the table is nearly full
							s.Apply(next(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Free, PID: pid}, {Verb: admission.Prepare, PID: pid + 1}, {Verb: admission.Commit, PID: pid + 1}}}))
							pid, region = pid+1, 0
						}
					}
				}
				statetest.Placements(b, s.ApplyBytes, begin, DecodeResult, end)
			})
		}
	}
}

// BenchmarkActivate: vRegions of one process are activated at 8 mComponents until the table is nearly full, then the process
// is released and begins again: what a replica does with a command, without decoding it.
func BenchmarkActivate(b *testing.B) {
	s, seq := New(), uint64(0)
	next := func(q Request) Command {
		seq++
		return Command{Client: 1, Seq: seq, Overcommit: 4000, Request: q, Stamp: membership.Stamp{Policy: "least_loaded"}}
	}
	var live []membership.Live
	for i := range 8 {
		id := wire.NodeID(fmt.Sprintf("m%d", i))
		res := s.Apply(next(Request{Op: OpRegister, Member: wire.Member{
			ID: id, Role: wire.RoleMemory, Addr: "tcp:10.0.0.1:7000", Capacity: wire.Capacity{MemoryBytes: 1 << 40, RegionBytes: 1 << 20},
		}}))
		live = append(live, membership.Live{ID: id, Epoch: res.Epoch, Addr: "tcp:10.0.0.1:7000"})
	}
	pid := wire.PID(0)
	begin := func() {
		var steps []admission.Step
		if pid > 0 {
			steps = append(steps, admission.Step{Verb: admission.Free, PID: pid})
		}
		pid++
		steps = append(steps, admission.Step{Verb: admission.Prepare, PID: pid}, admission.Step{Verb: admission.Commit, PID: pid})
		c := next(Request{Op: OpSteps, Steps: steps})
		c.Stamp.Live = live
		s.Apply(c)
	}
	begin()
	region := wire.RegionNo(0)
	b.ReportAllocs()
	for b.Loop() {
		if region++; region == MaxRegions {
			region = 1
			begin()
		}
		c := next(Request{Op: OpActivate, PID: pid, Region: region})
		c.Stamp.Live = live
		if res := s.Apply(c); res.Kind != wire.KindNone {
			b.Fatal(res.Err())
		}
	}
}

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

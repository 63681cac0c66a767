package gmm

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

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

package gpm

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/statetest"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// BenchmarkPlace: a process is placed among 10 000 pComponents, each with another number of threads: all that a replica does with
// a command, its bytes decoded and the result encoded. What was placed is ended meanwhile, beside the clock.
func BenchmarkPlace(b *testing.B) {
	for _, policy := range placement.Names() {
		b.Run(policy, func(b *testing.B) {
			s, seq := New(), uint64(0)
			next := func(q Request) Command {
				seq++
				return Command{Client: 1, Seq: seq, Stamp: membership.Stamp{Policy: policy, Chance: seq * 0x9e3779b97f4a7c15}, Request: q}
			}
			for i := range statetest.BenchMembers {
				s.Apply(next(Request{Op: OpRegister, Member: wire.Member{
					ID: wire.NodeID(fmt.Sprintf("p%05d", i)), Role: wire.RoleCompute, Addr: "tcp:10.0.0.1:7000", Capacity: wire.Capacity{Cores: 8, ExCacheLines: 1<<16 + uint64(i)},
				}}))
			}
			place := func() []byte {
				return next(Request{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "x", Threads: 1, ExCacheLines: 100}}).Encode()
			}
			statetest.Placements(b, s.ApplyBytes, place, DecodeResult, func(res Result) {
				if err := res.Err(); err != nil {
					b.Fatal(err)
				}
				s.Apply(next(Request{Op: OpRelease, PID: res.VNode.PID}))
				s.Apply(next(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideAbort, PID: res.VNode.PID, Kind: wire.KindNoRoom}, {Verb: admission.EndFree, PID: res.VNode.PID}}}))
			})
		})
	}
}

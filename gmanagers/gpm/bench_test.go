package gpm

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// BenchmarkPlace: a process is placed among as many pComponents as may register, and ended: what a replica does with a
// command, with and without decoding its stamp, which names all of them.
func BenchmarkPlace(b *testing.B) {
	for _, policy := range placement.Names() {
		for _, decoded := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/decoded=%v", policy, decoded), func(b *testing.B) {
				s, seq := New(), uint64(0)
				next := func(q Request) Command { seq++; return Command{Client: 1, Seq: seq, Request: q} }
				stamp := membership.Stamp{Policy: policy}
				for i := range membership.MaxMembers {
					id := wire.NodeID(fmt.Sprintf("p%04d", i))
					res := s.Apply(next(Request{Op: OpRegister, Member: wire.Member{
						ID: id, Role: wire.RoleCompute, Addr: "tcp:10.0.0.1:7000", Capacity: wire.Capacity{Cores: 8, ExCacheLines: 1 << 16},
					}}))
					stamp.Live = append(stamp.Live, membership.Live{ID: id, Epoch: res.Epoch, Addr: "tcp:10.0.0.1:7000", Traffic: uint64(i * 1000)})
				}
				place := next(Request{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "x", Threads: 1, ExCacheLines: 100}})
				place.Stamp = stamp
				encoded := place.Encode()
				b.ReportAllocs()
				for b.Loop() {
					c := place
					if !decoded {
						var err error
						if c, err = DecodeCommand(encoded); err != nil {
							b.Fatal(err)
						}
					}
					seq++
					c.Seq, c.Stamp.Chance = seq, seq
					res := s.Apply(c)
					if err := res.Err(); err != nil {
						b.Fatal(err)
					}
					s.Apply(next(Request{Op: OpRelease, PID: res.VNode.PID}))
					s.Apply(next(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.EndFree, PID: res.VNode.PID}}}))
				}
			})
		}
	}
}

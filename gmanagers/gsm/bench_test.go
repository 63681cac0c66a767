package gsm

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/statetest"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// BenchmarkPlace: a volume is placed among 10 000 sComponents, and its buffer cache among as many mComponents: all that a replica does
// with a command, its bytes decoded and the result encoded. What was placed is given back meanwhile, beside the clock.
func BenchmarkPlace(b *testing.B) {
	for _, policy := range placement.Names() {
		b.Run(policy, func(b *testing.B) {
			s, seq, pid := New(), uint64(0), wire.PID(0)
			next := func(q Request) Command {
				seq++
				return Command{Client: 1, Seq: seq, CachePolicy: policy, Stamp: membership.Stamp{Policy: policy, Chance: seq * 0x9e3779b97f4a7c15}, Request: q}
			}
			caches := next(Request{Op: OpGates})
			for i := range statetest.BenchMembers {
				s.Apply(next(Request{Op: OpRegister, Member: wire.Member{
					ID: wire.NodeID(fmt.Sprintf("s%05d", i)), Role: wire.RoleStorage, Addr: "tcp:10.0.0.1:7000", Capacity: wire.Capacity{StorageBytes: 1<<40 + uint64(i)<<20},
				}}))
				caches.Caches = append(caches.Caches, membership.Live{ID: wire.NodeID(fmt.Sprintf("m%05d", i)), Epoch: 1, Addr: "tcp:10.0.0.1:7000"})
			}
			caches.Seq = seq + 1
			seq++
			s.Apply(caches)
			place := func() []byte {
				pid++
				return next(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: pid, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 1 << 20}}}}}).Encode()
			}
			statetest.Placements(b, s.ApplyBytes, place, DecodeResult, func(res Result) {
				if v := res.Votes[0]; v.Kind != wire.KindNone {
					b.Fatal(v.Text)
				}
				s.Apply(next(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Free, PID: res.Votes[0].PID}}}))
			})
		})
	}
}

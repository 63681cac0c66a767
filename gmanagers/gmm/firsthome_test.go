package gmm

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// TestTheFirstBackupOfAHomeSuffices: a home that dies before its backup was heard of is not lost, as it has answered nothing that its first backup does not have.
func TestTheFirstBackupOfAHomeSuffices(t *testing.T) {
	for _, c := range []struct {
		name      string
		activates bool
		replaced  bool // the first backup dies before the home does
		lost      bool
	}{
		{"nothing was mapped", false, false, false},
		{"something was mapped", true, false, false},
		{"nothing was mapped and the backup is another one", false, true, true},
		{"something was mapped and the backup is another one", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, seq := New(), uint64(0)
			apply := func(q Request) Result {
				t.Helper()
				seq++
				stamp := membership.Stamp{NowMS: int64(seq), Policy: "least_loaded"}
				for _, m := range s.Members() {
					stamp.Live = append(stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch})
				}
				res := s.Apply(Command{Client: 1, Seq: seq, Overcommit: 4000, Stamp: stamp, Request: q})
				if err := res.Err(); err != nil {
					t.Fatal(err)
				}
				if err := s.CheckInvariants(); err != nil {
					t.Fatal(err)
				}
				return res
			}
			for i := range 4 {
				apply(Request{Op: OpRegister, Member: wire.Member{ID: wire.NodeID(fmt.Sprintf("m%d", i+1)), Role: wire.RoleMemory, Addr: fmt.Sprintf("inproc:m%d", i+1),
					Capacity: wire.Capacity{MemoryBytes: 64 * wire.PageSize, RegionBytes: 8 * wire.PageSize}}})
			}
			policy := wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}
			votes := apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 1, Memory: policy}, {Verb: admission.Commit, PID: 1}}}).Votes
			home := votes[0].Home
			if home.Member != 1 || home.Owner().Member != 1 {
				t.Fatalf("the home is told as %+v, want the membership of %s", home, home.Node)
			}
			if c.activates {
				apply(Request{Op: OpActivate, PID: 1, Region: 3})
			}
			if c.replaced {
				apply(Request{Op: OpDead, Member: wire.Member{ID: s.Processes(1)[0].Copies.Holders[0].Node, Epoch: 1}})
			}
			backup := s.Processes(1)[0].Copies.Holders[0]
			if !backup.Filling {
				t.Fatalf("the backup is %+v, nobody has heard of it yet", backup)
			}
			p := s.Processes(1)[0]
			if p.Survives(true, 0) == c.lost {
				t.Errorf("before: the home survives %t", p.Survives(true, 0))
			}
			apply(Request{Op: OpDead, Member: wire.Member{ID: home.Node, Epoch: 1}})
			p = s.Processes(1)[0]
			if c.lost {
				if p.Copies != nil {
					t.Fatalf("the home goes on at %s, which may lack what the first backup was told", p.Home)
				}
				return
			}
			if p.Copies == nil || p.Home != backup.Node || !p.Copies.Recovering || p.HomeMember() != backup.NodeEpoch {
				t.Fatalf("the home is at %s with %+v, want it recovered at %s", p.Home, p.Copies, backup.Node)
			}
			part := redundancy.Part{PID: 1, Home: true}
			apply(Request{Op: OpCopies, Copies: []redundancy.Change{{Verb: redundancy.Recovered, Part: part, Epoch: p.HomeEpoch}}})
			if p = s.Processes(1)[0]; p.Copies.Recovering {
				t.Fatalf("recovered, it is %+v", p.Copies)
			}
		})
	}
}

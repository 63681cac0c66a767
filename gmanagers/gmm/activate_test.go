package gmm

import (
	"fmt"
	"slices"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// TestAnOwnerThatIsNotFoundYet: who asks for a vRegion whose owner was lost, and which waits for another to have room, may ask again; only one of
// which too few copies are left is said to be lost.
func TestAnOwnerThatIsNotFoundYet(t *testing.T) {
	s, seq := New(), uint64(0)
	apply := func(q Request) Result {
		t.Helper()
		seq++
		c := Command{Client: 1, Seq: seq, Overcommit: 1000, Stamp: membership.Stamp{NowMS: int64(seq), Policy: "least_loaded"}, Request: q}
		for _, m := range s.Members() {
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch})
		}
		res := s.Apply(c)
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		return res
	}
	register := func(id wire.NodeID) {
		apply(Request{Op: OpRegister, Member: wire.Member{ID: id, Role: wire.RoleMemory, Addr: "inproc:" + string(id), Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}})
	}
	kill := func(id wire.NodeID) {
		m, _ := s.members.Get(id)
		apply(Request{Op: OpDead, Member: wire.Member{ID: id, Epoch: m.Epoch}})
	}
	for i := range 4 {
		register(wire.NodeID(fmt.Sprintf("m%d", i+1)))
	}
	apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 1, Memory: wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}}, {Verb: admission.Commit, PID: 1}}})
	home := s.Processes(1)[0].Home
	region := wire.RegionNo(7)
	owner := home
	for ; owner == home; region++ { // the home must live
		owner = apply(Request{Op: OpActivate, PID: 1, Region: region}).Owner.Node
	}
	region--
	activate := func() Result { return apply(Request{Op: OpActivate, PID: 1, Region: region}) }
	now := func() Region {
		p := s.Processes(1)[0]
		i, _ := p.findRegion(region)
		return p.Regions[i]
	}
	for range 10 {
		for _, l := range s.Unsettled() {
			c := redundancy.Change{Verb: redundancy.Configured, Part: l.Part, Epoch: l.Epoch, Config: l.Config}
			for _, h := range l.Holders {
				c.InSync = append(c.InSync, h.Node)
			}
			apply(Request{Op: OpCopies, Copies: []redundancy.Change{c}})
		}
	}
	holder := now().Copies.Holders[slices.IndexFunc(now().Copies.Holders, func(h Holder) bool { return h.Node != home })].Node
	kill(holder)
	if res := activate(); res.Kind != wire.KindNone || res.Owner.Node != owner {
		t.Fatalf("one share of three is lost: %+v", res)
	}
	kill(owner)
	if res := activate(); res.Kind != wire.KindBusy {
		t.Fatalf("the two that are left hold a share each, and nobody can serve: %+v", res)
	}
	register("m9")
	apply(Request{Op: OpCopies, Copies: []redundancy.Change{{Verb: redundancy.Tended, Part: redundancy.Part{PID: 1, Region: region}}}})
	if res := activate(); res.Kind != wire.KindNone || res.Owner.Node != "m9" {
		t.Fatalf("another has come: %+v", res)
	}
	last := now().Copies.Holders[slices.IndexFunc(now().Copies.Holders, func(h Holder) bool { return h.Node != home && h.Node != "m9" })].Node
	kill(last)
	if res := activate(); res.Kind != wire.KindFailed {
		t.Fatalf("one share is left, and two are needed: %+v", res)
	}
}

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

// TestEachShareIsSomewhere: one holder of shares drains and nobody can take its place; another is started again. That one gets the share that it had and not the one of
// whoever drains. When another mComponent has come for that one, and its drain ends, one of the two is let go.
func TestEachShareIsSomewhere(t *testing.T) {
	s, seq := New(), uint64(0)
	apply := func(q Request) Result {
		t.Helper()
		seq++
		c := Command{Client: 1, Seq: seq, Overcommit: 1000, Stamp: membership.Stamp{NowMS: int64(seq), Policy: "least_loaded"}, Request: q}
		for _, m := range s.Members() {
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch})
		}
		res := s.Apply(c)
		if err := res.Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		return res
	}
	register := func(id wire.NodeID) {
		apply(Request{Op: OpRegister, Member: wire.Member{ID: id, Role: wire.RoleMemory, Addr: "inproc:" + string(id), Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}})
	}
	settle := func() { // everybody has what he is to have
		t.Helper()
		for range 10 {
			for _, l := range s.Unsettled() {
				c := redundancy.Change{Verb: redundancy.Configured, Part: l.Part, Epoch: l.Epoch, Config: l.Config}
				for _, h := range l.Holders {
					c.InSync = append(c.InSync, h.Node)
				}
				if l.Stage == redundancy.Recover {
					c = redundancy.Change{Verb: redundancy.Recovered, Part: l.Part, Epoch: l.Epoch}
				}
				apply(Request{Op: OpCopies, Copies: []redundancy.Change{c}})
			}
			for _, of := range []redundancy.Part{{PID: 1, Home: true}, {PID: 1, Region: 7}} {
				apply(Request{Op: OpCopies, Copies: []redundancy.Change{{Verb: redundancy.Tended, Part: of}}})
			}
		}
	}
	holders := func() []Holder { return s.Processes(1)[0].Regions[0].Copies.Holders }
	distinct := func(what string, want int) {
		t.Helper()
		seen := map[uint32]bool{}
		for _, h := range holders() {
			if seen[h.Index] || h.Filling {
				t.Fatalf("%s: %+v", what, holders())
			}
			seen[h.Index] = true
		}
		if len(seen) != want {
			t.Fatalf("%s: %d shares of %d are somewhere: %+v", what, len(seen), want, holders())
		}
	}
	for i := range 5 {
		register(wire.NodeID(fmt.Sprintf("m%d", i+1)))
	}
	apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 1, Memory: wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 2}}, {Verb: admission.Commit, PID: 1}}})
	apply(Request{Op: OpActivate, PID: 1, Region: 7})
	settle()
	distinct("at first", 4)

	home := s.Processes(1)[0].Home
	hs := slices.DeleteFunc(slices.Clone(holders()), func(h Holder) bool { return h.Node == home })
	drains, again := hs[0].Node, hs[1].Node
	apply(Request{Op: OpNode, Member: wire.Member{ID: drains}, Action: membership.Drain})
	settle()
	distinct("one drains, and nobody can take its place", 4)
	m, _ := s.members.Get(again)
	apply(Request{Op: OpDead, Member: wire.Member{ID: again, Epoch: m.Epoch}})
	register(again)
	settle()
	distinct("another was started again", 4)

	register("m6")
	for range 3 { // who comes is being filled when the drain ends
		apply(Request{Op: OpCopies, Copies: []redundancy.Change{{Verb: redundancy.Tended, Part: redundancy.Part{PID: 1, Region: 7}}}})
	}
	if len(holders()) != 5 {
		t.Fatalf("nobody comes for the one that drains: %+v", holders())
	}
	gone := slices.DeleteFunc(slices.Clone(holders()), func(h Holder) bool { return h.Filling || h.Node == drains })[0].Node
	m, _ = s.members.Get(gone)
	apply(Request{Op: OpDead, Member: wire.Member{ID: gone, Epoch: m.Epoch}})
	apply(Request{Op: OpNode, Member: wire.Member{ID: drains}, Action: membership.Undrain})
	settle()
	distinct("one came for another whose drain ended, and a third was lost", 4)
}

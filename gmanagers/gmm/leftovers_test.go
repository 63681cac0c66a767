package gmm

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestWhoServesWhatIsLostHears: a vRegion in shares of which too few are left is lost though who serves it lives, and the sweep says so to him alone.
func TestWhoServesWhatIsLostHears(t *testing.T) {
	s, seq := New(), uint64(0)
	do := func(q Request) {
		t.Helper()
		var live []membership.Live
		for i := range 4 {
			live = append(live, membership.Live{ID: wire.NodeID(fmt.Sprint("m", i+1)), Epoch: 1})
		}
		seq++
		if r := s.Apply(Command{Client: 1, Seq: seq, Overcommit: 4000, Stamp: membership.Stamp{Policy: "least_loaded", Live: live}, Request: q}); r.Err() != nil {
			t.Fatalf("%+v: %v", q, r.Err())
		}
	}
	for i := range 4 {
		id := fmt.Sprint("m", i+1)
		do(Request{Op: OpRegister, Member: wire.Member{ID: wire.NodeID(id), Role: wire.RoleMemory, Addr: "inproc:" + id, Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}})
	}
	do(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 5, Memory: wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}}, {Verb: admission.Commit, PID: 5}}})
	do(Request{Op: OpActivate, PID: 5, Region: 7})
	region := s.Processes(5)[0].Regions[0]
	held := func(id wire.NodeID) []wire.DropReq {
		return s.Leftovers(wire.HoldingsRep{Node: id, Epoch: 1, Holds: wire.Holdings{Regions: []wire.HeldRegion{{PID: 5, Region: 7, Epoch: region.Epoch}}}})
	}
	for i, h := range region.Copies.Holders[:2] {
		if got := held(region.Node); len(got) > 0 {
			t.Errorf("%d of 3 shares are lost: %+v", i, got)
		}
		do(Request{Op: OpDead, Member: wire.Member{ID: h.Node, Epoch: 1}, Text: "seen by nobody"})
	}
	got := held(region.Node)
	if len(got) != 1 || !got[0].Lost || got[0].Region != 7 || wire.KindOf(got[0].Why()) != wire.KindFailed {
		t.Errorf("%+v, want that vRegion 7 is lost", got)
	}
	if got := held(region.Copies.Holders[2].Node); len(got) > 0 {
		t.Errorf("a holder: %+v", got)
	}
}

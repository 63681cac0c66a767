package gmm

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// fourMembers gives a state with four mComponents and what applies a request to it that must succeed.
func fourMembers(t *testing.T) (*State, func(Request) Result) {
	s, seq := New(), uint64(0)
	apply := func(q Request) Result {
		t.Helper()
		seq++
		c := Command{Client: 1, Seq: seq, Overcommit: MinOvercommit, Stamp: membership.Stamp{Policy: "least_loaded"}, Request: q}
		for _, m := range s.Members() {
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch, Addr: m.Addr})
		}
		res := s.Apply(c)
		if err := s.CheckInvariants(); err != nil || res.Err() != nil {
			t.Fatalf("%+v: %v, %v", q, res.Err(), err)
		}
		return res
	}
	for i := range 4 {
		id := fmt.Sprint("m", i+1)
		apply(Request{Op: OpRegister, Member: wire.Member{ID: wire.NodeID(id), Role: wire.RoleMemory, Addr: "inproc:" + id, Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}})
	}
	return s, apply
}

// TestAMoveTellsTheHomeOfNow: when another becomes the home of a process while a vRegion of it moves, the move names that one as soon as it serves.
func TestAMoveTellsTheHomeOfNow(t *testing.T) {
	s, apply := fourMembers(t)
	apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 5, Memory: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}, {Verb: admission.Commit, PID: 5}}})
	for r := range 3 {
		apply(Request{Op: OpActivate, PID: 5, Region: wire.RegionNo(7 + r)})
	}
	for _, l := range s.Unsettled() { // everybody has a copy
		c := redundancy.Change{Verb: redundancy.Configured, Part: l.Part, Epoch: l.Epoch, Config: l.Config}
		for _, h := range l.Holders {
			c.InSync = append(c.InSync, h.Node)
		}
		apply(Request{Op: OpCopies, Copies: []redundancy.Change{c}})
	}
	was := s.Processes(5)[0]
	order := movelist.Order{Cause: movelist.ByHand, TimeoutMS: 1000}
	for _, m := range s.Members() {
		for _, r := range was.Regions { // neither end of the move may go with the home
			if r.Node != was.Home && m.ID != was.Home && m.ID != r.Node && m.ID != r.Copies.Holders[0].Node {
				order.Thing, order.To = movelist.Thing{Kind: wire.MoveRegion, PID: 5, Region: r.Region}, m.ID
			}
		}
	}
	if b := apply(Request{Op: OpBegin, Orders: []movelist.Order{order}}).Begun[0]; b.Err() != nil {
		t.Fatal(b.Err())
	}
	via := func() (wire.NodeID, string, wire.Epoch) {
		r := s.Moves().Moves()[0].Req
		return r.Via, r.ViaAddr, r.ViaEpoch
	}
	if id, _, epoch := via(); id != was.Home || epoch != was.HomeEpoch {
		t.Fatalf("the move tells %s under %d, the home is %s under %d", id, epoch, was.Home, was.HomeEpoch)
	}
	apply(Request{Op: OpDead, Member: wire.Member{ID: was.Home, Epoch: was.NodeEpoch}, Text: "silent", SilentMS: 3000})
	now := s.Processes(5)[0]
	if id, _, _ := via(); now.Home == was.Home || id != was.Home {
		t.Fatalf("the move tells %s before %s, the home after %s, serves", id, now.Home, was.Home)
	}
	changes := s.Moves().Changes()
	apply(Request{Op: OpCopies, Copies: []redundancy.Change{{Verb: redundancy.Served, Part: redundancy.Part{PID: 5, Home: true}, Epoch: now.HomeEpoch}}})
	if id, addr, epoch := via(); id != now.Home || addr != "inproc:"+string(now.Home) || epoch != now.HomeEpoch || s.Moves().Changes() == changes {
		t.Errorf("the move tells %s at %s under %d, the home is %s under %d; changes %d and %d", id, addr, epoch, now.Home, now.HomeEpoch, changes, s.Moves().Changes())
	}
}

// TestAHomeIsLostAtOnce, before it has said that its backup has everything: that backup becomes the home, as long as it is the first.
func TestAHomeIsLostAtOnce(t *testing.T) {
	s, apply := fourMembers(t)
	apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 5, Memory: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}, {Verb: admission.Commit, PID: 5}}})
	kill := func(id wire.NodeID, epoch wire.Epoch) {
		apply(Request{Op: OpDead, Member: wire.Member{ID: id, Epoch: epoch}, Text: "silent", SilentMS: 3000})
	}
	was := s.Processes(5)[0]
	first := was.Copies.Holders[0]
	if kill(was.Home, was.NodeEpoch); !first.Filling {
		t.Fatalf("%+v is in sync before anybody said so", first)
	}
	now := s.Processes(5)[0]
	if now.Home != first.Node || now.HomeEpoch <= was.HomeEpoch || now.Copies == nil || !now.Copies.Recovering {
		t.Fatalf("%+v, want the home at %s, recovering", now, first.Node)
	}
	kill(now.Home, now.NodeEpoch) // the next backup is not the first: what the home before answered it may not have
	if now = s.Processes(5)[0]; now.Copies != nil || s.Current(now.Home, now.NodeEpoch) {
		t.Errorf("%+v, want it lost", now)
	}
}

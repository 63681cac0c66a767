package gmm

import (
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestAttemptsInVainAreNoEvents: what is held for an attempt and given back is told nowhere; what is committed is told then,
// once, also by a state that was restored between the two.
func TestAttemptsInVainAreNoEvents(t *testing.T) {
	s := New()
	seq := uint64(0)
	apply := func(q Request) {
		seq++
		cmd := Command{Client: 1, Seq: seq, Stamp: membership.Stamp{NowMS: int64(seq), Policy: "least_loaded", Live: []membership.Live{{ID: "m1", Epoch: 1, Addr: "inproc:m1"}}}, Overcommit: 1000, Request: q}
		if err := s.Apply(cmd).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	steps := func(pid wire.PID, verbs ...admission.Verb) {
		for _, v := range verbs {
			apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: v, PID: pid, MemoryBytes: 2 * wire.PageSize}}})
		}
	}
	apply(Request{Op: OpRegister, Member: wire.Member{ID: "m1", Role: wire.RoleMemory, Addr: "inproc:m1", Capacity: wire.Capacity{MemoryBytes: 8 * wire.PageSize, RegionBytes: wire.PageSize}}})
	before := s.events.Last()
	for pid := wire.PID(1); pid <= 100; pid++ {
		steps(pid, admission.Prepare, admission.Free)
	}
	if got := s.events.Page(before, 0).Events; len(got) != 0 {
		t.Fatalf("attempts in vain left %v", got)
	}
	steps(200, admission.Prepare, admission.Prepare)
	again := New()
	if err := again.Restore(s.Snapshot()); err != nil {
		t.Fatal(err)
	}
	s = again
	steps(200, admission.Commit, admission.Commit, admission.Free)
	var kinds []events.Kind
	for _, e := range s.events.Page(before, 0).Events {
		kinds = append(kinds, e.Kind)
		if e.PID != 200 || e.Node != "m1" {
			t.Errorf("%+v", e)
		}
	}
	if len(kinds) != 3 || kinds[0] != events.PlacedHome || kinds[1] != events.Reserved || kinds[2] != events.Released {
		t.Fatalf("told %v, want placed_home, reserved, released", kinds)
	}
}

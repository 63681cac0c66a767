package gsm

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
		cmd := Command{Client: 1, Seq: seq, Stamp: membership.Stamp{NowMS: int64(seq), Policy: "most_free", Live: []membership.Live{{ID: "s1", Epoch: 1, Addr: "inproc:s1"}}}, CachePolicy: "fewest_volumes", Caches: []membership.Live{{ID: "m1", Epoch: 1, Addr: "inproc:m1"}}, Request: q}
		if err := s.Apply(cmd).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	steps := func(pid wire.PID, verbs ...admission.Verb) {
		for _, v := range verbs {
			apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: v, PID: pid, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: wire.PageSize}}}}})
		}
	}
	apply(Request{Op: OpRegister, Member: wire.Member{ID: "s1", Role: wire.RoleStorage, Addr: "inproc:s1", Capacity: wire.Capacity{StorageBytes: 8 * wire.PageSize}}})
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
		if e.PID != 200 {
			t.Errorf("%+v", e)
		}
	}
	if len(kinds) != 3 || kinds[0] != events.PlacedVolume || kinds[1] != events.PlacedCache || kinds[2] != events.Released {
		t.Fatalf("told %v, want placed_volume, placed_cache, released", kinds)
	}
}

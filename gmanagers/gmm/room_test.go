package gmm

import (
	"strings"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestRoomOfShares: a share takes its part of a vRegion and who serves takes nothing, so vRegions of 2 + 1 shares fit where whole ones with a
// copy do not; what does not fit is refused; a full mComponent may serve; and all of it is given back.
func TestRoomOfShares(t *testing.T) {
	s, seq := New(), uint64(0)
	apply := func(q Request) Result {
		t.Helper()
		seq++
		c := Command{Client: 1, Seq: seq, Overcommit: 1000, Stamp: membership.Stamp{Policy: "least_loaded"}, Request: q}
		for _, m := range s.Members() {
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch})
		}
		res := s.Apply(c)
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		return res
	}
	const region = 16 * wire.PageSize
	for _, id := range []wire.NodeID{"m1", "m2", "m3", "m4"} {
		apply(Request{Op: OpRegister, Member: wire.Member{ID: id, Role: wire.RoleMemory, Addr: "inproc:m", Capacity: wire.Capacity{MemoryBytes: region, RegionBytes: region}}})
	}
	shares, copied := wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}, wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 2}
	prepare := func(pid wire.PID, regions uint64, m wire.MemoryPolicy) admission.Vote {
		return apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: pid, MemoryBytes: regions * region, Memory: m}, {Verb: admission.Commit, PID: pid}}}).Votes[0]
	}
	booked := func() (sum uint64) {
		for _, m := range s.Members() {
			sum += s.Booked(m.ID)
		}
		return sum
	}

	if v := prepare(1, 2, copied); v.Kind != wire.KindNoRoom || !v.Never || booked() != 0 {
		t.Fatalf("2 vRegions of 3 copies at 4 mComponents with room for one: %+v", v)
	}
	if v := prepare(2, 3, shares); v.Kind != wire.KindNoRoom || !v.Never || !strings.Contains(v.Text, "of the 9 shares wanted") || booked() != 0 {
		t.Fatalf("9 halves in room for 8: %+v", v)
	}
	if v := prepare(3, 2, shares); v.Kind != wire.KindNone || booked() != 3*region {
		t.Fatalf("2 vRegions of 3 halves each: %+v, %d bytes are booked", v, booked())
	}
	for r := range wire.RegionNo(2) {
		if res := apply(Request{Op: OpActivate, PID: 3, Region: r}); res.Kind != wire.KindNone || len(res.Config.Holders) != 3 || booked() != 3*region {
			t.Fatalf("what was reserved: %+v, %d bytes are booked", res, booked())
		}
	}
	if n := len(s.Processes(3)[0].Reserved); n != 0 {
		t.Fatalf("%d reservations are left", n)
	}
	if res := apply(Request{Op: OpActivate, PID: 3, Region: 9}); res.Kind != wire.KindNoRoom || booked() != 3*region {
		t.Fatalf("3 halves in room for 2, of one or two mComponents: %+v", res)
	}

	apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Free, PID: 3}}})
	if booked() != 0 {
		t.Fatalf("%d bytes are booked for nobody", booked())
	}
	if v := prepare(4, 1, wire.MemoryPolicy{}); v.Kind != wire.KindNone {
		t.Fatalf("%+v", v)
	}
	full := apply(Request{Op: OpActivate, PID: 4}).Owner.Node
	if v := prepare(5, 0, shares); v.Kind != wire.KindNone {
		t.Fatalf("%+v", v)
	}
	for r := range wire.RegionNo(2) { // the only room is that of the three others
		if res := apply(Request{Op: OpActivate, PID: 5, Region: r}); res.Kind != wire.KindNone || res.Owner.Node != full {
			t.Fatalf("the full one serves: %+v", res)
		}
	}
	if booked() != 4*region {
		t.Fatalf("%d bytes are booked", booked())
	}
}

package gsm

import (
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
)

// TestACopyIsMadeAgainWhereItWas: the volume of three copies loses one, and no other sComponent has room. Its place counts for nothing
// until it is filled; the buffer cache does not move before it knows, and while it moves no copy is made again; and who dies
// meanwhile has its place taken by another that came, which counts for nothing either. Nothing of that is done for a copy that is
// only to be replaced.
func TestACopyIsMadeAgainWhereItWas(t *testing.T) {
	s, seq := New(), uint64(0)
	apply := func(q Request) Result {
		t.Helper()
		seq++
		c := Command{Client: 1, Seq: seq, Stamp: membership.Stamp{Policy: "most_free", NowMS: int64(1000 * seq)}, CachePolicy: "fewest_volumes", Request: q}
		for _, id := range []wire.NodeID{"s1", "s2", "s3", "s4"} {
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: id, Epoch: 1})
		}
		for _, id := range []wire.NodeID{"m1", "m2"} {
			c.Caches = append(c.Caches, membership.Live{ID: id, Epoch: 1, Addr: "inproc:" + string(id)})
		}
		res := s.Apply(c)
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		return res
	}
	repaired := func(q repair.Change, want wire.Kind) {
		t.Helper()
		v := s.Volumes(1)[0]
		q.Volume, q.Config, q.Epoch = 1, v.Config, v.Epoch
		res := apply(Request{Op: OpRepair, Repairs: []repair.Change{q}})
		if err := res.Err(); err != nil || len(res.Repaired) != 1 || res.Repaired[0].Kind != want {
			t.Fatalf("%v: %+v, %v, want %v", q.Verb, res.Repaired, err, want)
		}
	}
	is := func(node wire.NodeID, state wire.ReplicaState, whole bool) {
		t.Helper()
		v := s.Volumes(1)[0]
		i := v.replica(node)
		if i < 0 || v.Replicas[i].State != state || v.Whole() != whole || len(v.Replicas) != 3 {
			t.Fatalf("%+v, want %s %v, and whole: %v", v, node, state, whole)
		}
	}
	move := func(want wire.Kind) {
		t.Helper()
		res := apply(Request{Op: OpBegin, Orders: []movelist.Order{{Thing: movelist.Thing{Kind: wire.MoveCache, Volume: 1}, Cause: movelist.ByHand, TimeoutMS: 1000}}})
		if len(res.Begun) != 1 || res.Begun[0].Kind != want {
			t.Fatalf("%+v, want %v", res.Begun, want)
		}
	}
	for _, id := range []wire.NodeID{"s1", "s2", "s3"} {
		apply(Request{Op: OpRegister, Member: member(id)})
	}
	apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 1, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 4096, Copies: admission.Copies{Replicas: 3, WriteQuorum: 2, ReadQuorum: 2}}}}, {Verb: admission.Commit, PID: 1}}})

	repaired(repair.Change{Verb: repair.Replace, Node: "s3", Text: "s3 is dead"}, wire.KindNoRoom)
	is("s3", wire.ReplicaInSync, true)
	repaired(repair.Change{Verb: repair.Remake, Node: "s3", Text: "it is lost"}, wire.KindNone)
	is("s3", wire.ReplicaRemade, false)
	repaired(repair.Change{Verb: repair.Remake, Node: "s2", Text: "it is lost"}, wire.KindBusy)
	if v := s.Volumes(1)[0]; !v.Fills("s3") || v.KeptWithout("s2") || !v.KeptWithout("s3") {
		t.Errorf("%+v: fills %t, kept without s2 %t and s3 %t", v, v.Fills("s3"), v.KeptWithout("s2"), v.KeptWithout("s3"))
	}
	move(wire.KindBusy)
	repaired(repair.Change{Verb: repair.Confirmed}, wire.KindNone)
	repaired(repair.Change{Verb: repair.Synced, Node: "s3"}, wire.KindNone)
	is("s3", wire.ReplicaInSync, true)

	move(wire.KindNone)
	repaired(repair.Change{Verb: repair.Remake, Node: "s3", Text: "it is lost"}, wire.KindBusy)
	m := s.moves.MovingOf(wire.MoveCache, 0, 1).Req
	apply(Request{Op: OpEnd, Ends: []moves.End{{Move: m.Move, State: wire.MoveUndone, Epoch: m.UndoEpoch}}})
	repaired(repair.Change{Verb: repair.Remake, Node: "s3", Text: "it is lost"}, wire.KindNone)
	repaired(repair.Change{Verb: repair.Confirmed}, wire.KindNone)
	apply(Request{Op: OpDead, Member: wire.Member{ID: "s3", Epoch: 1}, Text: "seen by nobody"})
	repaired(repair.Change{Verb: repair.Replace, Node: "s3", Text: "s3 is dead"}, wire.KindNoRoom)
	apply(Request{Op: OpRegister, Member: member("s4")})
	repaired(repair.Change{Verb: repair.Replace, Node: "s3", Text: "s3 is dead"}, wire.KindNone)
	is("s4", wire.ReplicaRemade, false)
	repaired(repair.Change{Verb: repair.Synced, Node: "s4"}, wire.KindNone)
	is("s4", wire.ReplicaInSync, true)
}

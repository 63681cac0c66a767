package gsm

import (
	"bytes"
	"errors"
	"testing"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestFiles: an mComponent has one backup file, the same until its sComponent cannot keep it, and none of an older membership. What it takes is
// booked, and it is no left-over.
func TestFiles(t *testing.T) {
	s, seq := New(), uint64(0)
	apply := func(q Request) Result {
		seq++
		c := Command{Client: 1, Seq: seq, Stamp: membership.Stamp{Policy: "most_free"}, Request: q}
		for _, m := range s.Members() {
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch})
		}
		r := s.Apply(c)
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i, id := range []wire.NodeID{"s1", "s2"} {
		r := apply(Request{Op: OpRegister, Member: wire.Member{ID: id, Addr: "tcp:127.0.0.1:1", Role: wire.RoleStorage, Capacity: wire.Capacity{StorageBytes: 80<<20 - uint64(i)<<20}}})
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	ask := func(q wire.FileReq) wire.ReplicaFile {
		t.Helper()
		q.Holder, q.SizeBytes = "m1", 1<<30
		r := apply(Request{Op: OpFile, File: q})
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		return r.File
	}
	one := ask(wire.FileReq{Member: 1})
	if one.Storage != "s1" || one.SizeBytes != 10<<20 || one.Volume != 1 || one.Addr == "" {
		t.Fatalf("%+v, want an eighth of s1", one)
	}
	if got := ask(wire.FileReq{Member: 1}); got != one || s.ReservedBytes("s1") != 10<<20 {
		t.Fatalf("asked again: %+v, %d bytes are booked", got, s.ReservedBytes("s1"))
	}
	held := func(at wire.NodeID, id wire.VolumeID) int {
		return len(s.Leftovers(wire.HoldingsRep{Node: at, Role: wire.RoleStorage, Epoch: 1, Holds: wire.Holdings{Volumes: []wire.HeldVolume{{Volume: id, Epoch: 1}}}}))
	}
	if held("s1", 1) != 0 || held("s2", 1) != 1 {
		t.Fatalf("left-overs: %d where it is, %d where it is not", held("s1", 1), held("s2", 1))
	}
	if r := apply(Request{Op: OpNode, Member: wire.Member{ID: "s1"}, Action: membership.Drain}); r.Err() != nil {
		t.Fatal(r.Err())
	}
	if h := s.holds("s1"); !h.Drains || h.Left() != 1 {
		t.Fatalf("of s1, which drains and has a backup file: %+v", h)
	}
	two := ask(wire.FileReq{Member: 1})
	if two.Storage != "s2" || two.SizeBytes != 79<<20/8/wire.PageSize*wire.PageSize {
		t.Fatalf("%+v, want one at s2, as s1 drains", two)
	}
	if r := apply(Request{Op: OpDead, Member: wire.Member{ID: "s1", Epoch: 1}}); r.Err() != nil {
		t.Fatal(r.Err())
	}
	if r := apply(Request{Op: OpNode, Member: wire.Member{ID: "s1"}, Action: membership.Remove}); wire.KindOf(r.Err()) != wire.KindBusy {
		t.Fatalf("an sComponent with a backup file is removed: %v", r.Err())
	}
	if got := ask(wire.FileReq{Member: 1}); got != two {
		t.Fatalf("%+v, want %+v", got, two)
	}
	if got := ask(wire.FileReq{Member: 1, Bad: two.Volume}); got.Volume != 3 || got.Storage != "s2" {
		t.Fatalf("in the place of one that is bad: %+v", got)
	}
	b := s.Snapshot()
	again := New()
	if err := again.Restore(b); err != nil || !bytes.Equal(again.Snapshot(), b) || len(again.Files()) != 3 {
		t.Fatalf("restored: %v, %+v", err, again.Files())
	}
	if apply(Request{Op: OpFile, File: wire.FileReq{Holder: "m1", Member: 1, Drop: one.Volume}}); s.ReservedBytes("s1") != 0 || held("s1", 1) != 1 {
		t.Fatalf("%d bytes are booked", s.ReservedBytes("s1"))
	}
	// The next membership begins with none of them, and the one before has none any more.
	three := ask(wire.FileReq{Member: 2})
	if files := s.Files(); len(files) != 1 || files[0].Volume != three.Volume {
		t.Fatalf("%+v", files)
	}
	if err := apply(Request{Op: OpFile, File: wire.FileReq{Holder: "m1", Member: 1, SizeBytes: wire.PageSize}}).Err(); !errors.Is(err, wire.ErrStale) {
		t.Fatal(err)
	}
	apply(Request{Op: OpGates, Gates: []Gate{{ID: "m1", Turn: 1, Until: UntilOpened}}})
	if len(s.Files()) != 1 {
		t.Fatal("an mComponent that drains has lost its file")
	}
	// One that was started again without having been dead has no file of its older membership, whatever the turn of the gate; GSM's leader finds it.
	stale := func(epoch wire.Epoch) []Gate {
		return s.StaleGates([]membership.Entry{{Member: wire.Member{ID: "m1", Epoch: epoch}, Turn: 1, Drain: true}}, nil, 9)
	}
	if got := stale(2); len(got) != 0 {
		t.Fatalf("%+v is to be set of one that has its file", got)
	}
	apply(Request{Op: OpGates, Gates: stale(3)})
	if len(s.Files()) != 0 || s.ReservedBytes("s2") != 0 || len(stale(3)) != 0 {
		t.Fatalf("of one that was started again there is %+v", s.Files())
	}
	ask(wire.FileReq{Member: 2}) // a late message
	apply(Request{Op: OpGates, Gates: []Gate{{ID: "m1", Turn: 2, Until: 2}}})
	if len(s.Files()) != 0 || s.ReservedBytes("s2") != 0 {
		t.Fatalf("of one that is dead there is %+v", s.Files())
	}
	if err := apply(Request{Op: OpFile, File: wire.FileReq{Holder: "m1", Member: 2, SizeBytes: wire.PageSize}}).Err(); !errors.Is(err, wire.ErrStale) {
		t.Fatal(err)
	}
}

// TestWhatIsAskedLate about backup files is refused, whatever its holder did meanwhile: a file that was given back is not given again to nobody, and
// one that is used again is not taken away.
func TestWhatIsAskedLate(t *testing.T) {
	s, seq := New(), uint64(0)
	apply := func(q Request) Result {
		t.Helper()
		seq++
		r := s.Apply(Command{Client: 1, Seq: seq, Stamp: membership.Stamp{Policy: "most_free", Live: []membership.Live{{ID: "s1", Epoch: 1}}}, Request: q})
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	apply(Request{Op: OpRegister, Member: wire.Member{ID: "s1", Addr: "tcp:127.0.0.1:1", Role: wire.RoleStorage, Capacity: wire.Capacity{StorageBytes: 80 << 20}}})
	ask := func(no uint64, drop wire.VolumeID, want wire.Kind, files int) wire.VolumeID {
		t.Helper()
		r := apply(Request{Op: OpFile, File: wire.FileReq{Holder: "m1", Member: 2, SizeBytes: wire.PageSize, Drop: drop, No: no}})
		if wire.KindOf(r.Err()) != want || len(s.Files()) != files {
			t.Fatalf("request %d: %v, want kind %v; there are %+v, want %d", no, r.Err(), want, s.Files(), files)
		}
		return r.File.Volume
	}
	id := ask(2, 0, wire.KindNone, 1)
	ask(1, 0, wire.KindStale, 1)
	ask(3, id, wire.KindNone, 0) // given back
	ask(2, 0, wire.KindStale, 0) // and asked for, by a copy that comes late
	again := New()
	if err := again.Restore(s.Snapshot()); err != nil {
		t.Fatal(err)
	}
	s = again
	ask(1, 0, wire.KindStale, 0)
	id = ask(5, 0, wire.KindNone, 1)
	ask(4, id, wire.KindStale, 1) // an attempt to give it back, before it was needed again
	if got := ask(5, 0, wire.KindNone, 1); got != id {
		t.Errorf("the same request again: file %d, want %d", got, id)
	}
	apply(Request{Op: OpGates, Gates: []Gate{{ID: "m1", Turn: 2, Until: 2}}}) // what is over needs no memory
	if len(s.asked) != 0 || len(s.Files()) != 0 {
		t.Errorf("%+v, %+v", s.asked, s.Files())
	}
}

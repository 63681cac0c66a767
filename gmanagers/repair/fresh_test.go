package repair

import (
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
)

// TestACopyThatWasNeverMade: nobody but the buffer cache knows of a copy that is missing since the volume was made, so it is asked once it has the
// volume, without any other reason, and until all copies are there.
func TestACopyThatWasNeverMade(t *testing.T) {
	v := Volume{Name: "v", Unconfirmed: true, Place: admission.Volume{Volume: 1, Epoch: 1, Config: 1, SizeBytes: 4096, Cache: "m1", Copies: admission.Copies{Replicas: 3, WriteQuorum: 2, ReadQuorum: 2}}}
	for _, id := range []wire.NodeID{"s1", "s2", "s3"} {
		v.Place.Replicas = append(v.Place.Replicas, wire.VolumeReplica{Node: id, Member: 1, State: wire.ReplicaInSync})
	}
	k, now := New(time.Hour), time.Duration(0)
	next := func(out []Effect) Effect { // of the volume
		t.Helper()
		for len(out) == 0 {
			at, ok := k.Next()
			if !ok || at < now {
				t.Fatalf("nothing is due: %v %t", at, ok)
			}
			now = at
			out = k.Tick(now, nil)
		}
		if len(out) != 1 {
			t.Fatalf("%d effects", len(out))
		}
		return out[0]
	}
	e := next(k.Sync(now, []Volume{v}, nil))
	answer := func(rep wire.VolumeConfigRep, err error) {
		t.Helper()
		if e.Kind != Config {
			t.Fatalf("at %v: %v %+v, want a question", now, e.Kind, e.Change)
		}
		e = next(k.Answered(now, 1, e.Call, rep, err, nil))
	}
	for range 20 { // nobody has attached it yet
		answer(wire.VolumeConfigRep{}, wire.Errorf(wire.KindNotFound, "not attached"))
	}
	if now < 20*time.Second {
		t.Errorf("20 questions in %v", now)
	}
	answer(wire.VolumeConfigRep{Config: 1, Behind: []wire.NodeID{"s2", "s3"}}, nil) // they are being attached
	lost, asked := wire.VolumeConfigRep{Config: 1, Behind: []wire.NodeID{"s3"}, Lost: []wire.NodeID{"s3"}}, e
	answer(lost, nil)
	if e.Kind != Propose || e.Change.Verb != Remake || e.Change.Node != "s3" {
		t.Fatalf("%v %+v, want the copy of s3 to be made again", e.Kind, e.Change)
	}
	// And if all are there that is the end of it.
	k = New(time.Hour)
	e = next(k.Sync(now, []Volume{v}, nil))
	answer(wire.VolumeConfigRep{Config: 1}, nil)
	if e.Kind != Propose || e.Change.Verb != Confirmed {
		t.Fatalf("%v %+v, want it to be confirmed; asked before: %+v", e.Kind, e.Change, asked)
	}
}

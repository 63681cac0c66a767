package vregion

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestWhatWasBegunAnewElsewhere: an mComponent that lost the home of a process is opened by who does not know of the next one. GMM's answer names
// that one: then nothing is done here, and nothing waits for its backup, which may be this one.
func TestWhatWasBegunAnewElsewhere(t *testing.T) {
	for _, tc := range []struct {
		epoch wire.Epoch // of the home, as GMM knows it
		kind  wire.Kind  // of the answer
	}{{1, wire.KindNone}, {2, wire.KindNone}, {5, wire.KindNotOwner}} {
		h := NewHome(DefaultOptions())
		if err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Addr: "inproc:p1", Home: 2}); err != nil {
			t.Fatal(err)
		}
		out := h.Mmap(7, wire.MmapReq{PID: 1, Epoch: 1, Addr: 1 << 30, Length: wire.PageSize, Anon: true, Fixed: true}, nil)
		if len(out) != 1 || out[0].Kind != AskOwner {
			t.Fatalf("%+v, want GMM to be asked", out)
		}
		res := Result{Owner: wire.Owner{Node: "m1", Epoch: 1}, Home: wire.HomeConfig{PID: 1, Epoch: tc.epoch, Config: 2}}
		if tc.kind != wire.KindNone {
			res.Home.Backup = wire.Holder{Node: "m1", Member: 2}
		}
		var reply *Effect
		for out = h.Done(out[0].ID, res, nil); len(out) > 0; out = out[1:] {
			switch e := out[0]; e.Kind {
			case Reply:
				reply = &e
			case MapAt:
				out = append(out, h.Done(e.ID, Result{}, nil)...)
			default:
				t.Fatalf("home under epoch %d: %+v", tc.epoch, e)
			}
		}
		if reply == nil || reply.Call != 7 || wire.KindOf(reply.Err) != tc.kind {
			t.Errorf("home under epoch %d: %+v, want an answer of kind %v", tc.epoch, reply, tc.kind)
		}
		if err := h.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
}

// TestWhatWasGrantedToAnotherMembership is lost if that is over, and waits if it is to come.
func TestWhatWasGrantedToAnotherMembership(t *testing.T) {
	h := NewHome(DefaultOptions())
	granted := func(want ...wire.Kind) {
		t.Helper()
		for member, kind := range want {
			if err := h.Granted(1, "m1", wire.Epoch(member)); wire.KindOf(err) != kind {
				t.Errorf("for membership %d: %v, want kind %v", member, err, kind)
			}
		}
	}
	granted(wire.KindNone, wire.KindBusy) // it does not know yet which it has
	h.Registered(3)
	granted(wire.KindNone, wire.KindFailed, wire.KindFailed, wire.KindNone, wire.KindBusy)
	h.Fence("fenced")
	granted(wire.KindNone, wire.KindFailed, wire.KindFailed, wire.KindFailed, wire.KindBusy)
}

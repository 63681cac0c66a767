package vregion

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestOpenUnderAPastMembership: an mComponent that was started again is no second home beside the backup that takes over.
func TestOpenUnderAPastMembership(t *testing.T) {
	for _, c := range []struct {
		name   string
		at     wire.Epoch // of membership, 0 before it registers
		member wire.Epoch // as the process was told
		want   wire.Kind
	}{
		{"as it was given", 2, 2, wire.KindNone},
		{"over", 2, 1, wire.KindNotOwner},
		{"not heard of", 2, 3, wire.KindBusy},
		{"not registered", 0, 1, wire.KindBusy},
		{"without a backup", 2, 0, wire.KindNone},
	} {
		h := NewHome(testOptions())
		if c.at != 0 {
			h.Registered(c.at)
		}
		err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Addr: "inproc:p1", Home: 1, Member: c.member})
		if wire.KindOf(err) != c.want || (err == nil) != (h.Stats().Processes == 1) {
			t.Errorf("%s: %v, and %d processes; want kind %v", c.name, err, h.Stats().Processes, c.want)
		}
	}
	h := NewHome(testOptions())
	h.Registered(1)
	h.Fence("it was declared dead")
	if err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Home: 1, Member: 1}); wire.KindOf(err) != wire.KindNotOwner {
		t.Errorf("after a fence: %v, want that it is not the home", err)
	}
}

// TestAHeapOutlivesAHomeThatHadNoMemory: the first brk of a process maps nothing, so no backup hears of it, and whoever takes over hears it from the process.
func TestAHeapOutlivesAHomeThatHadNoMemory(t *testing.T) {
	h := NewHome(testOptions())
	h.Registered(1)
	order := wire.HomeRecoverReq{Config: wire.HomeConfig{PID: 1, Epoch: 4, Config: 2}, OldEpoch: 1, Self: "m2", Member: 1, Process: 1, ClientAddr: "inproc:p1"}
	out, err := h.TakeOver(order, "inproc:m2", nil)
	if err != nil || len(out) != 1 || out[0].Kind != TellHome {
		t.Fatalf("%v, %+v", err, out)
	}
	h.Done(out[0].ID, Result{}, nil)
	heap := uint64(100 * testRegion)
	out = h.Brk(1, wire.BrkReq{PID: 1, Epoch: 1, End: heap + 2*wire.PageSize, Heap: heap}, nil)
	if len(out) != 1 || out[0].Kind != AskOwner {
		t.Fatalf("%+v, want that memory for the heap is asked for", out)
	}
	out = h.Done(out[0].ID, Result{Owner: wire.Owner{Node: "m1", Epoch: 1}}, nil)
	if len(out) != 1 || out[0].Kind != MapAt || out[0].Map.Start != heap || out[0].Map.Length != 2*wire.PageSize {
		t.Fatalf("%+v, want the heap mapped from %#x", out, heap)
	}
	if err := h.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

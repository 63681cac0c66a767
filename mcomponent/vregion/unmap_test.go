package vregion

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestUnmapAtAnOwnerThatLostIt: an owner that was started again has nothing of a vRegion, but its holders have, and the next owner would serve pages that were unmapped. So
// the unmap waits for the next owner. Without copies there is nothing to wait for.
func TestUnmapAtAnOwnerThatLostIt(t *testing.T) {
	for _, copied := range []bool{true, false} {
		h, owner := NewHome(testOptions()), NewOwners(testOptions(), "m1", 10)
		owner.Registered(1)
		if err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Addr: "inproc:p1", Home: 1}); err != nil {
			t.Fatal(err)
		}
		backup := wire.HomeConfig{}
		if copied {
			backup = wire.HomeConfig{PID: 1, Epoch: 1, Config: 1, Backup: wire.Holder{Node: "m3", Addr: "inproc:m3", Member: 1}}
		}
		var replies []Effect
		var unmaps []wire.RegionUnmapReq
		run := func(out []Effect) {
			for n := 0; len(out) > 0; n++ {
				e := out[0]
				out = out[1:]
				if n > 200 {
					t.Fatalf("it does not end: %+v", e)
				}
				switch e.Kind {
				case Reply:
					replies = append(replies, e)
				case AskOwner:
					out = h.Done(e.ID, Result{Owner: wire.Owner{Node: "m1", Addr: "inproc:m1", Epoch: 1, Member: 1}, Home: backup}, out)
				case MapAt:
					out = h.Done(e.ID, Result{Err: owner.Map(e.Map)}, out)
				case UnmapAt:
					unmaps = append(unmaps, e.Unmap)
					if e.Attempt == 2 { // the next owner tells meanwhile
						out = h.Switch(9, wire.RegionSwitchReq{PID: 1, Owner: wire.Owner{Region: e.Region, Node: "m2", Addr: "inproc:m2", Epoch: 4, Member: 7}}, out)
					}
					if e.Owner.Node == "m2" {
						out = h.Done(e.ID, Result{Freed: 1}, out)
						continue
					}
					_, _, err := owner.Unmap(e.Unmap, e.Owner.Epoch)
					out = h.Done(e.ID, Result{Err: err}, out)
				default:
					out = h.Done(e.ID, Result{}, out)
				}
			}
		}
		run(h.Mmap(1, wire.MmapReq{PID: 1, Epoch: 1, Addr: 64 * testRegion, Length: wire.PageSize, Anon: true, Fixed: true}, nil))
		owner = NewOwners(testOptions(), "m1", 10) // it was started again
		owner.Registered(2)
		replies = nil
		run(h.Munmap(2, wire.MunmapReq{PID: 1, Epoch: 1, Addr: 64 * testRegion, Length: wire.PageSize}, nil))
		var last Effect
		for _, e := range replies {
			if e.Call == 2 {
				last = e
			}
		}
		if last.Call != 2 || last.Err != nil {
			t.Errorf("copied %t: the unmap is answered with %+v", copied, last)
		}
		if got := unmaps[len(unmaps)-1]; copied != (last.Freed == 1) || copied != (len(unmaps) > 1) || copied && got.Member != 7 || !copied && got.Member != 0 {
			t.Errorf("copied %t: it freed %d, and the owners were told %+v", copied, last.Freed, unmaps)
		}
		if err := h.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
}

// TestAnExitWaitsForNoNextOwner: who recovers a vRegion of a process that ends gives up, so a map that waits for the next owner ends, and the exit behind it goes on.
func TestAnExitWaitsForNoNextOwner(t *testing.T) {
	h := NewHome(testOptions())
	h.Registered(1)
	if err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Addr: "inproc:p1", Home: 1}); err != nil {
		t.Fatal(err)
	}
	lost := wire.Errorf(wire.KindFailed, "the vRegion was given to m1 under epoch 1 of its membership, which is over: it is lost")
	out := h.Mmap(1, wire.MmapReq{PID: 1, Epoch: 1, Addr: 64 * testRegion, Length: wire.PageSize, Anon: true, Fixed: true}, nil)
	out = h.Done(out[0].ID, Result{Owner: wire.Owner{Node: "m1", Epoch: 1, Member: 1}, Home: wire.HomeConfig{PID: 1, Epoch: 1, Config: 1, Backup: wire.Holder{Node: "m3", Member: 1}}}, nil)
	exit, answered := false, map[uint64]error{}
	for n := 0; len(out) > 0; n++ {
		e := out[0]
		out = out[1:]
		if n == 20 {
			out, exit = h.Exit(2, wire.ProcessExitReq{PID: 1, Epoch: 1}, out), true
		}
		if n > 60 {
			t.Fatalf("%v is tried for the %dth time, and the process ends", e.Kind, e.Attempt)
		}
		switch e.Kind {
		case Reply:
			answered[e.Call] = e.Err
		case MapAt, UnmapAt:
			out = h.Done(e.ID, Result{Err: lost}, out)
		default:
			out = h.Done(e.ID, Result{}, out)
		}
	}
	if err, ok := answered[1]; !exit || !ok || wire.KindOf(err) != wire.KindFailed {
		t.Errorf("the map: %v, %t", err, ok)
	}
	if err, ok := answered[2]; !ok || err != nil {
		t.Errorf("the exit: %v, %t", err, ok)
	}
}

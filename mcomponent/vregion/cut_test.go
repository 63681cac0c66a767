package vregion

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestCheckpointsAtAnOwnerThatLostIt: an owner that was started again has nothing of a vRegion, but its holders have. News of a checkpoint, and the way back to
// one, are for the next owner: that nothing is here is no answer. Without copies there is nothing to wait for.
func TestCheckpointsAtAnOwnerThatLostIt(t *testing.T) {
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
		answers := map[uint64]error{}
		var told []wire.NodeID
		next := wire.NodeID("m2")
		run := func(out []Effect) {
			for n := 0; len(out) > 0; n++ {
				e := out[0]
				out = out[1:]
				if n > 200 {
					t.Fatalf("it does not end: %+v", e)
				}
				lost := func(err error) {
					if e.Attempt == 2 { // the next owner tells meanwhile
						out = h.Switch(9, wire.RegionSwitchReq{PID: 1, Owner: wire.Owner{Region: e.Region, Node: next, Addr: "inproc:" + string(next), Epoch: e.Owner.Epoch + 3, Member: 7}}, out)
					}
					if e.Owner.Node != "m1" {
						err = nil
					}
					if err == nil {
						told = append(told, e.Owner.Node)
					}
					out = h.Done(e.ID, Result{Err: err}, out)
				}
				switch e.Kind {
				case Reply:
					answers[e.Call] = e.Err
				case AskOwner:
					out = h.Done(e.ID, Result{Owner: wire.Owner{Node: "m1", Addr: "inproc:m1", Epoch: 1, Member: 1}, Home: backup}, out)
				case MapAt:
					out = h.Done(e.ID, Result{Err: owner.Map(e.Map)}, out)
				case CutAt:
					_, _, err := owner.Cut(e.Cut, e.Owner.Epoch)
					lost(err)
				case RollbackAt:
					_, _, err := owner.Rollback(e.Rollback, e.Owner.Epoch)
					lost(err)
				default:
					out = h.Done(e.ID, Result{}, out)
				}
			}
		}
		at := wire.Cut{Number: 1, Epoch: 1, Version: 5}
		run(h.Mmap(1, wire.MmapReq{PID: 1, Epoch: 1, Addr: 64 * testRegion, Length: wire.PageSize, Anon: true, Fixed: true}, nil))
		owner = NewOwners(testOptions(), "m1", 10) // it was started again
		owner.Registered(2)
		run(h.Cut(2, wire.ProcessCutReq{PID: 1, Epoch: 1, Cut: at}, nil))
		want := wire.NodeID("m1")
		if copied {
			want = "m2"
		}
		if err, ok := answers[2]; !ok || err != nil || len(told) != 1 || told[0] != want {
			t.Errorf("copied %t: the checkpoint is answered: %t %v, and known at %v, want %s", copied, ok, err, told, want)
		}
		if !copied {
			continue
		}
		// The way back, when the owner is m1 once more and has lost it again.
		run(h.Switch(8, wire.RegionSwitchReq{PID: 1, Owner: wire.Owner{Region: 64, Node: "m1", Addr: "inproc:m1", Epoch: 9, Member: 2}}, nil))
		owner = NewOwners(testOptions(), "m1", 10)
		owner.Registered(3)
		told, next = nil, "m4"
		run(h.Rollback(3, wire.ProcessRollbackReq{PID: 1, Epoch: 2, Addr: "inproc:p2", Cut: at}, nil))
		if err, ok := answers[3]; !ok || err != nil || len(told) != 1 || told[0] != "m4" {
			t.Errorf("the way back is answered: %t %v, and gone at %v, want m4", ok, err, told)
		}
	}
}

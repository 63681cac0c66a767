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

// TestAVRegionThatIsLostForGood: an owner was started again and nobody becomes the owner of a vRegion any more, for too few copies are left. Nobody tells the
// home, so it asks GMM after some tries. What else GMM says is not taken for an owner: that may not have heard of it yet.
func TestAVRegionThatIsLostForGood(t *testing.T) {
	cut := func(h *Home) []Effect {
		return h.Cut(2, wire.ProcessCutReq{PID: 1, Epoch: 1, Cut: wire.Cut{Number: 1, Epoch: 1}}, nil)
	}
	back := func(h *Home) []Effect {
		return h.Rollback(2, wire.ProcessRollbackReq{PID: 1, Epoch: 2, Addr: "inproc:p2"}, nil)
	}
	unmap := func(h *Home) []Effect {
		return h.Munmap(2, wire.MunmapReq{PID: 1, Epoch: 1, Addr: 64 * testRegion, Length: wire.PageSize}, nil)
	}
	for what, begin := range map[string]func(*Home) []Effect{"a checkpoint": cut, "a rollback": back, "an unmap": unmap} {
		h := NewHome(testOptions())
		if err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Addr: "inproc:p1", Home: 1}); err != nil {
			t.Fatal(err)
		}
		asked, lost := 0, false
		answers := map[uint64]error{}
		run := func(out []Effect) {
			for n := 0; len(out) > 0; n++ {
				e := out[0]
				out = out[1:]
				if n > 200 {
					t.Fatalf("%s does not end: %+v", what, e)
				}
				switch res := (Result{}); e.Kind {
				case Reply:
					answers[e.Call] = e.Err
				case AskOwner:
					res.Owner = wire.Owner{Node: "m1", Addr: "inproc:m1", Epoch: 1, Member: 1}
					res.Home = wire.HomeConfig{PID: 1, Epoch: 1, Config: 1, Backup: wire.Holder{Node: "m3", Addr: "inproc:m3", Member: 1}}
					if lost {
						switch asked++; asked {
						case 1:
							res.Owner.Node, res.Owner.Epoch = "m2", 4 // it recovers it, but has not told yet
						case 2:
							res = Result{Err: wire.Errorf(wire.KindUnavailable, "GMM has no leader")}
						default:
							res = Result{Err: wire.Errorf(wire.KindFailed, "it is lost")}
						}
					}
					out = h.Done(e.ID, res, out)
				case CutAt, RollbackAt, UnmapAt:
					if e.Owner.Node != "m1" {
						t.Fatalf("%s goes to %s, which has not told that it is the owner", what, e.Owner.Node)
					}
					out = h.Done(e.ID, Result{Err: wire.Errorf(wire.KindBusy, "given under a membership that is over")}, out)
				default:
					out = h.Done(e.ID, res, out)
				}
			}
		}
		run(h.Mmap(1, wire.MmapReq{PID: 1, Epoch: 1, Addr: 64 * testRegion, Length: wire.PageSize, Anon: true, Fixed: true}, nil))
		lost = true
		run(begin(h))
		if err, ok := answers[2]; !ok || wire.KindOf(err) != wire.KindFailed || asked != 3 {
			t.Errorf("%s is answered: %t %v after GMM was asked %d times, want that it is lost, after 3", what, ok, err, asked)
		}
	}
}

// TestALateRollbackIsStale: a rollback may be asked again, also under the same epoch, until the process goes on. A copy of it that comes later would
// undo what the process has done since.
func TestALateRollbackIsStale(t *testing.T) {
	h := NewHome(testOptions())
	if err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Addr: "inproc:p1", Home: 1}); err != nil {
		t.Fatal(err)
	}
	call := uint64(0)
	back := func(e wire.Epoch) error {
		call++
		out := h.Rollback(call, wire.ProcessRollbackReq{PID: 1, Epoch: e, Addr: "inproc:p2"}, nil)
		for _, o := range out {
			if o.Kind == Reply && o.Call == call {
				return o.Err
			}
		}
		t.Fatalf("the rollback is not answered: %+v", out)
		return nil
	}
	for range 2 {
		if err := back(2); err != nil {
			t.Fatalf("a rollback, or the same again: %v", err)
		}
	}
	h.Brk(9, wire.BrkReq{PID: 1, Epoch: 2, End: wire.PageSize}, nil)
	if err := back(2); wire.KindOf(err) != wire.KindStale {
		t.Errorf("a rollback after the process went on: %v", err)
	}
	if err := back(3); err != nil {
		t.Errorf("the next rollback: %v", err)
	}

	req := wire.RegionRollbackReq{PID: 1, Region: 2, Process: 3}
	for newest, want := range map[wire.Epoch]wire.Kind{0: wire.KindNone, 2: wire.KindNone, 3: wire.KindStale, 4: wire.KindStale} {
		if err := LateRollback(req, newest); wire.KindOf(err) != want {
			t.Errorf("flushed under epoch %d, back under 3: %v, want kind %v", newest, err, want)
		}
	}
}

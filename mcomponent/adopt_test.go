package mcomponent

import (
	"bytes"
	"errors"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// TestAdoption: a giver that is gone after its home was told leaves a complete copy, which the taker serves under an epoch that the
// giver cannot use, with the home told first; a copy that the home knows nothing of, or that is not complete, is dropped.
func TestAdoption(t *testing.T) {
	for _, home := range []int{0, 2} { // another than the taker, and the taker
		cl := newCluster(t, 3, nil)
		p := newClient(cl)
		const pid, r, first = 7, 1, 16 // owned by m2
		to := cl.m[2]
		p.open(cl.m[home], pid, r, 2)
		p.flush(t, pid, first, 1, filled(8))
		hand := func(no uint64, complete, told bool) wire.MoveReq {
			t.Helper()
			req, _ := p.order(pid, r, to, cl.m[home])
			body := wire.RegionCopy{Move: req.Move, Round: 2, Count: 1}.Append(nil)
			body = wire.PageEntry{Page: first, State: wire.PageFull, Epoch: 1, Version: 5, Sum: wire.Checksum(filled(9))}.Append(body)
			cl.must(to.control(wire.OpRegionCopyOpen, wire.RegionCopyOpenReq{Move: req.Move, Round: 1, PID: pid, Region: r, Epoch: req.Epoch, Pages: 1, From: "m2", FromAddr: string(cl.m[1].addr)}, nil))
			cl.must(to.peer.Do(&netlayer.Call{Op: wire.OpRegionCopy, Epoch: req.Epoch, Body: body, Page: filled(9)}))
			if complete {
				mapped := []wire.MappedPart{{Start: first * wire.PageSize, End: (first + 2) * wire.PageSize, Anon: true, Writable: true}}
				cl.must(to.control(wire.OpRegionCopyEnd, wire.RegionCopyEndReq{Move: req.Move, Round: 3, Parts: 1, Mapped: mapped, Pages: 1}, nil))
			}
			if told {
				cl.must(cl.m[home].control(wire.OpRegionSwitch, wire.RegionSwitchReq{PID: pid, Owner: wire.Owner{Region: r, Node: "m3", Addr: string(to.addr), Epoch: req.Epoch}}, nil))
			}
			return req
		}
		adopt := func(req wire.MoveReq) (s wire.MoveStatusRep) {
			t.Helper()
			cl.must(to.control(wire.OpMoveAdopt, req, &s))
			return s
		}
		for i, complete := range []bool{true, false} {
			if s := adopt(hand(uint64(i), complete, false)); s.State != wire.MoveLost || s.Text == "" {
				t.Fatalf("complete: %v: %+v", complete, s)
			}
			cl.sound(1, 1, 1)
		}
		if s := adopt(wire.MoveReq{Move: wire.MoveID{Manager: wire.GMM, No: 1 << 50}, Kind: wire.MoveRegion, PID: pid, Region: r, Epoch: 2, UndoEpoch: 3, To: "m3"}); s.State != wire.MoveLost {
			t.Fatalf("what never came: %+v", s)
		}

		req := hand(9, true, true)
		p.mu.Lock()
		p.refuse = wire.ErrUnavailable
		p.mu.Unlock()
		if err := to.control(wire.OpMoveAdopt, req, nil); !errors.Is(err, wire.ErrUnavailable) {
			t.Fatalf("with a client that does not answer: %v", err)
		}
		if err := to.control(wire.OpRegionServe, wire.MoveServeReq{Move: req.Move, Epoch: req.Epoch}, nil); !errors.Is(err, wire.ErrStale) {
			t.Fatalf("its giver lives and has it served: %v", err)
		}
		p.mu.Lock()
		p.refuse = nil
		p.mu.Unlock()
		for range 2 {
			if s := adopt(req); s.State != wire.MoveDone || s.Epoch != 4 {
				t.Fatalf("%+v, want it done under epoch 4", s)
			}
		}
		if got := p.miss(t, pid, first); !bytes.Equal(got, filled(9)) {
			t.Errorf("page of %d, want what was handed over", got[0])
		}
		undo := wire.RegionSwitchReq{PID: pid, Owner: wire.Owner{Region: r, Node: "m2", Addr: string(cl.m[1].addr), Epoch: req.UndoEpoch}, Undo: true}
		if err := cl.m[home].control(wire.OpRegionSwitch, undo, nil); !errors.Is(err, wire.ErrStale) {
			t.Errorf("its giver lives and takes it back: %v", err)
		}
		if w, _ := p.owner(r); w.Node != "m3" || w.Epoch != 4 {
			t.Errorf("the client knows %+v", w)
		}
	}
}

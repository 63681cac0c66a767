package mcomponent

import (
	"errors"
	"strings"
	"testing"

	"splitkernel/netlayer/wire"
)

// TestFence: a fenced mComponent frees all pages, says so to those who come, and serves what is new.
func TestFence(t *testing.T) {
	cl := newCluster(t, 2, nil)
	m1, m2 := cl.m[0], cl.m[1]
	cl.open(m1, 7)
	cl.mmap(m1, 7, testRegion, 4*testRegion) // vRegions 1 to 4: m2 owns 1 and 3
	const pages = testRegion / wire.PageSize
	mine, other := wire.PageNo(2*pages), wire.PageNo(pages)
	cl.must(m1.flushPage(7, mine, 1, 1, filled(1)))
	cl.must(m2.flushPage(7, other, 1, 1, filled(2)))
	m1.Fence("m1 was declared dead")
	failed := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, wire.ErrFailed) || !strings.Contains(err.Error(), "m1 was declared dead") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := m1.miss(7, mine)
	failed("miss", err)
	failed("flush", m1.flushPage(7, mine, 1, 2, filled(1)))
	failed("mmap", m1.control(wire.OpMmap, wire.MmapReq{PID: 7, Epoch: 1, Length: 4096}, nil))
	failed("owners", m1.control(wire.OpOwners, wire.OwnersReq{PID: 7, Addr: testRegion, Length: 4096}, nil))
	failed("open", m1.control(wire.OpProcessOpen, wire.ProcessOpenReq{PID: 7, Epoch: 1}, nil))
	failed("map at the owner", m1.control(wire.OpRegionMap, wire.RegionMapReq{PID: 7, Region: 2, RegionEpoch: 1, Start: 2 * testRegion, Length: 4096}, nil))
	if _, err := m2.miss(7, other); err != nil {
		t.Errorf("a miss at the other owner: %v", err)
	}
	if h := m1.Holdings(); len(h.Homes)+len(h.Regions) != 0 || m1.Stats().Pages.Used != 0 {
		t.Errorf("holds %+v and %d pages", h, m1.Stats().Pages.Used)
	}
	cl.must(m1.control(wire.OpProcessExit, wire.ProcessExitReq{PID: 7, Epoch: 1}, nil))
	if h := m2.Holdings(); len(h.Regions) != 0 {
		t.Errorf("after the exit %+v", h)
	}
	cl.open(m1, 8)
	cl.mmap(m1, 8, testRegion, 4*testRegion)
	cl.must(m1.flushPage(8, mine, 1, 1, filled(3)))
	if b, err := m1.miss(8, mine); err != nil || b[0] != 3 {
		t.Errorf("another process: %v", err)
	}
	if d, n := m1.WorkerWaits(); n == 0 || d < 0 {
		t.Errorf("%d requests waited %v", n, d)
	}
}

// TestAFencedTakerHasServedNothing: what was on its way to an mComponent that is fenced is dropped, its givers hear that and go on, and
// it may come again.
func TestAFencedTakerHasServedNothing(t *testing.T) {
	cl := newCluster(t, 2, nil)
	p := newClient(cl)
	from, to := cl.m[0], cl.m[1]
	p.open(from, 7, 2, 2) // owned by m1
	move := func(no uint64) wire.MoveID { return wire.MoveID{Manager: wire.GMM, No: 1<<40 + no} }
	cl.must(to.control(wire.OpRegionCopyOpen, wire.RegionCopyOpenReq{Move: move(1), Round: 1, PID: 7, Region: 2, Epoch: 2, From: "m1", FromAddr: string(from.addr)}, nil))
	cl.must(to.control(wire.OpRegionCopyEnd, wire.RegionCopyEndReq{Move: move(1), Round: 2, Parts: 1}, nil))
	cl.must(to.control(wire.OpHomeCopy, wire.HomeCopyReq{Move: move(2), Parts: 1, PID: 7, From: "m1", FromAddr: string(from.addr)}, nil))
	to.Fence("m2 is fenced")
	for op, no := range map[wire.Op]uint64{wire.OpRegionServe: 1, wire.OpHomeServe: 2} {
		if err := to.control(op, wire.MoveServeReq{Move: move(no), Epoch: 2}, nil); !errors.Is(err, wire.ErrStale) {
			t.Errorf("%v after the fence: %v, want that it was dropped", op, err)
		}
	}
	cl.sound(1, 0, 1)
	req, _ := p.order(7, 2, to, from)
	if s := cl.move(from, req); s.State != wire.MoveDone {
		t.Errorf("the vRegion comes again: %+v", s)
	}
	back, _ := p.order(7, 2, from, from)
	if s := cl.move(to, back); s.State != wire.MoveDone {
		t.Errorf("the vRegion goes back: %+v", s)
	}
	if _, err := to.miss(7, wire.PageNo(2*testRegion/wire.PageSize)); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("a late miss where it was: %v, want that it is elsewhere", err)
	}
	req.Move.No, req.Kind, req.Region, req.Via, req.ViaAddr, req.OldEpoch = 1<<41, wire.MoveHome, 0, "", "", 1
	req.Epoch, req.UndoEpoch = 2, 3
	if s := cl.move(from, req); s.State != wire.MoveDone {
		t.Errorf("the home comes again: %+v", s)
	}
}

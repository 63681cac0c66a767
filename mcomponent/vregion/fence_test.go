package vregion

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestAFenceAtAnyMoment: whatever is under way, every call is answered once; the fenced mComponent serves nothing of
// before and never again, its processes are told that they are lost, and their exit leaves nothing anywhere.
func TestAFenceAtAnyMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := testOptions()
		o.MaxOutstanding = rapid.IntRange(1, 8).Draw(t, "max_outstanding")
		w := newWorld(t, o)
		const pid = 1
		w.home.Open(wire.ProcessOpenReq{PID: pid, Epoch: 1})
		call, at := uint64(0), rapid.IntRange(0, 30).Draw(t, "fence at")
		var lost []wire.HeldRegion
		mmap := func() uint64 {
			call++
			addr := uint64(rapid.IntRange(1, 30).Draw(t, "page")) * wire.PageSize
			w.take(w.home.Mmap(call, wire.MmapReq{PID: pid, Epoch: 1, Addr: addr, Length: uint64(rapid.IntRange(1, 20).Draw(t, "pages")) * wire.PageSize}, nil))
			return call
		}
		late := map[uint64]bool{}
		for i := range 31 {
			if i == at { // m1 is home and owner
				w.fenced = "m1"
				lost = w.owners["m1"].Holdings()
				for _, s := range w.owners["m1"].Fence("m1 is fenced", nil, nil) {
					w.owners["m1"].Release(s)
				}
				w.home.Fence("m1 is fenced")
				if err := w.owners["m1"].CheckInvariants(); err != nil {
					t.Fatal(err)
				}
				if len(w.owners["m1"].Holdings()) != 0 || len(w.home.Holdings()) != 0 {
					t.Fatal("a fenced mComponent says that it holds something")
				}
			}
			if len(w.due) > 0 && rapid.Bool().Draw(t, "complete") {
				w.completeOne()
			} else {
				late[mmap()] = i >= at
			}
		}
		for _, r := range lost {
			page := wire.PageNo(uint64(r.Region) * testRegion >> wire.PageShift)
			if _, v := w.owners["m1"].Check(pid, page, 1); v != NotOwner || wire.KindOf(w.owners["m1"].Error(v, pid, page, 1)) != wire.KindFailed {
				t.Fatalf("vRegion %d: %v", r.Region, v)
			}
		}
		call++
		exit := call
		w.take(w.home.Exit(exit, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
		w.drain()
		for c := uint64(1); c <= call; c++ {
			if r, ok := w.replies[c]; !ok || late[c] && wire.KindOf(r.Err) != wire.KindFailed {
				t.Fatalf("call %d of %d (late: %v): %+v", c, call, late[c], r)
			}
		}
		if err := w.replies[exit].Err; err != nil {
			t.Fatalf("exit: %v", err)
		}
		for n, o := range w.owners {
			if o.Regions() != 0 || len(o.fence.keys) != 0 && len(lost) > 0 && n != "m1" {
				t.Fatalf("%s still serves %d vRegions after the exit", n, o.Regions())
			}
		}
		if s := w.home.Stats(); s.Processes != 0 || s.Regions != 0 || s.MappedBytes != 0 {
			t.Fatalf("home after the exit: %+v", s)
		}
	})
}

// TestFencedVRegionsAreBounded: the oldest are forgotten.
func TestFencedVRegionsAreBounded(t *testing.T) {
	var f fence
	for i := range maxFenced + 10 {
		f.add(fenceKey{1, wire.RegionNo(i)})
	}
	if f.lost(1, 9) || !f.lost(1, 10) || f.check() != nil {
		t.Error("not the oldest are forgotten", f.check())
	}
	f.add(fenceKey{2, 5})
	f.forget(1)
	if f.lost(1, 100) || !f.lost(2, 5) || len(f.order) != 1 {
		t.Error("forgetting a process")
	}
}

// TestAFenceOfWhatOthersHave: who comes for a vRegion of which others have copies, or for a home that has a backup, is to ask who serves it now;
// and is told that the rest is lost.
func TestAFenceOfWhatOthersHave(t *testing.T) {
	o := NewOwners(testOptions(), "m1", 4)
	o.Registered(1)
	for r := range wire.RegionNo(2) {
		if err := o.Map(wire.RegionMapReq{PID: 1, Region: 1 + r, Start: uint64(1+r) * testRegion, Length: wire.PageSize, RegionEpoch: 1, Member: 1}); err != nil {
			t.Fatal(err)
		}
	}
	o.Fence("m1 is fenced", func(slot uint32) bool { return slot == 1 }, nil)
	for region, want := range map[wire.RegionNo]wire.Kind{1: wire.KindFailed, 2: wire.KindNotOwner} {
		page := wire.PageNo(uint64(region) * testRegion >> wire.PageShift)
		if _, v := o.Check(1, page, 1); wire.KindOf(o.Error(v, 1, page, 1)) != want {
			t.Errorf("vRegion %d: %v, want %v", region, o.Error(v, 1, page, 1), want)
		}
	}

	h := NewHome(testOptions())
	h.Registered(1)
	for pid := range wire.PID(2) {
		if err := h.Open(wire.ProcessOpenReq{PID: 1 + pid, Epoch: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Configure(wire.HomeConfig{PID: 2, Config: 1, Backup: wire.Holder{Node: "m2", Addr: "inproc:m2", Member: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	h.Fence("m1 is fenced")
	for pid, want := range map[wire.PID]wire.Kind{1: wire.KindFailed, 2: wire.KindNotOwner} {
		if err := h.procs[pid].refused(); wire.KindOf(err) != want {
			t.Errorf("process %d: %v, want %v", pid, err, want)
		}
	}
}

// TestWhoWasHomeMayBeTheBackup: an mComponent that was taken for dead and is a member again takes the memory map of a process whose home it was, from the
// home that took over, and becomes the home once more when that is lost, too. Of its own epoch, or an older one, it takes none. So does one that gave the home away
// and never heard how that ended.
func TestWhoWasHomeMayBeTheBackup(t *testing.T) {
	t.Run("it was fenced", func(t *testing.T) {
		wasHome(t, func(h *Home) { h.Fence("m1 is fenced"); h.Registered(2) }, 2)
	})
	t.Run("it gave the home away unheard", func(t *testing.T) {
		wasHome(t, func(h *Home) {
			if err := h.Freeze(1, 2, "m3"); err != nil {
				t.Fatal(err)
			}
			h.Lose(1)
		}, 1)
	})
}

func wasHome(t *testing.T, ends func(*Home), member wire.Epoch) {
	h := NewHome(testOptions())
	h.Registered(1)
	if err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Home: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Configure(wire.HomeConfig{PID: 1, Epoch: 2, Config: 1, Backup: wire.Holder{Node: "m2", Addr: "inproc:m2", Member: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	backup := func(epoch wire.Epoch) error {
		_, err := h.Backup(wire.HomeBackupReq{HomeEpoch: epoch, Config: 1, Seq: 1, Member: member, Copy: wire.HomeCopyReq{PID: 1, Epoch: 1, Parts: 1}}, "m1", nil)
		return err
	}
	ends(h)
	if err := backup(2); wire.KindOf(err) != wire.KindStale {
		t.Fatalf("of the epoch under which it was the home: %v", err)
	}
	if err := backup(5); err != nil {
		t.Fatal(err)
	}
	if len(h.Backups()) != 1 || len(h.Holdings()) != 0 {
		t.Fatalf("backups %+v, homes %+v", h.Backups(), h.Holdings())
	}
	if _, err := h.TakeOver(wire.HomeRecoverReq{Self: "m1", Member: member, Process: 1, ClientAddr: "inproc:p1", Config: wire.HomeConfig{PID: 1, Epoch: 8, Config: 1}}, "inproc:m1", nil); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
	if p := h.procs[1]; p == nil || p.homeEpoch != 8 || p.fenced != "" {
		t.Errorf("%+v, want the home under 8", p)
	}
}

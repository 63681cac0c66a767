package vregion

import (
	"errors"
	"testing"

	"splitkernel/netlayer/wire"
)

// TestDrop: what is here under an epoch up to that of the order goes, what is newer or on its way stays, and what comes late is turned away.
func TestDrop(t *testing.T) {
	o := NewOwners(testOptions(), "m1", 10)
	at := func(epoch wire.Epoch) wire.RegionMapReq {
		return wire.RegionMapReq{PID: 1, Region: 2, RegionEpoch: epoch, Start: 2 * testRegion, Length: wire.PageSize}
	}
	if err := o.Map(at(3)); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := o.Drop(1, 2, 2); ok || !errors.Is(err, wire.ErrStale) {
		t.Errorf("dropped what is newer: %v, %v", ok, err)
	}
	slot, _ := o.Serving(1, 2, 3)
	o.Freeze(slot, "m2")
	if _, ok, err := o.Drop(1, 2, 3); ok || !errors.Is(err, wire.ErrBusy) {
		t.Errorf("dropped what moves: %v, %v", ok, err)
	}
	o.Lose(slot)
	if got, ok, err := o.Drop(1, 2, 3); !ok || err != nil || got != slot {
		t.Errorf("what was lost: %v, %v, %v", got, ok, err)
	}
	o.Release(slot)
	if _, ok, err := o.Drop(1, 2, 3); ok || err != nil {
		t.Errorf("again: %v, %v", ok, err)
	}
	if err := o.Map(at(3)); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("a late map: %v", err)
	}
	if err := o.Map(at(4)); err != nil || o.CheckInvariants() != nil {
		t.Errorf("a newer one: %v, %v", err, o.CheckInvariants())
	}

	h := NewHome(testOptions())
	drop := func(upTo wire.Epoch) error {
		_, err := h.Drop(1, upTo, nil)
		return err
	}
	open := func(home wire.Epoch) error { return h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Home: home}) }
	if err := open(3); err != nil {
		t.Fatal(err)
	}
	if err := drop(2); !errors.Is(err, wire.ErrStale) {
		t.Errorf("dropped a newer home: %v", err)
	}
	if err := h.Freeze(1, 3, "m2"); err != nil {
		t.Fatal(err)
	}
	if err := drop(3); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("dropped a home that moves: %v", err)
	}
	h.Thaw(1, 3)
	out := h.Mmap(1, wire.MmapReq{PID: 1, Epoch: 1, Length: wire.PageSize}, nil)
	if err := drop(3); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("dropped a home in the middle of a map: %v", err)
	}
	h.Done(out[0].ID, Result{Err: wire.ErrNoRoom}, nil)
	for range 2 {
		if err := drop(3); err != nil {
			t.Error(err)
		}
	}
	if err := open(3); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("opened late: %v", err)
	}
	if err := open(4); err != nil || h.CheckInvariants() != nil {
		t.Errorf("opened anew: %v, %v", err, h.CheckInvariants())
	}
}

// TestWhoWaitsForTheBackupHears: whose answer waits for a backup that refuses the memory map hears when the home is dropped that it is elsewhere.
func TestWhoWaitsForTheBackupHears(t *testing.T) {
	h := NewHome(testOptions())
	if err := h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Home: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Configure(wire.HomeConfig{PID: 1, Epoch: 1, Config: 1, Backup: wire.Holder{Node: "m2", Addr: "inproc:m2", Member: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	if out := h.Brk(7, wire.BrkReq{PID: 1, Epoch: 1, End: 1 << 20}, nil); len(out) != 0 {
		t.Fatalf("answered before the backup has it: %+v", out)
	}
	out, err := h.Drop(1, 1, nil)
	if err != nil || len(out) != 1 || out[0].Kind != Reply || out[0].Call != 7 || wire.KindOf(out[0].Err) != wire.KindNotOwner {
		t.Errorf("%+v, %v, want the answer to call 7 that the home is elsewhere", out, err)
	}
}

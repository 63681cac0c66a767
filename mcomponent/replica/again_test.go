package replica

import (
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// TestAFileIsLeft: a file whose sComponent drains is noticed though nothing is written, the owner is asked for what is in it until it is empty, what he sends is
// taken though it is not newer, and the file is given back. Until then its pages are read from it, also if a log that skips has no room for them.
func TestAFileIsLeft(t *testing.T) {
	o := DefaultOptions()
	o.LogBytes, o.FileBytes = 2*wire.PageSize, 8*wire.PageSize
	h, now := NewHolder(o, "m1", pages*wire.PageSize), time.Duration(0)
	h.Registered(3)
	check := func() {
		t.Helper()
		if err := h.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	step := func(kind FileKind, got wire.ReplicaFile) FileStep {
		t.Helper()
		s, ok := h.NextFile(now)
		if !ok || s.Kind != kind {
			t.Fatalf("%v is to be done (%t), want %v", s.Kind, ok, kind)
		}
		h.FileDone(now, s, got, nil)
		check()
		return s
	}
	open := wire.ReplicaOpenReq{PID: pid, Region: region, Epoch: 1, Config: 2, Policy: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1}, Owner: "m2", Addr: "inproc:m2"}
	if _, err := h.Open(open); err != nil {
		t.Fatal(err)
	}
	h.Add(open, 1)
	write := func(page wire.PageNo) Action {
		t.Helper()
		_, a, err := h.Write(wire.ReplicaWrite{PID: pid, Page: page, OwnerEpoch: 1, Config: 2, ProcessEpoch: 1, Version: 5, Sum: 9}, true)
		if err != nil {
			t.Fatal(err)
		}
		check()
		return a
	}
	save := func(want wire.VolumeID) {
		t.Helper()
		s, ok := h.NextSave(now)
		if !ok || s.File != want {
			t.Fatalf("%+v is to be saved (%t), want file %d", s, ok, want)
		}
		h.Saved(now, s, nil)
		check()
	}
	one, two := wire.ReplicaFile{Volume: 7, Epoch: 1, SizeBytes: o.FileBytes, Storage: "s1"}, wire.ReplicaFile{Volume: 8, Epoch: 1, SizeBytes: o.FileBytes, Storage: "s2"}
	write(first)
	step(AskFile, one)
	step(OpenFile, wire.ReplicaFile{})
	save(7)
	write(first + 1)
	save(7)

	if s, ok := h.NextFile(now + o.check() - 1); ok {
		t.Fatalf("%+v, and nothing is to be done", s)
	}
	due, ok := h.LaterDue()
	if now = due; !ok || due != o.check() {
		t.Fatalf("it asks again at %v (%t)", due, ok)
	}
	step(AskFile, one) // it is where it was
	if _, open, _ := h.FileAt(7); !open {
		t.Fatal("it is to be opened anew for nothing")
	}
	now += o.check()
	step(AskFile, two) // its sComponent drains
	want := wire.ReplicaAgainReq{PID: pid, Region: region, Epoch: 1, Config: 2, Holder: "m1"}
	if s := step(AskOwner, wire.ReplicaFile{}); s.Again != want || s.Owner != "m2" || s.Addr != "inproc:m2" {
		t.Fatalf("%+v", s)
	}
	if s, ok := h.NextFile(now); ok {
		t.Fatalf("%v before the next round", s.Kind)
	}
	write(first + 2)
	write(first + 3) // the log is full
	if a := write(first); a != Old || h.pagesLost() != 0 {
		t.Fatalf("a page that is in the file it leaves, and for which there is no room: %v", a)
	}
	step(OpenFile, wire.ReplicaFile{})
	save(8)
	save(8)
	if a := write(first); a != Store {
		t.Fatalf("a page that is in the file it leaves: %v", a)
	}
	if a := write(first); a != Old {
		t.Fatalf("and once more: %v", a)
	}
	if write(first+1) != Store {
		t.Fatal("the other")
	}
	if s := step(DropFile, wire.ReplicaFile{}); s.At.Volume != 7 {
		t.Fatalf("%+v", s)
	}
	save(8)
	save(8)
	if s := h.Stats(); s.FilePages != 4 || s.LoggedPages != 0 || s.Skipped != 0 {
		t.Fatalf("%+v", s)
	}
}

// pagesLost counts the pages of which only the version is known.
func (h *Holder) pagesLost() (n int) {
	for _, r := range h.regions {
		for _, e := range r.pages.all() {
			if e.where == lost {
				n++
			}
		}
	}
	return n
}

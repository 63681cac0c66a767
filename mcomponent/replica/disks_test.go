package replica

import (
	"strings"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// disks are GSM and the sComponents: the backup files of holders.
type disks struct {
	volumes map[wire.VolumeID]*disk
	books   map[wire.NodeID]wire.VolumeID // the file that a holder writes to
	last    wire.VolumeID
}

// disk is one file.
type disk struct {
	at     wire.ReplicaFile
	holder wire.NodeID
	member wire.Epoch
	blocks map[uint32]uint64 // versions of pages
	seqs   map[uint32]uint64
	down   bool
	drains bool
	opened bool // since it was down
}

// give is GSM: the same file as long as its sComponent is there.
func (d *disks) give(q wire.FileReq) (wire.ReplicaFile, error) {
	if q.Drop != 0 {
		if v := d.volumes[q.Drop]; v != nil && v.holder == q.Holder && v.member == q.Member {
			delete(d.books, q.Holder)
		}
		return wire.ReplicaFile{}, nil
	}
	if v := d.volumes[d.books[q.Holder]]; v != nil && v.member == q.Member && !v.down && !v.drains && v.at.Volume != q.Bad {
		return v.at, nil
	}
	if d.books == nil {
		d.books = map[wire.NodeID]wire.VolumeID{}
	}
	d.last++
	d.books[q.Holder] = d.last
	v := &disk{at: wire.ReplicaFile{Volume: d.last, Epoch: 1, SizeBytes: q.SizeBytes, Storage: "s1"}, holder: q.Holder, member: q.Member, blocks: map[uint32]uint64{}, seqs: map[uint32]uint64{}}
	d.volumes[d.last] = v
	return v.at, nil
}

func noAnswer() error { return wire.Errorf(wire.KindUnavailable, "no answer") }

// save does one thing that a holder wants done with its files.
func (w *world) save(h *holder) {
	lost := w.lossy && w.rng.IntN(5) == 0
	switch s, ok := h.NextFile(w.now); {
	case ok:
		h.step = &s
		return
	case h.step != nil:
		s, got, err := *h.step, wire.ReplicaFile{}, error(nil)
		h.step = nil
		switch s.Kind {
		case AskFile, DropFile:
			got, err = w.disks.give(s.Req)
		case AskOwner:
			if s.Owner != "owner" || s.Addr != "inproc:owner" || s.Again.Holder != h.id {
				w.t.Fatalf("%+v", s)
			}
			if w.again++; !lost || w.rng.IntN(2) == 0 {
				w.perform(w.p.Again(w.now, slot, s.Again, nil))
			}
		case OpenFile:
			if v := w.disks.volumes[s.At.Volume]; v.down {
				err = noAnswer()
			} else {
				v.opened = true
			}
		}
		if lost {
			err = noAnswer()
		}
		h.FileDone(w.now, s, got, err)
		return
	}
	if s, ok := h.NextSave(w.now); ok {
		h.saves = append(h.saves, s)
	} else if s, ok := h.NextFile(w.now); ok { // it waited for saves that turned out not to be any
		h.step = &s
		return
	} else {
		for what, due := range map[string]func() (time.Duration, bool){"file": h.FileDue, "save": h.SaveDue, "later": h.LaterDue} {
			if at, is := due(); is && at <= w.now { // whoever waits for that would not wait
				w.t.Fatalf("%s: due for %s since %v, it is %v, and there is nothing to do", h.id, what, at, w.now)
			}
		}
	}
	if len(h.saves) == 0 {
		return
	}
	i := w.rng.IntN(len(h.saves))
	s := h.saves[i]
	if w.lossy && w.rng.IntN(8) == 0 {
		v := w.disks.volumes[s.File]
		v.down, v.opened = !v.down, false
	}
	if w.lossy && w.rng.IntN(20) == 0 {
		w.disks.volumes[s.File].drains = true
	}
	h.saves = append(h.saves[:i], h.saves[i+1:]...)
	err := w.disks.write(s, h.store)
	if lost {
		err = noAnswer()
	}
	switch free, kept := h.Saved(w.now, s, err); {
	case kept:
		h.store.Forget(slot, s.Page)
	case free:
		h.store.Remove(pid, s.Page)
	}
}

// write writes what a holder has of a page now.
func (d *disks) write(s Save, store *pages_) error {
	v := d.volumes[s.File]
	switch {
	case v.down:
		return noAnswer()
	case !v.opened:
		return wire.Errorf(wire.KindFailed, "it was restarted, attach again")
	}
	now, ok := store.version(s.Page)
	if f, c, _, kept := store.PeekKept(slot, s.Page); kept && c.Version == s.No {
		now, ok = store.bytes[f], true
	} else if s.Pre {
		ok = false
	}
	if ok && s.Seq > v.seqs[s.Block] {
		v.blocks[s.Block], v.seqs[s.Block] = now, s.Seq
	}
	return nil
}

// TestBackupFile goes through what may become of a backup file: it is asked for when there is something to save, left when its sComponent is
// lost, and what it had is named when it cannot be read any more; it is given back with the last log.
func TestBackupFile(t *testing.T) {
	o := DefaultOptions()
	o.LogBytes, o.FileBytes = 4*wire.PageSize, 3*wire.PageSize
	h := NewHolder(o, "m1", pages*wire.PageSize)
	h.Registered(3)
	now := time.Duration(0)
	step := func(kind FileKind, got wire.ReplicaFile, err error) FileStep {
		t.Helper()
		now += time.Second
		s, ok := h.NextFile(now)
		if !ok || s.Kind != kind {
			t.Fatalf("%v is to be done, want %v (behind: %q)", s.Kind, kind, h.Behind())
		}
		if _, again := h.NextFile(now); again {
			t.Fatal("two steps at once")
		}
		h.FileDone(now, s, got, err)
		if err := h.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	save := func(want bool, err error) (s Save) {
		t.Helper()
		now += time.Second
		s, ok := h.NextSave(now)
		if ok != want {
			t.Fatalf("a page is to be saved: %t, want %t (behind: %q)", ok, want, h.Behind())
		}
		if ok {
			h.Saved(now, s, err)
		}
		if err := h.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	open := wire.ReplicaOpenReq{PID: pid, Region: region, Epoch: 1, Config: 1, Policy: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1, LogBlock: true}}
	write := func(page wire.PageNo, version uint64) Action {
		_, a, _ := h.Write(wire.ReplicaWrite{PID: pid, Page: page, OwnerEpoch: 1, Config: 1, ProcessEpoch: 1, Version: version, Sum: uint32(version)}, true)
		return a
	}
	read := func(page wire.PageNo) Item {
		items, _, err := h.Read(wire.ReplicaRead{PID: pid, Region: region, Page: page, OwnerEpoch: 1, Config: 1, Count: 1, Flags: wire.ReplicaExact}, nil)
		if err != nil || len(items) != 1 {
			t.Fatalf("page %d: %+v, %v", page, items, err)
		}
		return items[0]
	}
	if _, err := h.Open(open); err != nil {
		t.Fatal(err)
	}
	h.Add(open, 1)
	if _, ok := h.NextFile(now); ok {
		t.Fatal("a file is asked for, though there is nothing to save")
	}
	for p := first; p < first+4; p++ {
		if a := write(p, 1); a != Store {
			t.Fatal(a)
		}
	}
	if a := write(first+4, 1); a != Wait {
		t.Fatalf("a page for a full log: %v, want %v", a, Wait)
	}
	one := wire.ReplicaFile{Volume: 7, Epoch: 1, SizeBytes: o.FileBytes, Storage: "s1"}
	if s := step(AskFile, one, nil); s.Req != (wire.FileReq{Holder: "m1", Member: 3, SizeBytes: o.FileBytes, No: s.No}) || s.No == 0 {
		t.Fatalf("%+v", s.Req)
	}
	save(false, nil)
	step(OpenFile, wire.ReplicaFile{}, nil)
	for range 2 {
		save(true, nil)
	}
	if a := write(first+4, 1); a != Store {
		t.Fatalf("there is room, and a page is to %v", a)
	}
	if it := read(first); !it.Saved || it.File != 7 || it.Block != 0 || it.Sum != 1 {
		t.Fatalf("%+v", it)
	}
	// Its sComponent does not answer: it is asked for again, and another is given.
	save(true, noAnswer())
	if h.Behind() == "" {
		t.Fatal("it does not say why pages are not saved")
	}
	two := wire.ReplicaFile{Volume: 8, Epoch: 1, SizeBytes: o.FileBytes, Storage: "s2"}
	step(AskFile, two, nil)
	step(OpenFile, wire.ReplicaFile{}, nil)
	for range 3 {
		if s := save(true, nil); s.File != 8 {
			t.Fatalf("saved in file %d", s.File)
		}
	}
	if h.Behind() != "" || h.Stats().LoggedPages != 0 || h.Stats().FilePages != 5 {
		t.Fatalf("%q, %+v", h.Behind(), h.Stats())
	}
	// The second is full; a page that is written anew gives back its block, and then has one again.
	if a := write(first+5, 1); a != Store {
		t.Fatal(a)
	}
	save(false, nil)
	if h.Behind() == "" {
		t.Fatal("it does not say that the file is full")
	}
	if a := write(first+4, 2); a != Store {
		t.Fatal(a)
	}
	save(true, nil)
	// What the first has cannot be read: it is read again once it was opened, and then it is lost by name.
	it := read(first)
	h.Reopen(it.File)
	step(OpenFile, wire.ReplicaFile{}, wire.Errorf(wire.KindFailed, "for good"))
	if it := read(first); it.State != wire.PageLost {
		t.Fatalf("%+v", it)
	}
	// A block that is not what was written.
	it = read(first + 2)
	if !it.Saved || it.File != 8 {
		t.Fatalf("%+v", it)
	}
	stale := it
	stale.Version--
	if h.Unread(pid, region, stale) || !h.Unread(pid, region, it) || h.Unread(pid, region, it) || read(first+2).State != wire.PageLost {
		t.Fatal("a page that is not what was written")
	}
	// With the last log goes the last file.
	if _, ok, err := h.Drop(wire.ReplicaRef{PID: pid, Region: region, Epoch: 1, Config: 1}); !ok || err != nil {
		t.Fatal(err)
	}
	for _, want := range []wire.VolumeID{7, 8} {
		if s := step(DropFile, wire.ReplicaFile{}, nil); s.At.Volume != want || s.Req.Drop != want {
			t.Fatalf("%+v", s)
		}
	}
	if _, ok := h.NextFile(now + time.Hour); ok || len(h.files.list) != 0 {
		t.Fatal("there is something left to do")
	}
	// One that was given when nobody heard it is given back, too.
	open.Epoch = 2
	if o, err := h.Open(open); err != nil || !o.New {
		t.Fatal(err)
	}
	h.Add(open, 5)
	if _, a, err := h.Write(wire.ReplicaWrite{PID: pid, Page: first, OwnerEpoch: 2, Config: 1, ProcessEpoch: 1, Version: 9}, true); a != Store || err != nil {
		t.Fatal(a, err)
	}
	step(AskFile, wire.ReplicaFile{}, wire.Errorf(wire.KindTimeout, "nobody answers"))
	if _, ok, err := h.Drop(wire.ReplicaRef{PID: pid, Region: region, Epoch: 2, Config: 1}); !ok || err != nil {
		t.Fatal(err)
	}
	step(AskFile, wire.ReplicaFile{Volume: 9, Epoch: 1, SizeBytes: o.FileBytes, Storage: "s2"}, nil)
	if s := step(DropFile, wire.ReplicaFile{}, nil); s.At.Volume != 9 {
		t.Fatalf("%+v", s)
	}
	if _, ok := h.NextFile(now + time.Hour); ok {
		t.Fatal("there is something left to do")
	}
}

// TestAPageInABlockThatIsNotTaken: a tape that has a page in a block of which its file knows nothing is refused.
func TestAPageInABlockThatIsNotTaken(t *testing.T) {
	h := NewHolder(DefaultOptions(), "m1", pages*wire.PageSize)
	open := wire.ReplicaOpenReq{PID: pid, Region: region, Epoch: 1, Config: 1, Policy: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1}}
	if _, err := h.Open(open); err != nil {
		t.Fatal(err)
	}
	h.Add(open, 1)
	h.files.list = []*file{{at: wire.ReplicaFile{Volume: 7, SizeBytes: pages * wire.PageSize}}}
	h.regions[key{pid, region}].pages.put(first, entry{version: version{1, 1}, where: saved, file: 7, block: 3})
	again := NewHolder(DefaultOptions(), "m1", pages*wire.PageSize)
	if err := again.Restore(h.Snapshot(nil)); err == nil || !strings.Contains(err.Error(), "block 3 of file 7") {
		t.Fatalf("it is taken: %v", err)
	}
}

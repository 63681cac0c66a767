package record

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/cachemove"
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// playMemory drives the recorded cores of an mComponent through a day of their lives: what one does may need each input before it.
func playMemory(t testing.TB, r tape.Recorder) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	vo := vregion.DefaultOptions()
	vo.RegionBytes = 1 << 20
	playCache(r)

	home := vregion.TapedHome{Home: vregion.NewHome(vo)}
	home.Record(r.Open(vregion.HomeTapeKind, wire.Marshal(&vregion.HomeTapeHead{Node: "m1", Options: vo})))
	home.Registered(4)
	must(home.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Addr: "unix:/p1", Home: 1}))
	must(home.Open(wire.ProcessOpenReq{PID: 2, Epoch: 1, Home: 1}))
	for pid := range wire.PID(2) {
		out := home.Mmap(1, wire.MmapReq{PID: 1 + pid, Epoch: 1, Length: 3 << 20, Anon: true}, nil)
		for len(out) > 0 {
			e := out[0]
			res := vregion.Result{}
			if e.Kind == vregion.AskOwner {
				res.Owner = wire.Owner{Node: "m2", Addr: "unix:/m2", Epoch: 1}
			}
			if out = out[1:]; e.Kind != vregion.Reply {
				out = home.Done(e.ID, res, out)
			}
		}
	}
	home.Munmap(4, wire.MunmapReq{PID: 1, Epoch: 1, Addr: vo.PlaceBase + 4096, Length: 4096}, nil)
	home.Mmap(4, wire.MmapReq{PID: 1, Epoch: 1, Length: 4096}, nil)
	home.Brk(4, wire.BrkReq{PID: 1, Epoch: 1, End: 4096}, nil)
	home.Brk(4, wire.BrkReq{PID: 1, Epoch: 1, End: 2048}, nil)
	home.Owners(2, wire.OwnersReq{PID: 1, Addr: vo.PlaceBase, Length: 4096}, nil)
	out := home.Switch(3, wire.RegionSwitchReq{PID: 1, Owner: wire.Owner{Region: wire.RegionNo(vo.PlaceBase >> 20), Node: "m3", Addr: "unix:/m3", Epoch: 2}}, nil)
	home.Done(out[0].ID, vregion.Result{}, nil)
	home.Heat(time.Second, heat.NewTop(8))
	home.Owners(2, wire.OwnersReq{PID: 1, Addr: vo.PlaceBase, Length: 4096}, nil)
	home.Heat(time.Second, heat.NewTop(8))
	must(home.Freeze(1, 1, "m2"))
	home.Brk(4, wire.BrkReq{PID: 1, Epoch: 1, End: 4096}, nil)
	home.Thaw(1, 3)
	must(home.Freeze(1, 3, "m2"))
	home.Forget(1, 4)
	must(home.Arrive(1, "m2"))
	home.Install(vregion.Map{PID: 1, Epoch: 1, Mapped: []wire.MappedPart{{Start: 0, End: 4096}}, Owners: []wire.Owner{{Node: "m2", Epoch: 1}}}, 6)
	must(home.Arrive(3, "m2"))
	_ = home.Open(wire.ProcessOpenReq{PID: 3, Epoch: 1, Home: 1})
	home.Depart(3)
	must(home.Open(wire.ProcessOpenReq{PID: 3, Epoch: 1, Home: 1}))
	if _, err := home.Drop(3, 1, nil); err != nil {
		must(err)
	}
	_ = home.Open(wire.ProcessOpenReq{PID: 3, Epoch: 1, Home: 1})
	home.Heat(time.Second, heat.NewTop(8))
	must(home.Pass("m1", wire.MoveReq{PID: 5, To: "m2", Epoch: 3, FromMember: 4}))
	_ = home.Open(wire.ProcessOpenReq{PID: 5, Epoch: 1, Home: 1})
	home.Fence("it was silent")
	home.Munmap(5, wire.MunmapReq{PID: 2, Epoch: 1, Addr: vo.PlaceBase, Length: 4096}, nil)
	out = home.Exit(6, wire.ProcessExitReq{PID: 1, Epoch: 1}, nil)
	home.Done(out[0].ID, vregion.Result{}, nil)

	store := pagestore.Taped{Store: pagestore.New(16)}
	store.Record(r.Open(pagestore.TapeKind, wire.Marshal(&pagestore.TapeHead{Node: "m1", Capacity: 16, Groups: 16})))
	owners := vregion.TapedOwners{Owners: vregion.NewOwners(vo, "m1", 10)}
	owners.Record(r.Open(vregion.OwnersTapeKind, wire.Marshal(&vregion.OwnersTapeHead{Node: "m1", Options: vo, MaxSlots: 10})))
	owners.Registered(1)
	for pid := range wire.PID(4) {
		must(owners.Map(wire.RegionMapReq{PID: pid, RegionEpoch: 1, Length: 8 << 12, Member: 1}))
		store.Miss(uint32(pid), pid, 3)
		store.Flush(uint32(pid), pid, 3, 1, 1, 7)
	}
	owners.Count(0)
	owners.Heat(8, time.Second, heat.NewTop(8))
	owners.Count(0)
	owners.Heat(8, time.Second, heat.NewTop(8))
	_, _, err := owners.Unmap(wire.RegionUnmapReq{PID: 1, Length: 4096}, 1)
	must(err)
	owners.Freeze(1, "m2")
	_, _, _ = owners.Unmap(wire.RegionUnmapReq{PID: 1, Length: 4096}, 1)
	owners.Thaw(1, 2)
	_, _, _ = owners.Unmap(wire.RegionUnmapReq{PID: 1, Length: 4096}, 1)
	owners.Freeze(1, "m2")
	owners.Leave(1, "m2", 3)
	owners.Left(1)
	_ = owners.Map(wire.RegionMapReq{PID: 1, RegionEpoch: 2, Length: 8 << 12})
	slot, err := owners.Arrive(1, 0, 5, "m2")
	must(err)
	owners.Serve(slot, []wire.MappedPart{{Start: 0, End: 4096}})
	for _, s := range owners.Exit(0, nil) {
		owners.Release(s)
	}
	_, err = owners.Arrive(0, 0, 5, "m2")
	must(err)
	_, _, err = owners.Drop(2, 0, 1)
	must(err)
	_ = owners.Pass(wire.MoveReq{PID: 7, To: "m2", Epoch: 3, FromMember: 1})
	_ = owners.Map(wire.RegionMapReq{PID: 7, RegionEpoch: 1, Length: 8 << 12})
	owners.Fence("it was silent", nil, nil)
	_ = owners.Map(wire.RegionMapReq{PID: 1, RegionEpoch: 5, Length: 8 << 12})

	mo, id := migrate.DefaultOptions(), wire.MoveID{Manager: wire.GMM, No: 1}
	taker := migrate.TapedTaker{Taker: migrate.NewTaker(mo, "m1")}
	taker.Record(r.Open(migrate.TakerTapeKind, wire.Marshal(&migrate.TakerTapeHead{Node: "m1", What: "vRegions", Options: mo})))
	in, _, err := taker.Open(0, wire.RegionCopyOpenReq{Move: id, Round: 1, PID: 1, Epoch: 2})
	must(err)
	in.Slot = 3
	taker.Add(in)
	_, err = taker.Copy(1, wire.RegionCopy{Move: id, Round: 2, Count: 1})
	must(err)
	_, _ = taker.Copy(1, wire.RegionCopy{Move: id, Round: 1, Count: 1})
	must(taker.Close(2, wire.RegionCopyEndReq{Move: id, Round: 3, Parts: 1}, 0, func([]wire.MappedPart) error { return nil }))
	_, err = taker.Serve(wire.MoveServeReq{Move: id, Epoch: 2})
	must(err)
	_, _, _ = taker.Open(0, wire.RegionCopyOpenReq{Move: id, Round: 1, PID: 1, Epoch: 2})
	id.No = 2
	in, _, err = taker.Map(3, wire.HomeCopyReq{Move: id, Parts: 1, PID: 2})
	must(err)
	taker.Add(in)
	taker.Reject(in)
	_, _ = taker.Adopting(id)
	_, _ = taker.Serve(wire.MoveServeReq{Move: id, Epoch: 2})
	taker.Drop(wire.MoveID{Manager: wire.GMM, No: 3})
	_, _, _ = taker.Open(4, wire.RegionCopyOpenReq{Move: wire.MoveID{Manager: wire.GMM, No: 3}, Round: 1, PID: 1, Epoch: 2})

	req := wire.MoveReq{Move: id, Kind: wire.MoveRegion, PID: 1, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "m2", TimeoutMS: 5000}
	changes := pagestore.NewChanges(0, 1000)
	for p := range wire.PageNo(300) {
		changes.Mark(2 * p)
	}
	giver := migrate.TapedGiver{Giver: migrate.NewGiver(mo, req, changes)}
	giver.Record(r.Open(migrate.GiverTapeKind, wire.Marshal(giver.TapeHead("m1", 0, 1000))))
	now, held := time.Duration(0), true
	todo := giver.Begin(now, nil)
	for !giver.Ended() {
		now += time.Millisecond
		if len(todo) == 0 {
			giver.Hold(held)
			held = false
			now += 5 * time.Second / 100
			todo = giver.Tick(now, todo)
			continue
		}
		e := todo[0]
		switch todo = todo[1:]; e.Kind {
		case migrate.Freeze, migrate.Forget:
			if e.Kind == migrate.Freeze {
				giver.Hold(held)
			}
		case migrate.Copy:
			var pages [8]wire.PageNo
			n := giver.TakeInto(e.ID, pages[:])
			if !giver.Frozen() {
				changes.Mark(wire.PageNo(e.ID) % 7) // somebody writes meanwhile
			}
			if todo = giver.Filled(now, e.ID, n*4096, todo); n > 0 {
				todo = giver.Answered(now, e.ID, nil, todo)
			}
		default:
			todo = giver.Answered(now, e.ID, nil, todo)
		}
	}

	playCacheMove(r)
}

// playCache attaches a volume, fills the cache over its bound, and gives the volume away.
func playCache(r tape.Recorder) {
	o := buffercache.Options{Blocks: 4, Window: 2, MaxWaiters: 4, MaxVolumes: 2}
	c := buffercache.Taped{Cache: buffercache.New(o)}
	c.Record(r.Open(buffercache.TapeKind, wire.Marshal(&buffercache.TapeHead{Node: "m1", Options: o})))
	var perform func(out []buffercache.Effect)
	perform = func(out []buffercache.Effect) {
		for _, e := range out {
			if e.Kind < buffercache.CopyIn {
				perform(c.Done(e.ID, nil, nil))
			}
		}
	}
	perform(c.Attach(1, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: 1 << 20, Storage: "s1", StorageAddr: "unix:/s1"}, nil))
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: 1024}
	for i := range uint64(12) {
		k.Offset, k.Version = i*3%7*wire.PageSize, i+1
		perform(c.Write(2*i+2, k, nil))
		k.Offset += 4 * wire.PageSize
		perform(c.Read(2*i+3, k, nil))
		if i == 5 {
			_ = c.Switch(wire.SwitchReq{Volume: 1, Epoch: 2, To: "s2", ToAddr: "unix:/s2"})
		}
	}
	perform(c.Flush(100, k, nil))
	c.Heat(0, 8, time.Second, heat.NewTop(8))
	perform(c.Read(100, k, nil))
	c.Heat(0, 8, time.Second, heat.NewTop(8))
	perform(c.Read(100, k, nil))
	c.Heat(0, 8, time.Second, heat.NewTop(8))
	perform(c.Clean(101, 1, nil))
	perform(c.Freeze(1, wire.Errorf(wire.KindBusy, "it moves"), nil))
	perform(c.Read(102, k, nil))
	perform(c.Quiet(103, 1, nil))
	c.Thaw(1, 3)
	perform(c.Read(104, k, nil))
	c.Leave(1, 4)
	perform(c.Read(105, k, nil))
	perform(c.Attach(106, wire.VolumeAttachReq{Volume: 1, Epoch: 5, SizeBytes: 1 << 20, Storage: "s2", StorageAddr: "unix:/s2"}, nil))
	k.VolumeEpoch = 5
	perform(c.Write(107, k, nil))
	perform(c.Detach(108, wire.VolumeRef{Volume: 1, Epoch: 5}, nil))
	perform(c.Attach(109, wire.VolumeAttachReq{Volume: 2, Epoch: 1, SizeBytes: 1 << 20, Storage: "s2", StorageAddr: "unix:/s2"}, nil))
	perform(c.Lose(2, wire.Errorf(wire.KindFailed, "it is lost"), nil))
	perform(c.Read(110, wire.Block{Volume: 2, VolumeEpoch: 1, Length: 512}, nil))
	perform(c.Discard(111, 2, 1, nil))
	perform(c.Read(112, wire.Block{Volume: 2, VolumeEpoch: 1, Length: 512}, nil))
}

func playCacheMove(r tape.Recorder) {
	req := wire.MoveReq{Move: wire.MoveID{Manager: wire.GSM, No: 1}, Kind: wire.MoveCache, Volume: 1, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "m2", TimeoutMS: 5000}
	o := cachemove.DefaultOptions()
	g := cachemove.Taped{Giver: cachemove.New(o, req, 1000)}
	g.Record(r.Open(cachemove.TapeKind, wire.Marshal(&cachemove.TapeHead{Node: "m1", Options: o, Move: req, Dirty: 1000})))
	now := time.Duration(0)
	for out := g.Start(now, nil); !g.Over(); {
		if now += time.Millisecond; out[0].Step == cachemove.Clean {
			g.Cleaned(max(0, 600-int(now/time.Millisecond)*400))
		}
		out = g.Done(now, out[0].ID, nil, out[:0])
	}
}

// TestMemoryChangeIsSeen records the cores of an mComponent and changes one thing at a time: the checksum of each record, an effect, the
// length of each record, each head, and each record left out. The re-execution says at which event, and of which core.
func TestMemoryChangeIsSeen(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	playMemory(t, w)
	end, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	res, err := Execute(t.Context(), path, ExecuteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Cores) != 7 || res.Events != end.Records {
		t.Fatalf("%+v", res)
	}
	for i, text := range []string{"buffer cache of m1", "requests outstanding", "page store of m1", "vRegions of m1", "on their way here", "gmm: vRegion 0 of process 1 from m1 to m2", "done under epoch 2"} {
		if c := &res.Cores[i]; !strings.Contains(c.Name+c.State, text) || c.Events == 0 {
			t.Errorf("core %d has no %q: %+v", i, text, c)
		}
	}
	names, records := []string{""}, []Record{{}}
	all(t, path, func(r Record) {
		if r.Data = bytes.Clone(r.Data); r.Begins {
			names = append(names, res.Cores[r.Core-1].Name)
		}
		records = append(records, r)
	})
	execute := func(change func(n int, r Record) []byte) error {
		_, err := Execute(t.Context(), rewrite(t, path, change), ExecuteOptions{})
		return err
	}
	left := map[string]bool{} // by kind: whether one that is left out is seen
	for at := 1; at < len(records); at++ {
		r := records[at]
		kind := res.Cores[r.Core-1].Kind
		where := fmt.Sprintf("event %d: core %d: %s", at, r.Core, names[r.Core])
		if r.Begins {
			where = fmt.Sprintf("event %d: core %d: begin %s", at, r.Core, r.Kind)
		} else {
			kind = fmt.Sprintf("%s/%d", kind, r.Data[0]&0x7f)
		}
		seen, known := left[kind]
		for what, change := range map[string]func(b []byte) []byte{
			"the checksum": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
			"shorter":      func(b []byte) []byte { return b[:len(b)-1] },
			"longer":       func(b []byte) []byte { return append(b, 0) },
		} {
			if known || r.Begins && what == "the checksum" { // a head has none
				continue
			}
			if err := execute(func(n int, x Record) []byte {
				if n == at {
					return change(bytes.Clone(x.Data))
				}
				return x.Data
			}); err == nil || !strings.Contains(err.Error(), where) {
				t.Errorf("%s of %s: %v", what, where, err)
			}
		}
		if r.Begins || seen {
			continue
		}
		err := execute(func(n int, x Record) []byte {
			if n == at {
				return nil
			}
			return x.Data
		})
		if left[kind] = err != nil; err != nil && !strings.Contains(err.Error(), names[r.Core]) && !strings.Contains(err.Error(), "m1 serves no page") {
			t.Errorf("left out %s: %v", where, err)
		}
	}
	for kind, seen := range left {
		switch kind {
		case "mcomponent/vregion/owners/2": // what is unmapped is not served: nothing that is recorded tells
		case "mcomponent/migrate/taker/1", "mcomponent/migrate/taker/5": // what comes is new: it is added by the next record
		case "mcomponent/pagestore/1", "mcomponent/pagestore/2": // here each page is used once
		default:
			if !seen {
				t.Errorf("%s is left out unseen", kind)
			}
		}
	}
}

// all reads a tape.
func all(t testing.TB, path string, each func(Record)) {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := r.Next(); err == nil; rec, err = r.Next() {
		each(rec)
	}
}

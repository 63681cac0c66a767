package vregion

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// kept is a tape that keeps its records.
type kept [][]byte

func (k *kept) Record(b []byte) bool {
	*k = append(*k, bytes.Clone(b))
	return false
}
func (k *kept) State([]byte) {}
func (k *kept) End()         {}

// snapshot is a state after so many records.
type snapshot struct {
	at int
	b  []byte
}

// verified checks that a recorded core is made again from its records, from the beginning and from each state between: make makes one of
// bytes, or a new one of nil, feed feeds it, and state gives its bytes.
func verified[C any](t *rapid.T, k kept, between []snapshot, want []byte, make func([]byte) (C, error), feed func(C, []byte) error, state func(C) []byte) {
	for _, s := range append([]snapshot{{}}, between...) {
		c, err := make(s.b)
		if err != nil {
			t.Fatalf("the state after record %d: %v", s.at, err)
		}
		if s.b != nil && !bytes.Equal(state(c), s.b) {
			t.Fatalf("the state after record %d is written in another way when it was read", s.at)
		}
		for i, b := range k[s.at:] {
			if err := feed(c, b); err != nil {
				t.Fatalf("record %d, from the state after %d on: %v", s.at+i, s.at, err)
			}
		}
		if !bytes.Equal(state(c), want) {
			t.Fatalf("another state after the same inputs, from that after record %d on", s.at)
		}
		if s.b != nil {
			n := rapid.IntRange(1, len(s.b)-1).Draw(t, "cut")
			if _, err := make(s.b[:n]); err == nil {
				t.Fatalf("%d of %d bytes are a state", n, len(s.b))
			}
		}
	}
}

// readsBack checks a record: it is written as it was read, and in no other length.
func readsBack(b []byte, read func([]byte) error, code func(*tape.Coder)) error {
	if read(b[:len(b)-1]) == nil || read(append(bytes.Clone(b), 0)) == nil {
		return fmt.Errorf("another length is read")
	}
	if err := read(b); err != nil {
		return err
	}
	var c tape.Coder
	c.Write(nil)
	if code(&c); !bytes.Equal(c.Written(), b) {
		return fmt.Errorf("%x reads back as %x", b, c.Written())
	}
	return nil
}

func drawError(t *rapid.T) error {
	kinds := []wire.Kind{wire.KindBusy, wire.KindNotOwner, wire.KindStale, wire.KindNoMemory, wire.KindUnavailable, wire.KindNotFound}
	if i := rapid.IntRange(0, 4*len(kinds)).Draw(t, "error"); i < len(kinds) {
		return wire.Errorf(kinds[i], "drawn")
	}
	return nil
}

// TestHomeTape makes random calls of a recorded home: also of processes that go to another and come back.
func TestHomeTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := testOptions()
		o.MaxOutstanding, o.MaxOwnerAttempts, o.MaxOperations = rapid.IntRange(1, 3).Draw(t, "outstanding"), 3, 4
		head := HomeTapeHead{Node: "m1", Options: o}
		h := TapedHome{Home: NewHome(o)}
		var k kept
		h.Record(&k)
		var open []Effect
		do := func(out []Effect) {
			for _, e := range out {
				if e.Kind != Reply {
					open = append(open, e)
				}
			}
		}
		var between []snapshot
		call := uint64(0)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			pid, epoch := wire.PID(rapid.IntRange(1, 3).Draw(t, "pid")), wire.Epoch(rapid.IntRange(1, 3).Draw(t, "epoch"))
			addr := uint64(rapid.IntRange(0, 40).Draw(t, "page")) * wire.PageSize
			length := uint64(rapid.IntRange(1, 20).Draw(t, "pages")) * wire.PageSize
			call++
			p := h.procs[pid]
			switch rapid.IntRange(0, 29).Draw(t, "step") {
			case 0, 1:
				_ = h.Open(wire.ProcessOpenReq{PID: pid, Epoch: 1, Addr: []string{"", "unix:/p1"}[epoch%2], Home: epoch})
			case 2, 3:
				do(h.Mmap(call, wire.MmapReq{PID: pid, Epoch: 1, Addr: addr, Length: length, Anon: true, Name: "a"}, nil))
			case 4:
				do(h.Munmap(call, wire.MunmapReq{PID: pid, Epoch: 1, Addr: addr, Length: length}, nil))
			case 5:
				do(h.Brk(call, wire.BrkReq{PID: pid, Epoch: 1, End: addr + 100*wire.PageSize}, nil))
			case 6:
				do(h.Owners(call, wire.OwnersReq{PID: pid, Addr: addr, Length: length}, nil))
			case 7:
				do(h.Exit(call, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
			case 8:
				do(h.Switch(call, wire.RegionSwitchReq{PID: pid, Owner: wire.Owner{Region: wire.RegionNo(addr / testRegion), Node: "m3", Addr: "unix:/m3", Epoch: epoch + 1}}, nil))
			case 9, 10, 11, 12, 13, 14:
				if len(open) > 0 {
					i := rapid.IntRange(0, len(open)-1).Draw(t, "done")
					e := open[i]
					open = append(open[:i:i], open[i+1:]...)
					res := Result{Err: drawError(t)}
					switch {
					case res.Err != nil:
					case e.Kind == AskOwner:
						res.Owner = wire.Owner{Node: "m2", Addr: "unix:/m2", Epoch: epoch, Member: 1}
					case e.Kind == UnmapAt:
						res.Freed = 7
					}
					do(h.Done(e.ID, res, nil))
				}
			case 15:
				_ = h.Freeze(pid, epoch, "m2")
			case 16:
				if p != nil && p.frozen && !p.lost {
					h.Thaw(pid, epoch)
				}
			case 17:
				if p != nil && p.frozen && h.Settled(pid) {
					h.Forget(pid, epoch)
				}
			case 18:
				if p != nil && p.frozen {
					h.Lose(pid)
				}
			case 19:
				_ = h.Arrive(pid, "m3")
			case 20:
				if _, ok := h.arriving[pid]; ok && rapid.Bool().Draw(t, "comes") {
					h.Install(Map{PID: pid, Epoch: 1, Addr: "unix:/p2", HeapStart: 5, HeapEnd: 9, Mapped: []wire.MappedPart{{Start: 0, End: wire.PageSize, Name: "b"}},
						Owners: []wire.Owner{{Region: 0, Node: "m2", Epoch: 2}}}, epoch)
				} else {
					h.Depart(pid)
				}
			case 21:
				_ = h.Pass("m1", wire.MoveReq{PID: pid, To: "m2", Epoch: epoch, FromMember: epoch})
			case 22:
				out, _ := h.Drop(pid, epoch, nil)
				do(out)
			case 23:
				h.Heat(time.Second, heat.NewTop(8))
			case 24:
				if epoch == 3 {
					h.Fence("it was silent")
				}
				h.Registered(epoch)
			case 25, 26:
				var b wire.Holder
				if epoch < 3 {
					b = wire.Holder{Node: "m4", Addr: "unix:/m4", Member: 1}
				}
				at := epoch
				if p != nil && p.homeEpoch != 0 {
					at = p.homeEpoch
				}
				out, _ := h.Configure(wire.HomeConfig{PID: pid, Epoch: at, Config: call, Backup: b}, nil)
				do(out)
			case 27:
				out, _ := h.Backup(wire.HomeBackupReq{HomeEpoch: epoch, Config: 1, Seq: call, Member: epoch, Gone: addr == 0, Copy: wire.HomeCopyReq{PID: pid, Epoch: 1, Parts: 1 + uint32(addr>>wire.PageShift)%2,
					Owners: []wire.Owner{{Region: 1, Node: "m2", Epoch: 2}}, Mapped: []wire.MappedPart{{Start: testRegion, End: testRegion + wire.PageSize}}}}, "m1", nil)
				do(out)
			case 28:
				out, _ := h.TakeOver(wire.HomeRecoverReq{Config: wire.HomeConfig{PID: pid, Epoch: epoch + 3, Config: 1}, Self: "m1", Process: 1, ClientAddr: []string{"", "unix:/p3"}[epoch%2]}, "unix:/m1", nil)
				do(out)
			case 29:
				if epoch == 3 {
					h.DropBackup(pid, epoch)
				} else {
					do(h.OpenBacked(call, wire.ProcessOpenReq{PID: pid, Epoch: 1, Addr: "unix:/p4", Home: epoch}, nil))
				}
			}
			if err := h.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(t, "snapshot") == 0 {
				between = append(between, snapshot{len(k), h.AppendState(nil)})
			}
		}
		verified(t, k, between, h.AppendState(nil), func(b []byte) (*Home, error) {
			if b == nil {
				return head.New()
			}
			return head.ReadHome(b)
		}, func(c *Home, b []byte) error {
			var in HomeInput
			if err := readsBack(b, in.Read, in.code); err != nil {
				return fmt.Errorf("%v: %w", &in, err)
			}
			if got := c.Apply(&in); got.Sum != in.Sum || fmt.Sprint(got.Effects) != fmt.Sprint(in.Effects) {
				return fmt.Errorf("%v: effects %v %08x, recorded %v %08x", &in, got.Effects, got.Sum, in.Effects, in.Sum)
			}
			return c.CheckInvariants()
		}, func(c *Home) []byte { return c.AppendState(nil) })
	})
}

// TestOwnersTape makes random calls of a recorded owner role: vRegions are mapped, go and come, are lost and fenced, and their heat is read.
func TestOwnersTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := OwnersTapeHead{Node: "m1", Options: testOptions(), MaxSlots: 4}
		o := TapedOwners{Owners: NewOwners(head.Options, head.Node, head.MaxSlots)}
		var k kept
		o.Record(&k)
		var between []snapshot
		var ended []uint32 // to be released
		any := func(l ...life) (uint32, bool) {
			for i := range o.slots {
				for _, x := range l {
					if r := &o.slots[i]; r.used && r.life == x && rapid.Bool().Draw(t, "this") {
						return uint32(i), true
					}
				}
			}
			return 0, false
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			pid, region := wire.PID(rapid.IntRange(1, 2).Draw(t, "pid")), wire.RegionNo(rapid.IntRange(0, 2).Draw(t, "region"))
			epoch := wire.Epoch(rapid.IntRange(1, 3).Draw(t, "epoch"))
			start := uint64(region)*testRegion + uint64(rapid.IntRange(0, 7).Draw(t, "page"))*wire.PageSize
			mapped := []wire.MappedPart{{Start: uint64(region) * testRegion, End: uint64(region)*testRegion + wire.PageSize, Name: "a"}}
			switch rapid.IntRange(0, 18).Draw(t, "step") {
			case 0, 1, 2:
				_ = o.Map(wire.RegionMapReq{PID: pid, Region: region, RegionEpoch: epoch, Start: start, Length: wire.PageSize, Anon: true, Member: epoch % 2})
			case 3:
				_, _, _ = o.Unmap(wire.RegionUnmapReq{PID: pid, Region: region, Start: start, Length: wire.PageSize}, epoch)
			case 4:
				ended = o.Exit(pid, ended)
			case 5:
				if epoch == 3 {
					ended = o.Fence("it was silent", nil, ended)
				}
				o.Registered(epoch)
			case 6, 7:
				if n := len(ended); n > 0 {
					o.Release(ended[n-1])
					ended = ended[:n-1]
				}
			case 8:
				_ = o.Pass(wire.MoveReq{PID: pid, Region: region, To: "m2", Epoch: epoch})
			case 9:
				if s, ok := any(serving); ok {
					o.Freeze(s, "m2")
				}
			case 10:
				if s, ok := any(frozen); ok && rapid.Bool().Draw(t, "thaw") {
					o.Thaw(s, o.slots[s].epoch+1)
				} else if ok {
					o.Lose(s)
				}
			case 11:
				if s, ok := any(frozen, arriving); ok {
					o.Leave(s, []wire.NodeID{"", "m2"}[epoch%2], epoch)
				}
			case 12:
				if s, ok := any(leaving); ok {
					o.Left(s)
				}
			case 13:
				_, _ = o.Arrive(pid, region, epoch, "m3")
			case 14:
				if s, ok := any(arriving); ok {
					for i := range mapped {
						mapped[i].Start = uint64(o.slots[s].region) * testRegion
						mapped[i].End = mapped[i].Start + wire.PageSize
					}
					if epoch == 3 {
						o.Adopt(s, mapped, epoch+1)
					} else {
						o.Serve(s, mapped)
					}
				}
			case 15:
				if s, ok, err := o.Drop(pid, region, epoch); ok && err == nil {
					ended = append(ended, s)
				}
			case 17:
				_, _ = o.Hold(pid, region, epoch, "m3")
			case 18:
				_, _ = o.Recover(pid, region, epoch+1, "m3")
			case 16:
				if s, ok := any(serving); ok {
					o.Count(s)
				} else {
					o.Heat(rapid.IntRange(1, 3).Draw(t, "slots"), time.Duration(rapid.IntRange(0, 60).Draw(t, "dt"))*time.Second, heat.NewTop(8))
				}
			}
			if err := o.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(t, "snapshot") == 0 {
				between = append(between, snapshot{len(k), o.AppendState(nil)})
			}
		}
		verified(t, k, between, o.AppendState(nil), func(b []byte) (*Owners, error) {
			if b == nil {
				return head.New()
			}
			return head.ReadOwners(b)
		}, func(c *Owners, b []byte) error {
			var in OwnersInput
			if err := readsBack(b, in.Read, in.code); err != nil {
				return fmt.Errorf("%v: %w", &in, err)
			}
			if sum := c.Apply(&in); sum != in.Sum {
				return fmt.Errorf("%v: answer %08x, recorded %08x", &in, sum, in.Sum)
			}
			return c.CheckInvariants()
		}, func(c *Owners) []byte { return c.AppendState(nil) })
	})
}

// TestACountIsFree: a miss that is counted makes no record, but for the first after a rest.
func TestACountIsFree(t *testing.T) {
	o := TapedOwners{Owners: NewOwners(testOptions(), "m1", 4)}
	var k kept
	o.Record(&k)
	if err := o.Map(wire.RegionMapReq{PID: 1, RegionEpoch: 1, Length: wire.PageSize}); err != nil {
		t.Fatal(err)
	}
	n := len(k)
	if a := testing.AllocsPerRun(100, func() { o.Count(0) }); a > 0 || len(k) != n {
		t.Errorf("%v allocations, %d records", a, len(k)-n)
	}
	for range 200 {
		o.Heat(1, time.Minute, heat.NewTop(8))
	}
	n = len(k)
	for range 5 {
		o.Count(0)
	}
	if len(k) != n+1 {
		t.Errorf("%d records after a rest, want 1", len(k)-n)
	}
}

// FuzzInputs reads any bytes as records.
func FuzzInputs(f *testing.F) {
	f.Add([]byte{9, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var in HomeInput
		if in.Read(b) == nil {
			_ = in.String()
		}
		var own OwnersInput
		if own.Read(b) == nil {
			_ = own.String()
		}
	})
}

// FuzzStates reads any bytes as states. What is one is written as it was read.
func FuzzStates(f *testing.F) {
	homes, owns := HomeTapeHead{Node: "m1", Options: testOptions()}, OwnersTapeHead{Node: "m1", Options: testOptions(), MaxSlots: 4}
	h, o := NewHome(homes.Options), NewOwners(owns.Options, "m1", 4)
	f.Add(h.AppendState(nil))
	f.Add(o.AppendState(nil))
	if h.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1, Addr: "unix:/p1"}) != nil || o.Map(wire.RegionMapReq{PID: 1, RegionEpoch: 1, Length: wire.PageSize}) != nil {
		f.Fatal("a process cannot begin")
	}
	f.Add(o.AppendState(nil))
	out := h.Mmap(1, wire.MmapReq{PID: 1, Epoch: 1, Length: wire.PageSize}, nil)
	f.Add(h.AppendState(nil))
	out = h.Done(out[0].ID, Result{Owner: wire.Owner{Node: "m2", Epoch: 1}}, nil)
	f.Add(h.AppendState(nil))
	h.Done(out[0].ID, Result{}, nil)
	f.Add(h.AppendState(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := homes.ReadHome(b); err == nil {
			again, err := homes.ReadHome(h.AppendState(nil))
			if err != nil || !bytes.Equal(again.AppendState(nil), h.AppendState(nil)) {
				t.Fatalf("a home does not read back: %v", err)
			}
			_ = h.Show()
		}
		if o, err := owns.ReadOwners(b); err == nil {
			again, err := owns.ReadOwners(o.AppendState(nil))
			if err != nil || !bytes.Equal(again.AppendState(nil), o.AppendState(nil)) {
				t.Fatalf("owners do not read back: %v", err)
			}
			_ = o.Show()
		}
	})
}

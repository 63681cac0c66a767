package migrate

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// taped is a core that is recorded, with its states in between.
type taped struct {
	records [][]byte
	between []between
	state   func() []byte
	all     func() string
	make    func(state []byte) (fed, error) // nil: a new one
}

type between struct {
	at int
	b  []byte
}

// fed is a core that is made again.
type fed interface {
	feed(b []byte) error
	AppendState(b []byte) []byte
	all() string // what it knows, as Go prints it: also what AppendState might leave out
}

func (t *Taker) all() string {
	text := fmt.Sprintf("%+v %v", t.order, t.past)
	for _, in := range t.incoming {
		text += fmt.Sprintf("\n%+v", *in)
	}
	return text
}

func (g *Giver) all() string {
	x := *g
	x.changes, x.spare, x.failed = nil, nil, nil
	return fmt.Sprintf("%+v %v", x, g.failed)
}

func (x *taped) Record(b []byte) bool {
	x.records = append(x.records, bytes.Clone(b))
	return false
}
func (x *taped) State([]byte) {}
func (x *taped) End()         {}

func (x *taped) snapshot() { x.between = append(x.between, between{len(x.records), x.state()}) }

type fedTaker struct{ *Taker }

func (t fedTaker) feed(b []byte) error {
	var in TakerInput
	if err := readsBack(b, in.Read, in.code); err != nil {
		return fmt.Errorf("%v: %w", &in, err)
	}
	if sum := t.Apply(&in); sum != in.Sum {
		return fmt.Errorf("%v: answer %08x, recorded %08x", &in, sum, in.Sum)
	}
	return t.CheckInvariants()
}

type fedGiver struct{ *Giver }

func (g fedGiver) feed(b []byte) error {
	var in GiverInput
	if err := readsBack(b, in.Read, in.code); err != nil {
		return fmt.Errorf("%v: %w", &in, err)
	}
	if got := g.Apply(&in); got.Sum != in.Sum || fmt.Sprint(got.Effects) != fmt.Sprint(in.Effects) {
		return fmt.Errorf("%v: effects %v %08x, recorded %v %08x", &in, got.Effects, got.Sum, in.Effects, in.Sum)
	}
	return nil
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

func tapeTaker(t *TapedTaker) *taped {
	head := TakerTapeHead{Node: t.self, Options: t.o}
	x := &taped{all: t.all, state: func() []byte { return t.AppendState(nil) }, make: func(b []byte) (fed, error) {
		again, err := head.New()
		if b != nil {
			again, err = head.ReadTaker(b)
		}
		return fedTaker{again}, err
	}}
	t.Record(x)
	return x
}

func tapeGiver(g *TapedGiver, first wire.PageNo, pages uint64) *taped {
	head := g.TapeHead("g", first, pages)
	x := &taped{all: g.all, state: func() []byte { return g.AppendState(nil) }, make: func(b []byte) (fed, error) {
		again, err := head.New()
		if b != nil {
			again, err = head.ReadGiver(b)
		}
		return fedGiver{again}, err
	}}
	g.Record(x)
	return x
}

// verify makes the core again, from the beginning and from its states in between.
func (x *taped) verify(t *rapid.T) {
	want := x.state()
	for _, s := range append([]between{{}}, x.between...) {
		c, err := x.make(s.b)
		if err != nil {
			t.Fatalf("the state after record %d: %v", s.at, err)
		}
		if s.b != nil && !bytes.Equal(c.AppendState(nil), s.b) {
			t.Fatalf("the state after record %d is written in another way when it was read", s.at)
		}
		for i, b := range x.records[s.at:] {
			if err := c.feed(b); err != nil {
				t.Fatalf("record %d, from the state after %d on: %v", s.at+i, s.at, err)
			}
		}
		if !bytes.Equal(c.AppendState(nil), want) {
			t.Fatalf("another state after the same inputs, from that after record %d on", s.at)
		}
		if got := c.all(); got != x.all() {
			t.Fatalf("another state after the same inputs, from that after record %d on:\n%s\nwant\n%s", s.at, got, x.all())
		}
		for n := 0; n < len(s.b); n += 1 + len(s.b)/3 {
			if _, err := x.make(s.b[:n:n]); err == nil && n > 0 {
				t.Fatalf("%d of %d bytes are a state", n, len(s.b))
			}
		}
	}
}

func (w *world) verify() {
	if w.t.Failed() {
		return
	}
	for _, x := range w.tapes {
		x.verify(w.t)
	}
}

func drawError(t *rapid.T) error {
	kinds := []wire.Kind{wire.KindBusy, wire.KindNotFound, wire.KindStale, wire.KindFailed, wire.KindUnavailable, wire.KindCorrupt}
	if i := rapid.IntRange(0, 3*len(kinds)).Draw(t, "error"); i < len(kinds) {
		return wire.Errorf(kinds[i], "drawn")
	}
	return nil
}

// TestTakerTape makes random calls of a recorded taking side, of vRegions and of memory maps.
func TestTakerTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := &TapedTaker{Taker: NewTaker(DefaultOptions(), "m1")}
		x := tapeTaker(k)
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second
			id := wire.MoveID{Manager: wire.GMM, No: rapid.Uint64Range(1, 4).Draw(t, "move")}
			pid, round, part := wire.PID(id.No), rapid.Uint32Range(1, 3).Draw(t, "round"), rapid.Uint32Range(0, 1).Draw(t, "part")
			mapped := []wire.MappedPart{{Start: 4096, End: 8192, Name: "a"}}
			in := k.find(id)
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0, 1:
				if in, isNew, _ := k.Open(now, wire.RegionCopyOpenReq{Move: id, Round: round, PID: pid, Epoch: 2, From: "m2", FromAddr: "unix:/m2"}); isNew {
					in.Slot = 7
					k.Add(in)
				}
			case 2:
				_, _ = k.Copy(now, wire.RegionCopy{Move: id, Round: round, Count: 3})
			case 3:
				for range rapid.IntRange(1, 2).Draw(t, "parts") {
					_ = k.Close(now, wire.RegionCopyEndReq{Move: id, Round: round, Part: part, Parts: 2, Mapped: mapped, Pages: uint64(part)}, int(part), func([]wire.MappedPart) error { return drawError(t) })
					part++
				}
			case 4, 5:
				if in, isNew, _ := k.Map(now, wire.HomeCopyReq{Move: id, Part: part, Parts: 2, PID: pid, Mapped: mapped, Owners: []wire.Owner{{Node: "m3", Epoch: 1}}}); isNew && part == 0 {
					k.Add(in)
				}
			case 6:
				if in != nil && in.Complete {
					k.Reject(in)
				}
			case 7:
				_, _ = k.Serve(wire.MoveServeReq{Move: id, Epoch: 2})
			case 8:
				k.Drop(id)
			case 9:
				if round == 3 {
					k.Fence()
				} else {
					k.Exit(pid)
				}
			case 10:
				for _, in := range k.Idle(now) {
					k.Asked(now, in, wire.MoveState(round), drawError(t))
				}
			case 11:
				_, _ = k.Adopting(id)
				if part == 0 {
					k.Adopted(id)
				}
			}
			if err := k.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(t, "snapshot") == 0 {
				x.snapshot()
			}
		}
		x.verify(t)
	})
}

// TestGiverTapeOfAMap makes random calls of a recorded giver of a memory map.
func TestGiverTapeOfAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := wire.MoveReq{Move: wire.MoveID{Manager: wire.GPM, No: 1}, Kind: wire.MoveHome, PID: 1, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "m2", TimeoutMS: 5000}
		g := &TapedGiver{Giver: NewGiver(DefaultOptions(), req, nil)}
		x := tapeGiver(g, 0, 0)
		x.snapshot()
		now := time.Duration(0)
		g.Begin(now, nil)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if g.Ended() {
				break // its tape has
			}
			now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0, 1, 2:
				g.Hold(rapid.IntRange(0, 3).Draw(t, "held") == 0)
				g.Tick(now, nil)
			case 3, 4, 5:
				if len(g.sent) > 0 {
					g.Answered(now, g.sent[0].id, kind(drawError(t)), nil)
				}
			case 6:
				g.Copied(100)
			case 7:
				if rapid.IntRange(0, 9).Draw(t, "cancel") == 0 {
					g.Cancel(now, nil)
				}
			case 8:
				x.snapshot()
			}
			if err := g.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		x.verify(t)
	})
}

// FuzzInputs reads any bytes as records.
func FuzzInputs(f *testing.F) {
	f.Add([]byte{9, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var in TakerInput
		if in.Read(b) == nil {
			_ = in.String()
		}
		var g GiverInput
		if g.Read(b) == nil {
			_ = g.String()
		}
	})
}

// FuzzStates reads any bytes as states. What is one is written as it was read.
func FuzzStates(f *testing.F) {
	req := wire.MoveReq{Move: wire.MoveID{Manager: wire.GMM, No: 1}, PID: 1, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "m2"}
	takers, givers := TakerTapeHead{Node: "m1", Options: DefaultOptions()}, GiverTapeHead{Node: "m1", Options: DefaultOptions(), Move: req, First: 10, Pages: 100}
	k, err := takers.New()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.AppendState(nil))
	in, _, _ := k.Open(0, wire.RegionCopyOpenReq{Move: req.Move, Round: 1, PID: 1})
	k.Add(in)
	k.Drop(wire.MoveID{Manager: wire.GMM, No: 2})
	f.Add(k.AppendState(nil))
	g, err := givers.New()
	if err != nil {
		f.Fatal(err)
	}
	for p := range wire.PageNo(20) {
		g.changes.Mark(10 + 3*p)
	}
	out := g.Begin(0, nil)
	f.Add(g.AppendState(nil))
	out = g.Answered(0, out[0].ID, nil, nil)
	g.Take(out[0].ID)
	f.Add(g.AppendState(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := takers.ReadTaker(b); err == nil {
			again, err := takers.ReadTaker(k.AppendState(nil))
			if err != nil || !bytes.Equal(again.AppendState(nil), k.AppendState(nil)) {
				t.Fatalf("a taker does not read back: %v", err)
			}
			_ = k.Show()
		}
		if g, err := givers.ReadGiver(b); err == nil {
			again, err := givers.ReadGiver(g.AppendState(nil))
			if err != nil || !bytes.Equal(again.AppendState(nil), g.AppendState(nil)) {
				t.Fatalf("a giver does not read back: %v", err)
			}
			_ = g.Show()
		}
	})
}

package cachemove

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

type kept [][]byte

func (k *kept) Record(b []byte) bool {
	*k = append(*k, bytes.Clone(b))
	return false
}
func (k *kept) State([]byte) {}
func (k *kept) End()         {}

// TestTape drives a recorded giver through random answers, and makes it again from the records: from the beginning, and from each
// state in between.
func TestTape(t *testing.T) {
	ends := map[wire.MoveState]int{}
	// A few in a hundred moves are lost: there may be none in the first hundred.
	for round := 0; round == 0 || round < 20 && ends[wire.MoveLost] == 0; round++ {
		rapid.Check(t, func(t *rapid.T) { tapeOfAMove(t, ends) })
	}
	if ends[wire.MoveDone] == 0 || ends[wire.MoveUndone] == 0 || ends[wire.MoveLost] == 0 {
		t.Errorf("the moves are too alike: %v", ends)
	}
}

// tapeOfAMove is one move of TestTape, whose end it counts.
func tapeOfAMove(t *rapid.T, ends map[wire.MoveState]int) {
	req := wire.MoveReq{Move: wire.MoveID{Manager: wire.GSM, No: 1}, Kind: wire.MoveCache, Volume: 1, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "m2", TimeoutMS: 5000}
	head := TapeHead{Node: "m1", Options: DefaultOptions(), Move: req, Dirty: rapid.IntRange(0, 1000).Draw(t, "dirty")}
	first, err := head.New()
	if err != nil {
		t.Fatal(err)
	}
	g := Taped{Giver: first}
	var k kept
	g.Record(&k)
	type between struct {
		at int
		b  []byte
	}
	states := []between{{0, g.AppendState(nil)}}
	now := time.Duration(0)
	out := g.Start(now, nil)
	if rapid.IntRange(0, 9).Draw(t, "absent") == 0 {
		first, _ = head.New()
		g.Giver, k = first, nil
		out = g.Absent(now, nil)
	}
	for !g.Over() {
		states = append(states, between{len(k), g.AppendState(nil)})
		e := out[0]
		now += e.After + time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms"))*time.Millisecond
		kinds := []wire.Kind{wire.KindNone, wire.KindNone, wire.KindNone, wire.KindBusy, wire.KindTimeout, wire.KindStale}
		var err error
		if kind := rapid.SampledFrom(kinds).Draw(t, "error"); kind != wire.KindNone {
			err = wire.Errorf(kind, "drawn")
		}
		if e.Step == Clean {
			g.Cleaned(rapid.IntRange(0, 1000).Draw(t, "dirty again"))
		}
		out = g.Done(now, e.ID, err, out[:0])
		if err := g.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	ends[g.Status(now).State]++
	for _, s := range append(states, between{}) {
		c, err := head.New()
		if s.b != nil {
			c, err = head.ReadState(s.b)
		}
		if err != nil {
			t.Fatal(err)
		}
		if s.b != nil && !bytes.Equal(c.AppendState(nil), s.b) {
			t.Fatalf("the state after record %d is written in another way when it was read", s.at)
		}
		for i, b := range k[s.at:] {
			var in Input
			if in.Read(b[:len(b)-1]) == nil || in.Read(append(bytes.Clone(b), 0)) == nil {
				t.Fatalf("record %d: another length is read", i)
			}
			if err := in.Read(b); err != nil {
				t.Fatal(err)
			}
			var w tape.Coder
			if in.code(&w); !bytes.Equal(w.Written(), b) {
				t.Fatalf("%v: %x reads back as %x", &in, b, w.Written())
			}
			if got := c.Apply(&in); got.Sum != in.Sum || fmt.Sprint(got.Steps) != fmt.Sprint(in.Steps) {
				t.Fatalf("record %d, %v: %v %08x, recorded %v %08x", s.at+i, &in, got.Steps, got.Sum, in.Steps, in.Sum)
			}
		}
		if fmt.Sprintf("%+v", *c) != fmt.Sprintf("%+v", *g.Giver) {
			t.Fatalf("from the state after record %d: %+v, want %+v", s.at, *c, *g.Giver)
		}
		for n := range s.b {
			if _, err := head.ReadState(s.b[:n]); err == nil {
				t.Fatalf("%d of %d bytes are a state", n, len(s.b))
			}
		}
	}
}

// FuzzTape reads any bytes as a record and as a state.
func FuzzTape(f *testing.F) {
	head := TapeHead{Node: "m1", Options: DefaultOptions(), Dirty: 7}
	g, err := head.New()
	if err != nil {
		f.Fatal(err)
	}
	g.Start(0, nil)
	f.Add(g.AppendState(nil))
	f.Add([]byte{4, 0, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var in Input
		if in.Read(b) == nil {
			_ = in.String()
		}
		if g, err := head.ReadState(b); err == nil {
			again, err := head.ReadState(g.AppendState(nil))
			if err != nil || fmt.Sprintf("%+v", *again) != fmt.Sprintf("%+v", *g) {
				t.Fatalf("a state does not read back: %v", err)
			}
			_ = g.Show()
		}
	})
}

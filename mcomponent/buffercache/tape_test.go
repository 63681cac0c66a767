package buffercache

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/heat"
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

// random makes any calls of a cache: also those that its component would not make in that state.
type random struct {
	*rapid.T
	c    *Taped
	call uint64
	open []uint64 // storage operations under way
}

func (r *random) do(out []Effect) {
	for i := range out {
		if out[i].Kind < CopyIn {
			r.open = append(r.open, out[i].ID)
		}
	}
	if err := r.c.CheckInvariants(); err != nil {
		r.Fatal(err)
	}
}

func (r *random) err() error {
	switch rapid.IntRange(0, 9).Draw(r.T, "error") {
	case 0:
		return wire.Errorf(wire.KindUnavailable, "drawn")
	case 1:
		return wire.Errorf(wire.KindStale, "drawn")
	case 2:
		return fmt.Errorf("around it: %w", wire.Errorf(wire.KindNoSpace, "drawn"))
	}
	return nil
}

func (r *random) step() {
	v, e := wire.VolumeID(rapid.IntRange(1, 3).Draw(r.T, "volume")), wire.Epoch(rapid.IntRange(1, 3).Draw(r.T, "epoch"))
	first := rapid.IntRange(0, testSectors-1).Draw(r.T, "sector")
	n := rapid.IntRange(1, wire.SectorsPerPage-first%wire.SectorsPerPage).Draw(r.T, "sectors")
	k := wire.Block{Volume: v, VolumeEpoch: e, Offset: uint64(first) * wire.SectorSize, Length: uint32(n) * wire.SectorSize}
	if rapid.IntRange(0, 3).Draw(r.T, "call") > 0 {
		r.call++
	} else {
		r.call += 1000
	}
	c := r.c
	switch rapid.IntRange(0, 20).Draw(r.T, "step") {
	case 0, 1, 2:
		r.do(c.Read(r.call, k, nil))
	case 3, 4, 5:
		k.Version = rapid.Uint64Range(1, 1<<20).Draw(r.T, "version")
		r.do(c.Write(r.call, k, nil))
	case 6:
		r.do(c.Flush(r.call, k, nil))
	case 7, 8, 9, 10, 11:
		if len(r.open) > 0 {
			i := rapid.IntRange(0, len(r.open)-1).Draw(r.T, "done")
			id := r.open[i]
			r.open = append(r.open[:i], r.open[i+1:]...)
			r.do(c.Done(id, r.err(), nil))
		}
	case 12:
		r.do(c.Attach(r.call, wire.VolumeAttachReq{Volume: v, Epoch: e, SizeBytes: testBlocks * wire.PageSize, Storage: "s1", StorageAddr: "unix:/s1"}, nil))
	case 13:
		r.do(c.Detach(r.call, wire.VolumeRef{Volume: v, Epoch: e}, nil))
	case 14:
		_ = c.Switch(wire.SwitchReq{Volume: v, Epoch: e + 1, To: "s2", ToAddr: "unix:/s2"})
	case 15:
		r.do(c.Clean(r.call, v, nil))
	case 16:
		r.do(c.Freeze(v, wire.Errorf(wire.KindBusy, "it moves"), nil))
		r.do(c.Quiet(r.call, v, nil))
	case 17:
		c.Thaw(v, e)
	case 18:
		top := heat.NewTop(8)
		c.Heat(rapid.IntRange(0, 2).Draw(r.T, "from"), 2, time.Second, top)
	case 19:
		if rapid.Bool().Draw(r.T, "lose") {
			r.do(c.Lose(v, wire.Errorf(wire.KindFailed, "it is lost"), nil))
		} else {
			r.do(c.Discard(r.call, v, e, nil))
		}
	case 20:
		if rapid.IntRange(0, 4).Draw(r.T, "leave") == 0 {
			c.Leave(v, e)
		}
	}
	if err := c.CheckInvariants(); err != nil {
		r.Fatal(err)
	}
}

// fedAgain feeds a cache with records and compares, and gives its state at the end.
func fedAgain(t *rapid.T, c *Cache, last Last, k kept) []byte {
	for i, b := range k {
		var in Input
		before := last
		if err := in.Read(b, &last); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		rt := Taped{Cache: c, last: before, in: in}
		rt.in.code(&rt.c, &rt.last)
		if got := rt.c.Written(); !bytes.Equal(got, b) || rt.last != last {
			t.Fatalf("record %d, %v: %x reads back as %x", i, &in, b, got)
		}
		l := before
		if in.Read(b[:len(b)-1], &l) == nil || in.Read(append(bytes.Clone(b), 0), &l) == nil || l != before {
			t.Fatalf("record %d, %v: another length is read", i, &in)
		}
		if err := in.Read(b, &before); err != nil {
			t.Fatal(err)
		}
		if got := c.Apply(&in); got.Sum != in.Sum || fmt.Sprint(got.Effects) != fmt.Sprint(in.Effects) {
			t.Fatalf("record %d, %v: effects %v %08x, recorded %v %08x", i, &in, got.Effects, got.Sum, in.Effects, in.Sum)
		}
	}
	return c.AppendState(nil)
}

// TestTape makes random calls of a recorded cache. Another that gets the records answers the same, from the beginning as from any
// state between: one that was made from its bytes goes on as the one that wrote them.
func TestTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := options(t)
		opt.MaxVolumes = 3
		head := TapeHead{Node: "m1", Options: opt}
		r := random{T: t, c: &Taped{Cache: New(opt)}}
		var k kept
		r.c.Record(&k)
		type snapshot struct {
			at int
			b  []byte
		}
		var between []snapshot
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			r.step()
			if rapid.IntRange(0, 9).Draw(t, "snapshot") == 0 {
				between = append(between, snapshot{len(k), r.c.AppendTaped(nil, r.c.last)})
			}
		}
		want := r.c.AppendState(nil)
		fresh, err := head.New()
		if err != nil {
			t.Fatal(err)
		}
		if got := fedAgain(t, fresh, Last{}, k); !bytes.Equal(got, want) || fresh.Stats() != r.c.Stats() {
			t.Errorf("another state after the same inputs: %+v, want %+v", fresh.Stats(), r.c.Stats())
		}
		for _, s := range between {
			c, last, err := head.ReadTaped(s.b)
			if err != nil {
				t.Fatalf("the state after record %d: %v", s.at, err)
			}
			if got := c.AppendTaped(nil, last); !bytes.Equal(got, s.b) {
				t.Fatalf("the state after record %d is written in another way when it was read", s.at)
			}
			if got := fedAgain(t, c, last, k[s.at:]); !bytes.Equal(got, want) {
				t.Errorf("another state from that after record %d on", s.at)
			}
			if n := rapid.IntRange(0, len(s.b)-1).Draw(t, "cut"); n < len(s.b) {
				if _, _, err := head.ReadTaped(s.b[:n]); err == nil {
					t.Errorf("%d of %d bytes are a state", n, len(s.b))
				}
			}
		}
	})
}

// TestAHitIsAFewBytes: what is recorded most often is short, and is recorded without allocation.
func TestAHitIsAFewBytes(t *testing.T) {
	c := &Taped{Cache: New(DefaultOptions())}
	c.Attach(1, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: 1 << 20, Storage: "s1"}, nil)
	c.Done(1, nil, nil)
	n := 0
	c.Record(counter{&n})
	call := uint64(1)
	var out []Effect
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: wire.PageSize}
	pass := func() {
		for block := range uint64(16) {
			call++
			k.Offset = block * wire.PageSize
			if out = c.Read(call, k, out[:0]); len(out) == 1 && out[0].Kind == ReadStorage {
				out = c.Done(out[0].ID, nil, out)
			}
		}
	}
	pass()
	n = 0
	if pass(); n > 16*12 {
		t.Errorf("16 hits have %d bytes", n)
	}
	if a := testing.AllocsPerRun(100, pass); a > 0 {
		t.Errorf("16 hits make %v allocations", a)
	}
}

type counter struct{ n *int }

func (c counter) Record(b []byte) bool {
	*c.n += len(b)
	return false
}
func (counter) State([]byte) {}
func (counter) End()         {}

// FuzzInput reads any bytes as a record, and makes its call.
func FuzzInput(f *testing.F) {
	f.Add([]byte{0x81, 0, 8, 1, 5, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var in Input
		var last Last
		if in.Read(b, &last) == nil {
			_ = in.String()
		}
	})
}

// FuzzState reads any bytes as a state. What is one is written as it was read, and its invariants hold.
func FuzzState(f *testing.F) {
	head := TapeHead{Node: "m1", Options: Options{Blocks: 4, Window: 2, MaxWaiters: 2, MaxVolumes: 2}}
	c := &Taped{Cache: New(head.Options)}
	f.Add(c.AppendTaped(nil, c.last))
	c.Attach(1, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: 1 << 20, Storage: "s1"}, nil)
	c.Done(1, nil, nil)
	for i := range uint64(6) {
		c.Write(i+2, wire.Block{Volume: 1, VolumeEpoch: 1, Version: i + 1, Offset: i * wire.PageSize, Length: 1024}, nil)
		c.Read(i+9, wire.Block{Volume: 1, VolumeEpoch: 1, Offset: i * wire.PageSize, Length: 4096}, nil)
		f.Add(c.AppendTaped(nil, c.last))
		c.Done(i+2, nil, nil)
		f.Add(c.AppendTaped(nil, c.last))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, last, err := head.ReadTaped(b)
		if err != nil {
			return
		}
		again, _, err := head.ReadTaped(c.AppendTaped(nil, last))
		if err != nil || !bytes.Equal(again.AppendState(nil), c.AppendState(nil)) {
			t.Fatalf("a state does not read back: %v", err)
		}
		_ = c.Show()
	})
}

package volume

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

var testBoot = BootID{1}

func testVolume(t interface{ Fatal(...any) }) *Volume {
	m, err := Check(wire.VolumeCreateReq{Volume: 3, Epoch: 1, Name: "db.main-1", SizeBytes: 10_000}, testBoot)
	if err != nil {
		t.Fatal(err)
	}
	return New(m, testBoot)
}

// TestMarksAndEpochs runs random requests of three epochs against the rules in their plainest form.
func TestMarksAndEpochs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := testVolume(t)
		epoch, open, synced, failed := wire.Epoch(1), uint64(0), uint64(0), false
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			e := wire.Epoch(rapid.IntRange(1, 3).Draw(t, "epoch"))
			gen := rapid.Uint64Range(1, 5).Draw(t, "generation")
			op := rapid.SampledFrom([]string{"attach", "read", "mark", "flush"}).Draw(t, "op")
			k := wire.Block{Volume: 3, VolumeEpoch: e, Version: gen}
			var err error
			var p Persist
			switch op {
			case "attach":
				p, err = v.Attach(wire.VolumeAttachReq{Volume: 3, Epoch: e, SizeBytes: 4096})
			case "read":
				k.Length = 512
				p, err = v.Read(k)
			case "mark":
				_, p, err = v.Write(k)
			case "flush":
				if p, err = v.Flush(k); err == nil {
					v.Flushed(k)
				}
			}
			want := wire.KindNone
			switch fresh := op == "attach" || e > epoch; {
			case e < epoch:
				want = wire.KindStale
			case failed:
				want = wire.KindFailed
			case fresh && open > 0:
				failed, want = true, wire.KindFailed
			case fresh:
				if e > epoch && p < Synced {
					t.Fatalf("epoch %d was not made durable: %v", e, p)
				}
				epoch, synced = e, 0
			}
			if want == wire.KindNone && op == "mark" && gen > synced {
				open = max(open, gen)
			}
			if want == wire.KindNone && op == "flush" {
				if synced = max(synced, gen); open <= gen {
					open = 0
				}
			}
			if wire.KindOf(err) != want {
				t.Fatalf("%s of generation %d under epoch %d: %v, want %v", op, gen, e, err, want)
			}
			if m := v.Meta(); m.Epoch != epoch || m.Open != open || (m.Failure != "") != failed {
				t.Fatalf("facts %+v, want epoch %d, open %d, failed %v", m, epoch, open, failed)
			}
			if err := v.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestALateDuplicateNeverReplacesANewerWrite(t *testing.T) {
	v := testVolume(t)
	for _, c := range []struct {
		version uint64
		apply   bool
	}{{5, true}, {4, false}, {5, true}, {6, true}} {
		apply, _, err := v.Write(wire.Block{Volume: 3, VolumeEpoch: 1, Version: c.version, Offset: 4096, Length: 512})
		if err != nil || apply != c.apply {
			t.Errorf("write of version %d: apply %v, %v, want %v", c.version, apply, err, c.apply)
		}
	}
}

func TestBounds(t *testing.T) {
	v := testVolume(t) // 10 000 bytes are rounded up to 12 288
	for _, c := range []struct {
		off  uint64
		n    uint32
		want wire.Kind
	}{{8192, 4096, wire.KindNone}, {12288, 512, wire.KindBadRequest}, {^uint64(0) - 511, 512, wire.KindBadRequest}, {0, 0, wire.KindBadRequest}} {
		if _, err := v.Read(wire.Block{VolumeEpoch: 1, Offset: c.off, Length: c.n}); wire.KindOf(err) != c.want {
			t.Errorf("read of %d at %d: %v, want %v", c.n, c.off, err, c.want)
		}
	}
	for _, name := range []string{"", ".hidden", "-flag", "a/b", "a b", "ä", "x\x00", string(make([]byte, 65))} {
		if _, err := Check(wire.VolumeCreateReq{Volume: 1, Name: name, SizeBytes: 1}, testBoot); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("name %q: %v, want a bad request", name, err)
		}
	}
	for _, size := range []uint64{0, MaxSize + 1, ^uint64(0)} {
		if _, err := Check(wire.VolumeCreateReq{Volume: 1, Name: "a", SizeBytes: size}, testBoot); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("size %d: %v, want a bad request", size, err)
		}
	}
}

func TestATornHeaderLeavesTheOlderOne(t *testing.T) {
	v := testVolume(t)
	file := make([]byte, 2*HeaderLen)
	for range 2 {
		b, off := v.Header()
		copy(file[off:], b)
	}
	v.meta.Epoch = 9
	b, off := v.Header()
	copy(file[off:], b[:100]) // torn
	m, err := ParseHeaders(file)
	if err != nil || m.Epoch != 1 || m.Sequence != 2 {
		t.Errorf("after a torn header: %+v, %v", m, err)
	}
}

func TestFileNames(t *testing.T) {
	for _, id := range []wire.VolumeID{0, 7, 1<<32 - 1} {
		for name, kind := range map[string]string{ImageName(id): "img", SumsName(id): "crc", NewName(id): "new"} {
			if got, k, ok := ParseName(name); !ok || got != id || k != kind {
				t.Errorf("%s: %d, %s, %v", name, got, k, ok)
			}
		}
	}
	for _, name := range []string{"vol-01.img", "vol-1.img~", "vol-.crc", "vol--1.crc", "lock", "vol-4294967296.img", "vol-+1.img"} {
		if _, _, ok := ParseName(name); ok {
			t.Errorf("%s was taken for a file of a volume", name)
		}
	}
}

func FuzzParseHeaders(f *testing.F) {
	m := Meta{ID: 3, Name: "data", SizeBytes: 1 << 20, Epoch: 4, Open: 2, Failure: "gone", Sequence: 6, Boot: testBoot}
	f.Add(m.Append(m.Append(nil)))
	f.Add(append(m.Append(nil), make([]byte, HeaderLen)...))
	f.Add(append(make([]byte, HeaderLen), m.Append(nil)...))
	f.Add([]byte("SKVOLUME"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseHeaders(b)
		if err != nil {
			return
		}
		out := m.Append(nil)
		if !bytes.Equal(out[:508], b[:508]) && !bytes.Equal(out[:508], b[HeaderLen:HeaderLen+508]) {
			if again, err := ParseHeaders(append(out, make([]byte, HeaderLen)...)); err != nil || again != m {
				t.Fatalf("%+v reads back as %+v, %v", m, again, err)
			}
		}
	})
}

func TestEntries(t *testing.T) {
	hole, ok := ParseEntry(make([]byte, EntryLen))
	if !ok || !hole.Zeros() || hole.Version != (wire.BlockVersion{}) || hole.Sums[7] != wire.Checksum(make([]byte, wire.SectorSize)) {
		t.Errorf("a hole is %+v, whole %t", hole, ok)
	}
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{Version: wire.BlockVersion{Epoch: wire.Epoch(rapid.Uint32().Draw(t, "epoch")), No: rapid.Uint64().Draw(t, "no")}}
		for i := range e.Sums {
			e.Sums[i] = rapid.Uint32().Draw(t, "sum")
		}
		b := bytes.Repeat([]byte{0xff}, EntryLen)
		e.Put(b)
		if got, ok := ParseEntry(b); !ok || got != e {
			t.Fatalf("%+v reads back as %+v, whole %t", e, got, ok)
		}
		b[rapid.IntRange(0, EntryLen-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, ok := ParseEntry(b); ok {
			t.Fatal("an entry with a bit changed was taken for whole")
		}
	})
}

func TestARestartOfTheMachineEndsTheAttachment(t *testing.T) {
	v := New(testVolume(t).Meta(), BootID{2})
	k := wire.Block{Volume: 3, VolumeEpoch: 1, Length: 512}
	if _, err := v.Read(k); !errors.Is(err, wire.ErrFailed) {
		t.Errorf("read by the cache that attached before: %v", err)
	}
	if p, err := v.Attach(wire.VolumeAttachReq{Volume: 3, Epoch: 1}); err != nil || p != Synced {
		t.Errorf("attach anew: %v, %v", p, err)
	}
	if _, err := v.Read(k); err != nil {
		t.Errorf("read after that: %v", err)
	}
}

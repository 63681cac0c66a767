package volume

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

func record(tapes *tapedtest.Tapes, v *Volume) *Taped {
	t, h := &Taped{Volume: v}, v.Head("s1")
	t.Record(tapes, v, TapeKind, &h)
	return t
}

func remake(_ string, head []byte) (taped.Core, error) {
	h, err := taped.Read[TapeHead](head)
	if err != nil {
		return nil, err
	}
	return h.New(nil)
}

// TestAgain: a volume that is made again by its tape, also from a snapshot on, answers the same, wherever it moves and
// whatever fails.
func TestAgain(t *testing.T) {
	seen := map[Persist]int{}
	failed, applied, refused := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 4))
		m, err := Check(wire.VolumeCreateReq{Volume: 3, Epoch: 1, Name: "v", SizeBytes: 3 * chunkBlocks * wire.PageSize}, testBoot)
		if err != nil {
			t.Fatal(err)
		}
		var tapes tapedtest.Tapes
		v := record(&tapes, New(m, testBoot))
		e, gen := wire.Epoch(1), uint64(1)
		for range 80 {
			if rng.IntN(12) == 0 {
				e++
			}
			if rng.IntN(4) == 0 {
				gen++
			}
			k := wire.Block{Volume: 3, VolumeEpoch: e - wire.Epoch(rng.IntN(2)), Version: gen - uint64(rng.IntN(2)), Offset: rng.Uint64N(3*chunkBlocks+1) * wire.PageSize, Length: wire.PageSize}
			var p Persist
			var err error
			switch n := rng.IntN(40); {
			case n < 12:
				var apply bool
				if apply, p, err = v.Write(k); apply {
					applied++
				}
			case n < 16:
				k.Length = 0
				_, p, err = v.Write(k)
			case n < 24:
				p, err = v.Read(k)
			case n < 33:
				if p, err = v.Flush(k); err == nil {
					p = max(p, v.Flushed(k))
				}
			case n < 36:
				p, err = v.Attach(wire.VolumeAttachReq{Volume: 3, Epoch: e, SizeBytes: wire.PageSize})
			case n < 37 && rng.IntN(4) == 0:
				p, err = v.Fail("the disk is gone")
			case n < 38:
				p = v.Raise(e)
			case n < 39: // to another sComponent, whose machine may be started again before it serves
				var end wire.VolumeCopyEndReq
				v.Leave(&end)
				m := v.Meta()
				v = record(&tapes, Arrive(wire.VolumeCopyOpenReq{Volume: 3, Name: m.Name, SizeBytes: m.SizeBytes, Epoch: e}, end, testBoot))
				if rng.IntN(2) == 0 {
					v = record(&tapes, New(v.Meta(), BootID{2}))
				}
				p = v.Arrived()
			default: // its process is started again
				v = record(&tapes, New(v.Meta(), testBoot))
			}
			if seen[p]++; p != Nothing {
				v.Header()
			}
			if err != nil {
				refused++
			}
		}
		if v.Meta().Failure != "" {
			failed++
		}
		tapes.Again(t, rng, remake)
	})
	if seen[Written] == 0 || seen[Synced] == 0 || failed == 0 || applied == 0 || refused == 0 {
		t.Errorf("%v headers, %d failed, %d writes applied, %d requests refused: the test tries too little", seen, failed, applied, refused)
	}
}

// TestMemoryIsAskedFor: a tape says where it writes, and that costs memory.
func TestMemoryIsAskedFor(t *testing.T) {
	left := int64(2 * chunkBlocks * 8)
	h := TapeHead{Meta: Meta{ID: 3, Name: "v", SizeBytes: 100 * chunkBlocks * wire.PageSize, Epoch: 1, Boot: testBoot}, Boot: testBoot}
	make := func() *Volume {
		left := left
		v, err := h.New(func(n int64) error {
			if left -= n; left < 0 {
				return wire.Errorf(wire.KindNoMemory, "%d bytes too many", -left)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	write := func(v *Volume, chunk uint64) error {
		k := wire.Block{VolumeEpoch: 1, Version: 1, Offset: chunk * chunkBlocks * wire.PageSize, Length: wire.PageSize}
		_, _, err := v.Apply(inWrite, appendBlock(nil, &k))
		return err
	}
	v := make()
	for _, chunk := range []uint64{1, 1, 7} {
		if err := write(v, chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := make().Restore(v.Snapshot(nil)); err != nil {
		t.Fatal(err)
	}
	if write(v, 8) == nil {
		t.Error("a third chunk is taken")
	}
	left /= 2
	if make().Restore(v.Snapshot(nil)) == nil {
		t.Error("two chunks are restored")
	}
}

// TestRecordAllocates: nothing, once its buffers are there.
func TestRecordAllocates(t *testing.T) {
	v := testVolume(t)
	r := &Taped{Volume: v}
	h := v.Head("s1")
	r.Record(tapedtest.Nothing{}, v, TapeKind, &h)
	k := wire.Block{Volume: 3, VolumeEpoch: 1, Offset: 4096, Length: 4096, Version: 1 << 20}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Read(k); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Write(k); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a read and a write", n)
	}
}

// BenchmarkRecord is what a record of a block costs, beside what the writer of the tape does with it.
func BenchmarkRecord(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(map[bool]string{false: "off", true: "on"}[on], func(b *testing.B) {
			v := testVolume(b)
			r := &Taped{Volume: v}
			if h := v.Head("s1"); on {
				r.Record(tapedtest.Nothing{}, v, TapeKind, &h)
			}
			k := wire.Block{Volume: 3, VolumeEpoch: 1, Offset: 4096, Length: 4096, Version: 1 << 20}
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = r.Write(k)
			}
		})
	}
}

package checkpoint

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// remake makes a core of a tape anew.
func remake(kind string, head []byte) (taped.Core, error) {
	switch kind {
	case KeeperTapeKind:
		h := KeeperHead{}
		if err := wire.Unmarshal(head, &h); err != nil {
			return nil, err
		}
		return h.New()
	case RestorerTapeKind:
		h := RestorerHead{}
		if err := wire.Unmarshal(head, &h); err != nil {
			return nil, err
		}
		return h.New(), nil
	}
	return nil, errors.New("no such core")
}

// TestKeeper makes accesses, writes of blocks and checkpoints at random, steps of which fail for a while, and for good: each step comes after
// those before it, checkpoints have their numbers one after the other and fall on multiples of the interval unless they are early, no more is
// issued than until the next, a block is kept once between two, and the log never has more than its room.
func TestKeeper(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Every: rapid.SampledFrom([]uint64{0, 7, 100}).Draw(t, "every"), LogBytes: 16 * wire.PageSize, Patience: time.Second, Pause: time.Millisecond}
		tapes := &tapedtest.Tapes{}
		head := KeeperHead{Node: "p1", PID: 7, Options: o, Epoch: 1}
		core, err := head.New()
		if err != nil {
			t.Fatal(err)
		}
		k := &TapedKeeper{Keeper: core}
		k.Record(tapes, core, KeeperTapeKind, &head)
		now, made, version, want := time.Duration(1), uint64(0), uint64(0), uint64(0)
		kept, log := map[uint64]bool{}, uint64(0)
		hurry := false
		order := []EffectKind{Drain, Sync, Save, Tell}
		checkpoint := func() (failed bool) {
			for at := 0; ; {
				now += time.Duration(rapid.IntRange(0, 400).Draw(t, "time")) * time.Millisecond
				e := k.Next(now, made)
				var o Outcome
				switch {
				case e.Kind == Pause:
					now = e.Until
				case e.Kind == Go:
					if e.Err == nil && at != len(order) {
						t.Fatalf("the threads go on at step %d", at)
					}
					return e.Err != nil
				case e.Kind != order[at] || e.Cut.Number != want:
					t.Fatalf("%+v, want step %d of checkpoint %d", e, order[at], want)
				case rapid.IntRange(0, 9).Draw(t, "fails") == 0:
					o.Err = wire.Errorf(rapid.SampledFrom([]wire.Kind{wire.KindUnavailable, wire.KindFailed}).Draw(t, "kind"), "no")
				default:
					at++
				}
				version++
				o.Version = version
				k.Step(now, made, o)
				if err := k.CheckInvariants(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "runs") {
			if k.Due(made) {
				if want > 0 && !hurry && (o.Every == 0 || made%o.Every != 0) {
					t.Fatalf("checkpoint %d after %d accesses, one is made at every %d", want, made, o.Every)
				}
				if checkpoint() {
					break
				}
				last, is := k.Last()
				if !is || last.Number != want {
					t.Fatalf("the last is %+v, want %d", last, want)
				}
				want, hurry, log = want+1, false, 0
				clear(kept)
			}
			made += min(k.Left(made), uint64(rapid.IntRange(0, 60).Draw(t, "accesses")))
			if rapid.Bool().Draw(t, "write") && !k.Due(made) {
				first := uint64(rapid.IntRange(0, 9).Draw(t, "block"))
				end := first + uint64(rapid.IntRange(0, 5).Draw(t, "more"))
				g, err := k.Guard(0, first, end)
				if err != nil {
					t.Fatal(err)
				}
				if hurry = hurry || g.First; g.First {
					continue
				}
				if g.At != log {
					t.Fatalf("records at %d of the log, want %d", g.At, log)
				}
				fresh := map[uint64]bool{}
				for _, u := range g.Undo {
					for s := range u.Sectors {
						fresh[(u.Sector+uint64(s))/wire.SectorsPerPage] = true
					}
					log += u.Bytes()
				}
				for b := first; b <= end; b++ {
					if fresh[b] == kept[b] {
						t.Fatalf("block %d: kept before %t, now %t", b, kept[b], fresh[b])
					}
					kept[b] = true
				}
				if log > o.LogBytes {
					t.Fatalf("%d bytes of a log of %d", log, o.LogBytes)
				}
			}
		}
		tapes.Again(t, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "chance"), 1)), remake)
	})
}

// TestRestorer brings a process back while steps fail, for a while and for good: they come in their order, and it ends.
func TestRestorer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tapes := &tapedtest.Tapes{}
		head := RestorerHead{Node: "p1", PID: 7, Epoch: 4, Options: RestoreOptions{Patience: time.Second, Pause: time.Millisecond}, Now: 1}
		r := &TapedRestorer{Restorer: head.New()}
		r.Record(tapes, r.Restorer, RestorerTapeKind, &head)
		now, want := time.Duration(1), Attach
		for steps := 0; ; steps++ {
			if steps > 10_000 {
				t.Fatal("it does not end")
			}
			e := r.Next(now)
			if e.Kind == Over {
				break
			}
			var o Restored
			switch {
			case e.Kind == Rest:
				now = e.Until
			case e.Kind != want:
				t.Fatalf("%v, want %v", e.Kind, want)
			case rapid.IntRange(0, 3).Draw(t, "fails") == 0:
				o.Err = wire.Errorf(rapid.SampledFrom([]wire.Kind{wire.KindUnavailable, wire.KindNotFound, wire.KindFailed}).Draw(t, "kind"), "no")
			default:
				if o.Found = rapid.IntRange(0, 5).Draw(t, "found") > 0; want != Read || o.Found {
					want++
				}
				o.Cut, o.Done = wire.Cut{Number: 3}, 30
			}
			now += time.Duration(rapid.IntRange(0, 300).Draw(t, "time")) * time.Millisecond
			r.Step(now, o)
			if err := r.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		if st := r.Status(); st.State == wire.RestartUnder || (st.State == wire.RestartRunning) != (want == Rest) || st.State == wire.RestartRunning && (st.Cut.Number != 3 || st.Done != 30) {
			t.Fatalf("%+v after %v", st, want)
		}
		tapes.Again(t, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "chance"), 1)), remake)
	})
}

// TestFormat writes checkpoints and records and reads them back; with any bit of them changed they are not there.
func TestFormat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := LayoutOf(MinBytes)
		body := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "body")
		h := Head{PID: 7, Cut: wire.Cut{Number: rapid.Uint64().Draw(t, "number"), Epoch: 4, Version: 99}, Done: 12}
		b, err := l.EncodeSlot(h, body)
		if err != nil || len(b)%wire.SectorSize != 0 {
			t.Fatal(len(b), err)
		}
		whole := func(b []byte) bool {
			got, ok := l.ParseHead(b)
			if !ok || got.Body > uint64(len(b)-HeadBytes) || !got.Holds(b[HeadBytes:HeadBytes+got.Body]) {
				return false
			}
			h.Body, h.Sum = got.Body, got.Sum
			return got == h && bytes.Equal(b[HeadBytes:HeadBytes+got.Body], body)
		}
		if !whole(b) {
			t.Fatal("it does not read back")
		}
		at := rapid.IntRange(0, slotSum+4+len(body)-1).Draw(t, "at")
		if at >= slotSum+4 {
			at += HeadBytes - slotSum - 4
		}
		if b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit"); at < 60 || at >= slotSum { // bytes 60 to 63 mean nothing, but are covered
			if whole(b) {
				t.Fatalf("byte %d was changed, and it is still there", at)
			}
		}
		u := Undo{Number: 3, Epoch: 4, No: 5, Volume: 1, Sector: 80, Sectors: 16}
		r := make([]byte, u.Bytes())
		copy(r[HeadBytes:], body[:min(len(body), len(r)-HeadBytes)])
		EncodeUndo(u, r)
		if got, sum, ok := ParseUndo(r); !ok || got != u || sum != UndoSum(r[HeadBytes:]) {
			t.Fatalf("%+v, %t", got, ok)
		}
		r[rapid.IntRange(0, undoSum+3).Draw(t, "at in the record")] ^= 4
		if _, _, ok := ParseUndo(r); ok {
			t.Fatal("a changed record is still there")
		}
	})
	if _, err := LayoutOf(MinBytes).EncodeSlot(Head{}, make([]byte, MinBytes/4)); wire.KindOf(err) != wire.KindNoRoom {
		t.Errorf("a body that does not fit: %v", err)
	}
}

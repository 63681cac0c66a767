package pagestore

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// kept is a tape that keeps its records.
type kept [][]byte

func (k *kept) Record(b []byte) { *k = append(*k, append([]byte(nil), b...)) }

// TestTape makes random calls of a recorded store: each record reads back as the call, and another store that gets them
// answers the same. One that misses any call that changed something does not stay the same.
func TestTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const capacity = 16
		s := Taped{Store: New(capacity)}
		var k kept
		s.Record(&k)
		var out []Frame
		for range rapid.IntRange(1, 80).Draw(t, "calls") {
			g, pid, page := rapid.Uint32Range(0, 2).Draw(t, "group"), wire.PID(1), wire.PageNo(0)
			page = wire.PageNo(g*8) + wire.PageNo(rapid.IntRange(0, 7).Draw(t, "page"))
			c := Content{wire.Epoch(rapid.IntRange(1, 2).Draw(t, "epoch")), rapid.Uint64Range(1, 9).Draw(t, "version"), rapid.Uint32().Draw(t, "sum"), rapid.Bool().Draw(t, "flushed")}
			switch rapid.IntRange(0, 9).Draw(t, "call") {
			case 0, 1:
				s.Miss(g, pid, page)
			case 2, 3:
				s.Flush(g, pid, page, c.Epoch, c.Version, c.Sum)
			case 4:
				s.Unmap(g, pid, page, rapid.Uint64Range(1, 8).Draw(t, "n"))
			case 5:
				s.FreeGroup(g, rapid.IntRange(1, 4).Draw(t, "limit"))
			case 6:
				s.Put(g, pid, page, c)
			case 7:
				into := make([]Frame, rapid.IntRange(1, 6).Draw(t, "frames"))
				if s.Reserve(into) {
					out = append(out, into...)
				}
			case 8:
				if len(out) > 0 && rapid.Bool().Draw(t, "release") {
					s.Release(out)
					out = nil
				} else if len(out) > 0 {
					s.Install(g, pid, page, c, out[0])
					out = out[1:]
				}
			case 9:
				s.Remove(pid, page)
			}
		}
		again := New(capacity)
		for i, b := range k {
			var in Input
			if err := in.Read(b, capacity); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			if got := in.append(nil); string(got) != string(b) {
				t.Fatalf("record %d, %v: %x reads back as %x", i, &in, b, got)
			}
			if sum := again.Apply(&in); sum != in.Sum {
				t.Fatalf("record %d, %v: answer %08x, recorded %08x", i, &in, sum, in.Sum)
			}
			if in.Read(b[:len(b)-1], capacity) == nil || in.Read(append(b, 0), capacity) == nil {
				t.Fatalf("record %d, %v: another length is read", i, &in)
			}
		}
		if again.Stats() != s.Stats() || again.Reserved() != s.Reserved() {
			t.Errorf("%+v, recorded %+v", again.Stats(), s.Stats())
		}
		if err := again.CheckInvariants(); err != nil {
			t.Error(err)
		}
	})
}

// FuzzInput reads any bytes as a record.
func FuzzInput(f *testing.F) {
	f.Add([]byte{1, 0, 1, 2, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var in Input
		if in.Read(b, 16) == nil {
			_ = in.String()
		}
	})
}

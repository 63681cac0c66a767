package pagestore

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// kept is a tape that keeps its records, and wants a state behind those whose number wants has.
type kept struct {
	records [][]byte
	wants   int
	states  map[int][]byte // by the number of records before them
}

func (k *kept) Record(b []byte) bool {
	k.records = append(k.records, bytes.Clone(b))
	return k.wants > 0 && len(k.records)%k.wants == 0
}

func (k *kept) State(b []byte) { k.states[len(k.records)] = bytes.Clone(b) }
func (k *kept) End()           {}

// TestTape makes random calls of a recorded store: each record reads back as the call, and another store that gets them
// answers the same. So does one that begins anywhere, at the state that the store had there, and both come to equal states.
func TestTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const capacity = 16
		s := Taped{Store: New(capacity)}
		k := kept{wants: rapid.IntRange(1, 20).Draw(t, "state"), states: map[int][]byte{}}
		s.Record(&k)
		var out []Frame
		for range rapid.IntRange(1, 80).Draw(t, "calls") {
			g, pid, page := rapid.Uint32Range(0, 2).Draw(t, "group"), wire.PID(1), wire.PageNo(0)
			page = wire.PageNo(g*8) + wire.PageNo(rapid.IntRange(0, 7).Draw(t, "page"))
			c := Content{wire.Epoch(rapid.IntRange(1, 2).Draw(t, "epoch")), rapid.Uint64Range(1, 9).Draw(t, "version"), rapid.Uint32().Draw(t, "sum"), rapid.Bool().Draw(t, "flushed")}
			at := wire.Cut{Number: rapid.Uint64Range(0, 4).Draw(t, "number"), Epoch: c.Epoch, Version: c.Version}
			switch rapid.IntRange(0, 13).Draw(t, "call") {
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
			case 10:
				s.Cut(g, at)
			case 12:
				s.Keep(g, pid, page, c, at.Pre())
			case 13:
				s.Forget(g, page)
			case 11:
				_, _, _ = s.Rollback(g, at) // one that is refused is on the tape, too
			}
		}
		make := []func(int) *Store{New, NewGrowing}[rapid.IntRange(0, 1).Draw(t, "growing")]
		again := make(capacity)
		stores := []*Store{again}
		for i, b := range k.records {
			var in Input
			if err := in.Read(b, capacity, 3); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			if got := in.append(nil); string(got) != string(b) {
				t.Fatalf("record %d, %v: %x reads back as %x", i, &in, b, got)
			}
			for k, s := range stores {
				if sum := s.Apply(&in); sum != in.Sum {
					t.Fatalf("record %d, %v: answer of store %d %08x, recorded %08x", i, &in, k, sum, in.Sum)
				}
			}
			if in.Read(b[:len(b)-1], capacity, 3) == nil || in.Read(append(b, 0), capacity, 3) == nil {
				t.Fatalf("record %d, %v: another length is read", i, &in)
			}
			state, ok := k.states[i+1]
			if !ok {
				continue
			}
			for k, s := range stores {
				if got := s.AppendState(nil); !bytes.Equal(got, state) {
					t.Fatalf("behind record %d: store %d has the state\n%x, recorded was\n%x", i, k, got, state)
				}
			}
			from := make(capacity)
			if err := from.RestoreState(state, 3); err != nil {
				t.Fatalf("behind record %d: %v", i, err)
			}
			if stores = append(stores, from); from.Stats() != again.Stats() || !bytes.Equal(from.AppendState(nil), state) {
				t.Fatalf("behind record %d: restored %+v, want %+v", i, from.Stats(), again.Stats())
			}
			if make(capacity).RestoreState(state[:len(state)-1], 3) == nil || make(capacity).RestoreState(append(state, 0), 3) == nil {
				t.Fatal("a state of another length is restored")
			}
		}
		for _, s := range stores {
			if err := s.CheckInvariants(); err != nil {
				t.Error(err)
			}
		}
		if again.Stats() != s.Stats() || again.Reserved() != s.Reserved() {
			t.Errorf("%+v, recorded %+v", again.Stats(), s.Stats())
		}
	})
}

// TestFramesOfATape: a tape that gives a frame back that is not reserved, or twice, is refused, for it would tie lists into loops.
func TestFramesOfATape(t *testing.T) {
	for _, frames := range [][]Frame{{0}, {1, 1}, {3}, {9}} {
		s := New(16)
		s.Flush(0, 1, 1, 1, 1, 1)
		s.Reserve(make([]Frame, 2)) // 1 and 2
		for _, in := range []Input{{Kind: InRelease, Frames: frames}, {Kind: InInstall, PID: 1, Page: 2, Frames: frames}} {
			if in.Kind == InInstall && len(frames) > 1 {
				continue
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%v of frames %v is made", in.Kind, frames)
					}
				}()
				s.Apply(&in)
			}()
		}
	}
}

// FuzzState restores any bytes: an error, or a store that is sound and writes the same state but for how numbers are written.
func FuzzState(f *testing.F) {
	s := New(16)
	for p := range wire.PageNo(12) {
		s.Flush(uint32(p%3), 1, p*p, 1, uint64(p), uint32(p*7919))
	}
	s.Miss(2, 1, 5)
	s.Remove(1, 4)
	s.Reserve(make([]Frame, 2))
	f.Add(s.AppendState(nil))
	f.Add(New(16).AppendState(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New(16)
		if s.RestoreState(b, 3) != nil {
			return
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		again := New(16)
		if err := again.RestoreState(s.AppendState(nil), 3); err != nil || again.Stats() != s.Stats() {
			t.Fatalf("%v: %+v, then %+v", err, s.Stats(), again.Stats())
		}
		for p := range wire.PageNo(40) {
			s.Flush(1, 2, p, 1, 1, 1)
			s.Unmap(uint32(p%3), 1, 0, 20)
		}
	})
}

// FuzzInput reads any bytes as a record.
func FuzzInput(f *testing.F) {
	f.Add([]byte{1, 0, 1, 2, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var in Input
		if in.Read(b, 16, 3) == nil {
			_ = in.String()
		}
	})
}

// BenchmarkState encodes the state of a full store of 1 GiB: what a core stands still for once in a segment.
func BenchmarkState(b *testing.B) {
	const pages = 1 << 18
	s := New(pages)
	for p := range wire.PageNo(pages) {
		q := p * 7919 % pages
		s.Flush(uint32(q/4096), 1, q, 1, uint64(p), uint32(p*2654435761))
	}
	var state []byte
	for b.Loop() {
		state = s.AppendState(state[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pages, "ns/page")
	b.ReportMetric(float64(len(state))/pages, "B/page")
}

package pagestore

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of this core's tapes.
const TapeKind = "mcomponent/pagestore"

// TapeHead says how to make the store of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node     wire.NodeID
	Capacity int
	Groups   int // that there may be: the table of groups grows to the largest
}

// InputKind says which call a record holds. Numbers are those of the format: explicit, never reused.
type InputKind uint8

// The inputs. Watch and Unwatch are none: they change no answer of the store.
const (
	InMiss      InputKind = 1
	InFlush     InputKind = 2
	InUnmap     InputKind = 3
	InFreeGroup InputKind = 4
	InPut       InputKind = 5
	InReserve   InputKind = 6
	InRelease   InputKind = 7
	InInstall   InputKind = 8
	InRemove    InputKind = 9
	InCut       InputKind = 10
	InRollback  InputKind = 11
	InKeep      InputKind = 12
	InForget    InputKind = 13
)

var inputNames = []string{"", "miss", "flush", "unmap", "free_group", "put", "reserve", "release", "install", "remove", "cut", "rollback", "keep", "forget"}

func (k InputKind) String() string {
	if int(k) < len(inputNames) {
		return inputNames[k]
	}
	return fmt.Sprintf("input(%d)", uint8(k))
}

// Input is one call and a checksum of its answer. Which fields are set depends on the kind, as the parameters of the method of
// that name say.
type Input struct {
	Kind    InputKind
	Group   uint32
	PID     wire.PID
	Page    wire.PageNo
	N       uint64 // of unmap: pages; of free_group: the limit; of reserve: how many; of cut and rollback: the number of the checkpoint; of keep: its mark
	Content Content
	Frames  []Frame // of release: all, of install: one
	Sum     uint32
}

// String names the input, for people.
func (in *Input) String() string {
	switch in.Kind {
	case InFreeGroup:
		return fmt.Sprintf("%v group=%d", in.Kind, in.Group)
	case InReserve:
		return fmt.Sprintf("%v frames=%d", in.Kind, in.N)
	case InCut, InRollback:
		return fmt.Sprintf("%v group=%d checkpoint=%d epoch=%d version=%d", in.Kind, in.Group, in.N, in.Content.Epoch, in.Content.Version)
	case InRelease:
		return fmt.Sprintf("%v frames=%d", in.Kind, len(in.Frames))
	case InFlush, InPut, InInstall:
		return fmt.Sprintf("%v pid=%d page=%#x version=%d", in.Kind, in.PID, uint64(in.Page), in.Content.Version)
	}
	return fmt.Sprintf("%v pid=%d page=%#x", in.Kind, in.PID, uint64(in.Page))
}

// append writes the record behind b: kind byte, the fields of the kind, checksum (4 bytes).
func (in *Input) append(b []byte) []byte {
	u := binary.AppendUvarint
	b = append(b, byte(in.Kind))
	switch in.Kind {
	case InMiss, InUnmap, InFlush, InPut, InInstall, InKeep, InForget:
		b = u(u(u(b, uint64(in.Group)), uint64(in.PID)), uint64(in.Page))
	case InRemove:
		b = u(u(b, uint64(in.PID)), uint64(in.Page))
	case InFreeGroup, InCut, InRollback:
		b = u(b, uint64(in.Group))
	}
	switch in.Kind {
	case InCut, InRollback:
		b = u(u(u(b, in.N), uint64(in.Content.Epoch)), in.Content.Version)
	case InFlush, InPut, InInstall, InKeep:
		c := &in.Content
		b = tape.AppendBool(u(u(u(b, uint64(c.Epoch)), c.Version), uint64(c.Sum)), c.Flushed)
	case InUnmap, InFreeGroup, InReserve:
		b = u(b, in.N)
	}
	if in.Kind == InKeep {
		b = u(b, in.N)
	}
	switch in.Kind {
	case InRelease, InInstall:
		b = u(b, uint64(len(in.Frames)))
		for _, f := range in.Frames {
			b = u(b, uint64(f))
		}
	}
	return binary.LittleEndian.AppendUint32(b, in.Sum)
}

// Read takes a record of a store of so many pages and groups apart.
func (in *Input) Read(b []byte, capacity, groups int) error {
	r := tape.NewReader(b)
	*in = Input{Kind: InputKind(r.Byte(byte(len(inputNames)))), Frames: in.Frames[:0]}
	switch in.Kind {
	case InMiss, InUnmap, InFlush, InPut, InInstall, InKeep, InForget:
		in.Group, in.PID, in.Page = uint32(r.Below(uint64(groups))), wire.PID(r.Uint()), wire.PageNo(r.Uint())
	case InRemove:
		in.PID, in.Page = wire.PID(r.Uint()), wire.PageNo(r.Uint())
	case InFreeGroup, InCut, InRollback:
		in.Group = uint32(r.Below(uint64(groups)))
	case InReserve, InRelease:
	default:
		r.Fail("input %d, which this version does not know", in.Kind)
	}
	switch in.Kind {
	case InFlush, InPut, InInstall, InKeep:
		in.Content = Content{wire.Epoch(r.Below(1 << 32)), r.Uint(), uint32(r.Below(1 << 32)), r.Bool()}
		if in.Kind == InKeep {
			in.N = r.Below(1 << 32)
		}
	case InCut, InRollback:
		in.N, in.Content = r.Uint(), Content{Epoch: wire.Epoch(r.Below(1 << 32)), Version: r.Uint()}
	case InUnmap:
		in.N = r.Uint()
	case InFreeGroup:
		in.N = r.Below(uint64(capacity) + 1<<20)
	case InReserve:
		in.N = r.Below(maxReserve)
	}
	switch in.Kind {
	case InRelease, InInstall:
		for n := r.Below(uint64(r.Rest()) + 1); n > 0 && r.Err() == nil; n-- {
			in.Frames = append(in.Frames, Frame(r.Below(uint64(capacity))))
		}
		if in.Kind == InInstall && len(in.Frames) != 1 {
			r.Fail("%d frames, want 1", len(in.Frames))
		}
	}
	in.Sum = r.Word()
	return r.End()
}

// maxReserve bounds the frames that a tape may name to be reserved at a time; wire.MaxCopyPages bounds them live.
const maxReserve = 1 << 16

// MaxGroups bounds the groups of a store: the table of groups grows to the largest.
const MaxGroups = 1 << 24

// Apply makes the call that in holds, and gives the checksum of its answer. It panics where the method panics.
func (s *Store) Apply(in *Input) uint32 {
	sum := tape.Sum(0)
	switch in.Kind {
	case InMiss:
		f, crc, a := s.Miss(in.Group, in.PID, in.Page)
		sum = sumMiss(f, crc, a)
	case InFlush:
		f, a := s.Flush(in.Group, in.PID, in.Page, in.Content.Epoch, in.Content.Version, in.Content.Sum)
		sum = sumMiss(f, 0, a)
	case InUnmap:
		sum = sum.Uint(s.Unmap(in.Group, in.PID, in.Page, in.N))
	case InFreeGroup:
		sum = sum.Uint(uint64(s.FreeGroup(in.Group, int(in.N))))
	case InPut:
		f, ok := s.Put(in.Group, in.PID, in.Page, in.Content)
		sum = sum.Uint(uint64(f)).Bool(ok)
	case InReserve:
		fs := make([]Frame, in.N)
		sum = sumReserve(fs, s.Reserve(fs))
	case InRelease:
		s.unreserve(in.Frames)
		s.Release(in.Frames)
	case InInstall:
		s.unreserve(in.Frames)
		s.Install(in.Group, in.PID, in.Page, in.Content, in.Frames[0])
	case InRemove:
		s.Remove(in.PID, in.Page)
	case InCut:
		sum = sum.Uint(uint64(s.Cut(in.Group, in.cut())))
	case InRollback:
		sum = sumRollback(s.Rollback(in.Group, in.cut()))
	case InKeep:
		f, a := s.Keep(in.Group, in.PID, in.Page, in.Content, uint32(in.N))
		sum = sumMiss(f, 0, a)
	case InForget:
		s.Forget(in.Group, in.Page)
	}
	return sum.Word()
}

// unreserve panics unless each of the frames is reserved, and is there once: a frame in two lists would make an endless one.
func (s *Store) unreserve(frames []Frame) {
	for _, f := range frames {
		if int(f) >= len(s.frames) || !s.frames[f].reserved {
			panic(fmt.Sprintf("pagestore: frame %d is not reserved", f))
		}
		s.frames[f].reserved = false
	}
}

func sumMiss(f Frame, crc uint32, a Action) tape.Sum {
	return tape.Sum(0).Uint(uint64(f) | uint64(crc)<<32).Uint(uint64(a))
}

// cut is the checkpoint that a record names.
func (in *Input) cut() wire.Cut {
	return wire.Cut{Number: in.N, Epoch: in.Content.Epoch, Version: in.Content.Version}
}

func sumRollback(restored, freed int, err error) tape.Sum {
	return tape.Sum(0).Uint(uint64(restored)).Uint(uint64(freed)).Bool(err != nil)
}

func sumReserve(fs []Frame, ok bool) tape.Sum {
	s := tape.Sum(0).Bool(ok)
	if !ok {
		return s // what they hold then is no answer
	}
	for _, f := range fs {
		s = s.Uint(uint64(f))
	}
	return s
}

// Taped is a Store whose inputs are recorded. Without a tape it is the Store: each input costs one branch more.
type Taped struct {
	*Store
	tape tape.Tape // nil: off
	in   Input
	buf  []byte
}

// Record begins a tape, before the first input.
func (s *Taped) Record(t tape.Tape) { s.tape = t }

// put records what s.in holds. Only the fields of its kind are set: the rest is from records before.
func (s *Taped) put(kind InputKind, sum tape.Sum) {
	s.in.Kind, s.in.Sum = kind, sum.Word()
	s.buf = s.in.append(s.buf[:0])
	if s.tape.Record(s.buf) {
		s.tape.State(s.AppendState(nil)) // it may be large, and is seldom wanted
	}
}

func (s *Taped) Miss(g uint32, pid wire.PID, page wire.PageNo) (f Frame, sum uint32, a Action) {
	f, sum, a = s.Store.Miss(g, pid, page)
	if s.tape != nil {
		s.in.Group, s.in.PID, s.in.Page = g, pid, page
		s.put(InMiss, sumMiss(f, sum, a))
	}
	return f, sum, a
}

func (s *Taped) Flush(g uint32, pid wire.PID, page wire.PageNo, epoch wire.Epoch, version uint64, sum uint32) (f Frame, a Action) {
	f, a = s.Store.Flush(g, pid, page, epoch, version, sum)
	if s.tape != nil {
		s.in.Group, s.in.PID, s.in.Page, s.in.Content = g, pid, page, Content{epoch, version, sum, true}
		s.put(InFlush, sumMiss(f, 0, a))
	}
	return f, a
}

func (s *Taped) Unmap(g uint32, pid wire.PID, first wire.PageNo, n uint64) (freed uint64) {
	freed = s.Store.Unmap(g, pid, first, n)
	if s.tape != nil {
		s.in.Group, s.in.PID, s.in.Page, s.in.N = g, pid, first, n
		s.put(InUnmap, tape.Sum(0).Uint(freed))
	}
	return freed
}

func (s *Taped) FreeGroup(g uint32, limit int) (freed int) {
	freed = s.Store.FreeGroup(g, limit)
	if s.tape != nil {
		s.in.Group, s.in.N = g, uint64(limit)
		s.put(InFreeGroup, tape.Sum(0).Uint(uint64(freed)))
	}
	return freed
}

func (s *Taped) Put(g uint32, pid wire.PID, page wire.PageNo, c Content) (f Frame, ok bool) {
	f, ok = s.Store.Put(g, pid, page, c)
	if s.tape != nil {
		s.in.Group, s.in.PID, s.in.Page, s.in.Content = g, pid, page, c
		s.put(InPut, tape.Sum(0).Uint(uint64(f)).Bool(ok))
	}
	return f, ok
}

func (s *Taped) Reserve(into []Frame) bool {
	ok := s.Store.Reserve(into)
	if s.tape != nil {
		s.in.N = uint64(len(into))
		s.put(InReserve, sumReserve(into, ok))
	}
	return ok
}

func (s *Taped) Release(frames []Frame) {
	s.Store.Release(frames)
	if s.tape != nil {
		s.in.Frames = append(s.in.Frames[:0], frames...)
		s.put(InRelease, 0)
	}
}

func (s *Taped) Install(g uint32, pid wire.PID, page wire.PageNo, c Content, f Frame) {
	s.Store.Install(g, pid, page, c, f)
	if s.tape != nil {
		s.in.Group, s.in.PID, s.in.Page, s.in.Content, s.in.Frames = g, pid, page, c, append(s.in.Frames[:0], f)
		s.put(InInstall, 0)
	}
}

func (s *Taped) Remove(pid wire.PID, page wire.PageNo) {
	s.Store.Remove(pid, page)
	if s.tape != nil {
		s.in.PID, s.in.Page = pid, page
		s.put(InRemove, 0)
	}
}

func (s *Taped) Cut(g uint32, at wire.Cut) (dropped int) {
	dropped = s.Store.Cut(g, at)
	if s.tape != nil {
		s.in.Group, s.in.N, s.in.Content = g, at.Number, Content{Epoch: at.Epoch, Version: at.Version}
		s.put(InCut, tape.Sum(0).Uint(uint64(dropped)))
	}
	return dropped
}

func (s *Taped) Rollback(g uint32, at wire.Cut) (restored, freed int, err error) {
	restored, freed, err = s.Store.Rollback(g, at)
	if s.tape != nil {
		s.in.Group, s.in.N, s.in.Content = g, at.Number, Content{Epoch: at.Epoch, Version: at.Version}
		s.put(InRollback, sumRollback(restored, freed, err))
	}
	return restored, freed, err
}

func (s *Taped) Keep(g uint32, pid wire.PID, page wire.PageNo, c Content, mark uint32) (f Frame, a Action) {
	f, a = s.Store.Keep(g, pid, page, c, mark)
	if s.tape != nil {
		s.in.Group, s.in.PID, s.in.Page, s.in.Content, s.in.N = g, pid, page, c, uint64(mark)
		s.put(InKeep, sumMiss(f, 0, a))
	}
	return f, a
}

func (s *Taped) Forget(g uint32, page wire.PageNo) {
	s.Store.Forget(g, page)
	if s.tape != nil {
		s.in.Group, s.in.PID, s.in.Page = g, 0, page
		s.put(InForget, 0)
	}
}

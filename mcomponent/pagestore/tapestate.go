package pagestore

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// Bits of what a state says of a frame that holds a page.
const (
	tapeUsed    = 1
	tapeFlushed = 2
	tapeZeros   = 4 // the checksum is that of zeros
	tapeEpoch   = 8 // the epoch is that of the page before
	tapePID     = 16
	tapeNext    = 32 // the next of the group is the frame before
	tapeBits    = 64
)

// AppendState appends all on which later answers depend: not who watches, and not what memory the store has.
//
//	frames ever used, reserved; 7 counters; number of groups with pages, and for each its number − that of the one before and its first frame;
//	number of free frames, and each; each frame ever used:
//	  bits; if tapeUsed: group, pid and page − those of the page before, epoch, version, checksum, next frame + 1
//	number of groups with a checkpoint, and for each its number − that of the one before, the checkpoint's number, epoch and version, number
//	of pages that are kept for it, and for each: frame, pid, page, epoch, version, checksum
//
// Numbers have 7 bits a byte, differences are zigzag, what the bits say is left out.
func (s *Store) AppendState(b []byte) []byte {
	u, d := binary.AppendUvarint, binary.AppendVarint
	b = u(u(b, uint64(s.fresh)), uint64(s.out))
	t := &s.stats
	for _, n := range []uint64{uint64(t.Peak), t.Misses, t.ZeroFills, t.Flushes, t.OldFlushes, t.NoFrame, t.Freed} {
		b = u(b, n)
	}
	groups, last := uint64(0), 0
	for g := range s.groups {
		if s.groups[g].head != none {
			groups++
		}
	}
	b = u(b, groups)
	for g := range s.groups {
		if h := s.groups[g].head; h != none {
			b, last = u(u(b, uint64(g-last)), uint64(h)), g
		}
	}
	b = u(b, uint64(int(s.fresh)-t.Used-s.out))
	for f := s.free; f != none; f = s.frames[f].next {
		b = u(b, uint64(f))
	}
	before := meta{}
	for f := range s.frames[:min(int(s.fresh), len(s.frames))] {
		m := &s.frames[f]
		if !m.used {
			b = append(b, 0)
			continue
		}
		bits := byte(tapeUsed)
		set := func(bit byte, v bool) {
			if v {
				bits |= bit
			}
		}
		set(tapeFlushed, m.flushed)
		set(tapeZeros, m.sum == wire.ZeroPageChecksum)
		set(tapeEpoch, m.epoch == before.epoch)
		set(tapePID, m.pid == before.pid && m.group == before.group)
		set(tapeNext, m.next == uint32(f)-1) // of frame 0 it is none
		b = append(b, bits)
		if bits&tapePID == 0 {
			b = u(u(b, uint64(m.group)), uint64(m.pid))
		}
		b = d(b, int64(m.page-before.page))
		if bits&tapeEpoch == 0 {
			b = u(b, uint64(m.epoch))
		}
		if m.flushed {
			b = u(b, m.version)
		}
		if bits&tapeZeros == 0 {
			b = binary.LittleEndian.AppendUint32(b, m.sum)
		}
		if bits&tapeNext == 0 {
			b = u(b, uint64(m.next+1))
		}
		before = *m
	}
	return s.appendCuts(b)
}

// appendCuts appends what groups keep for checkpoints.
func (s *Store) appendCuts(b []byte) []byte {
	u := binary.AppendUvarint
	groups, last := uint64(0), 0
	for g := range s.groups {
		if s.groups[g].cut != nil {
			groups++
		}
	}
	b = u(b, groups)
	for g := range s.groups {
		k := s.groups[g].cut
		if k == nil {
			continue
		}
		b = u(u(u(u(u(b, uint64(g-last)), k.at.Number), uint64(k.at.Epoch)), k.at.Version), uint64(len(k.kept)))
		for f := k.head; f != none; f = s.frames[f].next {
			m := &s.frames[f]
			b = u(u(u(u(u(u(b, uint64(f)), uint64(m.pid)), uint64(m.page)), uint64(m.epoch)), m.version), uint64(m.sum))
		}
		last = g
	}
	return b
}

// restoreCuts reads what appendCuts wrote. Frames that are neither free nor of a page are marked as reserved.
func (s *Store) restoreCuts(r *tape.Reader, groups int) {
	g := uint64(0)
	for n := r.Below(uint64(r.Rest()) + 1); n > 0 && r.Err() == nil; n-- {
		if g += r.Below(uint64(groups)); g >= uint64(groups) {
			r.Fail("group %d, want less than %d", g, groups)
			return
		}
		gr := s.group(uint32(g))
		gr.cut = &cut{at: wire.Cut{Number: r.Uint(), Epoch: wire.Epoch(r.Below(1 << 32)), Version: r.Uint()}, head: none, kept: map[wire.PageNo]uint32{}}
		last, prev := &gr.cut.head, uint32(none)
		for n := r.Below(uint64(s.fresh) + 1); n > 0; n-- {
			f := uint32(r.Below(uint64(s.fresh)))
			if r.Err() != nil || !s.frames[f].reserved {
				r.Fail("frame %d is kept for a checkpoint, and is something else", f)
				return
			}
			m := &s.frames[f]
			*m = meta{pid: wire.PID(r.Uint()), page: wire.PageNo(r.Uint()), epoch: wire.Epoch(r.Below(1 << 32)), version: r.Uint(), sum: uint32(r.Below(1 << 32)),
				group: uint32(g), prev: prev, next: none, flushed: true, pre: true}
			gr.cut.kept[m.page] = f
			*last, last, prev = f, &m.next, f
			s.stats.Used++
			s.stats.PreImages++
		}
	}
}

// RestoreState makes a store that was just made what another, of so many groups, was when AppendState wrote b. After an error it is of no use.
func (s *Store) RestoreState(b []byte, groups int) error {
	r := tape.NewReader(b)
	capacity := uint64(s.stats.Capacity)
	s.fresh = uint32(r.Below(capacity + 1))
	s.out = int(r.Below(uint64(s.fresh) + 1))
	t := &s.stats
	t.Peak = int(r.Below(uint64(s.fresh) + 1))
	for _, n := range []*uint64{&t.Misses, &t.ZeroFills, &t.Flushes, &t.OldFlushes, &t.NoFrame, &t.Freed} {
		*n = r.Uint()
	}
	if uint64(s.fresh) > uint64(len(b)) {
		r.Fail("%d frames, of which the state cannot tell", s.fresh)
		return r.End()
	}
	frame := func() uint32 { return uint32(r.Below(uint64(s.fresh))) }
	g := uint64(0)
	for n := r.Below(uint64(r.Rest()) + 1); n > 0 && r.Err() == nil; n-- {
		if g += r.Below(uint64(groups)); g >= uint64(groups) {
			r.Fail("group %d, want less than %d", g, groups)
			return r.End()
		}
		gr := s.group(uint32(g))
		if gr.head = frame(); r.Err() != nil {
			return r.End()
		}
	}
	if n := int(s.fresh); n > len(s.frames) { // one that grows
		s.frames = make([]meta, n)
	}
	for f := range s.frames[:s.fresh] {
		s.frames[f] = meta{next: none}
	}
	free := make([]bool, s.fresh)
	last := &s.free
	for n := r.Below(uint64(s.fresh) + 1); n > 0; n-- {
		f := frame()
		if r.Err() != nil || free[f] {
			r.Fail("frame %d is free twice", f)
			return r.End()
		}
		free[f], *last = true, f
		last = &s.frames[f].next
	}
	before := meta{}
	for f := range s.frames[:s.fresh] {
		bits := r.Byte(tapeBits)
		if bits == 0 {
			s.frames[f].reserved = !free[f]
			continue
		}
		m := &s.frames[f]
		*m = meta{pid: before.pid, group: before.group, epoch: before.epoch, sum: wire.ZeroPageChecksum, next: uint32(f) - 1, prev: none, used: true, flushed: bits&tapeFlushed != 0}
		if bits&tapePID == 0 {
			m.group, m.pid = uint32(r.Below(uint64(len(s.groups)))), wire.PID(r.Uint())
		}
		m.page = before.page + wire.PageNo(r.Int())
		if bits&tapeEpoch == 0 {
			m.epoch = wire.Epoch(r.Below(1 << 32))
		}
		if m.flushed {
			m.version = r.Uint()
		}
		if bits&tapeZeros == 0 {
			m.sum = r.Word()
		}
		if bits&tapeNext == 0 {
			m.next = uint32(r.Below(uint64(s.fresh)+1)) - 1
		}
		if bits&tapeUsed == 0 || free[f] || int(m.group) >= len(s.groups) || m.next != none && m.next >= s.fresh {
			r.Fail("frame %d is free and of a page, or of no group", f)
		}
		if r.Err() != nil {
			return r.End()
		}
		before = *m
		if _, twice := s.index.Get(uint64(m.pid), uint64(m.page)); twice {
			r.Fail("page %#x of process %d has two frames", uint64(m.page), m.pid)
			return r.End()
		}
		s.index.Put(uint64(m.pid), uint64(m.page), uint32(f))
		s.groups[m.group].count++
		s.stats.Used++
	}
	s.restoreCuts(&r, groups)
	if err := r.End(); err != nil {
		return err
	}
	for f := range s.frames[:s.fresh] {
		if m := &s.frames[f]; m.used && m.next != none {
			s.frames[m.next].prev = uint32(f)
		}
	}
	if err := s.CheckInvariants(); err != nil {
		return fmt.Errorf("the state is inconsistent: %w", err)
	}
	return nil
}

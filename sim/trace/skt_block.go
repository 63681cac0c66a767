package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The body of a block: references, then events. docs/trace-format.md draws it.
//
// A reference is
//
//	tag │ [thread] │ [size] │ [gap] │ address
//
// tag bit 0 write · bits 1-3 size class · bits 4-6 gap, 7 = escape · bit 7 the
// thread changes. thread, gap and address are varints (7 bits a byte, low
// first); the address is the zigzag difference to the last one. Every block
// starts from address 0 and thread 0, so each can be read alone.
const (
	tagWrite     = 0x01
	tagSizeShift = 1
	tagSizeMask  = 0x07
	tagGapShift  = 4
	tagGapMask   = 0x07
	tagThread    = 0x80

	sizeEscape = 7
	gapEscape  = 7
)

// sizeOfClass are the sizes with a class of their own; 7 escapes to a byte.
var sizeOfClass = [8]uint8{0, 1, 2, 4, 8, 16, 32, 0}

// classOfSize is its inverse.
var classOfSize = func() (t [256]uint8) {
	for i := range t {
		t[i] = sizeEscape
	}
	for c := range uint8(sizeEscape) {
		t[sizeOfClass[c]] = c
	}
	return t
}()

// refState is what a reference is encoded against.
type refState struct {
	addr   uint64
	thread uint16
}

// appendRef appends the encoding of r to b.
func appendRef(b []byte, s *refState, r Ref) []byte {
	tag := r.Flags & FlagWrite
	class := classOfSize[r.Size]
	tag |= class << tagSizeShift
	gap := min(r.Gap, gapEscape)
	tag |= uint8(gap) << tagGapShift
	if r.Thread != s.thread {
		b = append(b, tag|tagThread)
		b = binary.AppendUvarint(b, uint64(r.Thread))
		s.thread = r.Thread
	} else {
		b = append(b, tag)
	}
	if class == sizeEscape {
		b = append(b, r.Size)
	}
	if gap == gapEscape {
		b = binary.AppendUvarint(b, uint64(r.Gap-gapEscape))
	}
	d := int64(r.Addr - s.addr)
	s.addr = r.Addr
	return binary.AppendUvarint(b, uint64(d<<1)^uint64(d>>63))
}

var (
	errRefShort  = errors.New("the record runs past the end of its section")
	errRefVarint = errors.New("a number of more than 64 bits")
)

// fold7 joins the 7-bit groups of the low bytes of x, whose top bits are
// already clear.
func fold7(x uint64) uint64 {
	x = x&0x007f007f007f007f | x>>1&0x3f803f803f803f80
	x = x&0x00003fff00003fff | x>>2&0x0fffc0000fffc000
	return x&0x000000000fffffff | x>>4&0x00fffffff0000000
}

// decodeRefs fills refs from raw, which must hold exactly that many.
func decodeRefs(raw []byte, refs []Ref) error {
	var (
		addr   uint64
		thread uint16
		i      int
		n      int
	)
	// The fast path reads whole words, so it stops where a reference could
	// end beyond raw.
	fast := len(raw) - maxRefBytes - 8
	for ; n < len(refs) && i <= fast; n++ {
		tag := raw[i]
		i++
		if tag&tagThread != 0 {
			v, w := binary.Uvarint(raw[i:])
			if w <= 0 || v > 0xffff {
				return fmt.Errorf("reference %d: thread: %w", n, errRefVarint)
			}
			thread = uint16(v)
			i += w
		}
		class := tag >> tagSizeShift & tagSizeMask
		size := sizeOfClass[class]
		if class == sizeEscape {
			size = raw[i]
			i++
		}
		gap := uint32(tag >> tagGapShift & tagGapMask)
		if gap == gapEscape {
			x := binary.LittleEndian.Uint64(raw[i:])
			stop := ^x & 0x8080808080808080
			w := bits.TrailingZeros64(stop) >> 3
			x = fold7(x & (stop ^ (stop - 1)) & 0x7f7f7f7f7f7f7f7f)
			if stop == 0 || w > 4 || x > 0xffffffff-gapEscape {
				return fmt.Errorf("reference %d: gap: %w", n, errRefVarint)
			}
			gap = uint32(x) + gapEscape
			i += w + 1
		}
		x := binary.LittleEndian.Uint64(raw[i:])
		stop := ^x & 0x8080808080808080
		if stop != 0 {
			i += bits.TrailingZeros64(stop)>>3 + 1
			x = fold7(x & (stop ^ (stop - 1)) & 0x7f7f7f7f7f7f7f7f)
		} else {
			var w int
			if x, w = binary.Uvarint(raw[i:]); w <= 0 {
				return fmt.Errorf("reference %d: address: %w", n, errRefVarint)
			}
			i += w
		}
		addr += x>>1 ^ -(x & 1)
		refs[n] = Ref{Addr: addr, Gap: gap, Thread: thread, Size: size, Flags: tag & tagWrite}
		if addr&(PageBytes-1)+uint64(size) > PageBytes {
			return straddles(n, refs[n])
		}
	}
	return decodeTail(raw, refs, i, n, refState{addr: addr, thread: thread})
}

// decodeTail is decodeRefs for the last few references, checking every byte.
func decodeTail(raw []byte, refs []Ref, i, n int, s refState) error {
	d := cursor{b: raw, i: i}
	for ; n < len(refs); n++ {
		tag := d.byte()
		if tag&tagThread != 0 {
			s.thread = uint16(d.uvarint(0xffff))
		}
		class := tag >> tagSizeShift & tagSizeMask
		size := sizeOfClass[class]
		if class == sizeEscape {
			size = d.byte()
		}
		gap := uint32(tag >> tagGapShift & tagGapMask)
		if gap == gapEscape {
			gap = uint32(d.uvarint(0xffffffff-gapEscape)) + gapEscape
		}
		x := d.uvarint(^uint64(0))
		s.addr += x>>1 ^ -(x & 1)
		if d.err != nil {
			return fmt.Errorf("reference %d: %w", n, d.err)
		}
		refs[n] = Ref{Addr: s.addr, Gap: gap, Thread: s.thread, Size: size, Flags: tag & tagWrite}
		if s.addr&(PageBytes-1)+uint64(size) > PageBytes {
			return straddles(n, refs[n])
		}
	}
	if d.i != len(raw) {
		return fmt.Errorf("%d bytes left over after the last reference", len(raw)-d.i)
	}
	return nil
}

func straddles(n int, r Ref) error {
	return fmt.Errorf("reference %d: %d bytes at %#x straddle two pages", n, r.Size, r.Addr)
}

// Bits of an event's flag byte.
const (
	eventAnon     = 0x01
	eventWritable = 0x02
	eventFlags    = eventAnon | eventWritable
)

// appendEvent appends the encoding of e, whose predecessor stands before
// reference prev of the block.
func appendEvent(b []byte, prev int, e *Event) []byte {
	b = append(b, byte(e.Kind))
	b = binary.AppendUvarint(b, uint64(e.At-prev))
	b = binary.AppendUvarint(b, uint64(e.Thread))
	switch {
	case e.Kind == Mmap:
		var f byte
		if e.Anon {
			f |= eventAnon
		}
		if e.Writable {
			f |= eventWritable
		}
		b = append(b, f)
		b = binary.AppendUvarint(b, e.Addr)
		b = binary.AppendUvarint(b, e.Len)
		b = append(b, byte(len(e.Name)))
		b = append(b, e.Name...)
	case e.Kind == Munmap:
		b = binary.AppendUvarint(b, e.Addr)
		b = binary.AppendUvarint(b, e.Len)
	case e.Kind == Brk:
		b = binary.AppendUvarint(b, e.Addr)
	default:
		b = binary.AppendUvarint(b, e.TimeNs)
		b = binary.AppendUvarint(b, uint64(e.Volume))
		if e.Kind != BlockFlush {
			b = binary.AppendUvarint(b, e.Offset)
			b = binary.AppendUvarint(b, e.Length)
		}
	}
	return b
}

// decodeEvents fills events from raw, which must hold exactly that many.
// names interns map names, so that a name costs one string per stream.
func decodeEvents(raw []byte, events []Event, refs, volumes int, names map[string]string) error {
	d := cursor{b: raw}
	at := 0
	for n := range events {
		e := Event{Kind: EventKind(d.byte())}
		at += int(d.uvarint(uint64(refs - at)))
		e.At = at
		e.Thread = uint16(d.uvarint(0xffff))
		switch e.Kind {
		case Mmap:
			f := d.byte()
			if d.err == nil && f&^eventFlags != 0 {
				d.err = fmt.Errorf("map flags %#x, known are %#x", f, eventFlags)
			}
			e.Anon, e.Writable = f&eventAnon != 0, f&eventWritable != 0
			e.Addr, e.Len = d.uvarint(^uint64(0)), d.uvarint(^uint64(0))
			e.Name = intern(names, d.bytes(int(d.byte())))
		case Munmap:
			e.Addr, e.Len = d.uvarint(^uint64(0)), d.uvarint(^uint64(0))
		case Brk:
			e.Addr = d.uvarint(^uint64(0))
		case BlockRead, BlockWrite, BlockFlush:
			e.TimeNs = d.uvarint(^uint64(0))
			e.Volume = uint32(d.uvarint(0xffffffff))
			if e.Kind != BlockFlush {
				e.Offset, e.Length = d.uvarint(^uint64(0)), d.uvarint(^uint64(0))
			}
		default:
			if d.err == nil {
				d.err = fmt.Errorf("kind %d, known are 1 to 6", e.Kind)
			}
		}
		if d.err == nil {
			d.err = checkEvent(&e, volumes)
		}
		if d.err != nil {
			return fmt.Errorf("event %d: %w", n, d.err)
		}
		events[n] = e
	}
	if d.i != len(raw) {
		return fmt.Errorf("%d bytes left over after the last event", len(raw)-d.i)
	}
	return nil
}

// maxInternedNames bounds the table: beyond it names are plain copies.
const maxInternedNames = 1 << 12

func intern(names map[string]string, b []byte) string {
	if s, ok := names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(names) < maxInternedNames {
		names[s] = s
	}
	return s
}

// checkEvent says what is wrong with an event, for writer and reader alike.
func checkEvent(e *Event, volumes int) error {
	switch {
	case e.Kind == Mmap || e.Kind == Munmap:
		if e.Addr%PageBytes != 0 || e.Len%PageBytes != 0 || e.Len == 0 || e.Addr+e.Len < e.Addr {
			return fmt.Errorf("%s of %#x bytes at %#x: want whole 4 KiB pages inside the address space", e.Kind, e.Len, e.Addr)
		}
		if len(e.Name) > MaxNameBytes {
			return fmt.Errorf("%s: a name of %d bytes, at most %d", e.Kind, len(e.Name), MaxNameBytes)
		}
	case e.Kind == Brk:
	case e.Kind.IsBlock():
		if int64(e.Volume) >= int64(volumes) {
			return fmt.Errorf("%s: volume %d of %d", e.Kind, e.Volume, volumes)
		}
		if e.Offset+e.Length < e.Offset {
			return fmt.Errorf("%s: %d bytes at %d end beyond 2^64", e.Kind, e.Length, e.Offset)
		}
	default:
		return fmt.Errorf("kind %d, known are 1 to 6", e.Kind)
	}
	return nil
}

// cursor reads checked numbers; after an error all reads are zero.
type cursor struct {
	b   []byte
	i   int
	err error
}

func (d *cursor) byte() byte {
	if d.err != nil {
		return 0
	}
	if d.i >= len(d.b) {
		d.err = errRefShort
		return 0
	}
	d.i++
	return d.b[d.i-1]
}

func (d *cursor) uvarint(limit uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, w := binary.Uvarint(d.b[d.i:])
	switch {
	case w == 0:
		d.err = errRefShort
	case w < 0:
		d.err = errRefVarint
	case v > limit:
		d.err = fmt.Errorf("%d, at most %d", v, limit)
	default:
		d.i += w
		return v
	}
	return 0
}

func (d *cursor) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.b)-d.i {
		d.err = errRefShort
		return nil
	}
	d.i += n
	return d.b[d.i-n : d.i]
}

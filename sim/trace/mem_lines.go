package trace

import (
	"bytes"
	"fmt"
)

// lineParser reads a format that says one thing a line. Empty lines are passed over.
type lineParser struct {
	in   *lineReader
	want string // what a line should be, for errors
	head func(h *Header)
	// requests says that the lines are block requests, whatever the format is of.
	requests bool
	// line appends what a line says, or nothing and an error: errUnlike, or what is wrong with a line that is of the format.
	line func(b *Batch, line []byte) error
}

func (p *lineParser) header(h *Header) { p.head(h) }

func (p *lineParser) fill(b *Batch) error {
	for !b.full() {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			continue
		}
		if err := p.line(b, line); err != nil {
			if err == errUnlike {
				return p.in.unlike(line, p.want)
			}
			return p.in.errorf("%w", err)
		}
	}
	return nil
}

// sniffLines recognises a format by its first line that is neither empty nor a comment (a line with this first byte; 0 = none).
func sniffLines(comment byte, like func(line []byte) bool) func(h *head) bool {
	return func(h *head) bool {
		for _, l := range h.lines {
			if len(l) > 0 && (comment == 0 || l[0] != comment) {
				return like([]byte(l))
			}
		}
		return false
	}
}

// sniffAll is for formats whose lines are easily mistaken: all whole lines of the start have to be like it.
func sniffAll(like func(line []byte) bool) func(h *head) bool {
	return func(h *head) bool {
		n := 0
		for _, l := range h.lines {
			if len(l) > 0 {
				if n++; !like([]byte(l)) {
					return false
				}
			}
		}
		return n > 0
	}
}

// parse0x reads 0x and hex digits.
func parse0x(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != '0' || b[1]|0x20 != 'x' {
		return 0, b, false
	}
	return parseHex(b[2:])
}

// parseAny reads 0x and hex digits, or decimal ones.
func parseAny(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) > 1 && b[0] == '0' && b[1]|0x20 == 'x' {
		return parse0x(b)
	}
	return parseDec(b)
}

// word cuts off what is before the first blank, and the blanks.
func word(b []byte) (w, rest []byte) {
	i := 0
	for i < len(b) && b[i] != ' ' && b[i] != '\t' {
		i++
	}
	rest, _ = skipBlanks(b[i:])
	return b[:i], rest
}

// blankOnly reports whether nothing is left but blanks.
func blankOnly(b []byte) bool {
	rest, _ := skipBlanks(b)
	return len(rest) == 0
}

// blankAfter takes the blanks between two fields, of which the second must be there.
func blankAfter(b []byte) (rest []byte, ok bool) {
	rest, ok = skipBlanks(b)
	return rest, ok && len(rest) > 0
}

// parseSeconds reads seconds with a fraction of any length, in nanoseconds.
func parseSeconds(b []byte) (ns uint64, rest []byte, ok bool) { return parseTime(b, 1e9) }

// parseTime reads a number with or without a fraction, in units of so many nanoseconds.
func parseTime(b []byte, unit uint64) (ns uint64, rest []byte, ok bool) {
	n, rest, ok := parseDec(b)
	if !ok || n > ^uint64(0)/unit {
		return 0, b, false
	}
	ns = n * unit
	if len(rest) == 0 || rest[0] != '.' {
		return ns, rest, true
	}
	rest = rest[1:]
	i, fraction, tens := 0, uint64(0), uint64(1)
	for ; i < len(rest) && rest[i]-'0' <= 9; i++ {
		if i < 9 { // finer than a nanosecond is nothing
			fraction = fraction*10 + uint64(rest[i]-'0')
			tens *= 10
		}
	}
	more := fraction * unit / tens
	return ns + more, rest[i:], i > 0 && ns+more >= ns
}

// access checks an access before it is split at page bounds: a size of at most maxAccessBytes, and no end past 64 bits.
func (b *Batch) access(addr, size uint64, gap uint32, thread uint16, flags uint8) error {
	if size > maxAccessBytes {
		return fmt.Errorf("an access of %d bytes, expected at most %d", size, maxAccessBytes)
	}
	if addr+size < addr {
		return fmt.Errorf("%d bytes at %#x, expected an access that ends below 2^64", size, addr)
	}
	b.addAccess(addr, size, gap, thread, flags)
	return nil
}

// ref appends a reference of unknown size.
func (b *Batch) ref(addr uint64, gap uint32, thread uint16, flags uint8) {
	b.Refs = append(b.Refs, Ref{Addr: addr, Gap: gap, Thread: thread, Flags: flags})
}

// saturated is n in 32 bits.
func saturated(n uint64) uint32 { return uint32(min(n, 1<<32-1)) }

// threadTable numbers the threads of a trace in the order in which they appear.
type threadTable struct {
	numbers map[uint64]uint16
	last    uint64
	number  uint16
}

// MaxThreads bounds the threads of a trace: a reference has 16 bits for them.
const MaxThreads = 1 << 16

// of is the number of a thread.
func (t *threadTable) of(id uint64) (uint16, error) {
	if t.numbers != nil && t.last == id {
		return t.number, nil
	}
	n, ok := t.numbers[id]
	if !ok {
		if len(t.numbers) == MaxThreads {
			return 0, fmt.Errorf("thread %d is one more than the %d that a trace can have", id, MaxThreads)
		}
		if t.numbers == nil {
			t.numbers = map[uint64]uint16{}
		}
		n = uint16(len(t.numbers))
		t.numbers[id] = n
	}
	t.last, t.number = id, n
	return n, nil
}

// defaultThreads is stated where threads are numbered.
const defaultThreads = "thread: numbered in the order in which they appear"

// writeOf finds out what a letter or word does; what is neither is not of the format.
func writeOf(w []byte, reads, writes [][]byte) (flags uint8, ok bool) {
	for _, r := range reads {
		if bytes.Equal(w, r) {
			return 0, true
		}
	}
	for _, r := range writes {
		if bytes.Equal(w, r) {
			return FlagWrite, true
		}
	}
	return 0, false
}

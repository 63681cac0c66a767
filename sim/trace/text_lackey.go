package trace

import (
	"bytes"
)

// lackeyText reads the output of `valgrind --tool=lackey --trace-mem=yes`:
//
//	I  0401ab70,3      an instruction
//	 L 1fff000728,8    a load
//	 S 1fff000728,8    a store
//	 M 04033e06,1      a modify: one write here
//
// Valgrind's own lines (==pid==, --pid--, SYSCALL) are skipped; where the
// scheduler was traced too they tell the thread.
type lackeyText struct {
	in     *lineReader
	thread uint16
	gap    uint32
}

const wantLackey = "`I  addr,size`, ` L addr,size`, ` S addr,size` or ` M addr,size`"

func newLackeyText(in *input) (parser, error) { return &lackeyText{in: in.hexLines()}, nil }

func sniffLackey(h *head) bool {
	for _, l := range h.lines {
		b := []byte(l)
		if _, ok := parseLackey(b); ok {
			return true
		}
		if !valgrindLine(b) {
			return false
		}
	}
	return false
}

func (p *lackeyText) header(h *Header) {
	h.HasGaps, h.HasWrites = true, true
	h.DefaultsStated = []string{"thread: 0 unless --trace-sched=yes was given"}
}

func (p *lackeyText) fill(b *Batch) error {
	for !b.full() {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		a, ok := parseLackey(line)
		if !ok {
			if !valgrindLine(line) {
				return p.in.unlike(line, wantLackey)
			}
			if t, ok := parseSched(line); ok {
				p.thread = t
			}
			continue
		}
		if a.op == 'I' {
			p.gap += min(1, ^p.gap) // saturates
			continue
		}
		b.addAccess(a.addr, a.size, p.gap, p.thread, a.flags())
		p.gap = 0
	}
	return nil
}

// lackeyLine is one line of Lackey's trace.
type lackeyLine struct {
	op   byte // I L S M
	addr uint64
	size uint64
}

func (l lackeyLine) flags() uint8 {
	if l.op == 'L' {
		return 0
	}
	return FlagWrite
}

// maxAccessBytes bounds one access; the largest of x86-64 (xsave) is some 11 KiB.
const maxAccessBytes = 64 << 10

// parseLackey reads a line of memory trace.
func parseLackey(b []byte) (l lackeyLine, ok bool) {
	if len(b) < 6 || b[2] != ' ' {
		return l, false
	}
	switch {
	case b[0] == 'I' && b[1] == ' ':
		l.op = 'I'
	case b[0] == ' ' && (b[1] == 'L' || b[1] == 'S' || b[1] == 'M'):
		l.op = b[1]
	default:
		return l, false
	}
	var rest []byte
	if l.addr, rest, ok = parseHex(b[3:]); !ok {
		return l, false
	}
	if rest, ok = skipByte(rest, ','); !ok {
		return l, false
	}
	l.size, rest, ok = parseDec(rest)
	return l, ok && len(rest) == 0 && l.size > 0 && l.size <= maxAccessBytes && l.addr+l.size > l.addr
}

// valgrindLine reports whether a line is Valgrind's own talk.
func valgrindLine(b []byte) bool {
	return len(b) == 0 || bytes.HasPrefix(b, []byte("==")) || bytes.HasPrefix(b, []byte("--")) ||
		bytes.HasPrefix(b, []byte("SYSCALL[")) || bytes.HasPrefix(b, []byte(" -->"))
}

var (
	schedMark    = []byte("SCHED[")
	schedAcquire = []byte("acquired lock")
)

// parseSched finds the thread that runs from now on: `SCHED[2]:  acquired
// lock (…)`. Valgrind counts threads from 1, and uses a number again after
// its thread ended.
func parseSched(b []byte) (thread uint16, ok bool) {
	i := bytes.LastIndex(b, schedMark)
	if i < 0 || !bytes.Contains(b[i:], schedAcquire) {
		return 0, false
	}
	n, _, ok := parseDec(b[i+len(schedMark):])
	if !ok || n < 1 || n > 1<<16 {
		return 0, false
	}
	return uint16(n - 1), true
}

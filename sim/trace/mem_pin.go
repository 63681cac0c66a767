package trace

import (
	"bytes"
	"fmt"
)

// newPinatrace reads what Pin's example tool pinatrace writes: `0xip: R|W 0xaddress`. Versions that print size and value behind it,
// or no ip, are read too; lines that begin with # are comments, of which the last one is #eof.
func newPinatrace(in *input) (parser, error) {
	p := &lineParser{in: in.lines(), want: "`0xip: R|W 0xaddress [size [value]]` or a comment (#)"}
	p.head = func(h *Header) {
		h.HasWrites = true
		h.DefaultsStated = []string{"size: 0 = unknown unless the lines have it", defaultGap, defaultThread}
	}
	p.line = func(b *Batch, line []byte) error {
		if line[0] == '#' {
			return nil
		}
		addr, size, flags, ok := parsePinatrace(line)
		if !ok {
			return errUnlike
		}
		return b.access(addr, size, 0, 0, flags)
	}
	return p, nil
}

var sniffPinatrace = sniffLines('#', func(line []byte) bool { _, _, _, ok := parsePinatrace(line); return ok })

func parsePinatrace(line []byte) (addr, size uint64, flags uint8, ok bool) {
	rest := line
	if line[0] == '0' {
		_, rest, ok = parse0x(line)
		if !ok || len(rest) < 2 || rest[0] != ':' || rest[1] != ' ' {
			return 0, 0, 0, false
		}
		rest = rest[2:]
	}
	if len(rest) < 5 || rest[1] != ' ' {
		return 0, 0, 0, false
	}
	switch rest[0] {
	case 'R':
	case 'W':
		flags = FlagWrite
	default:
		return 0, 0, 0, false
	}
	rest, _ = skipBlanks(rest[2:])
	addr, rest, ok = parse0x(rest)
	if len(rest) == 0 || !ok {
		return addr, 0, flags, ok
	}
	if rest, ok = blankAfter(rest); !ok {
		return addr, 0, flags, len(rest) == 0
	}
	if size, rest, ok = parseDec(rest); !ok {
		return 0, 0, 0, false
	}
	if rest, ok = skipBlanks(rest); len(rest) > 0 { // the value, which nobody needs
		w, rest := word(rest)
		if !ok || !hexOnly(bytes.TrimPrefix(w, []byte("0x"))) || len(rest) > 0 {
			return 0, 0, 0, false
		}
	}
	return addr, size, flags, true
}

// newProspero reads the text of SST's Prospero: `cycle R|W address length`, the address decimal or with 0x.
func newProspero(in *input) (parser, error) {
	c := in.spec.newClock(false)
	p := &lineParser{in: in.lines(), want: "`cycle R|W address length`"}
	p.head = func(h *Header) {
		h.HasWrites = true
		h.DefaultsStated = c.stated([]string{defaultGap, defaultThread})
	}
	p.line = func(b *Batch, line []byte) error {
		cycle, addr, size, flags, ok := parseProspero(line)
		if !ok {
			return errUnlike
		}
		if _, err := c.at(cycle); err != nil {
			return err
		}
		return b.access(addr, size, 0, 0, flags)
	}
	return p, nil
}

var sniffProspero = sniffLines(0, func(line []byte) bool { _, _, _, _, ok := parseProspero(line); return ok })

func parseProspero(line []byte) (cycle, addr, size uint64, flags uint8, ok bool) {
	cycle, rest, ok1 := parseDec(line)
	rest, ok2 := blankAfter(rest)
	if !ok1 || !ok2 || rest[0] != 'R' && rest[0] != 'W' {
		return 0, 0, 0, 0, false
	}
	if rest[0] == 'W' {
		flags = FlagWrite
	}
	rest, ok1 = blankAfter(rest[1:])
	addr, rest, ok2 = parseAny(rest)
	rest, ok3 := blankAfter(rest)
	size, rest, ok4 := parseDec(rest)
	return cycle, addr, size, flags, ok1 && ok2 && ok3 && ok4 && blankOnly(rest)
}

// memtraceHead begins the output of DynamoRIO's sample client memtrace_simple.
const memtraceHead = "Format: <data address>: <data size>, <(r)ead/(w)rite/opcode>"

// newMemtrace reads what DynamoRIO's sample client memtrace_simple writes: `0xaddress: size, r|w|opcode`, in hex with blanks before
// the size. A line with an opcode is an instruction.
func newMemtrace(in *input) (parser, error) {
	p := &lineParser{in: in.lines(), want: "`0xaddress: size, r|w|opcode`"}
	p.head = func(h *Header) {
		h.HasGaps, h.HasWrites = true, true
		h.DefaultsStated = []string{defaultThread}
	}
	var gap uint32
	p.line = func(b *Batch, line []byte) error {
		addr, size, op, ok := parseMemtrace(line)
		switch {
		case !ok && bytes.HasPrefix(line, []byte("Format:")):
			return nil
		case !ok:
			return errUnlike
		case size > maxAccessBytes:
			return fmt.Errorf("an access of %d bytes, expected at most %d", size, maxAccessBytes)
		case op == 'r' || op == 'w':
			flags := uint8(0)
			if op == 'w' {
				flags = FlagWrite
			}
			if err := b.access(addr, size, gap, 0, flags); err != nil {
				return err
			}
			gap = 0
		default:
			gap += min(1, ^gap)
		}
		return nil
	}
	return p, nil
}

func sniffMemtrace(h *head) bool {
	if h.lines[0] == memtraceHead {
		return true
	}
	_, _, _, ok := parseMemtrace(h.line())
	return ok
}

// parseMemtrace reads a line; op is r, w, or 0 for an instruction.
func parseMemtrace(line []byte) (addr, size uint64, op byte, ok bool) {
	addr, rest, ok1 := parse0x(line)
	rest, ok2 := skipByte(rest, ':')
	rest, ok3 := blankAfter(rest)
	size, rest, ok4 := parseDec(rest)
	rest, ok5 := skipByte(rest, ',')
	rest, ok6 := blankAfter(rest)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) {
		return 0, 0, 0, false
	}
	w, rest := word(rest)
	for _, c := range w {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return 0, 0, 0, false
		}
	}
	if len(w) == 1 && (w[0] == 'r' || w[0] == 'w') {
		op = w[0]
	}
	return addr, size, op, len(rest) == 0
}

package trace

import "bytes"

// newRamulator reads the memory traces of Ramulator 1: `0xaddress R|W`.
func newRamulator(in *input) (parser, error) {
	p := &lineParser{in: in.lines(), want: "`0xaddress R|W`", head: plainWrites}
	p.line = func(b *Batch, line []byte) error {
		addr, op, ok := parseAddrOp(line)
		if !ok || op != 'R' && op != 'W' {
			return errUnlike
		}
		b.ref(addr, 0, 0, (op&4)>>2) // R is 0x52, W is 0x57
		return nil
	}
	return p, nil
}

// plainWrites is the header of formats that tell reads from writes and nothing else.
func plainWrites(h *Header) {
	h.HasWrites = true
	h.DefaultsStated = []string{defaultSize, defaultGap, defaultThread}
}

func sniffRamulator(h *head) bool {
	_, op, ok := parseAddrOp(h.line())
	return ok && (op == 'R' || op == 'W')
}

// parseAddrOp reads `0xaddress letter`.
func parseAddrOp(line []byte) (addr uint64, op byte, ok bool) {
	addr, rest, ok := parse0x(line)
	if !ok || len(rest) < 2 || rest[0] != ' ' {
		return 0, 0, false
	}
	if len(rest) == 2 { // as nearly all are
		return addr, rest[1], true
	}
	rest, _ = skipBlanks(rest)
	w, rest := word(rest)
	if len(w) != 1 || len(rest) > 0 {
		return 0, 0, false
	}
	return addr, w[0], true
}

// newRamulatorCPU reads the instruction traces of Ramulator 1 and 2: `bubbles read [written]`, where bubbles are instructions that
// touch no memory. Addresses are decimal or begin with 0x. In traces of unfiltered requests R or W follows the address.
func newRamulatorCPU(in *input) (parser, error) {
	p := &lineParser{in: in.lines(), want: "`bubbles read-address [written-address]`"}
	p.head = func(h *Header) {
		h.HasGaps, h.HasWrites = true, true
		h.DefaultsStated = []string{defaultSize, defaultThread, "instructions: the bubbles and the one that reads; 0 for what is written with it"}
	}
	p.line = func(b *Batch, line []byte) error {
		l, ok := parseRamulatorCPU(line)
		if !ok {
			return errUnlike
		}
		b.ref(l.addr, saturated(min(l.bubbles, 1<<32)+1), 0, l.flags)
		if l.second {
			b.ref(l.written, 0, 0, FlagWrite)
		}
		return nil
	}
	return p, nil
}

var sniffRamulatorCPU = sniffAll(func(line []byte) bool { _, ok := parseRamulatorCPU(line); return ok })

type ramulatorLine struct {
	bubbles, addr, written uint64
	flags                  uint8
	second                 bool // written is set
}

func parseRamulatorCPU(line []byte) (l ramulatorLine, ok bool) {
	l.bubbles, line, ok = parseDec(line)
	if line, ok = andBlank(line, ok); !ok {
		return l, false
	}
	l.addr, line, ok = parseAny(line)
	if line, blank := skipBlanks(line); !ok || len(line) == 0 || !blank {
		return l, ok && len(line) == 0
	} else if len(line) == 1 && (line[0] == 'R' || line[0] == 'W') {
		l.flags = (line[0] & 4) >> 2
		return l, true
	} else {
		l.written, line, ok = parseAny(line)
		l.second = true
		return l, ok && blankOnly(line)
	}
}

// andBlank is blankAfter, if what came before was read.
func andBlank(b []byte, before bool) (rest []byte, ok bool) {
	rest, ok = blankAfter(b)
	return rest, ok && before
}

// newLoadStore reads the load-store traces of Ramulator 2: `LD|ST address`, decimal or with 0x.
func newLoadStore(in *input) (parser, error) {
	p := &lineParser{in: in.lines(), want: "`LD address` or `ST address`", head: plainWrites}
	p.line = func(b *Batch, line []byte) error {
		addr, flags, ok := parseLoadStore(line)
		if !ok {
			return errUnlike
		}
		b.ref(addr, 0, 0, flags)
		return nil
	}
	return p, nil
}

func sniffLoadStore(h *head) bool {
	_, _, ok := parseLoadStore(h.line())
	return ok
}

func parseLoadStore(line []byte) (addr uint64, flags uint8, ok bool) {
	if len(line) < 4 || line[2] != ' ' {
		return 0, 0, false
	}
	switch {
	case line[0] == 'L' && line[1] == 'D':
	case line[0] == 'S' && line[1] == 'T':
		flags = FlagWrite
	default:
		return 0, 0, false
	}
	line, _ = skipBlanks(line[3:])
	addr, rest, ok := parseAny(line)
	return addr, flags, ok && blankOnly(rest)
}

// newDramsim reads the traces of DRAMSim2 and DRAMsim3: `0xaddress command cycle`, with the commands of its formats mase (READ, WRITE,
// IFETCH), misc (read, write, without a cycle) and k6 (P_MEM_RD …, whose times have points, commas and units: `1,234.500 ns`).
func newDramsim(in *input) (parser, error) {
	c := in.spec.newClock(false)
	p := &lineParser{in: in.lines(), want: "`0xaddress READ|WRITE|IFETCH|P_MEM_RD|… cycle`"}
	p.head = func(h *Header) {
		h.HasWrites = true
		h.DefaultsStated = c.stated([]string{defaultSize, defaultGap, defaultThread, "P_LOCK_WR and BOFF: writes; P_INT_ACK and P_IO_*: no references"})
	}
	p.line = func(b *Batch, line []byte) error {
		addr, op, cycle, timed, ok := parseDramsim(line)
		if !ok {
			return errUnlike
		}
		if timed {
			if _, err := c.at(cycle); err != nil {
				return err
			}
		}
		if op != dramNothing {
			b.ref(addr, 0, 0, uint8(op))
		}
		return nil
	}
	return p, nil
}

func sniffDramsim(h *head) bool {
	_, _, _, _, ok := parseDramsim(h.line())
	return ok
}

// What a command does to memory.
const (
	dramRead    = 0
	dramWrite   = int(FlagWrite)
	dramNothing = 2
	dramUnknown = -1
)

func dramCommand(w []byte) int {
	switch string(w) {
	case "READ", "IFETCH", "read", "P_MEM_RD", "P_FETCH", "P_LOCK_RD":
		return dramRead
	case "WRITE", "write", "P_MEM_WR", "P_LOCK_WR", "BOFF":
		return dramWrite
	case "P_INT_ACK", "P_IO_RD", "P_IO_WR":
		return dramNothing
	}
	return dramUnknown
}

// parseDramsim reads a line; timed says that cycle can be compared with that of other lines.
func parseDramsim(line []byte) (addr uint64, op int, cycle uint64, timed, ok bool) {
	addr, rest, ok := parse0x(line)
	if rest, ok = andBlank(rest, ok); !ok {
		return 0, 0, 0, false, false
	}
	w, rest := word(rest)
	if op = dramCommand(w); op == dramUnknown {
		return 0, 0, 0, false, false
	}
	if len(rest) == 0 {
		return addr, op, 0, false, w[0] == 'r' || w[0] == 'w'
	}
	cycle, after, ok := parseDec(rest)
	if ok && blankOnly(after) {
		return addr, op, cycle, true, true
	}
	if w[0] == 'r' || w[0] == 'w' { // data of 32 bytes, in hex
		return addr, op, 0, false, w[0] == 'w' && hexOnly(rest)
	}
	n, unit := word(rest)
	return addr, op, 0, false, ok && len(bytes.Trim(n, "0123456789.,")) == 0 && bytes.IndexByte(unit, ' ') < 0
}

func hexOnly(b []byte) bool {
	for _, c := range b {
		if hexDigit[c] > 15 && c != ' ' {
			return false
		}
	}
	return true
}

package trace

// newUCSD reads the address traces of UCSD's and other courses: `l|s 0xaddress n`, with the instructions since the last access,
// and the variant with the times of a hit and of a miss behind it.
func newUCSD(in *input) (parser, error) {
	p := &lineParser{in: in.lines(), want: "`l|s 0xaddress instructions`"}
	p.head = func(h *Header) {
		h.HasGaps, h.HasWrites = true, true
		h.DefaultsStated = []string{defaultSize, defaultThread}
	}
	p.line = func(b *Batch, line []byte) error {
		addr, gap, flags, ok := parseUCSD(line)
		if !ok {
			return errUnlike
		}
		b.ref(addr, saturated(gap), 0, flags)
		return nil
	}
	return p, nil
}

var sniffUCSD = sniffLines(0, func(line []byte) bool { _, _, _, ok := parseUCSD(line); return ok })

func parseUCSD(line []byte) (addr, gap uint64, flags uint8, ok bool) {
	if len(line) < 7 || line[1] != ' ' {
		return 0, 0, 0, false
	}
	switch line[0] {
	case 'l':
	case 's':
		flags = FlagWrite
	default:
		return 0, 0, 0, false
	}
	addr, rest, ok := parse0x(line[2:])
	if rest, ok = andBlank(rest, ok); !ok {
		return 0, 0, 0, false
	}
	gap, rest, ok = parseDec(rest)
	if !ok || len(rest) == 0 {
		return addr, gap, flags, ok
	}
	for i := range 2 { // hit and miss penalty
		if rest, ok = andBlank(rest, ok); !ok {
			return addr, gap, flags, i == 0 && len(rest) == 0
		}
		if _, rest, ok = parseDec(rest); !ok {
			return 0, 0, 0, false
		}
	}
	return addr, gap, flags, blankOnly(rest)
}

// newCSE240A reads the traces of UCSD's CSE 240A: `0xaddress I|D`. Fetches of instructions are instructions, and data references
// have no operation.
func newCSE240A(in *input) (parser, error) {
	flags := in.spec.flags()
	p := &lineParser{in: in.lines(), want: "`0xaddress I|D`"}
	p.head = func(h *Header) {
		h.HasGaps, h.HasWrites = true, in.spec.Op == "write"
		h.DefaultsStated = []string{in.spec.opStated(), defaultSize, defaultThread, "fetches of instructions: no references"}
	}
	var gap uint32
	p.line = func(b *Batch, line []byte) error {
		addr, op, ok := parseAddrOp(line)
		switch {
		case ok && op == 'I':
			gap += min(1, ^gap)
		case ok && op == 'D':
			b.ref(addr, gap, 0, flags)
			gap = 0
		default:
			return errUnlike
		}
		return nil
	}
	return p, nil
}

func sniffCSE240A(h *head) bool {
	_, op, ok := parseAddrOp(h.line())
	return ok && (op == 'I' || op == 'D')
}

package trace

import (
	"bytes"
	"fmt"
)

// fltraceHead begins the csv of fltrace; builds that record registers have a column more before the trace.
var fltraceHead = []byte("tstamp,ip,addr,pages,flags,tid")

// MaxFaultPages bounds the pages of a fault or of a swap request: 16 MiB.
const MaxFaultPages = 1 << 12

// What flags of fltrace say, as userfaultfd does.
const (
	faultWrite   = 1 << 0
	faultProtect = 1 << 1 // a write to a page that was protected from it
)

// newFltrace reads the page faults that fltrace samples: `tstamp,ip,addr,pages,flags,tid,trace`, with the address in hex.
func newFltrace(in *input) (parser, error) {
	c := in.spec.newClock(true) // each thread writes when its stack is known
	var threads threadTable
	p := &lineParser{in: in.hexLines(), want: "`seconds,ip,addr,pages,flags,tid,trace`"}
	p.head = func(h *Header) {
		h.Granularity, h.HasWrites = PageBytes, true
		h.DefaultsStated = c.stated([]string{defaultSize, "instructions: 0 (faults do not tell)", defaultThreads, "references: one for each page of a fault"})
	}
	p.line = func(b *Batch, line []byte) error {
		if p.in.line == 1 && bytes.HasPrefix(line, fltraceHead) {
			return nil
		}
		f, ok := parseFltrace(line)
		if !ok {
			return errUnlike
		}
		if f.pages == 0 || f.pages > MaxFaultPages || f.addr>>PageShift+f.pages-1 > maxPage {
			return fmt.Errorf("%d pages from %#x, expected 1 to %d that end below 2^64", f.pages, f.addr, MaxFaultPages)
		}
		if _, err := c.at(f.ns); err != nil {
			return err
		}
		t, err := threads.of(f.tid)
		if err != nil {
			return err
		}
		b.ref(f.addr, 0, t, f.write)
		for i := uint64(1); i < f.pages; i++ {
			b.ref((f.addr>>PageShift+i)<<PageShift, 0, t, f.write)
		}
		return nil
	}
	return p, nil
}

func sniffFltrace(h *head) bool { return bytes.HasPrefix(h.line(), fltraceHead) }

type fault struct {
	ns, addr, pages, tid uint64
	write                uint8
}

func parseFltrace(line []byte) (f fault, ok bool) {
	ns, rest, ok1 := parseSeconds(line)
	rest, ok2 := skipByte(rest, ',')
	_, rest, ok3 := parseHex(rest)
	rest, ok4 := skipByte(rest, ',')
	addr, rest, ok5 := parseHex(rest)
	rest, ok6 := skipByte(rest, ',')
	pages, rest, ok7 := parseDec(rest)
	rest, ok8 := skipByte(rest, ',')
	flags, rest, ok9 := parseDec(rest)
	rest, ok10 := skipByte(rest, ',')
	tid, rest, ok11 := parseDec(rest)
	f = fault{ns: ns, addr: addr, pages: pages, tid: tid}
	if flags&(faultWrite|faultProtect) != 0 {
		f.write = FlagWrite
	}
	return f, ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8 && ok9 && ok10 && ok11 && (len(rest) == 0 || rest[0] == ',')
}

// newNetSwap reads the swap traces of NetSys' disaggregation study: `batch µs page pages`, with commas or blanks between them. The
// page number of what is swapped out begins with +, of what is swapped in with -.
func newNetSwap(in *input) (parser, error) {
	c := in.spec.newClock(true) // a batch is one experiment: the next begins anew
	s := &lineParser{in: in.lines(), want: "`batch µs ±page pages`"}
	s.head = func(h *Header) {
		h.Granularity, h.HasWrites = PageBytes, true
		h.DefaultsStated = c.stated([]string{"operation: + writes, - reads", defaultAddr, defaultSize, defaultGap, defaultThread})
	}
	s.line = func(b *Batch, line []byte) error {
		us, page, pages, flags, ok := parseNetSwap(line)
		if !ok || us > 1<<53 {
			return errUnlike
		}
		if pages == 0 || pages > MaxFaultPages || page > maxPage || page+pages-1 > maxPage {
			return fmt.Errorf("%d pages from %d, expected 1 to %d below 2^52", pages, page, MaxFaultPages)
		}
		if _, err := c.at(us * 1000); err != nil {
			return err
		}
		for i := range pages {
			b.ref((page+i)<<PageShift, 0, 0, flags)
		}
		return nil
	}
	return s, nil
}

func parseNetSwap(line []byte) (us, page, pages uint64, flags uint8, ok bool) {
	next := func(b []byte) []byte {
		b, _ = skipBlanks(b)
		b, _ = skipByte(b, ',')
		b, _ = skipBlanks(b)
		return b
	}
	_, rest, ok1 := parseDec(line)
	us, rest, ok2 := parseDec(next(rest))
	if rest = next(rest); len(rest) == 0 {
		return
	}
	switch rest[0] {
	case '-':
		rest = rest[1:]
	case '+':
		rest, flags = rest[1:], FlagWrite
	default:
		flags = FlagWrite // positive
	}
	page, rest, ok3 := parseDec(rest)
	pages, rest, ok4 := parseDec(next(rest))
	return us, page, pages, flags, ok1 && ok2 && ok3 && ok4 && blankOnly(rest)
}

package trace

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// perfScript reads samples with addresses as `perf script` prints them, for example after `perf mem record`:
//
//	program 1234/1240 [003] 5678.901234: 1 cpu/mem-stores/P: 7ffd1c0a1b40 …
//	program 1240 [003] 5678.901234: exceptions:page_fault_user: address=0x7ffd1c0a1b40 ip=0x401a2c error_code=0x6
//
// Without the key fields it finds the time (seconds and a colon), before it the thread, behind it the event, and behind that the address.
type perfScript struct {
	clock   clock
	spec    *Spec
	fields  []string // nil = found
	threads threadTable
	none    uint64 // samples without an address
}

const perfFields = "fields"

var perfNames = []string{"comm", "pid", "tid", "cpu", "time", "period", "event", "addr", "phys_addr", "ip", "weight", "data_src", "skip"}

var perfKeys = []Key{{perfFields, "the columns in the order in which they stand, with + between them (" + strings.Join(perfNames, ", ") + "); what follows the last one is ignored (default: found by time, event and address)"}}

const (
	wantPerf       = "`[program] thread [cpu] seconds: [period] event: address …`, or the columns named with fields=time+event+addr"
	wantPerfFields = "the columns that fields names"
)

func newPerf(in *input) (parser, error) {
	p := &perfScript{clock: in.spec.newClock(true), spec: &in.spec} // processors are merged by perf, but not always in order
	l := &lineParser{in: in.hexLines(), want: wantPerf, head: p.header, line: p.line}
	if text := in.spec.key(perfFields, ""); text != "" {
		p.fields = strings.Split(text, "+")
		l.want = wantPerfFields
		for _, f := range p.fields {
			if !slices.Contains(perfNames, f) {
				return nil, fmt.Errorf("%s: fields=%q: %q, want some of %s", in.path, text, f, strings.Join(perfNames, ", "))
			}
		}
		if !slices.Contains(p.fields, "addr") && !slices.Contains(p.fields, "phys_addr") {
			return nil, fmt.Errorf("%s: fields=%q, want addr or phys_addr among them", in.path, text)
		}
	}
	return l, nil
}

var sniffPerf = sniffLines('#', func(line []byte) bool { _, ok := parsePerf(line); return ok })

func (p *perfScript) header(h *Header) {
	h.HasWrites = true
	h.DefaultsStated = []string{"operation: write where the event, the data source or the error code of a fault says so, else " + p.otherwise(),
		defaultSize, "instructions: 0 (samples do not tell)", defaultThreads, "samples: not all references; without an address they are left out"}
	if p.none > 0 {
		h.DefaultsStated = append(h.DefaultsStated, fmt.Sprintf("samples without an address: %d left out", p.none))
	}
	h.DefaultsStated = p.clock.stated(h.DefaultsStated)
}

func (p *perfScript) otherwise() string {
	if p.spec.Op != "" {
		return p.spec.Op + " (set)"
	}
	return "read"
}

// perfLine is what a sample says.
type perfLine struct {
	ns, thread, addr uint64
	store            bool
	timed            bool
}

func (p *perfScript) line(b *Batch, line []byte) error {
	if line[0] == '#' {
		return nil
	}
	parse := parsePerf
	if p.fields != nil {
		parse = p.parseFields
	}
	l, ok := parse(line)
	if !ok {
		return errUnlike
	}
	if l.timed {
		if _, err := p.clock.at(l.ns); err != nil {
			return err
		}
	}
	if l.addr == 0 {
		p.none++
		return nil
	}
	thread, err := p.threads.of(l.thread)
	if err != nil {
		return err
	}
	flags := p.spec.flags()
	if l.store {
		flags = FlagWrite
	}
	b.ref(l.addr, 0, thread, flags)
	return nil
}

// parsePerf finds the columns.
func parsePerf(line []byte) (l perfLine, ok bool) {
	var before, w []byte // the last word that may be the thread
	rest, _ := skipBlanks(line)
	for {
		if w, rest = word(rest); len(rest) == 0 {
			return l, false
		}
		if w[len(w)-1] == ':' && w[0]-'0' <= 9 {
			var after []byte
			if l.ns, after, ok = parseSeconds(w); ok && len(after) == 1 {
				break
			}
		}
		if w[0] != '[' {
			before = w
		}
	}
	l.timed = true
	l.thread, _ = perfThread(before) // fields without one are of one thread
	if w, rest = word(rest); w[0]-'0' <= 9 && w[len(w)-1] != ':' {
		w, rest = word(rest) // w was the period
	}
	if len(w) < 2 || w[len(w)-1] != ':' {
		return l, false
	}
	l.store = perfStore(w)
	w, rest = word(rest)
	if text, is := bytes.CutPrefix(w, perfFaultAddr); is { // a tracepoint of page faults
		w = text
		_, code, _ := bytes.Cut(rest, perfFaultCode)
		flags, _, _ := parseHex(code)
		l.store = flags&faultCodeWrite != 0
	}
	l.addr, w, ok = parsePerfAddr(w)
	if ok && len(rest) > 0 && bytes.Contains(rest, perfOpStore) {
		l.store = true
	}
	return l, ok && len(w) == 0
}

var (
	perfStoreWord = []byte("store")
	perfOpStore   = []byte("OP STORE")

	// exceptions:page_fault_user: address=0x7f0d3a9e0ad8 ip=0x401a2c error_code=0x6
	perfFaultAddr = []byte("address=")
	perfFaultCode = []byte("error_code=0x")
)

// faultCodeWrite is the bit of x86's error code that tells a write from a read.
const faultCodeWrite = 1 << 1

// perfStore reports whether an event is of stores.
func perfStore(event []byte) bool { return bytes.Contains(event, perfStoreWord) }

// perfThread reads tid or pid/tid.
func perfThread(w []byte) (uint64, bool) {
	if i := bytes.IndexByte(w, '/'); i >= 0 {
		w = w[i+1:]
	}
	n, rest, ok := parseDec(w)
	return n, ok && len(rest) == 0
}

// parsePerfAddr reads hex, with or without 0x.
func parsePerfAddr(w []byte) (uint64, []byte, bool) {
	if len(w) > 2 && w[0] == '0' && w[1] == 'x' {
		w = w[2:]
	}
	return parseHex(w)
}

// parseFields reads the columns that were named.
func (p *perfScript) parseFields(line []byte) (l perfLine, ok bool) {
	rest, _ := skipBlanks(line)
	ok = true
	both := false // pid/tid are one word
	for i, f := range p.fields {
		if both && (f == "pid" || f == "tid") {
			both = false
			continue
		}
		if len(rest) == 0 || !ok {
			return l, false
		}
		var w []byte
		if f == "comm" {
			rest = p.pastComm(rest, i)
			continue
		}
		w, rest = word(rest)
		var left []byte
		switch f {
		case "pid", "tid":
			both = bytes.IndexByte(w, '/') >= 0
			if f == "tid" || both {
				l.thread, ok = perfThread(w)
			}
		case "time":
			l.ns, left, ok = parseSeconds(bytes.TrimSuffix(w, []byte(":")))
			l.timed = true
			ok = ok && len(left) == 0
		case "event":
			l.store = l.store || perfStore(w)
		case "addr", "phys_addr":
			l.addr, left, ok = parsePerfAddr(w)
			ok = ok && len(left) == 0
		case "data_src":
			var src uint64
			src, left, ok = parsePerfAddr(w)
			l.store = l.store || src&4 != 0 // PERF_MEM_OP_STORE
			ok = ok && len(left) == 0
		}
	}
	return l, ok
}

// pastComm passes over the name of a program, which may have blanks: up to a word that the next column can be.
func (p *perfScript) pastComm(rest []byte, i int) []byte {
	for {
		_, rest = word(rest)
		if len(rest) == 0 || i+1 == len(p.fields) || rest[0]-'0' <= 9 || rest[0] == '[' || p.fields[i+1] == "event" {
			return rest
		}
	}
}

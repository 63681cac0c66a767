package trace

import (
	"bytes"
)

// stated are the defaults of formats without these fields.
const (
	defaultSize   = "size: 0 = unknown (the format has none)"
	defaultGap    = "instructions: 0 (the format has none)"
	defaultThread = "thread: 0 (the format has none)"
	defaultAddr   = "address: the first byte of the page (the format has page numbers)"
)

// pages reads `R hexpage` and `W hexpage`, one reference a line.
type pages struct{ in *lineReader }

const wantPages = "`R hexpage` or `W hexpage`, a page below 2^52"

func newPages(in *input) (parser, error) { return &pages{in.hexLines()}, nil }

func sniffPages(h *head) bool {
	_, _, ok := parsePageLine(h.line())
	return ok
}

func (p *pages) header(h *Header) {
	h.Granularity = PageBytes
	h.HasWrites = true
	h.DefaultsStated = []string{defaultAddr, defaultSize, defaultGap, defaultThread}
}

func (p *pages) fill(b *Batch) error {
	for !b.full() {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		page, flags, ok := parsePageLine(line)
		if !ok {
			if len(line) == 0 {
				continue
			}
			return p.in.unlike(line, wantPages)
		}
		b.Refs = append(b.Refs, Ref{Addr: page << PageShift, Flags: flags})
	}
	return nil
}

func parsePageLine(line []byte) (page uint64, flags uint8, ok bool) {
	if len(line) < 3 || line[1] != ' ' {
		return 0, 0, false
	}
	switch line[0] {
	case 'R':
	case 'W':
		flags = FlagWrite
	default:
		return 0, 0, false
	}
	page, rest, ok := parseHex(line[2:])
	return page, flags, ok && len(rest) == 0 && page <= maxPage
}

// lirs reads the lists of the LIRS authors: a decimal block number a line,
// `*` lines are marks.
type lirs struct {
	in   *lineReader
	spec Spec
}

const wantLirs = "a decimal block number or `*`, a block below 2^52"

func newLirs(in *input) (parser, error) { return &lirs{in.lines(), in.spec}, nil }

func sniffLirs(h *head) bool {
	for _, l := range h.lines {
		if _, skip, ok := parseLirsLine([]byte(l)); !skip {
			return ok
		}
	}
	return false
}

func (p *lirs) header(h *Header) {
	h.Granularity = PageBytes
	h.DefaultsStated = []string{p.spec.opStated(), defaultAddr, defaultSize, defaultGap, defaultThread}
}

func (p *lirs) fill(b *Batch) error {
	for !b.full() {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		page, skip, ok := parseLirsLine(line)
		if skip {
			continue
		}
		if !ok {
			return p.in.unlike(line, wantLirs)
		}
		b.Refs = append(b.Refs, Ref{Addr: page << PageShift, Flags: p.spec.flags()})
	}
	return nil
}

func parseLirsLine(line []byte) (page uint64, skip, ok bool) {
	if page, rest, ok := parseDec(line); ok && len(rest) == 0 { // as nearly all are
		return page, false, page <= maxPage
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '*' {
		return 0, true, true
	}
	page, rest, ok := parseDec(line)
	return page, false, ok && len(rest) == 0 && page <= maxPage
}

// arc reads `start count ignored sequence`: count consecutive blocks.
type arc struct {
	in    *lineReader
	spec  Spec
	page  uint64
	count uint64 // of the current line still to hand out
}

const wantArc = "`start count ignored sequence`, decimal"

func newArc(in *input) (parser, error) { return &arc{in: in.lines(), spec: in.spec}, nil }

func sniffArc(h *head) bool {
	_, _, ok := parseArcLine(h.line())
	return ok
}

func (p *arc) header(h *Header) { (&lirs{spec: p.spec}).header(h) }

func (p *arc) fill(b *Batch) error {
	for !b.full() {
		if p.count == 0 {
			line, err := p.in.next()
			if err != nil {
				return err
			}
			var ok bool
			if p.page, p.count, ok = parseArcLine(line); !ok {
				if len(bytes.TrimSpace(line)) == 0 {
					p.count = 0
					continue
				}
				return p.in.unlike(line, wantArc)
			}
			if p.count > MaxExpand || p.count > 0 && p.page+p.count-1 > maxPage {
				return p.in.errorf("%d blocks from %d, expected at most %d below 2^52", p.count, p.page, MaxExpand)
			}
			continue
		}
		b.Refs = append(b.Refs, Ref{Addr: p.page << PageShift, Flags: p.spec.flags()})
		p.page++
		p.count--
	}
	return nil
}

func parseArcLine(line []byte) (start, count uint64, ok bool) {
	var f [4]uint64
	rest, _ := skipBlanks(line)
	for i := range f {
		if f[i], rest, ok = parseDec(rest); !ok {
			return 0, 0, false
		}
		if rest, ok = skipBlanks(rest); !ok && i < 3 {
			return 0, 0, false
		}
	}
	return f[0], f[1], len(rest) == 0 && f[0] <= maxPage
}

package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// damoRecord reads what `damo record` and `damo report` keep: JSON, as a rule compressed by zlib, of which this reader wants
//
//	[{"target_id": N, "snapshots": [{"regions": [{"start": A, "end": B, "nr_accesses": {"samples": N}}, …]}, …]}, …]
//
// Numbers may be strings with commas, and nr_accesses a number. What else there is, is passed over.
type damoRecord struct {
	json    jsonTokens
	path    string
	regions *damonRegions
	names   []string // the keys that led to where we are; "" for an element of an array
	name    string   // the last key
	target  uint64
	region  damoRegion
	number  uint64 // of regions
}

type damoRegion struct {
	start, end, samples    uint64
	hasStart, hasEnd, hasN bool
}

func newDamo(in *input) (parser, error) {
	r, err := newDamonRegions(in)
	return &damoRecord{json: jsonTokens{in: in.Reader}, path: in.path, regions: r}, err
}

// sniffDamo recognises JSON that has the words of a record.
func sniffDamo(h *head) bool {
	start := bytes.TrimLeft(h.start, " \n\r\t")
	return len(start) > 0 && start[0] == '[' && bytes.Contains(start, []byte(`"snapshots"`)) && bytes.Contains(start, []byte(`"target_id"`))
}

func (p *damoRecord) header(h *Header) { p.regions.header(h) }

func (p *damoRecord) fill(b *Batch) error {
	for {
		if p.regions.emit(b); b.full() {
			return nil
		}
		kind, err := p.json.next()
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("%s: region %d: %w", p.path, p.number+1, short(err))
		}
		switch kind {
		case '{', '[':
			p.names = append(p.names, p.name)
			p.name = ""
			if kind == '{' && p.inRegion(0) {
				p.region = damoRegion{}
			}
		case '}', ']':
			done := kind == '}' && p.inRegion(0)
			p.names = p.names[:len(p.names)-1]
			p.name = ""
			if done {
				p.number++
				if err := p.set(); err != nil {
					return &BadRecord{Path: p.path, Unit: "region", N: p.number, Err: err}
				}
			}
		case jsonName:
			p.name = string(p.json.text)
		default:
			if err := p.value(p.json.text); err != nil {
				return &BadRecord{Path: p.path, Unit: "region", N: p.number + 1, Err: err}
			}
			p.name = ""
		}
	}
}

// inRegion reports whether we are in an object of a list of regions, so many levels up.
func (p *damoRecord) inRegion(up int) bool {
	n := len(p.names) - up
	return n >= 2 && p.names[n-1] == "" && p.names[n-2] == "regions"
}

// value takes a string or number that stands where a number is wanted.
func (p *damoRecord) value(text []byte) error {
	var to *uint64
	var has *bool
	var none bool
	r := &p.region
	switch {
	case p.name == "target_id" && len(p.names) == 2:
		to, has = &p.target, &none
	case p.name == "start" && p.inRegion(0):
		to, has = &r.start, &r.hasStart
	case p.name == "end" && p.inRegion(0):
		to, has = &r.end, &r.hasEnd
	case p.name == "nr_accesses" && p.inRegion(0):
		to, has = &r.samples, &r.hasN
	case p.name == "samples" && p.inRegion(1) && p.names[len(p.names)-1] == "nr_accesses":
		to, has = &r.samples, &r.hasN
	default:
		return nil
	}
	if to == &p.target && string(text) == "null" {
		p.target = 0
		return nil
	}
	n, ok := commaNumber(text)
	if !ok {
		return fmt.Errorf("%s is %q, expected a number", p.name, clip(string(text)))
	}
	*to, *has = n, true
	return nil
}

func (p *damoRecord) set() error {
	if r := p.region; r.hasStart && r.hasEnd && r.hasN {
		return p.regions.set(p.target, r.start, r.end, r.samples)
	}
	return errors.New("a region without start, end or nr_accesses, expected all of them")
}

// commaNumber reads a number with or without commas between its digits.
func commaNumber(text []byte) (uint64, bool) {
	var digits [32]byte
	n := 0
	for i, c := range text {
		if c == ',' && i > 0 {
			continue
		}
		if n == len(digits) {
			return 0, false
		}
		digits[n] = c
		n++
	}
	v, rest, ok := parseDec(digits[:n])
	return v, ok && len(rest) == 0
}

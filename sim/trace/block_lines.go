package trace

import (
	"errors"
	"fmt"
)

// lineLayout is a text format with one request a line.
type lineLayout struct {
	want    string   // for errors
	columns string   // the line that may come first and names the columns
	prefix  string   // of the names of volumes
	clamp   bool     // whether times may run backwards: what the format's own tools write
	stated  []string // what the format lacks
	// parse reads a line into a zero Event; TimeNs is as the format counts, before the first request is put at 0.
	// errUnlike is a line of another layout, errLeftOut one that is no request.
	parse func(p *lineBlocks, line []byte, e *Event) error
}

var (
	errUnlike  = errors.New("unlike the format")
	errLeftOut = errors.New("no request")
	errTooFar  = errors.New("its offset or its end is past 2^64 bytes, expected a volume of at most that")
)

// lineBlocks reads a lineLayout. It yields events only.
type lineBlocks struct {
	in      *lineReader
	spec    Spec
	layout  *lineLayout
	clock   clock
	volumes volumeTable
	timeNs  uint64 // what a unit of time is, where a key says
	leftOut uint64 // lines that are no request
}

// opener makes the parser of a layout.
func (l *lineLayout) opener() func(in *input) (parser, error) {
	return func(in *input) (parser, error) { return l.open(in) }
}

func (l *lineLayout) open(in *input) (parser, error) {
	p := &lineBlocks{in: in.lines(), spec: in.spec, layout: l, clock: in.spec.newClock(l.clamp), volumes: newVolumeTable(l.prefix)}
	var err error
	if p.timeNs, err = in.spec.timeUnit(1); err != nil {
		return nil, fmt.Errorf("%s: %w", in.path, err)
	}
	return p, nil
}

// timeKey says what a number of the time stands for.
var timeKey = Key{"time", "`ns`, `us`, `ms` or `s`: what a number of the time stands for"}

// timeUnit is the value of timeKey in ns, or the format's default.
func (s *Spec) timeUnit(ns uint64) (uint64, error) {
	switch v := s.Keys[timeKey.Name]; v {
	case "":
		return ns, nil
	case "ns":
		return 1, nil
	case "us":
		return 1e3, nil
	case "ms":
		return 1e6, nil
	case "s":
		return 1e9, nil
	default:
		return 0, fmt.Errorf("time: %q, want ns, us, ms or s", v)
	}
}

// sniff recognises a file whose first request is like the layout, and three of four of the lines that are looked at: the rest may
// be what an error has to tell of.
func (l *lineLayout) sniff(h *head) bool {
	p := &lineBlocks{layout: l, volumes: newVolumeTable(l.prefix), timeNs: 1}
	like, lines := 0, 0
	for i, text := range h.lines {
		if text == "" || i == 0 && l.columns != "" && text == l.columns {
			continue
		}
		var e Event
		err := l.parse(p, []byte(text), &e)
		if err == nil || err == errLeftOut {
			like++
		} else if lines == 0 {
			return false
		}
		lines++
	}
	return like > 0 && like*4 >= lines*3 || lines == 0 && l.columns != "" && h.lines[0] == l.columns
}

func (p *lineBlocks) header(h *Header) {
	h.Granularity = 1
	h.HasWrites = true
	h.Volumes = p.volumes.infos()
	h.DefaultsStated = append([]string{defaultThread, defaultFlush}, p.layout.stated...)
	h.DefaultsStated = p.clock.stated(h.DefaultsStated)
	if p.leftOut > 0 {
		h.DefaultsStated = append(h.DefaultsStated, fmt.Sprintf("left out: %d lines that do not say whether they read or write", p.leftOut))
	}
}

const defaultFlush = "flushes: none (the format has none)"

func (p *lineBlocks) fill(b *Batch) error {
	for !b.full() {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		if len(line) == 0 || p.in.line == 1 && string(line) == p.layout.columns {
			continue
		}
		n := len(b.Events)
		b.Events = append(b.Events, Event{At: len(b.Refs)})
		if err := p.request(line, &b.Events[n]); err != nil {
			b.Events = b.Events[:n]
			if err == errLeftOut {
				p.leftOut++
				continue
			}
			if err == errUnlike {
				return p.in.unlike(line, p.layout.want)
			}
			return p.in.errorf("%w", err)
		}
	}
	return nil
}

func (p *lineBlocks) request(line []byte, e *Event) (err error) {
	if err = p.layout.parse(p, line, e); err != nil {
		return err
	}
	if e.Offset+e.Length < e.Offset {
		return errTooFar
	}
	e.TimeNs, err = p.clock.at(e.TimeNs)
	return err
}

// readIf is the kind of a request of a format that says 1 for one of them and 0 for the other.
func readIf(read bool) EventKind {
	if read {
		return BlockRead
	}
	return BlockWrite
}

// sectors puts an offset and a length in units of so many bytes into e.
func (e *Event) sectors(at, n, unit uint64) error {
	var ok1, ok2 bool
	e.Offset, ok1 = times(at, unit)
	e.Length, ok2 = times(n, unit)
	if !ok1 || !ok2 {
		return errTooFar
	}
	return nil
}

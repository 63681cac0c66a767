package trace

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// fio reads iologs of fio, version 3: `usec file action [offset length]`, and version 2, the same without the time, where
// `file wait usec 0` lets time pass. Each file is a volume. It yields events only.
type fio struct {
	in      *lineReader
	version int // 0 until the first line was read
	clock   clock
	waited  uint64 // µs so far, version 2
	trims   uint64
	files   volumeTable
}

const (
	fioHead2 = "fio version 2 iolog"
	fioHead3 = "fio version 3 iolog"
	wantFio2 = "`file add|open|close`, `file read|write|sync|datasync|trim [offset length]` or `file wait usec`"
	wantFio3 = "`usec file add|open|close` or `usec file read|write|sync|datasync|trim [offset length]`"
)

func newFio(in *input) (parser, error) {
	p := &fio{in: in.lines(), clock: in.spec.newClock(true), files: newVolumeTable("")} // jobs that share a log are a little out of order
	p.clock.begun = true                                                                // fio counts from the start of the run
	return p, nil
}

func sniffFio(h *head) bool { return strings.HasPrefix(h.lines[0], "fio version ") }

func (p *fio) header(h *Header) {
	h.Granularity = 1
	h.HasWrites = true
	h.Volumes = p.files.infos()
	h.DefaultsStated = []string{defaultThread, "volume: one a file, by base name"}
	if p.version == 2 {
		h.DefaultsStated = append(h.DefaultsStated, "time: only what `wait` says (version 2 has no times)")
	}
	h.DefaultsStated = p.clock.clampedStated(h.DefaultsStated)
	if p.trims > 0 {
		h.DefaultsStated = append(h.DefaultsStated, fmt.Sprintf("left out: %d trims", p.trims))
	}
}

func (p *fio) fill(b *Batch) error {
	if p.version == 0 {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		switch string(line) {
		case fioHead2:
			p.version = 2
		case fioHead3:
			p.version = 3
		default:
			return p.in.fatal("%q, expected `%s` or `%s` (other versions are not read)", clip(string(line)), fioHead3, fioHead2)
		}
	}
	for !b.full() {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			continue
		}
		if err := p.line(b, line); err != nil {
			return err
		}
	}
	return nil
}

// fatal is an error after which nothing of the file can be read.
func (l *lineReader) fatal(f string, args ...any) error {
	return fmt.Errorf("%s: line %d: "+f, append([]any{l.path, l.line}, args...)...)
}

func (p *fio) line(b *Batch, line []byte) error {
	us, rest, want := p.waited, line, wantFio2
	if p.version == 3 {
		var i int
		if us, i = dec(line, 0); i > 0 {
			i = blanksAt(line, i)
		}
		if want = wantFio3; i < 0 || us >= 1<<53 {
			return p.in.unlike(line, want)
		}
		rest = line[i:]
	}
	// The file name may hold blanks, so the line is read from its end.
	var f [4][]byte
	n := lastFields(rest, f[:])
	for _, tail := range []int{3, 1, 2} { // action offset length, action, or `wait usec`
		if n <= tail {
			continue
		}
		e := Event{At: len(b.Refs), TimeNs: us * 1000}
		event, ok := p.action(f[len(f)-tail:], &e)
		if !ok {
			continue
		}
		if e.Offset+e.Length < e.Offset {
			return p.in.errorf("%w", errTooFar)
		}
		if !event {
			return nil
		}
		var err error
		if e.TimeNs, err = p.clock.at(e.TimeNs); err != nil {
			return p.in.errorf("%w", err)
		}
		if e.Volume, err = p.file(rest, f[len(f)-tail]); err != nil {
			return p.in.errorf("%w", err)
		}
		b.Events = append(b.Events, e)
		return nil
	}
	return p.in.unlike(line, want)
}

// lastFields puts the last fields of a line at the end of f, and gives how many there are, at most len(f).
func lastFields(line []byte, f [][]byte) (n int) {
	end := len(line)
	for n < len(f) {
		for end > 0 && (line[end-1] == ' ' || line[end-1] == '\t') {
			end--
		}
		if end == 0 {
			break
		}
		start := end
		for start > 0 && line[start-1] != ' ' && line[start-1] != '\t' {
			start--
		}
		n++
		f[len(f)-n] = line[start:end]
		end = start
	}
	return n
}

// file is the volume of the name that stands in rest before action, a part of it.
func (p *fio) file(rest, action []byte) (uint32, error) {
	name := bytes.TrimRight(rest[:cap(rest)-cap(action)], " \t")
	if v, ok := p.files.byKey[string(name)]; ok {
		return v, nil
	}
	if len(p.files.list) >= MaxVolumes {
		return 0, fmt.Errorf("more than %d files", MaxVolumes)
	}
	v := uint32(len(p.files.list))
	p.files.byKey[string(name)] = v
	p.files.list = append(p.files.list, VolumeInfo{Name: uniqueName(p.files.list, baseName(string(name)))})
	return v, nil
}

// action reads an action with its numbers into e; event says whether it is one that the trace records.
func (p *fio) action(f [][]byte, e *Event) (event, ok bool) {
	switch string(f[0]) {
	case "add", "open", "close":
		return false, len(f) == 1
	case "sync", "datasync":
		e.Kind = BlockFlush
		return true, len(f) != 2
	case "read":
		e.Kind = BlockRead
	case "write":
		e.Kind = BlockWrite
	case "trim":
		// A volume here keeps no map of what is unused: nothing to record.
	case "wait":
		if p.version != 2 || len(f) < 2 {
			return false, false
		}
		us, i := dec(f[1], 0)
		if i != len(f[1]) || us > math.MaxUint64/1000-p.waited {
			return false, false
		}
		p.waited += us
		return false, true
	default:
		return false, false
	}
	if len(f) != 3 {
		return false, false
	}
	var i, j int
	e.Offset, i = dec(f[1], 0)
	e.Length, j = dec(f[2], 0)
	if i != len(f[1]) || j != len(f[2]) {
		return false, false
	}
	if e.Kind == 0 {
		p.trims++
	}
	return e.Kind != 0, true
}

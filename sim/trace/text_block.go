package trace

import (
	"bytes"
	"fmt"
	"strings"
)

// sectorBytes is the unit of lbn in CloudPhysics traces.
const sectorBytes = 512

// cloudPhysics reads `version,time,op,size,lbn`: op is the SCSI code in hex,
// time in µs, size in bytes, lbn in sectors of 512 B. It yields events only.
type cloudPhysics struct {
	in    *lineReader
	begun bool
	start uint64 // time of the first request
}

const (
	cloudPhysicsHead = "version,time,op,size,lbn"
	wantCloudPhysics = "`version,time,op,size,lbn` with op 28 (read) or 2a (write)"
)

func newCloudPhysics(in *lineReader) lineParser { return &cloudPhysics{in: in} }

func sniffCloudPhysics(lines []string) bool {
	l := trimCR(lines[0])
	_, ok := parseCloudPhysics([]byte(l))
	return ok || l == cloudPhysicsHead
}

func (p *cloudPhysics) header(h *Header) {
	h.Granularity = 1
	h.HasWrites = true
	h.Volumes = []VolumeInfo{{Name: "disk"}}
	h.DefaultsStated = []string{defaultThread, "volume: one, named disk (the format has none)", "flushes: none (the format has none)",
		"time: the first request is at 0"}
}

func (p *cloudPhysics) fill(b *Batch) error {
	for !b.full() {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		if len(line) == 0 || p.in.line == 1 && string(line) == cloudPhysicsHead {
			continue
		}
		e, ok := parseCloudPhysics(line)
		if !ok {
			return p.in.unlike(line, wantCloudPhysics)
		}
		if !p.begun {
			p.begun, p.start = true, e.TimeNs
		}
		// Requests may be logged a little out of order: none is before the start.
		e.TimeNs -= min(p.start, e.TimeNs)
		e.At = len(b.Refs)
		b.Events = append(b.Events, e)
	}
	return nil
}

func parseCloudPhysics(line []byte) (e Event, ok bool) {
	version, rest, ok1 := parseDec(line)
	rest, ok2 := skipByte(rest, ',')
	us, rest, ok3 := parseDec(rest)
	rest, ok4 := skipByte(rest, ',')
	op, rest, ok5 := parseHex(rest)
	rest, ok6 := skipByte(rest, ',')
	size, rest, ok7 := parseDec(rest)
	rest, ok8 := skipByte(rest, ',')
	lbn, rest, ok9 := parseDec(rest)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8 && ok9) || len(rest) != 0 {
		return e, false
	}
	const most = 1 << 53 // keeps every product below 2^64
	if version < 1 || version > 2 || us > most || size > most || lbn > most {
		return e, false
	}
	e = Event{Kind: BlockRead, TimeNs: us * 1000, Offset: lbn * sectorBytes, Length: size}
	switch op {
	case 0x28:
	case 0x2a:
		e.Kind = BlockWrite
	default:
		return e, false
	}
	return e, true
}

// fio reads an iolog of version 3: `usec file action [offset length]`. Each
// file is a volume. It yields events only.
type fio struct {
	in      *lineReader
	begun   bool // the first line was read
	volumes []VolumeInfo
	byName  map[string]uint32
}

const (
	fioHead = "fio version 3 iolog"
	wantFio = "`usec file add|open|close` or `usec file read|write|sync|datasync|trim [offset length]`"
)

func newFio(in *lineReader) lineParser { return &fio{in: in, byName: map[string]uint32{}} }

func sniffFio(lines []string) bool { return strings.HasPrefix(lines[0], "fio version ") }

func (p *fio) header(h *Header) {
	h.Granularity = 1
	h.HasWrites = true
	h.Volumes = append([]VolumeInfo(nil), p.volumes...)
	h.DefaultsStated = []string{defaultThread, "volume: one a file, by base name"}
}

func (p *fio) fill(b *Batch) error {
	if !p.begun {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		if string(line) != fioHead {
			return p.in.unlike(line, "`"+fioHead+"` (other versions are not read)")
		}
		p.begun = true
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

func (p *fio) line(b *Batch, line []byte) error {
	// The file name may hold blanks, so split from both ends.
	us, rest, ok := parseDec(line)
	if rest, blank := skipBlanks(rest); ok && blank && us < 1<<53 {
		f := bytes.Fields(rest)
		for _, tail := range []int{3, 1} { // action offset length, or action
			if len(f) <= tail {
				continue
			}
			e := Event{At: len(b.Refs), TimeNs: us * 1000}
			kind, ok := fioAction(f[len(f)-tail:], &e)
			if !ok {
				continue
			}
			vol, err := p.volume(string(bytes.Join(f[:len(f)-tail], []byte(" "))))
			if err != nil {
				return err
			}
			if kind {
				e.Volume = vol
				b.Events = append(b.Events, e)
			}
			return nil
		}
	}
	return p.in.unlike(line, wantFio)
}

// fioAction reads an action with its numbers into e; event says whether it is
// one that the trace records.
func fioAction(f [][]byte, e *Event) (event, ok bool) {
	switch string(f[0]) {
	case "add", "open", "close":
		return false, len(f) == 1
	case "sync", "datasync":
		e.Kind = BlockFlush
		return true, true
	case "read":
		e.Kind = BlockRead
	case "write":
		e.Kind = BlockWrite
	case "trim":
		// A volume here keeps no map of what is unused: nothing to record.
	default:
		return false, false
	}
	if len(f) != 3 {
		return false, false
	}
	off, r1, ok1 := parseDec(f[1])
	length, r2, ok2 := parseDec(f[2])
	e.Offset, e.Length = off, length
	return e.Kind != 0, ok1 && ok2 && len(r1)+len(r2) == 0 && off+length >= off
}

// volume returns the index of the volume for a file.
func (p *fio) volume(file string) (uint32, error) {
	if v, ok := p.byName[file]; ok {
		return v, nil
	}
	if len(p.volumes) >= MaxVolumes {
		return 0, p.in.errorf("more than %d files", MaxVolumes)
	}
	v := uint32(len(p.volumes))
	p.byName[file] = v
	p.volumes = append(p.volumes, VolumeInfo{Name: uniqueName(p.volumes, baseName(file))})
	return v, nil
}

// baseName strips directories, and cuts what is too long to be written.
func baseName(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 && i < len(path)-1 {
		path = path[i+1:]
	}
	const room = 8 // for the mark of uniqueName
	if len(path) > MaxNameBytes-room {
		path = path[:MaxNameBytes-room]
	}
	return path
}

// uniqueName marks a base name that another volume has: a, a#2, a#3.
func uniqueName(volumes []VolumeInfo, name string) string {
	taken := func(s string) bool {
		for _, v := range volumes {
			if v.Name == s {
				return true
			}
		}
		return false
	}
	out := name
	for n := 2; taken(out); n++ {
		out = fmt.Sprintf("%s#%d", name, n)
	}
	return out
}

package trace

import (
	"fmt"
	"math"
	"strings"
)

// sectorBytes is the unit of lbn in CloudPhysics traces.
const sectorBytes = 512

// cloudPhysics reads `version,time,op,size,lbn`: op is the SCSI code in hex,
// time in seconds unless told, size in bytes, lbn in sectors of 512 B. It yields events only.
type cloudPhysics struct {
	in     *lineReader
	clock  clock
	timeNs uint64 // what a unit of time is
}

const (
	cloudPhysicsHead = "version,time,op,size,lbn"
	wantCloudPhysics = "`version,time,op,size,lbn` with op 28 (read) or 2a (write)"
)

func newCloudPhysics(in *input) (parser, error) {
	unit, err := in.spec.timeUnit(1e9)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.path, err)
	}
	return &cloudPhysics{in: in.lines(), clock: in.spec.newClock(true), timeNs: unit}, nil // requests may be logged a little out of order
}

func sniffCloudPhysics(h *head) bool {
	_, ok := parseCloudPhysics(h.line(), 1)
	return ok || h.lines[0] == cloudPhysicsHead
}

func (p *cloudPhysics) header(h *Header) {
	h.Granularity = 1
	h.HasWrites = true
	h.Volumes = []VolumeInfo{{Name: "disk"}}
	h.DefaultsStated = []string{defaultThread, "volume: one, named disk (the format has none)", "flushes: none (the format has none)"}
	h.DefaultsStated = p.clock.stated(h.DefaultsStated)
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
		e, ok := parseCloudPhysics(line, p.timeNs)
		if !ok {
			return p.in.unlike(line, wantCloudPhysics)
		}
		if e.TimeNs, err = p.clock.at(e.TimeNs); err != nil {
			return p.in.errorf("%w", err)
		}
		e.At = len(b.Refs)
		b.Events = append(b.Events, e)
	}
	return nil
}

func parseCloudPhysics(line []byte, unit uint64) (e Event, ok bool) {
	version, rest, ok1 := parseDec(line)
	rest, ok2 := skipByte(rest, ',')
	at, rest, ok3 := parseDec(rest)
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
	if version < 1 || version > 2 || at > math.MaxUint64/unit || size > most || lbn > most {
		return e, false
	}
	e = Event{Kind: BlockRead, TimeNs: at * unit, Offset: lbn * sectorBytes, Length: size}
	switch op {
	case 0x28:
	case 0x2a:
		e.Kind = BlockWrite
	default:
		return e, false
	}
	return e, true
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

package trace

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// colID names what a column or a group of a generic format holds.
type colID int

const (
	colAddr colID = iota
	colOp
	colSize
	colTime
	colThread
	colGap
	colVolume
	colOffset
	colLength
	colCount
)

var fieldNames = [colCount]string{"addr", "rw", "size", "time", "thread", "gap", "volume", "offset", "length"}

// fieldsAbout says what each is, for the keys of columns.
var fieldsAbout = [colCount]string{
	"an address (× unit)", "read or write", "bytes of an access", "a time (× time-unit)", "a number of a thread", "instructions since the last access, its own included",
	"the name of a volume", "where a block request begins (× unit)", "how long a block request is (× length-unit)",
}

// genericKeys are what the generic formats take beside their fields.
var genericKeys = []Key{
	{"base", "`auto` (hex after 0x, else decimal), `hex` or `dec`: of addr and offset (auto)"},
	{"reads", "the words of rw that read, with + between them (" + strings.Join(defaultReads, "+") + ")"},
	{"writes", "the words of rw that write, likewise (" + strings.Join(defaultWrites, "+") + ")"},
	{"time-unit", "`s`, `ms`, `us` or `ns`: of time, which may have a fraction (s)"},
	{"length-unit", "bytes that one of length stands for (1)"},
	{"skip", "how many lines come before the first record (0)"},
	{"comment", "lines that begin with this character are comments (none)"},
}

var (
	defaultReads  = []string{"R", "r", "L", "l", "LD", "READ", "Read", "read", "LOAD", "load"}
	defaultWrites = []string{"W", "w", "S", "s", "M", "ST", "WRITE", "Write", "write", "STORE", "store"}
	timeUnits     = map[string]uint64{"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1}
)

// maxSkipLines bounds the key skip.
const maxSkipLines = 1 << 20

// generic turns fields into references or block requests.
type generic struct {
	spec          *Spec
	has           [colCount]bool
	base          string
	reads, writes [][]byte
	letters       [256]uint8 // what a word of one letter does, + 1; 0 = look it up
	numbers       []colID    // the fields that are numbers
	timeUnit      uint64
	unit, length  uint64
	skip          int
	comment       byte
	clock         clock
	threads       threadTable
	volumes       []VolumeInfo
	byName        map[string]uint32
}

// newGeneric reads the settings. has says which fields there are.
func newGeneric(spec *Spec, has [colCount]bool) (*generic, error) {
	g := &generic{spec: spec, has: has, clock: spec.newClock(false), byName: map[string]uint32{}}
	if has[colOp] && spec.Op != "" {
		return nil, fmt.Errorf("op=%s and rw, want one of them", spec.Op)
	}
	requests, access := has[colOffset] || has[colLength] || has[colVolume], has[colAddr] || has[colSize] || has[colGap]
	switch {
	case requests && access:
		return nil, fmt.Errorf("%s and %s, want addr for references to memory, or offset for block requests", g.one(colAddr, colSize, colGap), g.one(colOffset, colLength, colVolume))
	case requests && !(has[colOffset] && has[colLength]):
		return nil, fmt.Errorf("block requests need offset and length")
	case !requests && !has[colAddr]:
		return nil, fmt.Errorf("neither addr nor offset, want one of them")
	}
	var ok bool
	if g.base = spec.key("base", "auto"); !slices.Contains([]string{"auto", "hex", "dec"}, g.base) {
		return nil, fmt.Errorf("base=%q, want auto, hex or dec", g.base)
	}
	if g.timeUnit, ok = timeUnits[spec.key("time-unit", "s")]; !ok {
		return nil, fmt.Errorf("time-unit=%q, want s, ms, us or ns", spec.Keys["time-unit"])
	}
	n, err := strconv.ParseUint(spec.key("length-unit", "1"), 10, 64)
	if err != nil || n < 1 || n > MaxUnit {
		return nil, fmt.Errorf("length-unit=%q, want 1 to %d", spec.Keys["length-unit"], MaxUnit)
	}
	g.length, g.unit = n, spec.unitOr(1)
	if n, err = strconv.ParseUint(spec.key("skip", "0"), 10, 64); err != nil || n > maxSkipLines {
		return nil, fmt.Errorf("skip=%q, want 0 to %d", spec.Keys["skip"], maxSkipLines)
	}
	g.skip = int(n)
	if c := spec.key("comment", ""); len(c) > 1 {
		return nil, fmt.Errorf("comment=%q, want one character", c)
	} else if c != "" {
		g.comment = c[0]
	}
	g.reads, g.writes = words(spec.key("reads", ""), defaultReads), words(spec.key("writes", ""), defaultWrites)
	if spec.key("reads", "") != "" { // what is said to read does not write
		g.writes = slices.DeleteFunc(g.writes, func(w []byte) bool { return spec.key("writes", "") == "" && contains(g.reads, w) })
	}
	g.reads = slices.DeleteFunc(g.reads, func(w []byte) bool { return contains(g.writes, w) })
	for i, list := range [][][]byte{g.reads, g.writes} {
		for _, w := range list {
			if len(w) == 1 {
				g.letters[w[0]] = uint8(i) + 1
			}
		}
	}
	for id := colAddr; id < colCount; id++ {
		if has[id] && id != colOp && id != colVolume {
			g.numbers = append(g.numbers, id)
		}
	}
	return g, nil
}

// one is the first of some fields that there is.
func (g *generic) one(ids ...colID) string {
	i := slices.IndexFunc(ids, func(id colID) bool { return g.has[id] })
	return fieldNames[ids[i]]
}

func contains(list [][]byte, w []byte) bool {
	return slices.ContainsFunc(list, func(l []byte) bool { return bytes.Equal(l, w) })
}

// words are those of a key, or the defaults.
func words(text string, or []string) (list [][]byte) {
	if text != "" {
		or = strings.Split(text, "+")
	}
	for _, w := range or {
		list = append(list, []byte(w))
	}
	return list
}

func (g *generic) header(h *Header) {
	h.HasWrites, h.HasGaps = g.has[colOp] || g.spec.Op == "write", g.has[colGap]
	state := func(missing bool, text string) {
		if missing {
			h.DefaultsStated = append(h.DefaultsStated, text)
		}
	}
	state(!g.has[colOp], g.spec.opStated())
	state(!g.has[colThread], "thread: 0 (no field says it)")
	state(g.has[colThread], defaultThreads)
	if g.has[colOffset] {
		state(!g.has[colTime], "time: 0 (no field says it)")
		state(!g.has[colVolume], "volume: one, named disk (no field says it)")
		h.Volumes = append([]VolumeInfo(nil), g.volumes...)
		if !g.has[colVolume] {
			h.Volumes = []VolumeInfo{{Name: "disk"}}
		}
	} else {
		state(!g.has[colSize], "size: 0 = unknown (no field says it)")
		state(!g.has[colGap], "instructions: 0 (no field says it)")
	}
	state(g.unit != 1, fmt.Sprintf("address or offset: the number × %d bytes (set)", g.unit))
	if g.has[colTime] {
		h.DefaultsStated = g.clock.stated(h.DefaultsStated)
	}
}

// record appends what the fields of a record say.
func (g *generic) record(b *Batch, f *[colCount][]byte) (err error) {
	var n [colCount]uint64
	for _, id := range g.numbers {
		if n[id], err = g.number(id, f[id]); err != nil {
			return err
		}
	}
	flags := g.spec.flags()
	if g.has[colOp] {
		w := f[colOp]
		ok := len(w) == 1 && g.letters[w[0]] > 0
		if ok {
			flags = g.letters[w[0]] - 1
		} else if flags, ok = writeOf(w, g.reads, g.writes); !ok {
			return fmt.Errorf("rw is %q, expected %s to read, or %s to write", clip(string(f[colOp])), bytes.Join(g.reads, []byte(" ")), bytes.Join(g.writes, []byte(" ")))
		}
	}
	var ns uint64
	if g.has[colTime] {
		if ns, err = g.clock.at(n[colTime]); err != nil {
			return err
		}
	}
	var thread uint16
	if g.has[colThread] {
		if thread, err = g.threads.of(n[colThread]); err != nil {
			return err
		}
	}
	if !g.has[colOffset] {
		return b.access(n[colAddr], n[colSize], saturated(n[colGap]), thread, flags)
	}
	e := Event{At: len(b.Refs), Kind: BlockRead, Thread: thread, TimeNs: ns, Offset: n[colOffset], Length: n[colLength]}
	if e.Offset+e.Length < e.Offset {
		return fmt.Errorf("%d bytes at offset %d, expected a request that ends below 2^64", e.Length, e.Offset)
	}
	if flags == FlagWrite {
		e.Kind = BlockWrite
	}
	if g.has[colVolume] {
		if e.Volume, err = g.volume(f[colVolume]); err != nil {
			return err
		}
	}
	b.Events = append(b.Events, e)
	return nil
}

// number reads a field, in bytes or nanoseconds where it has a unit.
func (g *generic) number(id colID, text []byte) (n uint64, err error) {
	var rest []byte
	var ok bool
	unit := uint64(1)
	switch id {
	case colTime:
		n, rest, ok = parseTime(text, g.timeUnit)
	case colAddr, colOffset:
		unit = g.unit
		switch g.base {
		case "hex":
			n, rest, ok = parsePerfAddr(text)
		case "dec":
			n, rest, ok = parseDec(text)
		default:
			n, rest, ok = parseAny(text)
		}
	case colLength:
		unit = g.length
		fallthrough
	default:
		n, rest, ok = parseAny(text)
	}
	if !ok || len(rest) > 0 {
		return 0, fmt.Errorf("%s is %q, expected a number (%s) of at most 64 bits", fieldNames[id], clip(string(text)), g.baseOf(id))
	}
	if n > ^uint64(0)/unit {
		return 0, fmt.Errorf("%s is %q × %d bytes, expected less than 2^64", fieldNames[id], clip(string(text)), unit)
	}
	return n * unit, nil
}

func (g *generic) baseOf(id colID) string {
	if id == colAddr || id == colOffset {
		return "base=" + g.base
	}
	return "decimal"
}

// volume is the index of a volume by name.
func (g *generic) volume(name []byte) (uint32, error) {
	if v, ok := g.byName[string(name)]; ok {
		return v, nil
	}
	if len(name) == 0 {
		return 0, fmt.Errorf("volume is empty, expected a name")
	}
	if len(g.volumes) >= MaxVolumes {
		return 0, fmt.Errorf("more than %d volumes", MaxVolumes)
	}
	v := uint32(len(g.volumes))
	g.byName[string(name)] = v
	g.volumes = append(g.volumes, VolumeInfo{Name: uniqueName(g.volumes, baseName(string(name)))})
	return v, nil
}

// passOver reports whether a line is none of the records.
func (g *generic) passOver(number int, line []byte) bool {
	return number <= g.skip || g.comment != 0 && line[0] == g.comment
}

package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// The formats of libCacheSim: requests for objects that have an id and a size. The next access that they tell of is not used.

// idKey says what an id is.
var idKey = Key{"id", "`lba` (the default): an id is the number of a block of `unit` bytes (512) where a request begins; `key`: it is a key, often " +
	"hashed, and becomes a reference to a page: its upper 12 bits are folded into the lower 52; `dense`: a key, and pages are numbered in order of first appearance"}

// objectLayout says where the fields of a record are; -1 = there is none. Time, u32 s, is at 0, and the id, u64, at 4.
type objectLayout struct {
	bytes  int
	size   int // u32, or i64
	long   bool
	op     int
	tenant int
	next   int
}

// oracleGeneral, 24 B: u32 s │ u64 id │ u32 bytes │ i64 number of the next request for it, -1 = none. With operation and namespace, 27 B:
// u8 and u16 before the last.
var (
	oracleGeneral     = objectLayout{bytes: 24, size: 12, op: -1, tenant: -1, next: 16}
	oracleGeneralOpNS = objectLayout{bytes: 27, size: 12, op: 16, tenant: 17, next: 19}
)

// objects reads records of a layout.
type objects struct {
	in      *recordReader
	spec    Spec
	layout  objectLayout
	clock   clock
	keys    *keyPages // nil = ids are blocks
	unit    uint64
	volumes volumeTable
	last    uint32 // tenant of the last request
	volume  uint32 // of it
	key     []byte
}

func (l objectLayout) open(in *input) (parser, error) { return l.reader(in) }

func (l objectLayout) reader(in *input) (*objects, error) {
	p := &objects{in: in.records(l.bytes), spec: in.spec, layout: l, clock: in.spec.newClock(false),
		unit: in.spec.unitOr(sectorBytes), volumes: newVolumeTable("tenant")}
	if v := in.spec.Keys[idKey.Name]; v != "" && v != "lba" {
		var ok bool
		if p.keys, ok = newKeyPages(v); !ok {
			return nil, fmt.Errorf("%s: id: %q, want lba, key or dense", in.path, v)
		}
	}
	if p.keys == nil && l.tenant < 0 {
		p.volumes.list = oneDisk()
	}
	return p, nil
}

func (p *objects) header(h *Header) {
	h.HasWrites = p.layout.op >= 0
	if p.keys != nil {
		h.Granularity = PageBytes
		h.DefaultsStated = []string{p.keys.stated(), "size of objects and times: not used", defaultSize, defaultGap, defaultThread}
	} else {
		h.Granularity = 1
		h.Volumes = p.volumes.infos()
		h.DefaultsStated = []string{fmt.Sprintf("id: the number of a block of %d B (id=key makes it a key, unit sets the bytes)", p.unit), defaultThread, defaultFlush}
		if p.layout.tenant < 0 {
			h.DefaultsStated = append(h.DefaultsStated, "volume: one, named disk (the format has none)")
		} else {
			h.DefaultsStated = append(h.DefaultsStated, "volume: one a tenant")
		}
		h.DefaultsStated = p.clock.stated(append(h.DefaultsStated, "time: whole seconds"))
	}
	if p.layout.op < 0 {
		h.DefaultsStated = append(h.DefaultsStated, p.spec.opStated())
	}
}

func (p *objects) fill(b *Batch) error {
	for !b.full() {
		room := MaxBlockEvents - len(b.Events)
		if p.keys != nil {
			room = batchRefs - len(b.Refs)
		}
		records, err := p.in.next(room)
		if err != nil {
			return err
		}
		size := p.layout.bytes
		n := len(records) / size
		for i := range n {
			if err := p.request(b, records[i*size:(i+1)*size]); err != nil {
				err = p.in.bad(i, "%w", err)
				p.in.took(i + 1)
				return err
			}
		}
		p.in.took(n)
	}
	return nil
}

var errBadSize = errors.New("a negative size, expected bytes")

func (p *objects) request(b *Batch, r []byte) error {
	l := &p.layout
	r = r[:l.bytes]
	id := binary.LittleEndian.Uint64(r[4:])
	kind := p.spec.block()
	if l.op >= 0 {
		if k := cacheKind(r[l.op]); k != 0 {
			kind = k
		}
	}
	if p.keys != nil {
		page, err := p.keys.page(id)
		if err != nil {
			return err
		}
		ref := Ref{Addr: page << PageShift}
		if kind == BlockWrite {
			ref.Flags = FlagWrite
		}
		b.Refs = append(b.Refs, ref)
		return nil
	}
	length := uint64(binary.LittleEndian.Uint32(r[l.size:]))
	if l.long {
		if length = binary.LittleEndian.Uint64(r[l.size:]); int64(length) < 0 {
			return errBadSize
		}
	}
	at, ok := times(id, p.unit)
	if !ok || at+length < at {
		return fmt.Errorf("id %d: its block of %d B or its end is past 2^64 bytes, expected the number of a block (id=key takes ids as keys)", id, p.unit)
	}
	ns, err := p.clock.at(uint64(binary.LittleEndian.Uint32(r)) * 1e9)
	if err != nil {
		return err
	}
	volume := uint32(0)
	if l.tenant >= 0 {
		if volume, err = p.tenant(r); err != nil {
			return err
		}
	}
	b.Events = append(b.Events, Event{At: len(b.Refs), Kind: kind, TimeNs: ns, Volume: volume, Offset: at, Length: length})
	return nil
}

// tenant is the volume of a record's tenant or namespace.
func (p *objects) tenant(r []byte) (v uint32, err error) {
	t := uint32(binary.LittleEndian.Uint16(r[p.layout.tenant:]))
	if p.layout.op+1 == p.layout.tenant && p.layout.next-p.layout.tenant > 2 {
		t |= uint32(r[p.layout.tenant+2]) << 16 // lcs: 24 bits
	}
	if t != p.last || p.key == nil {
		p.key = strconv.AppendUint(p.key[:0], uint64(t), 10)
		if p.volume, err = p.volumes.of(p.key); err != nil {
			return 0, err
		}
		p.last = t
	}
	return p.volume, nil
}

// cacheKind is what an operation of a cache does; 0 = it says nothing.
func cacheKind(op byte) EventKind {
	switch op {
	case 1, 2, 12: // get, gets, read
		return BlockRead
	case 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14: // set, add, cas, replace, append, prepend, delete, incr, decr, write, update
		return BlockWrite
	}
	return 0
}

// sniff recognises a layout by what it says of the next requests: a number of a later record, of which those that are here have the
// same id. One that is right is wanted, or times that fit and nothing of a next request.
func (l objectLayout) sniff(h *head) bool {
	n := len(h.start) / l.bytes
	if h.small && len(h.start)%l.bytes != 0 {
		n = 0 // also of a file that is cut off, which is only read by name
	}
	like, linked := 0, 0
	last := uint32(0)
	for i := range n {
		r := h.start[i*l.bytes:]
		next := int64(binary.LittleEndian.Uint64(r[l.next:]))
		at, size := binary.LittleEndian.Uint32(r), binary.LittleEndian.Uint32(r[l.size:])
		ok := at >= last && size > 0 && size < 1<<31 && (next == -1 || next > int64(i) && next < 1<<40)
		if ok && next > 0 && next <= int64(n) { // counted from 1
			other := h.start[(next-1)*int64(l.bytes):]
			if ok = string(other[4:12]) == string(r[4:12]); ok && next-1 > int64(i) {
				linked++
			}
		}
		if ok {
			like++
			last = at
		} else if i == 0 {
			return false
		}
	}
	return n > 0 && like*4 >= n*3 && (linked > 0 || like == n)
}

package trace

import (
	"encoding/binary"
	"fmt"
	"io"
)

// drmemtrace reads offline traces of DynamoRIO's drmemtrace: packed records of 12 bytes where the program was of 64 bits,
//
//	| type u16 | size u16 | address u64 |
//
// and of 8 bytes where it was of 32, whose address is u32 (`trace_entry_t`, whose address is a pointer of the program),
// from a HEADER to a FOOTER, plain or in the chunks of a .zip. Where a file is of a core, the threads that ran on it have headers and
// footers of their own in between.
type drmemtrace struct {
	in      *recordReader
	wide    []byte // records of a 32-bit program as those of a 64-bit one; nil if they are
	threads threadTable
	thread  uint16
	gap     uint32
	begun   bool   // the first HEADER was read
	last    uint16 // the type of the last record
}

// The types of records, of the enumeration trace_type_t.
const (
	drRead         = 0
	drWrite        = 1
	drInstr        = 10 // … to drReturn: instructions by kind
	drReturn       = 16
	drInstrBundle  = 17 // size instructions
	drThread       = 22 // the records after it are of this thread
	drHeader       = 25 // address = version
	drFooter       = 26
	drSysenter     = 31
	drTakenJump    = 48
	drUntakenJump  = 49
	drTypes        = 50 // of version 5 and before
	drMaxVersion   = 64
	drRecordBytes  = 12
	drNarrowBytes  = 8
	drMarker       = 28
	drPID          = 24
	drHeaderWanted = "a trace of drmemtrace (offline; drmemtrace of 64 bits, drmemtrace-32 of 32) begins with a HEADER"
)

func newDrmemtrace(in *input) (parser, error) { return &drmemtrace{in: in.records(drRecordBytes)}, nil }

func newDrmemtrace32(in *input) (parser, error) {
	return &drmemtrace{in: in.records(drNarrowBytes), wide: make([]byte, 0, batchRefs*drRecordBytes)}, nil
}

func sniffDrmemtrace(h *head) bool { return len(h.start) >= drRecordBytes && drIsHeader(h.start) }

// sniffDrmemtrace32 tells the narrow records by the second one, which is where a wide HEADER has the upper half of its version, 0.
func sniffDrmemtrace32(h *head) bool {
	if len(h.start) < 2*drNarrowBytes || !drIsHeader(widen(nil, h.start[:drNarrowBytes])) {
		return false
	}
	kind := binary.LittleEndian.Uint16(h.start[drNarrowBytes:])
	return kind == drMarker || kind == drThread || kind == drPID
}

// widen makes wide records of narrow ones.
func widen(out, recs []byte) []byte {
	for ; len(recs) > 0; recs = recs[drNarrowBytes:] {
		out = append(out, recs[:drNarrowBytes]...)
		out = append(out, 0, 0, 0, 0)
	}
	return out
}

func drIsHeader(r []byte) bool {
	version := binary.LittleEndian.Uint64(r[4:])
	return binary.LittleEndian.Uint32(r) == drHeader && version > 0 && version <= drMaxVersion
}

func (p *drmemtrace) header(h *Header) {
	h.HasGaps, h.HasWrites = true, true
	h.DefaultsStated = []string{defaultThreads, "prefetches, flushes and instruction fetches: no references"}
}

func (p *drmemtrace) fill(b *Batch) error {
	for !b.full() {
		recs, err := p.in.next(batchRefs)
		if err == io.EOF && p.last != drFooter {
			return fmt.Errorf("%s: record %d: the file ends without a FOOTER: it was cut off, or its program still runs", p.in.path, p.in.record+1)
		}
		if err != nil {
			return err
		}
		if p.wide != nil {
			recs = widen(p.wide[:0], recs)
		}
		n, err := p.some(b, recs)
		p.in.took(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// some reads records until the batch is full, and says how many it used.
func (p *drmemtrace) some(b *Batch, recs []byte) (used int, err error) {
	total := len(recs) / drRecordBytes
	n := 0
	for ; n < total && !b.full(); n++ {
		r := recs[n*drRecordBytes : n*drRecordBytes+drRecordBytes]
		kind := binary.LittleEndian.Uint16(r)
		if kind <= drWrite && p.begun {
			addr, size := binary.LittleEndian.Uint64(r[4:]), uint64(binary.LittleEndian.Uint16(r[2:]))
			if room := PageBytes - addr&(PageBytes-1); size <= room {
				b.Refs = append(b.Refs, Ref{Addr: addr, Gap: p.gap, Thread: p.thread, Size: uint8(min(size, MaxRefSize)), Flags: uint8(kind)})
			} else if err := b.access(addr, size, p.gap, p.thread, uint8(kind)); err != nil {
				return n + 1, p.in.bad(n, "%w", err)
			}
			p.gap = 0
			continue
		}
		if kind >= drInstr && kind <= drReturn && p.begun {
			if r[2]|r[3] != 0 { // else only the address of the instruction whose reads and writes follow
				p.gap += min(1, ^p.gap)
			}
			continue
		}
		if err := p.rare(n, kind, r); err != nil {
			return n + 1, err
		}
	}
	p.last = binary.LittleEndian.Uint16(recs[(n-1)*drRecordBytes:])
	return n, nil
}

// rare books the records that are neither references nor plain instructions.
func (p *drmemtrace) rare(n int, kind uint16, r []byte) error {
	addr, size := binary.LittleEndian.Uint64(r[4:]), binary.LittleEndian.Uint16(r[2:])
	switch {
	case kind == drHeader && drIsHeader(r):
		p.begun = true
	case !p.begun:
		return fmt.Errorf("%s: record %d: type %d, expected a HEADER: %s", p.in.path, p.in.record+uint64(n)+1, kind, drHeaderWanted)
	case kind == drHeader:
		return p.in.bad(n, "a HEADER of version %d, expected 1 to %d", addr, drMaxVersion)
	case kind == drThread:
		t, err := p.threads.of(addr)
		if err != nil {
			return p.in.bad(n, "%w", err)
		}
		p.thread = t
	case kind == drInstrBundle:
		p.gap += min(uint32(size), ^p.gap)
	case kind == drSysenter || kind == drTakenJump || kind == drUntakenJump:
		p.gap += min(1, ^p.gap)
	case kind >= drTypes:
		return p.in.bad(n, "type %d, expected 0 to %d", kind, drTypes-1)
	}
	return nil
}

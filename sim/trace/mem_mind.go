package trace

import (
	"encoding/binary"
	"fmt"
)

// mind reads the logs of MIND's replayer, packed records of 15 bytes:
//
//	| op u8 R, W, B | address 6 bytes | µs u64 |
//	| op u8 M, U | µs since the last u32 | start 6 bytes | bytes u32 |
//
// M and U map and unmap, B sets the end of the heap. What is touched outside of all maps is mapped before, as in formats without maps.
type mind struct {
	clock clock
	maps  memMap
	batch *Batch // that maps emit to
}

const mindBytes = 15

func newMind(in *input) (parser, error) {
	m := &mind{clock: in.spec.newClock(false)}
	m.maps.emit = func(e Event) error {
		e.At = len(m.batch.Refs)
		m.batch.Events = append(m.batch.Events, e)
		return nil
	}
	return &fixedRecords{in: in.records(mindBytes), head: m.header, record: m.record}, nil
}

func sniffMind(h *head) bool {
	if h.text() || !h.recordsOf(mindBytes) {
		return false
	}
	for b := h.start; len(b) >= mindBytes; b = b[mindBytes:] {
		switch b[0] {
		case 'R', 'W', 'B', 'M', 'U':
		default:
			return false
		}
	}
	return true
}

func (m *mind) header(h *Header) {
	h.HasWrites, h.HasMaps = true, true
	h.DefaultsStated = m.clock.stated([]string{defaultSize, defaultGap, defaultThread, "maps: also made up, where the trace touches what it did not map"})
}

// low48 are the first six bytes.
func low48(b []byte) uint64 { return binary.LittleEndian.Uint64(b) & (1<<48 - 1) }

func (m *mind) record(b *Batch, r []byte) error {
	m.batch = b
	switch op := r[0]; op {
	case 'R', 'W', 'B':
		us := binary.LittleEndian.Uint64(r[7:])
		if us > 1<<53 {
			return fmt.Errorf("a time of %d µs, expected at most 2^53", us)
		}
		if _, err := m.clock.at(us * 1000); err != nil {
			return err
		}
		addr := low48(r[1:])
		if op == 'B' {
			return m.maps.setBrk(addr, 0)
		}
		if err := m.touch(addr); err != nil {
			return err
		}
		flags := uint8(0)
		if op == 'W' {
			flags = FlagWrite
		}
		b.ref(addr, 0, 0, flags)
		return nil
	case 'M', 'U':
		start, size := low48(r[5:]), uint64(binary.LittleEndian.Uint32(r[11:]))
		if start&(PageBytes-1) != 0 || size == 0 {
			return fmt.Errorf("%d bytes at %#x, expected a map of some bytes that begins at a page", size, start)
		}
		if op == 'U' {
			return m.maps.munmap(start, start+size, 0)
		}
		return m.maps.mmap(segment{span: span{start, start + size}, anon: true, writable: true, name: anonName}, true, 0)
	}
	return fmt.Errorf("operation %q, expected R, W, B, M or U", r[0])
}

// touch maps what is touched and not mapped.
func (m *mind) touch(addr uint64) error {
	if m.maps.mapped.has(addr) {
		return nil
	}
	lo := addr >> synthShift << synthShift
	return m.maps.fill(segment{span: span{lo, lo + 1<<synthShift}, anon: true, writable: true, name: synthName}, 0)
}

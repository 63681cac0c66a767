package trace

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The records of VMware's vscsiStats, in which the CloudPhysics traces are, little-endian:
//
//	version 1, 32 B: u32 serial │ u32 bytes │ u32 segments │ u16 command │ u16 version << 8 │ u64 sector │ u64 µs
//	version 2, 40 B: u16 command │ u16 version << 8 │ u32 serial │ u32 bytes │ u32 segments │ u64 sector │ u64 µs │ u64 µs it took
var (
	vscsi1 = vscsiLayout{version: 1, bytes: 32, command: 12, length: 4}
	vscsi2 = vscsiLayout{version: 2, bytes: 40, command: 0, length: 8}
)

// vscsiLayout says where the fields of a version are; sector and time are at one place in both.
type vscsiLayout struct{ version, bytes, command, length int }

const (
	vscsiSector = 16
	vscsiTime   = 24
)

func (l vscsiLayout) open(in *input) (parser, error) {
	return newRecordBlocks(in, recordLayout{
		bytes: l.bytes, volumes: oneDisk, clamp: true, // requests are logged a little out of order
		stated: []string{"volume: one, named disk (the format has none)"}, writes: true, parse: l.parse,
	}), nil
}

// sniff looks at the first record, and at three of four of the others.
func (l vscsiLayout) sniff(h *head) bool {
	n, like := len(h.start)/l.bytes, 0
	for i := range n {
		var e Event
		if l.parse(h.start[i*l.bytes:(i+1)*l.bytes], &e) == nil {
			like++
		} else if i == 0 {
			return false
		}
	}
	return n > 0 && like*4 >= n*3
}

func (l vscsiLayout) parse(r []byte, e *Event) error {
	if v := binary.LittleEndian.Uint16(r[l.command+2:]) >> 8; int(v) != l.version {
		return fmt.Errorf("version %d, expected %d", v, l.version)
	}
	us := binary.LittleEndian.Uint64(r[vscsiTime:])
	if us > math.MaxUint64/1000 {
		return fmt.Errorf("a time of %d µs, expected one that is below 2^64 ns", us)
	}
	command := binary.LittleEndian.Uint16(r[l.command:])
	if e.Kind = scsiKind(command); e.Kind == 0 {
		return fmt.Errorf("SCSI command %#02x, expected a read (08, 28, 88, a8), a write (0a, 2a, 8a, aa) or a flush (35, 91)", command)
	}
	e.TimeNs = us * 1000
	if e.Kind == BlockFlush {
		return nil
	}
	if err := e.sectors(binary.LittleEndian.Uint64(r[vscsiSector:]), 0, sectorBytes); err != nil {
		return err
	}
	e.Length = uint64(binary.LittleEndian.Uint32(r[l.length:]))
	return nil
}

// scsiKind is what a SCSI command does: of 6, 10, 16 and 12 bytes; 0 = neither reads, writes nor flushes.
func scsiKind(command uint16) EventKind {
	switch command {
	case 0x28, 0x08, 0x88, 0xa8:
		return BlockRead
	case 0x2a, 0x0a, 0x8a, 0xaa:
		return BlockWrite
	case 0x35, 0x91:
		return BlockFlush
	}
	return 0
}

package checkpoint

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"splitkernel/netlayer/wire"
)

// The checkpoint volume of a vNode: two slots, which are written in turn, and a log of blocks as they were.
//
//	0            slot          2 × slot              2 × slot + log
//	+------------+-------------+---------------------+
//	| checkpoint | checkpoint  | undo records of the |
//	| 0, 2, 4, … | 1, 3, 5, …  | last checkpoint     |
//	+------------+-------------+---------------------+
//
// A slot, HeadBytes and its body, padded to whole sectors:
//
//	0       8        16    24          32        40      48     56       60         64       68       512
//	+-------+--------+-----+-----------+---------+-------+------+--------+----------+--------+--------+------+
//	| magic | number | pid | cut epoch | version | bytes | done | body   | reserved | header | zeros  | body |
//	|       |        |     |           |         |       |      | CRC32C |          | CRC32C |        |      |
//	+-------+--------+-----+-----------+---------+-------+------+--------+----------+--------+--------+------+
//
// A record of the log, HeadBytes and its sectors, one behind the other from the beginning of the log:
//
//	0       8        16       20    24       28        36       40       44
//	+-------+--------+--------+-----+--------+---------+--------+--------+---------+
//	| magic | number | epoch  | no  | volume | sector  | count  | data   | header  |
//	|       |        |        |     |        |         |        | CRC32C | CRC32C  |
//	+-------+--------+--------+-----+--------+---------+--------+--------+---------+
//
// What does not fit its checksums is not there: a slot that was torn when the pComponent died never became a checkpoint, and a record that
// was torn was not yet followed by the write that it guards.

// HeadBytes is how much the header of a slot or of a record takes: one sector.
const HeadBytes = wire.SectorSize

const (
	slotMagic = 0x3130_5450_4b43_4b53 // "SKCKPT01"
	undoMagic = 0x3130_4f44_4e55_4b53 // "SKUNDO01"

	slotSum = 64 // where the checksum of a slot's header is, which covers what is before it
	undoSum = 44
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Layout says where what lies.
type Layout struct {
	SlotBytes uint64 // a multiple of wire.PageSize
	LogBytes  uint64 // the same
}

// LayoutOf divides a volume: a half for the two slots, a half for the log. Whoever reads it needs to know nothing else.
func LayoutOf(bytes uint64) Layout {
	slot := bytes / 4 &^ (wire.PageSize - 1)
	return Layout{SlotBytes: slot, LogBytes: (bytes - 2*slot) &^ (wire.PageSize - 1)}
}

// MinBytes is the least that a checkpoint volume may have: a request of 1 MiB fits the log.
const MinBytes = 4 << 20

// Bytes is the size of the volume.
func (l Layout) Bytes() uint64 { return 2*l.SlotBytes + l.LogBytes }

// Slot is where a checkpoint lies.
func (l Layout) Slot(number uint64) uint64 { return number % 2 * l.SlotBytes }

// Log is where the log begins.
func (l Layout) Log() uint64 { return 2 * l.SlotBytes }

// Head is the header of a checkpoint.
type Head struct {
	PID  wire.PID
	Cut  wire.Cut
	Done uint64 // accesses that were made
	Body uint64 // bytes
	Sum  uint32 // CRC32C of the body
}

// EncodeSlot gives what a slot holds. The error says if the body does not fit.
func (l Layout) EncodeSlot(h Head, body []byte) ([]byte, error) {
	n := (HeadBytes + uint64(len(body)) + wire.SectorSize - 1) / wire.SectorSize * wire.SectorSize
	if n > l.SlotBytes {
		return nil, wire.Errorf(wire.KindNoRoom, "checkpoint %d of process %d has %d bytes, its slot %d: raise checkpoint.room_bytes of the vNode", h.Cut.Number, h.PID, n, l.SlotBytes)
	}
	b := make([]byte, n)
	le := binary.LittleEndian
	le.PutUint64(b, slotMagic)
	le.PutUint64(b[8:], h.Cut.Number)
	le.PutUint64(b[16:], uint64(h.PID))
	le.PutUint64(b[24:], uint64(h.Cut.Epoch))
	le.PutUint64(b[32:], h.Cut.Version)
	le.PutUint64(b[40:], uint64(len(body)))
	le.PutUint64(b[48:], h.Done)
	le.PutUint32(b[56:], crc32.Checksum(body, castagnoli))
	le.PutUint32(b[slotSum:], crc32.Checksum(b[:slotSum], castagnoli))
	copy(b[HeadBytes:], body)
	return b, nil
}

// ParseHead reads the header of a slot; false if there is none.
func (l Layout) ParseHead(b []byte) (h Head, ok bool) {
	le := binary.LittleEndian
	if len(b) < HeadBytes || le.Uint64(b) != slotMagic || le.Uint32(b[slotSum:]) != crc32.Checksum(b[:slotSum], castagnoli) {
		return h, false
	}
	h = Head{PID: wire.PID(le.Uint64(b[16:])), Cut: wire.Cut{Number: le.Uint64(b[8:]), Epoch: wire.Epoch(le.Uint64(b[24:])), Version: le.Uint64(b[32:])},
		Body: le.Uint64(b[40:]), Done: le.Uint64(b[48:]), Sum: le.Uint32(b[56:])}
	return h, h.Body <= l.SlotBytes-HeadBytes
}

// Holds reports whether a body is the one that the header is about.
func (h Head) Holds(body []byte) bool {
	return uint64(len(body)) == h.Body && crc32.Checksum(body, castagnoli) == h.Sum
}

// Undo is the header of a record: sectors of a volume as they were at a checkpoint.
type Undo struct {
	Number  uint64     // of the checkpoint
	Epoch   wire.Epoch // of the process when the log began, one for all records of a log
	No      uint32     // of the record: 0, 1, 2 …
	Volume  uint32     // of the process: 0, 1, 2 …
	Sector  uint64     // the first
	Sectors uint32
}

// Bytes is what the record takes in the log.
func (u Undo) Bytes() uint64 { return HeadBytes + uint64(u.Sectors)*wire.SectorSize }

// EncodeUndo puts the header of a record in front of its sectors: b[:HeadBytes], where b[HeadBytes:] holds them.
func EncodeUndo(u Undo, b []byte) {
	le := binary.LittleEndian
	clear(b[:HeadBytes])
	le.PutUint64(b, undoMagic)
	le.PutUint64(b[8:], u.Number)
	le.PutUint32(b[16:], uint32(u.Epoch))
	le.PutUint32(b[20:], u.No)
	le.PutUint32(b[24:], u.Volume)
	le.PutUint64(b[28:], u.Sector)
	le.PutUint32(b[36:], u.Sectors)
	le.PutUint32(b[40:], crc32.Checksum(b[HeadBytes:], castagnoli))
	le.PutUint32(b[undoSum:], crc32.Checksum(b[:undoSum], castagnoli))
}

// ParseUndo reads the header of a record, with the checksum of its sectors; false if there is none.
func ParseUndo(b []byte) (u Undo, sum uint32, ok bool) {
	le := binary.LittleEndian
	if len(b) < HeadBytes || le.Uint64(b) != undoMagic || le.Uint32(b[undoSum:]) != crc32.Checksum(b[:undoSum], castagnoli) {
		return u, 0, false
	}
	u = Undo{Number: le.Uint64(b[8:]), Epoch: wire.Epoch(le.Uint32(b[16:])), No: le.Uint32(b[20:]), Volume: le.Uint32(b[24:]), Sector: le.Uint64(b[28:]), Sectors: le.Uint32(b[36:])}
	return u, le.Uint32(b[40:]), u.Sectors > 0 && u.Sectors <= MaxUndoSectors
}

// MaxUndoSectors bounds a record: 1 MiB, which is a block request at most, and what it touches of two blocks more.
const MaxUndoSectors = 1<<20/wire.SectorSize + 2*wire.SectorsPerPage

// UndoSum is the checksum of the sectors of a record.
func UndoSum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func (h Head) String() string {
	return fmt.Sprintf("checkpoint %d of process %d, %d accesses", h.Cut.Number, h.PID, h.Done)
}

package wire

import "encoding/binary"

// MissLen, FlushLen, PairedLen and BlockLen are the lengths of the fixed bodies, in bytes.
const (
	MissLen   = 24
	FlushLen  = 32
	PairedLen = 8
	BlockLen  = 40
)

// Miss asks the owner of a page's vRegion for the page.
//
//	0     8      16            20         24
//	+-----+------+-------------+----------+
//	| pid | page | owner epoch | reserved |
//	+-----+------+-------------+----------+
type Miss struct {
	PID        PID
	Page       PageNo
	OwnerEpoch Epoch // the epoch under which the caller knows the vRegion's owner
}

// Append appends the body to b.
func (m Miss) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(m.PID))
	b = le.AppendUint64(b, uint64(m.Page))
	b = le.AppendUint32(b, uint32(m.OwnerEpoch))
	return le.AppendUint32(b, 0)
}

// ParseMiss reads a Miss; ok is false if b has another length or its reserved bytes are set.
func ParseMiss(b []byte) (m Miss, ok bool) {
	if len(b) != MissLen || binary.LittleEndian.Uint32(b[20:]) != 0 {
		return m, false
	}
	le := binary.LittleEndian
	return Miss{PID(le.Uint64(b)), PageNo(le.Uint64(b[8:])), Epoch(le.Uint32(b[16:]))}, true
}

// Flush writes a page back to the owner of its vRegion. The page is the payload.
//
//	0     8      16            20              24        32
//	+-----+------+-------------+---------------+---------+
//	| pid | page | owner epoch | process epoch | version |
//	+-----+------+-------------+---------------+---------+
//
// The owner applies it only if (process epoch, version) is newer than what it has for the page.
type Flush struct {
	PID          PID
	Page         PageNo
	OwnerEpoch   Epoch
	ProcessEpoch Epoch
	Version      uint64
}

// Append appends the body to b.
func (f Flush) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(f.PID))
	b = le.AppendUint64(b, uint64(f.Page))
	b = le.AppendUint32(b, uint32(f.OwnerEpoch))
	b = le.AppendUint32(b, uint32(f.ProcessEpoch))
	return le.AppendUint64(b, f.Version)
}

// ParseFlush reads a Flush; ok is false if b has another length.
func ParseFlush(b []byte) (f Flush, ok bool) {
	if len(b) != FlushLen {
		return f, false
	}
	le := binary.LittleEndian
	return Flush{PID(le.Uint64(b)), PageNo(le.Uint64(b[8:])), Epoch(le.Uint32(b[16:])), Epoch(le.Uint32(b[20:])), le.Uint64(b[24:])}, true
}

// MissFlushLen is the length of the body of OpMissFlush in bytes: a Miss, the call id under which the flush is
// acknowledged, and a Flush.
//
//	0      24              32      64
//	+------+---------------+-------+
//	| miss | flush call id | flush |
//	+------+---------------+-------+
const MissFlushLen = MissLen + PairedLen + FlushLen

// AppendMissFlush appends the body of OpMissFlush to b. miss and flush are encoded bodies of MissLen and FlushLen bytes.
func AppendMissFlush(b, miss []byte, flushCall uint64, flush []byte) []byte {
	b = append(b, miss...)
	b = binary.LittleEndian.AppendUint64(b, flushCall)
	return append(b, flush...)
}

// SplitMissFlush gives the parts of the body of OpMissFlush; ok is false if b has another length.
func SplitMissFlush(b []byte) (miss []byte, flushCall uint64, flush []byte, ok bool) {
	if len(b) != MissFlushLen {
		return nil, 0, nil, false
	}
	return b[:MissLen], binary.LittleEndian.Uint64(b[MissLen:]), b[MissLen+PairedLen:], true
}

// Block addresses a part of one 4 KiB block of a volume. Offset and Length are multiples of SectorSize and do not cross
// a multiple of PageSize; a flush has Length 0 and means the whole volume.
//
//	0        4              8                      16       24       28         32        40
//	+--------+--------------+----------------------+--------+--------+----------+---------+
//	| volume | volume epoch | version              | offset | length | process  | pid     |
//	+--------+--------------+----------------------+--------+--------+----------+---------+
//
// The process field is the epoch of the process.
type Block struct {
	Volume      VolumeID
	VolumeEpoch Epoch
	Version     uint64 // of a write: newer replaces older
	Offset      uint64
	Length      uint32
	PID         PID
	Process     Epoch // of the process; 0 if it cannot be refused: one that never goes on elsewhere from a checkpoint
}

// Append appends the body to b.
func (k Block) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(k.Volume))
	b = le.AppendUint32(b, uint32(k.VolumeEpoch))
	b = le.AppendUint64(b, k.Version)
	b = le.AppendUint64(b, k.Offset)
	b = le.AppendUint32(b, k.Length)
	b = le.AppendUint32(b, uint32(k.Process))
	return le.AppendUint64(b, uint64(k.PID))
}

// ParseBlock reads a Block and checks its alignment; ok is false if anything is off.
func ParseBlock(b []byte) (k Block, ok bool) {
	if len(b) != BlockLen {
		return k, false
	}
	le := binary.LittleEndian
	k = Block{VolumeID(le.Uint32(b)), Epoch(le.Uint32(b[4:])), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint32(b[24:]), PID(le.Uint64(b[32:])), Epoch(le.Uint32(b[28:]))}
	if k.Length > PageSize || k.Length%SectorSize != 0 || k.Offset%SectorSize != 0 {
		return k, false
	}
	return k, k.Length == 0 || k.Offset/PageSize == (k.Offset+uint64(k.Length)-1)/PageSize
}

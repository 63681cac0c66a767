package wire

import "encoding/binary"

// VolumeCopyOpenReq tells an sComponent that a volume comes: it makes room for it and files that are marked as incoming.
// The same again changes nothing.
type VolumeCopyOpenReq struct {
	Move      MoveID
	Volume    VolumeID
	Name      string
	SizeBytes uint64
	Epoch     Epoch // under which the taker will serve
	Giver     NodeID
	GiverAddr string // where a taker that holds everything and hears nothing asks what became of the move
}

// VolumeCopyEndReq ends a round: what came is made durable. The last round also brings what the giver knows about the
// volume beside its blocks; from then on the taker holds everything and keeps it until it is told to serve or to drop it.
type VolumeCopyEndReq struct {
	Move     MoveID
	Volume   VolumeID
	Round    uint32
	Last     bool
	Open     uint64 // newest generation with unflushed writes at the buffer cache; 0 is none
	Synced   uint64 // newest generation completed by a flush
	Failure  string // why the volume serves no more; empty while it does
	Rebooted bool   // the giver's machine was restarted under the epoch: the buffer cache must attach again
}

// VolumeMoveRef names a volume that moves, to its taker: volume_serve and volume_drop.
type VolumeMoveRef struct {
	Move   MoveID
	Volume VolumeID
	Epoch  Epoch // under which the taker serves
}

// SwitchReq tells who uses a volume that it is served elsewhere now: volume_switch the buffer cache that its blocks are at
// another sComponent, cache_switch the pComponent that its buffer cache is at another mComponent. An empty reply says that
// everything from now on goes there, under Epoch. Who does not use the volume answers the same.
type SwitchReq struct {
	Move   MoveID
	Volume VolumeID
	Epoch  Epoch
	To     NodeID
	ToAddr string
}

// VolumeCopyHeadLen and VolumeCopyEntryLen are the lengths of the parts of the body of volume_copy, in bytes.
const (
	VolumeCopyHeadLen  = 32
	VolumeCopyEntryLen = 8 + 4*SectorsPerPage
)

// MaxCopyBlocks bounds the blocks of one volume_copy, so that its body stays below MaxBody.
const MaxCopyBlocks = 128

// VolumeCopy carries blocks of a volume to its taker, each with the checksums that were stored with its sectors.
//
//	0      8         16       20      24      28         32
//	+------+---------+--------+-------+-------+----------+--------------------------+----------------------+
//	| move | manager | volume | round | count | reserved | count × block number,    | count × 4096 bytes   |
//	| no   |         |        |       |       |          | CRC32C of its 8 sectors  |                      |
//	+------+---------+--------+-------+-------+----------+--------------------------+----------------------+
type VolumeCopy struct {
	Move   MoveID
	Volume VolumeID
	Round  uint32
	Count  int

	entries, bytes []byte // slices of the body
}

// NewVolumeCopy lays the body of m out in b, whose capacity is used if it suffices, for the caller to put the blocks into
// with SetBlock and Bytes.
func NewVolumeCopy(b []byte, m VolumeCopy) ([]byte, VolumeCopy) {
	n := VolumeCopyHeadLen + m.Count*(VolumeCopyEntryLen+PageSize)
	if cap(b) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	le := binary.LittleEndian
	le.PutUint64(b, m.Move.No)
	le.PutUint64(b[8:], uint64(m.Move.Manager))
	le.PutUint32(b[16:], uint32(m.Volume))
	le.PutUint32(b[20:], m.Round)
	le.PutUint32(b[24:], uint32(m.Count))
	le.PutUint32(b[28:], 0)
	m.slice(b)
	return b, m
}

func (m *VolumeCopy) slice(b []byte) {
	end := VolumeCopyHeadLen + m.Count*VolumeCopyEntryLen
	m.entries, m.bytes = b[VolumeCopyHeadLen:end], b[end:]
}

// ParseVolumeCopy reads the body of volume_copy; ok is false if its length does not fit its count. It keeps b.
func ParseVolumeCopy(b []byte) (m VolumeCopy, ok bool) {
	le := binary.LittleEndian
	if len(b) < VolumeCopyHeadLen || le.Uint64(b[8:]) > 0xff || le.Uint32(b[28:]) != 0 {
		return m, false
	}
	m = VolumeCopy{Move: MoveID{Manager(le.Uint64(b[8:])), le.Uint64(b)}, Volume: VolumeID(le.Uint32(b[16:])), Round: le.Uint32(b[20:]), Count: int(le.Uint32(b[24:]))}
	if m.Count < 1 || m.Count > MaxCopyBlocks || len(b) != VolumeCopyHeadLen+m.Count*(VolumeCopyEntryLen+PageSize) {
		return m, false
	}
	m.slice(b)
	return m, true
}

// Block gives the number of block i.
func (m *VolumeCopy) Block(i int) uint64 {
	return binary.LittleEndian.Uint64(m.entries[i*VolumeCopyEntryLen:])
}

// SetBlock sets the number of block i.
func (m *VolumeCopy) SetBlock(i int, number uint64) {
	binary.LittleEndian.PutUint64(m.entries[i*VolumeCopyEntryLen:], number)
}

// Sum gives the checksum of a sector of block i.
func (m *VolumeCopy) Sum(i, sector int) uint32 {
	return binary.LittleEndian.Uint32(m.entries[i*VolumeCopyEntryLen+8+4*sector:])
}

// SetSum sets it.
func (m *VolumeCopy) SetSum(i, sector int, sum uint32) {
	binary.LittleEndian.PutUint32(m.entries[i*VolumeCopyEntryLen+8+4*sector:], sum)
}

// Bytes gives the bytes of the blocks from i to j, one behind the other.
func (m *VolumeCopy) Bytes(i, j int) []byte { return m.bytes[i*PageSize : j*PageSize] }

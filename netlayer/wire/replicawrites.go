package wire

import "encoding/binary"

// ReplicaWritesHeadLen is the length of the head of a ReplicaWrites, in bytes: that of a RegionCopy, so that CopyEntry reads both.
const ReplicaWritesHeadLen = RegionCopyHeadLen

// ReplicaWrites brings several pages of one vRegion, at most MaxReplicaPages, to a holder: what as many ReplicaWrite would. Count entries
// follow the head, and the payload is the bytes of those that are PageFull, in their order; of one that is PageLost the version is known and
// nothing else.
//
//	0     8        16            20        24      28      32
//	+-----+--------+-------------+---------+-------+-------+---------------------------+
//	| pid | config | owner epoch | barrier | count | flags | count × 32 bytes: entries |
//	+-----+--------+-------------+---------+-------+-------+---------------------------+
//
// The reply is empty, or one byte for each entry, 1 for a page that a full log has skipped. An error may come after some of the pages were
// taken: whoever sends all of them again changes nothing by it.
type ReplicaWrites struct {
	PID        PID
	Config     uint64
	OwnerEpoch Epoch
	Barrier    uint32
	Count      uint32
	Fill       bool // they come because the holder is filled, and not by a flush
}

// Append appends the head to b. The caller appends the entries by PageEntry.Append.
func (w ReplicaWrites) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(w.PID))
	b = le.AppendUint64(b, w.Config)
	b = le.AppendUint32(b, uint32(w.OwnerEpoch))
	b = le.AppendUint32(b, w.Barrier)
	b = le.AppendUint32(b, w.Count)
	flags := uint32(0)
	if w.Fill {
		flags = ReplicaFill
	}
	return le.AppendUint32(b, flags)
}

// SetReplicaWrites sets the count of a body that Append has begun.
func SetReplicaWrites(b []byte, count int) { binary.LittleEndian.PutUint32(b[24:], uint32(count)) }

// ParseReplicaWrites reads the head of a body and checks its length; full is how many of its entries have bytes in the payload. ok is false
// if anything in it is not of this version. Entries are read by CopyEntry.
func ParseReplicaWrites(b []byte) (w ReplicaWrites, full int, ok bool) {
	le := binary.LittleEndian
	if len(b) < ReplicaWritesHeadLen || le.Uint32(b[28:])&^ReplicaFill != 0 {
		return w, 0, false
	}
	w = ReplicaWrites{PID(le.Uint64(b)), le.Uint64(b[8:]), Epoch(le.Uint32(b[16:])), le.Uint32(b[20:]), le.Uint32(b[24:]), le.Uint32(b[28:]) == ReplicaFill}
	if w.Count == 0 || w.Count > MaxReplicaPages || len(b) != ReplicaWritesHeadLen+int(w.Count)*PageEntryLen {
		return w, 0, false
	}
	for i := range int(w.Count) {
		e := b[ReplicaWritesHeadLen+i*PageEntryLen:]
		s := le.Uint32(e[24:])
		if s != uint32(PageFull) && s != uint32(PageLost) {
			return w, 0, false
		}
		if s == uint32(PageFull) {
			full++
		}
	}
	return w, full, true
}

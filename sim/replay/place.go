package replay

import (
	"encoding/binary"
	"hash/crc32"

	"splitkernel/sim/trace"
)

// place is where a replay is: between two accesses or events.
type place struct {
	Repeat int    // repetitions that have ended
	Batch  uint64 // batches of this one that were made whole
	Ref    int    // references made of the batch after them
	Event  int    // and events
	Left   uint64 // references that MaxRefs left when that batch began
	Sum    uint32 // checksum of that batch, 0 if nothing of it was made
}

// within reports whether something of the batch was made.
func (p place) within() bool { return p.Ref > 0 || p.Event > 0 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batchSum is a checksum of what a batch says, never 0: by it a taker knows that it reads the same trace.
func batchSum(b *trace.Batch) uint32 {
	var buf []byte
	sum := uint32(1)
	put := func(last bool) {
		if last || len(buf) >= 4096 {
			sum = crc32.Update(sum, castagnoli, buf)
			buf = buf[:0]
		}
	}
	buf = binary.LittleEndian.AppendUint64(make([]byte, 0, 4200), b.First)
	for i := range b.Refs {
		r := &b.Refs[i]
		buf = binary.LittleEndian.AppendUint64(buf, r.Addr)
		buf = append(buf, byte(r.Thread), byte(r.Thread>>8), r.Flags)
		put(false)
	}
	for i := range b.Events {
		e := &b.Events[i]
		for _, v := range [...]uint64{uint64(e.At), uint64(e.Kind), e.Addr, e.Len, uint64(e.Volume), e.Offset, e.Length} {
			buf = binary.LittleEndian.AppendUint64(buf, v)
		}
		put(false)
	}
	put(true)
	return max(sum, 1)
}

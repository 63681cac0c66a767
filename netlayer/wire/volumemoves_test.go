package wire

import (
	"bytes"
	"testing"
)

// volumeCopy is the body of a volume_copy with one block.
func volumeCopy() []byte {
	b, m := NewVolumeCopy(nil, VolumeCopy{Move: MoveID{GSM, 4}, Volume: 6, Round: 2, Count: 1})
	m.SetBlock(0, 9)
	copy(m.Bytes(0, 1), payload(PageSize))
	var sums [SectorsPerPage]uint32
	SectorChecksums(sums[:], m.Bytes(0, 1))
	for i, s := range sums {
		m.SetSum(0, i, s)
	}
	return b
}

func TestVolumeCopyBodies(t *testing.T) {
	b := volumeCopy()
	m, ok := ParseVolumeCopy(b)
	if !ok || m.Move != (MoveID{GSM, 4}) || m.Volume != 6 || m.Round != 2 || m.Count != 1 || m.Block(0) != 9 {
		t.Fatalf("%+v %v", m, ok)
	}
	var sums [SectorsPerPage]uint32
	SectorChecksums(sums[:], m.Bytes(0, 1))
	for i, s := range sums {
		if m.Sum(0, i) != s {
			t.Errorf("sector %d: checksum %#x, want %#x", i, m.Sum(0, i), s)
		}
	}
	for _, n := range []int{0, VolumeCopyHeadLen, len(b) - 1} {
		if _, ok := ParseVolumeCopy(b[:n]); ok {
			t.Errorf("%d bytes of %d are accepted", n, len(b))
		}
	}
	for _, at := range []int{9, 24, 27, 28} {
		c := bytes.Clone(b)
		c[at] ^= 0x80
		if _, ok := ParseVolumeCopy(c); ok {
			t.Errorf("a changed byte %d is accepted", at)
		}
	}
	if n := VolumeCopyHeadLen + MaxCopyBlocks*(VolumeCopyEntryLen+PageSize); n > MaxBody {
		t.Errorf("the longest body has %d bytes, at most %d", n, MaxBody)
	}
}

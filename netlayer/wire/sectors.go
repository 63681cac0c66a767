package wire

import "hash/crc32"

// SectorsPerPage is how many sectors a page or block holds.
const SectorsPerPage = PageSize / SectorSize

// ZeroPageChecksum and ZeroSectorChecksum are the checksums of a page and of a sector of zeros.
var (
	ZeroPageChecksum   = Checksum(make([]byte, PageSize))
	ZeroSectorChecksum = Checksum(make([]byte, SectorSize))
)

// sectorShift[k][v] is what byte k with value v of a CRC register becomes when SectorSize zero bytes follow, pageShift when PageSize. CRC is
// linear, so the checksum of two joined pieces is the first one's shifted by the length of the second, XOR the second's.
var sectorShift, pageShift = makeShift(SectorSize), makeShift(PageSize)

func makeShift(n int) (t [4][256]uint32) {
	zeros := make([]byte, n)
	// crc32.Update inverts before and after; undoing both leaves the pure linear register step.
	step := func(r uint32) uint32 { return ^crc32.Update(^r, castagnoli, zeros) }
	for k := range t {
		for v := range t[k] {
			t[k][v] = step(uint32(v) << (8 * k))
		}
	}
	return t
}

// SectorChecksums puts the checksum of each sector of b, whose length is a multiple of SectorSize, into sums.
func SectorChecksums(sums []uint32, b []byte) {
	for i := 0; len(b) > 0; i++ {
		sums[i] = Checksum(b[:SectorSize])
		b = b[SectorSize:]
	}
}

// JoinSectors gives the checksum of consecutive sectors from theirs, without their bytes: a byte that changed in memory
// after its sector's checksum was taken is thus still found by whoever receives the joined checksum.
func JoinSectors(sums []uint32) uint32 {
	if len(sums) == 0 {
		return 0
	}
	c := sums[0]
	for _, s := range sums[1:] {
		c = shifted(&sectorShift, c) ^ s
	}
	return c
}

// JoinPage gives the checksum of what has the checksum sum, followed by a page whose checksum is page, without their bytes. Of nothing the
// checksum is 0.
func JoinPage(sum, page uint32) uint32 { return shifted(&pageShift, sum) ^ page }

func shifted(t *[4][256]uint32, c uint32) uint32 {
	return t[0][c&0xff] ^ t[1][c>>8&0xff] ^ t[2][c>>16&0xff] ^ t[3][c>>24]
}

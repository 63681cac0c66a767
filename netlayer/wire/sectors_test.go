package wire

import (
	"math/rand"
	"testing"
)

func TestJoinedSectorChecksumsAreTheChecksumOfTheWhole(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for n := 1; n <= SectorsPerPage; n++ {
		b := make([]byte, n*SectorSize)
		rng.Read(b)
		var sums [SectorsPerPage]uint32
		SectorChecksums(sums[:], b)
		if got, want := JoinSectors(sums[:n]), Checksum(b); got != want {
			t.Errorf("%d sectors: joined %#08x, want %#08x", n, got, want)
		}
		b[n*SectorSize-1] ^= 1
		if JoinSectors(sums[:n]) == Checksum(b) {
			t.Errorf("%d sectors: a flipped bit keeps the checksum", n)
		}
	}
}

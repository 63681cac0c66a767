package check

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/wire"
)

// Sectors knows the version that each 512-byte sector of one volume must hold. A stamp is at the start of its sector.
type Sectors struct {
	volume wire.VolumeID
	pages  Pages // versions by sector number; the stamps are this type's own
}

// NewSectors makes the table of a volume that has never been written.
func NewSectors(v wire.VolumeID) *Sectors {
	return &Sectors{volume: v, pages: Pages{chunks: map[uint64]*chunk{}}}
}

// id is the first half of a sector's stamp.
func (s *Sectors) id(sector uint64) uint64 { return uint64(s.volume)<<44 | sector }

// Stamp raises the version of each sector of [offset, offset+len(b)) and stamps b with it. The caller then writes b.
// offset and len(b) are multiples of the sector size.
func (s *Sectors) Stamp(offset uint64, b []byte) {
	for i := 0; i < len(b); i += wire.SectorSize {
		sector := (offset + uint64(i)) / wire.SectorSize
		v := s.pages.at(sector, true)
		*v = max(*v, s.pages.above) + 1
		binary.LittleEndian.PutUint64(b[i:], s.id(sector))
		binary.LittleEndian.PutUint64(b[i+8:], *v)
	}
}

// Verify compares what was read: the first sector that is not the last version written, described, or "" if all are.
func (s *Sectors) Verify(offset uint64, b []byte) string {
	for i := 0; i < len(b); i += wire.SectorSize {
		sector := (offset + uint64(i)) / wire.SectorSize
		var id, want uint64
		if v := s.pages.at(sector, false); v != nil && *v != 0 {
			id, want = s.id(sector), *v
		}
		if got, version := binary.LittleEndian.Uint64(b[i:]), binary.LittleEndian.Uint64(b[i+8:]); got != id || version != want {
			return fmt.Sprintf("volume %d sector %d holds stamp (%#x, version %d), want version %d", s.volume, sector, got, version, want)
		}
	}
	return ""
}

// Above is Pages.Above for the sectors.
func (s *Sectors) Above(version uint64) { s.pages.Above(version) }

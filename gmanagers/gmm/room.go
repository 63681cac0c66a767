package gmm

import (
	"fmt"
	"math/bits"

	"splitkernel/netlayer/wire"
)

// Parts is in how many of them the room of a vRegion is counted: the smallest share, an eighth, is one.
const Parts = 8

// Room returns how many vRegions of regionBytes an mComponent of memoryBytes may own under an overcommit in thousandths.
func Room(memoryBytes, regionBytes, overcommit uint64) uint64 {
	hi, lo := bits.Mul64(memoryBytes, overcommit)
	if hi >= 1000 {
		hi, lo = 999, ^uint64(0) // more than 2^64 bytes: any bound serves, no cluster has it
	}
	room, _ := bits.Div64(hi, lo, 1000)
	return room / regionBytes
}

// Serves is the room, in Parts, that a vRegion takes at the mComponent that serves it: none if the pages are with others, in shares.
func (p *Process) Serves() uint64 {
	if p.shares(false) {
		return 0
	}
	return Parts
}

// takes is the room, in Parts, that a holder takes. A log has room of its own.
func (p *Process) takes(home bool) uint64 {
	switch {
	case home:
		return 0
	case p.shares(false):
		return Parts / uint64(p.Memory.Data)
	case p.Memory.Kind == wire.MemorySync:
		return Parts
	}
	return 0
}

// Grain is the room, in Parts, of each thing that is reserved for a process: a share, or a whole vRegion.
func (p *Process) Grain() uint64 {
	if p.shares(false) {
		return p.takes(false)
	}
	return Parts
}

// grains is how many things of a Grain a vRegion is, with its copies.
func (p *Process) grains() uint64 {
	switch n := uint64(p.wants(false)); {
	case p.shares(false):
		return n
	case p.takes(false) > 0:
		return 1 + n
	}
	return 1
}

// CopiesAt is the room, in Parts, that copies of a vRegion of the process take at an mComponent.
func (p *Process) CopiesAt(r Region, id wire.NodeID) (n uint64) {
	if r.Copies == nil {
		return 0
	}
	for _, h := range r.Copies.Holders {
		if h.Node == id {
			n += p.takes(false)
		}
	}
	return n
}

// bytes is room in bytes; the size of a vRegion is a power of two, of at least a page.
func (s *State) bytes(parts uint64) uint64 { return s.regionBytes / Parts * parts }

// parts is the room of bytes, a multiple of a part.
func (s *State) parts(bytes uint64) uint64 { return bytes / max(1, s.regionBytes/Parts) }

// spare is the room, in Parts, that an mComponent has under an overcommit in thousandths.
func (s *State) spare(m *wire.Member, overcommit uint64) uint64 {
	room := Room(m.Capacity.MemoryBytes, s.regionBytes, overcommit) * Parts
	return room - min(room, s.owned[m.ID])
}

// Booked returns the bytes of vRegions and shares for which room is taken at an mComponent, reserved ones included.
func (s *State) Booked(id wire.NodeID) uint64 { return s.bytes(s.owned[id]) }

// grainName and grainText say in words what is reserved for a process.
func (p *Process) grainName() string {
	if p.shares(false) {
		return "shares"
	}
	return "vRegions"
}

func (s *State) grainText(p *Process) string {
	return fmt.Sprintf("%s of %d bytes", p.grainName(), s.bytes(p.Grain()))
}

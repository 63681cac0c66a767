package wire

import "fmt"

// PageSize is the size of a line of the ExCache, of a page of an mComponent and of a block of a volume, in bytes.
const PageSize = 4096

// PageShift is the base-2 logarithm of PageSize.
const PageShift = 12

// SectorSize is the unit in which blocks are written and stamped, in bytes.
const SectorSize = 512

// NodeID names a component or manager as its cluster file does: "p1", "m2", "g3".
type NodeID string

// PID names a process of the cluster. GPM gives it; it is never reused.
type PID uint64

// VolumeID names a volume. GSM gives it; it is never reused.
type VolumeID uint32

// Epoch counts the incarnations of a member, the ownerships of a vRegion or the placements of a process. Larger is newer; 0 is none.
type Epoch uint32

// PageNo is a virtual address shifted right by PageShift.
type PageNo uint64

// RegionNo is a virtual address divided by the size of a vRegion.
type RegionNo uint64

// Role says what a process of the cluster is.
type Role uint8

// The roles. Numbers are wire numbers: explicit, never reused.
const (
	RoleClient  Role = 1 // a command line or a test
	RoleCompute Role = 2 // pComponent
	RoleMemory  Role = 3 // mComponent
	RoleStorage Role = 4 // sComponent
	RoleManager Role = 5 // GPM, GMM and GSM replicas
)

func (r Role) String() string {
	switch r {
	case RoleClient:
		return "client"
	case RoleCompute:
		return "pcomponent"
	case RoleMemory:
		return "mcomponent"
	case RoleStorage:
		return "scomponent"
	case RoleManager:
		return "manager"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// Manager names one of the three replicated managers; each is one Raft group.
type Manager uint8

// The managers. Numbers are wire numbers and Raft cluster ids.
const (
	GPM Manager = 1 // processes
	GMM Manager = 2 // memory
	GSM Manager = 3 // storage
)

func (m Manager) String() string {
	switch m {
	case GPM:
		return "gpm"
	case GMM:
		return "gmm"
	case GSM:
		return "gsm"
	}
	return fmt.Sprintf("manager(%d)", uint8(m))
}

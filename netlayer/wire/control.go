package wire

import (
	"bytes"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// ControlVersion is the first byte of every control body.
const ControlVersion uint8 = 1

// Marshal encodes a control message: the version byte, then msgpack with structs as arrays. Messages hold no maps, so
// the bytes are stable. It panics on a type that msgpack cannot encode, which is a fault of the program.
func Marshal(v any) []byte {
	var buf bytes.Buffer
	buf.WriteByte(ControlVersion)
	enc := msgpack.NewEncoder(&buf)
	enc.UseArrayEncodedStructs(true)
	enc.UseCompactInts(true)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("wire: encode %T: %v", v, err))
	}
	return buf.Bytes()
}

// Unmarshal decodes a control message. It refuses another version and anything that Marshal would not have written for
// the same value, such as another number of fields, which msgpack would fill with zeros or skip, or trailing bytes. The
// error is of KindBadRequest.
func Unmarshal(b []byte, v any) error {
	if len(b) == 0 {
		return Errorf(KindBadRequest, "%T: empty body", v)
	}
	if b[0] != ControlVersion {
		return Errorf(KindBadRequest, "%T: control version %d, want %d", v, b[0], ControlVersion)
	}
	if err := checkLengths(b[1:]); err != nil {
		return Errorf(KindBadRequest, "%T: %v", v, err)
	}
	r := bytes.NewReader(b[1:])
	if err := msgpack.NewDecoder(r).Decode(v); err != nil {
		return Errorf(KindBadRequest, "%T: %v", v, err)
	}
	if r.Len() != 0 {
		return Errorf(KindBadRequest, "%T: %d bytes behind the message", v, r.Len())
	}
	if !bytes.Equal(Marshal(v), b) {
		return Errorf(KindBadRequest, "%T: the %d bytes are not in the form of this version, for example in their number of fields", v, len(b))
	}
	return nil
}

// Hello is the first frame of a connection, both ways.
type Hello struct {
	Protocol uint8
	Cluster  string // cluster id: strangers are refused
	Role     Role
	Node     NodeID
	Session  uint64 // random, per client object: survives reconnects, so retries can be recognised
	Token    string // a shared secret; empty if the cluster has none
}

// Member is a component as its manager knows it.
type Member struct {
	ID       NodeID
	Role     Role
	Addr     string // "unix:/path", "tcp:127.0.0.1:7001", "inproc:name"
	Rack     string // failure domain
	Capacity Capacity
	Epoch    Epoch // given at registration
}

// Capacity is what a component offers. Fields that its role does not have are 0.
type Capacity struct {
	Cores            uint32 // pComponent: processors
	ExCacheLines     uint64 // pComponent: lines of 4 KiB for all its processes
	MemoryBytes      uint64 // mComponent
	RegionBytes      uint64 // mComponent: the size of a vRegion
	BufferCacheBytes uint64 // mComponent
	StorageBytes     uint64 // sComponent
}

// Load is what a component reports with each heartbeat; Misses, Flushes, BlockOps, BlockBytes, MapOps and Accesses are
// cumulative since its start.
type Load struct {
	Processes     uint32
	Threads       uint32
	BusyCores     float64 // thread time not waiting / time, over the last interval: of a pComponent that of its processes
	ReservedBytes uint64
	ResidentBytes uint64
	Misses        uint64
	Flushes       uint64
	BlockOps      uint64
	QueueDelayUS  uint64 // mean wait of a request for a worker since the last heartbeat
	Regions       uint32 // mComponent: vRegions that it owns
	Homes         uint32 // mComponent: processes whose home it is
	Volumes       uint32 // mComponent: buffer caches; sComponent: volumes
	BlockBytes    uint64 // of the block requests
	MapOps        uint64 // mComponent: memory-map calls that it served as a home
	Accesses      uint64 // pComponent: of the ExCaches
	// Hot is the things that bear most, of each kind the hottest first and at most MaxHot. Of the kinds in HotAll these are
	// all that bear anything.
	Hot    []ThingLoad
	HotAll []MoveKind
}

// Heartbeat goes to every manager each HeartbeatMS; loads are soft state there.
type Heartbeat struct {
	Member Member
	Load   Load
}

// HeartbeatMS is the interval of heartbeats in ms: four in the default lease, which is what a stopped process can be noticed by in two
// seconds.
const HeartbeatMS = 250

// LoadMS is over how long loads are measured, in ms (legoos.md §2): that of heartbeats is that of the last interval.
const LoadMS = 500

// MaxProbeMS is the longest that a probe may take, in ms.
const MaxProbeMS = 30_000

// ProposeReq asks the leader of a manager to apply a command. (Client, Seq) makes it at-most-once.
type ProposeReq struct {
	Manager Manager
	Client  uint64
	Seq     uint64
	Command []byte // encoded by the manager's package
}

// ProposeRep is the command's result, encoded by the manager's package.
type ProposeRep struct {
	Result []byte
}

// QueryReq asks a manager for a linearisable (or, if Stale, local) read.
type QueryReq struct {
	Manager Manager
	Stale   bool
	Query   []byte
}

// QueryRep is the answer, encoded by the manager's package.
type QueryRep struct {
	Leader NodeID // as known by the answering node
	Term   uint64
	Result []byte
}

// Owner says who serves a vRegion of a process.
type Owner struct {
	Region RegionNo
	Node   NodeID
	Addr   string
	Epoch  Epoch
	Member Epoch // of the membership of Node under which this is its; 0 if that is not known
}

// ProcessOpenReq tells the home mComponent of a new process.
type ProcessOpenReq struct {
	PID   PID
	Epoch Epoch
	Addr  string // of the pComponent, which is told when an owner or the home changes; empty if it cannot be reached
	Home  Epoch  // under which it takes this mComponent for the home; 0 if it does not know
	// Member is the membership of this mComponent under which it was given a home that has a backup; 0 if it has none, or that is not known.
	Member Epoch
}

// MmapReq maps [Addr, Addr+Length). Addr 0 lets the home choose by best fit, unless Fixed says that 0 is meant.
type MmapReq struct {
	PID      PID
	Epoch    Epoch
	Addr     uint64 // multiple of PageSize
	Length   uint64 // > 0, rounded up to PageSize
	Anon     bool
	Writable bool
	Name     string
	Fixed    bool
}

// MmapRep gives the mapped address and the owners of every vRegion of the range.
type MmapRep struct {
	Addr   uint64
	Owners []Owner
}

// MunmapReq removes [Addr, Addr+Length).
type MunmapReq struct {
	PID    PID
	Epoch  Epoch
	Addr   uint64
	Length uint64
}

// MunmapRep says how many pages were freed at the owners.
type MunmapRep struct {
	Freed uint64
}

// BrkReq moves the end of the heap. The first call of a process sets its start.
type BrkReq struct {
	PID   PID
	Epoch Epoch
	End   uint64
	Heap  uint64 // the end of the heap as the process knows it, 0 before its first call: a home that took over may not have heard of that
}

// OwnersReq asks for the owners of the vRegions of a range, after a redirect.
type OwnersReq struct {
	PID    PID
	Addr   uint64
	Length uint64
}

// ProcessExitReq ends a process: its vmas and pages are freed. At the home it also goes to every owner.
type ProcessExitReq struct {
	PID   PID
	Epoch Epoch
	Owner bool // sent by the home to an owner
}

// RegionMapReq adds a part of a vma to a vRegion at its owner, activating the vRegion there if it is new.
type RegionMapReq struct {
	PID         PID
	Region      RegionNo
	RegionEpoch Epoch
	Start       uint64
	Length      uint64
	Anon        bool
	Writable    bool
	Member      Epoch // of the owner's membership under which the vRegion was granted: an older one is refused; 0 if not known
	// Config is who makes it redundant, until the owner is known to have heard of it. One that is older than the owner's changes nothing.
	Config RegionConfig
}

// RegionUnmapReq removes a part of a vRegion at its owner and frees its pages.
type RegionUnmapReq struct {
	PID    PID
	Region RegionNo
	Start  uint64
	Length uint64
	Member Epoch // of the owner's membership, under which it was given a vRegion that may have copies; 0: none, or not known
}

// VolumeRef names a volume.
type VolumeRef struct {
	Volume  VolumeID
	Epoch   Epoch
	Process Epoch // of the process that gives it up; 0 is whoever may
}

// VolumeAttachReq makes an mComponent the buffer cache of a volume.
type VolumeAttachReq struct {
	Volume      VolumeID
	Epoch       Epoch
	SizeBytes   uint64
	Storage     NodeID
	StorageAddr string
	ClientAddr  string // of the pComponent, which is told when the buffer cache changes; empty if it cannot be reached, and M→S
	Process     Epoch  // of the process: block requests that say an older one are refused from now on; 0 says nothing

	// Of a volume with several copies, which has no Storage; else empty and 0.
	Replicas    []VolumeReplica
	Config      uint64 // number of this list of replicas: an older one than is known is ignored
	WriteQuorum uint8
	ReadQuorum  uint8

	Through bool // a write is acknowledged once it is at the sComponents, not once it is in the buffer cache
}

// VolumeCreateReq makes a volume at an sComponent.
type VolumeCreateReq struct {
	Volume    VolumeID
	Epoch     Epoch
	Name      string
	SizeBytes uint64
	// Config is of one of several copies, else 0: the configuration under which it is made. Who knows an older one, which may count it for what it
	// was before it was lost, cannot attach it.
	Config uint64
}

// ProcessRef names a process.
type ProcessRef struct {
	PID PID
}

// ProcessStartReq starts a process at its pComponent. Spec is encoded by sim/replay, which the pComponent does not read.
type ProcessStartReq struct {
	PID  PID
	Spec []byte
}

// ProcessStatusRep is the progress of a process. Status is encoded by sim/replay.
type ProcessStatusRep struct {
	Status []byte
}

// NodeStatsReq asks a node for its counters.
type NodeStatsReq struct{}

// Counter is one named number of a node.
type Counter struct {
	Name  string
	Value float64
}

// NodeStatsRep holds a node's counters, sorted by name.
type NodeStatsRep struct {
	Node     NodeID
	Role     Role
	Epoch    Epoch
	Counters []Counter
}

// HoldingsReq asks a component what it holds for processes, page by page; audits compare it with the books of the managers.
type HoldingsReq struct {
	From  HeldAt
	Limit uint32 // things in the answer at most; 0 and what is above MaxHeldPage are MaxHeldPage
}

// HeldProcess is a process at its pComponent.
type HeldProcess struct {
	PID          PID
	Epoch        Epoch
	ExCacheLines uint64
	Saved        bool // it goes on elsewhere from a checkpoint if it is lost here
}

// HeldHome is a process at its home.
type HeldHome struct {
	PID   PID
	Epoch Epoch // of the home; 0 if it does not know, because it has not moved
}

// HeldRegion is a vRegion at its owner.
type HeldRegion struct {
	PID    PID
	Region RegionNo
	Epoch  Epoch
}

// HeldReplica is what a holder has of a vRegion, under the configuration of which it heard last.
type HeldReplica struct {
	PID    PID
	Region RegionNo
	Epoch  Epoch
	Config uint64
}

// HeldVolume is a volume at its sComponent, or at its buffer cache.
type HeldVolume struct {
	Volume    VolumeID
	Epoch     Epoch // of the placement under which it was made
	SizeBytes uint64
	Unflushed bool // of a buffer cache: writes were acknowledged that die with it
}

// Holdings is what a component serves; what is on its way to it and is not served yet is not in it. Slices that its role
// does not have are nil, the others ascend.
type Holdings struct {
	Processes []HeldProcess // pComponent
	Homes     []HeldHome    // mComponent: processes whose home it is
	Regions   []HeldRegion  // mComponent: vRegions that it owns
	Volumes   []HeldVolume  // sComponent
	Caches    []HeldVolume  // mComponent: volumes whose buffer cache is attached there; without sizes
	Replicas  []HeldReplica // mComponent: vRegions of which it is a holder
	Backups   []HeldHome    // mComponent: processes of which it is the backup home, under the epoch of the home
}

// HoldingsRep says who holds what.
type HoldingsRep struct {
	Node  NodeID
	Role  Role
	Epoch Epoch // of the membership; 0 before the first registration
	Holds Holdings
	Next  HeldAt // where the next page begins; zero: there is none
}

package httpapi

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// The bodies of requests and answers. They are types of their own, so that a change of the books cannot change the interface
// unseen; openapi.yaml says the same. Lists are never null.

// Status is the cluster as the answering manager sees it. It is answered without a quorum, too.
type Status struct {
	Cluster  string    `json:"cluster"`
	Node     string    `json:"node"` // the manager that answers
	Managers []Manager `json:"managers"`
	Nodes    []Node    `json:"nodes"` // without those whose manager has no quorum
	VNodes   int       `json:"vnodes"`
	// Warnings say what is not as it should be: a manager without leader, a replica that does not answer, a silent component.
	Warnings []string `json:"warnings"`
}

// Manager is one of the three managers: a Raft group.
type Manager struct {
	Manager       string    `json:"manager"` // gpm, gmm or gsm
	Leader        string    `json:"leader"`  // empty if none is known
	Term          uint64    `json:"term"`
	LeaderChanges uint64    `json:"leader_changes"` // the most that a replica saw since it started
	Replicas      []Replica `json:"replicas"`       // of the manager processes that answer
}

// Replica is a replica of a manager.
type Replica struct {
	Node    string `json:"node"`
	Leader  string `json:"leader"` // as it knows
	Term    uint64 `json:"term"`
	Applied uint64 `json:"applied"` // index of the last entry of its log that it applied
	Ready   bool   `json:"ready"`
}

// Node is a component, or a manager process.
type Node struct {
	ID    string `json:"id"`
	Role  string `json:"role"`
	Addr  string `json:"addr"`
	Rack  string `json:"rack"`
	Epoch uint32 `json:"epoch"`  // of its membership; 0 of a manager
	State string `json:"state"`  // active, draining or dead; a removed one is not listed
	Alive bool   `json:"alive"`  // heard within the lease
	AgeMS int64  `json:"age_ms"` // since its last heartbeat; -1 if none was heard under its epoch
	// Unreachable says that it is silent, and other components reach it.
	Unreachable bool      `json:"unreachable,omitempty"`
	Capacity    *Capacity `json:"capacity,omitempty"`
	Load        *Load     `json:"load,omitempty"`
}

// Capacity is what a component offers; what its role does not have is 0.
type Capacity struct {
	Cores            uint32 `json:"cores"`
	ExCacheLines     uint64 `json:"excache_lines"`
	MemoryBytes      uint64 `json:"memory_bytes"`
	RegionBytes      uint64 `json:"region_bytes"`
	BufferCacheBytes uint64 `json:"buffer_cache_bytes"`
	StorageBytes     uint64 `json:"storage_bytes"`
}

// Load is what a component reported last; counters are since its start.
type Load struct {
	Processes     uint32  `json:"processes"`
	Threads       uint32  `json:"threads"`
	BusyCores     float64 `json:"busy_cores"`
	ReservedBytes uint64  `json:"reserved_bytes"`
	ResidentBytes uint64  `json:"resident_bytes"`
	Misses        uint64  `json:"misses"`
	Flushes       uint64  `json:"flushes"`
	BlockOps      uint64  `json:"block_ops"`
	QueueDelayUS  uint64  `json:"queue_delay_us"` // mean wait of a request for a worker over the last interval
	BlockBytes    uint64  `json:"block_bytes"`
	MapOps        uint64  `json:"map_ops"`  // memory-map calls that it served as a home
	Accesses      uint64  `json:"accesses"` // of ExCaches
	Hot           []Hot   `json:"hot"`      // what bears most, of each kind the hottest first; missing in listings of very many
}

// Hot is what one thing bears.
type Hot struct {
	Kind      string         `json:"kind"` // as of a move
	PID       wire.PID       `json:"pid,omitempty"`
	Region    *wire.RegionNo `json:"vregion,omitempty"`
	Volume    wire.VolumeID  `json:"volume,omitempty"`
	Ops       uint64         `json:"ops_per_second"` // misses and flushes, memory-map calls, accesses or block requests
	Bytes     uint64         `json:"bytes_per_second"`
	BusyCores float64        `json:"busy_cores"`
}

// Nodes is the answer of GET /nodes.
type Nodes struct {
	Nodes []Node `json:"nodes"`
	Next  string `json:"next,omitempty"` // what after must be to go on; empty if these were the last
}

// NodeDetail is a node with what the books have of it.
type NodeDetail struct {
	Node
	Holds NodeHolds `json:"holds"`
	Drain *Draining `json:"draining,omitempty"` // while it drains
}

// NodeHolds is what the managers' books place at a node.
type NodeHolds struct {
	Processes       []wire.PID      `json:"processes"`         // run here
	Homes           []wire.PID      `json:"homes"`             // their home is here
	Regions         int             `json:"vregions"`          // active here
	ReservedRegions uint64          `json:"reserved_vregions"` // room kept here
	Volumes         []wire.VolumeID `json:"volumes"`           // stored here
	Caches          []wire.VolumeID `json:"buffer_caches"`     // volumes whose buffer cache is here
}

// Empty reports whether nothing is there.
func (h NodeHolds) Empty() bool {
	return len(h.Processes)+len(h.Homes)+h.Regions+len(h.Volumes)+len(h.Caches) == 0 && h.ReservedRegions == 0
}

func (h NodeHolds) String() string {
	return fmt.Sprintf("%d processes, %d homes, %d vRegions, %d reserved, %d volumes, %d buffer caches",
		len(h.Processes), len(h.Homes), h.Regions, h.ReservedRegions, len(h.Volumes), len(h.Caches))
}

// RemovedNode is the answer of DELETE /nodes/{id}.
type RemovedNode struct {
	ID    string `json:"id"`
	Epoch uint32 `json:"epoch"` // its last; should it come back it gets a higher one
}

// VNodeSpec is the body of POST /vnodes.
type VNodeSpec struct {
	Name         string       `json:"name"`
	Threads      uint32       `json:"threads"`
	ExCacheLines uint64       `json:"excache_lines"`
	MemoryBytes  uint64       `json:"memory_bytes"`
	Volumes      []VolumeSpec `json:"volumes"`
	Tenant       string       `json:"tenant,omitempty"`      // whose quota it counts against
	Priority     uint8        `json:"priority,omitempty"`    // 1, the lowest, to 9; 0 is 5
	IfFull       string       `json:"if_full,omitempty"`     // refuse, queue or preempt; empty is refuse
	DeadlineMS   uint32       `json:"deadline_ms,omitempty"` // how long it may wait for room; 0 is a minute
	ApartFrom    string       `json:"apart_from,omitempty"`  // a group of the tenant: it shares nothing with the others of it
	ApartLevel   string       `json:"apart_level,omitempty"` // component or rack; empty is component
	Memory       *MemorySpec  `json:"memory,omitempty"`      // what its memory survives; nil is nothing
	// Restart has its process go on from a checkpoint if its pComponent is lost. The process makes them, in the last of the volumes.
	Restart bool `json:"restart,omitempty"`
}

// MemorySpec is what the memory of a vNode survives.
type MemorySpec struct {
	Replication string `json:"replication"`        // none, log, sync or erasure
	Copies      uint32 `json:"copies,omitempty"`   // of log and sync, at other mComponents; 0 is 1
	LogFull     string `json:"log_full,omitempty"` // of log: block or skip; empty is block
	Data        uint32 `json:"data,omitempty"`     // of erasure: 0 is 2
	Parity      uint32 `json:"parity,omitempty"`   // of erasure: 0 is 1
}

// Check says why no cluster can keep it.
func (m *MemorySpec) Check() error {
	p, err := m.policy()
	if err == nil {
		err = admission.CheckMemory(p)
	}
	return err
}

// policy is m as the managers are asked for it.
func (m *MemorySpec) policy() (p wire.MemoryPolicy, err error) {
	if m == nil {
		return p, nil
	}
	kind, ok := admission.ParseMemoryKind(m.Replication)
	switch {
	case !ok:
		return p, badRequest("memory.replication: %.100q, want one of %v, %v, %v, %v", m.Replication, wire.MemoryErasure, wire.MemoryLog, wire.MemoryNone, wire.MemorySync)
	case m.LogFull != "" && m.LogFull != "block" && m.LogFull != "skip":
		return p, badRequest("memory.log_full: %.100q, want block or skip", m.LogFull)
	case m.LogFull != "" && kind != wire.MemoryLog:
		return p, badRequest("memory.log_full: %s with replication %v, which has no log", m.LogFull, kind)
	}
	p = wire.MemoryPolicy{Kind: kind, Copies: m.Copies, Data: m.Data, Parity: m.Parity, LogBlock: kind == wire.MemoryLog && m.LogFull != "skip"}
	switch kind {
	case wire.MemoryLog, wire.MemorySync:
		p.Copies = max(p.Copies, 1)
	case wire.MemoryErasure:
		p.Data, p.Parity = cmp.Or(p.Data, 2), cmp.Or(p.Parity, 1)
	}
	return p, nil // whether the numbers can be is checked with the rest
}

// VolumeSpec is a volume that a vNode asks for.
type VolumeSpec struct {
	Name      string `json:"name"`
	SizeBytes uint64 `json:"size_bytes"`
	// ApartFrom is a group of volumes of the tenant, that of no vNode.
	ApartFrom  string `json:"apart_from,omitempty"`
	ApartLevel string `json:"apart_level,omitempty"`
	// Replicas is how many sComponents hold it; 0 is 1. The quorums must be such that two writes meet, and a read and a write.
	Replicas    uint8 `json:"replicas,omitempty"`
	WriteQuorum uint8 `json:"write_quorum,omitempty"`
	ReadQuorum  uint8 `json:"read_quorum,omitempty"`
	Through     bool  `json:"through,omitempty"` // a write is acknowledged when it is at the sComponents
}

func (v *VolumeSpec) copies() admission.Copies {
	return admission.Copies{Replicas: v.Replicas, WriteQuorum: v.WriteQuorum, ReadQuorum: v.ReadQuorum, Through: v.Through}
}

// VNode is a vNode in the books of GPM.
type VNode struct {
	PID          wire.PID   `json:"pid"`
	Name         string     `json:"name"`
	Phase        string     `json:"phase"` // intent, committed, running or leaving
	Epoch        uint32     `json:"epoch"`
	Threads      uint32     `json:"threads"`
	ExCacheLines uint64     `json:"excache_lines"`
	Node         string     `json:"node"` // its pComponent
	NodeEpoch    uint32     `json:"node_epoch"`
	Tenant       string     `json:"tenant"`
	Priority     uint8      `json:"priority"`
	ApartFrom    string     `json:"apart_from,omitempty"`
	ApartLevel   string     `json:"apart_level,omitempty"`
	Placed       *time.Time `json:"placed,omitempty"`
	Home         *Home      `json:"home,omitempty"` // once it is decided
	Volumes      []Volume   `json:"volumes"`
	Lost         []string   `json:"lost,omitempty"` // process, home, vregion N, volume N: what a component that is gone took along
}

func (v VNode) location() string { return "/vnodes/" + strconv.FormatUint(uint64(v.PID), 10) }

// Home is the mComponent that has the memory map of a process.
type Home struct {
	Node        string `json:"node"`
	Addr        string `json:"addr"`
	Epoch       uint32 `json:"epoch"`
	RegionBytes uint64 `json:"region_bytes"`
	Member      uint32 `json:"member,omitempty"` // if it has a backup: the membership of its mComponent
}

// Volume says where a volume is.
type Volume struct {
	Volume      wire.VolumeID `json:"volume"`
	Name        string        `json:"name"`
	Epoch       uint32        `json:"epoch"`
	SizeBytes   uint64        `json:"size_bytes"`
	Storage     string        `json:"storage"`
	StorageAddr string        `json:"storage_addr"`
	Cache       string        `json:"cache"`
	CacheAddr   string        `json:"cache_addr"`
	// Of a volume with several copies: where they are, under which configuration, and for how many writes and reads wait.
	Replicas    []VolumeReplica `json:"replicas,omitempty"`
	Config      uint64          `json:"config,omitempty"`
	WriteQuorum uint8           `json:"write_quorum,omitempty"`
	ReadQuorum  uint8           `json:"read_quorum,omitempty"`
	Through     bool            `json:"through,omitempty"`    // a write is acknowledged when it is at the sComponents
	ApartFrom   string          `json:"apart_from,omitempty"` // its own group
	ApartLevel  string          `json:"apart_level,omitempty"`
}

// VolumeReplica is a copy of a volume.
type VolumeReplica struct {
	Node  string `json:"node"`
	Addr  string `json:"addr"`
	State string `json:"state"` // in_sync, leaving, filling or remade
}

// VNodes is the answer of GET /vnodes.
type VNodes struct {
	VNodes []VNode `json:"vnodes"`
	Next   string  `json:"next,omitempty"` // what after must be to go on; empty if these were the last
}

// VNodeDetail is a vNode with its memory and how far its process is.
type VNodeDetail struct {
	VNode
	Addr     string    `json:"addr"` // of its pComponent; empty if that is not registered
	Regions  []Region  `json:"vregions"`
	Reserved []Reserve `json:"reserved"`
	Progress *Progress `json:"progress,omitempty"` // of the process, if one was started and its pComponent tells
	// ProgressError says why there is no progress, unless no process was started.
	ProgressError string `json:"progress_error,omitempty"`
	// Memory is how its memory survives the loss of mComponents; nil if it does not.
	Memory *Redundancy `json:"memory,omitempty"`
}

// Redundancy is how the memory of a vNode survives, and how far it is with that.
type Redundancy struct {
	Replication string `json:"replication"` // log, sync or erasure
	Copies      uint32 `json:"copies,omitempty"`
	LogFull     string `json:"log_full,omitempty"` // block or skip
	Data        uint32 `json:"data,omitempty"`
	Parity      uint32 `json:"parity,omitempty"`
	Backup      string `json:"backup,omitempty"` // of its home
	Recovering  int    `json:"recovering"`       // home and vRegions that do not have everything again
	Unprotected int    `json:"unprotected"`      // that have fewer copies in sync than they should
	PagesDone   uint64 `json:"pages_done"`       // of what is being recovered and copied
	Pages       uint64 `json:"pages"`
}

// Copy is what another mComponent has of a vRegion.
type Copy struct {
	Node   string `json:"node"`
	InSync bool   `json:"in_sync"`
}

// Region is an active vRegion.
type Region struct {
	Region    wire.RegionNo `json:"vregion"`
	Node      string        `json:"node"` // its owner
	NodeEpoch uint32        `json:"node_epoch"`
	Epoch     uint32        `json:"epoch"`
	Copies    []Copy        `json:"copies,omitempty"`
	// Recovering says that its owner does not have everything of it again.
	Recovering bool `json:"recovering,omitempty"`
}

// Reserve is room for vRegions that is kept for a vNode; for shares of them if its memory is in shares.
type Reserve struct {
	Node    string `json:"node"`
	Regions uint64 `json:"vregions"`
}

// Progress is how far a process is.
type Progress struct {
	State         string `json:"state"` // running, done, failed or moved, just before the books have it elsewhere
	References    uint64 `json:"references"`
	Hits          uint64 `json:"hits"`
	BlockRequests uint64 `json:"block_requests"`
	// Steps are references and block requests that were replayed, of StepsTotal in all repetitions of its trace; where max_refs cuts the trace references
	// alone. Where the length is not known Steps is 0 and StepsTotal is missing.
	Steps      uint64 `json:"steps"`
	StepsTotal uint64 `json:"steps_total,omitempty"`
	Error      string `json:"error,omitempty"`
	Ended      bool   `json:"ended"`
}

// StateMoved is the state of a process at a pComponent that it has left.
const StateMoved = "moved"

// Deleted is the answer of DELETE /vnodes/{pid}.
type Deleted struct {
	PID wire.PID `json:"pid"`
	// Warnings say what could not be cleared away at components; only with force.
	Warnings []string `json:"warnings"`
}

func managerOf(g client.GroupStatus) Manager {
	m := Manager{Manager: g.Manager.String(), Leader: string(g.Leader), Term: g.Term, LeaderChanges: g.LeaderChanges, Replicas: []Replica{}}
	for _, r := range g.Replicas {
		m.Replicas = append(m.Replicas, Replica{Node: string(r.Node), Leader: string(r.Leader), Term: r.Term, Applied: r.Applied, Ready: r.Ready})
	}
	return m
}

func nodeOf(s membership.Status) Node {
	c, l := s.Member.Capacity, s.Load
	return Node{
		ID: string(s.Member.ID), Role: s.Member.Role.String(), Addr: s.Member.Addr, Rack: s.Member.Rack, Epoch: uint32(s.Member.Epoch),
		State: s.State.String(), Alive: s.Alive, AgeMS: s.AgeMS, Unreachable: s.Unreachable,
		Capacity: &Capacity{c.Cores, c.ExCacheLines, c.MemoryBytes, c.RegionBytes, c.BufferCacheBytes, c.StorageBytes},
		Load: &Load{
			l.Processes, l.Threads, l.BusyCores, l.ReservedBytes, l.ResidentBytes, l.Misses, l.Flushes, l.BlockOps, l.QueueDelayUS,
			l.BlockBytes, l.MapOps, l.Accesses, hotOf(l.Hot),
		},
	}
}

func hotOf(things []wire.ThingLoad) []Hot {
	out := make([]Hot, 0, len(things))
	for _, t := range things {
		h := Hot{Kind: t.Kind.String(), PID: t.PID, Volume: t.Volume, Ops: t.Ops, Bytes: t.Bytes, BusyCores: float64(t.MilliCPU) / 1000}
		if t.Kind == wire.MoveRegion {
			h.Region = &t.Region
		}
		out = append(out, h)
	}
	return out
}

// stateActive is the state of a manager process.
var stateActive = membership.Active.String()

func homeOf(h admission.Home) *Home {
	if h.Node == "" {
		return nil
	}
	return &Home{string(h.Node), h.Addr, uint32(h.Epoch), h.RegionBytes, uint32(h.Member)}
}

func vnodeOf(p gpm.Process) VNode {
	v := VNode{
		PID: p.PID, Name: p.Name, Phase: p.Phase.String(), Epoch: uint32(p.Epoch), Threads: p.Threads, ExCacheLines: p.ExCacheLines,
		Node: string(p.Node), NodeEpoch: uint32(p.NodeEpoch), Tenant: p.Tenant, Priority: p.Priority, Home: homeOf(p.Home), Volumes: []Volume{},
	}
	v.ApartFrom, v.ApartLevel = p.Apart.Name()
	if p.PlacedMS > 0 {
		t := time.UnixMilli(p.PlacedMS).UTC()
		v.Placed = &t
	}
	for _, w := range p.Volumes {
		v.Volumes = append(v.Volumes, volumeOf(w))
	}
	return v
}

func volumeOf(w admission.Volume) Volume {
	v := Volume{
		Volume: w.Volume, Epoch: uint32(w.Epoch), SizeBytes: w.SizeBytes, Storage: string(w.Storage), StorageAddr: w.StorageAddr,
		Cache: string(w.Cache), CacheAddr: w.CacheAddr,
	}
	if v.Through = w.Copies.Through; w.Copies.Replicated() {
		v.Config, v.WriteQuorum, v.ReadQuorum = w.Config, w.Copies.WriteQuorum, w.Copies.ReadQuorum
	}
	for _, r := range w.Replicas {
		v.Replicas = append(v.Replicas, VolumeReplica{string(r.Node), r.Addr, r.State.String()})
	}
	return v
}

// redundancyOf tells how the memory of a process survives; nil if it does not.
func redundancyOf(p *gmm.Process) *Redundancy {
	m := p.Memory
	if m.Kind == wire.MemoryNone {
		return nil
	}
	out := &Redundancy{Replication: m.Kind.String(), Copies: m.Copies, Data: m.Data, Parity: m.Parity, PagesDone: p.Done, Pages: p.Pages}
	if m.Kind == wire.MemoryLog {
		if out.LogFull = "skip"; m.LogBlock {
			out.LogFull = "block"
		}
	}
	count := func(c *gmm.Copies, want int) {
		switch {
		case c == nil: // lost, which is told
		case c.Recovering:
			out.Recovering++
			fallthrough
		default:
			inSync := 0
			for _, h := range c.Holders {
				if !h.Filling {
					inSync++
				}
			}
			if inSync < want {
				out.Unprotected++
			}
		}
	}
	if count(p.Copies, 1); p.Copies != nil && len(p.Copies.Holders) > 0 {
		out.Backup = string(p.Copies.Holders[0].Node)
	}
	for _, r := range p.Regions {
		count(r.Copies, m.Holders())
	}
	return out
}

func regionsOf(p gmm.Process) (regions []Region, reserved []Reserve) {
	regions, reserved = []Region{}, []Reserve{}
	for _, r := range p.Regions {
		g := Region{Region: r.Region, Node: string(r.Node), NodeEpoch: uint32(r.NodeEpoch), Epoch: uint32(r.Epoch)}
		if r.Copies != nil {
			g.Recovering = r.Copies.Recovering
			for _, h := range r.Copies.Holders {
				g.Copies = append(g.Copies, Copy{string(h.Node), !h.Filling})
			}
		}
		regions = append(regions, g)
	}
	for _, r := range p.Reserved {
		reserved = append(reserved, Reserve{string(r.Node), r.Regions})
	}
	return regions, reserved
}

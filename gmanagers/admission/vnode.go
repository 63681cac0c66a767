package admission

import (
	"fmt"
	"math"
	"slices"

	"splitkernel/gmanagers/apart"
	"splitkernel/netlayer/wire"
)

const (
	// MaxNameBytes bounds the name of a vNode and of a volume.
	MaxNameBytes = 255
	// MaxVolumes bounds the volumes of one vNode.
	MaxVolumes = 64
	// MaxBatch bounds the steps or changes of one command: 64 records an entry are where Raft's cost per record vanishes.
	MaxBatch = 64
)

// VNodeSpec is what a vNode asks for, all or nothing.
type VNodeSpec struct {
	Name         string
	Threads      uint32 // at least 1
	ExCacheLines uint64 // at least 1; reserved at the pComponent while the vNode lives
	// MemoryBytes is reserved in whole vRegions, so that the first activations cannot be refused for lack of room. 0
	// reserves none: vRegions are then activated as far as there is room.
	MemoryBytes uint64
	Volumes     []VolumeSpec // at most MaxVolumes
	Tenant      string       // whose quota it counts against; empty is DefaultTenant
	Priority    uint8        // 1, the lowest, to MaxPriority; 0 is DefaultPriority
	IfFull      IfFull       // what becomes of it if it does not fit
	DeadlineMS  uint32       // how long it may wait for room, if IfFull is not Refuse; 0 is DefaultDeadlineMS
	Restart     bool         // it goes on from a checkpoint if its pComponent is lost; the last of its volumes has them
	Apart       apart.Rule   // its process, home, vRegions, volumes and buffer caches are apart from those of others of the group
	// Memory is what its memory survives.
	Memory wire.MemoryPolicy
}

// Rule returns what the vNode is apart from, of its tenant. The spec is complete.
func (s *VNodeSpec) Rule() apart.Rule { return s.Apart.Of(s.Tenant) }

// Step returns the Prepare of both participants for the vNode as a process. The spec is complete.
func (s *VNodeSpec) Step(pid wire.PID) Step {
	volumes := slices.Clone(s.Volumes)
	for i := range volumes {
		volumes[i].Apart = volumes[i].Apart.Of(s.Tenant)
	}
	return Step{Verb: Prepare, PID: pid, MemoryBytes: s.MemoryBytes, Volumes: volumes, Apart: s.Rule(), Memory: s.Memory}
}

// VolumeSpec is what a volume needs.
type VolumeSpec struct {
	Name      string // for people; need not be unique
	SizeBytes uint64 // above 0; rounded up to wire.PageSize
	// Apart keeps it and its buffer cache apart from other volumes of the group, those of its own vNode too. In a Step the
	// group is that of the tenant.
	Apart  apart.Rule
	Copies Copies // how many sComponents hold it
}

// Home says which mComponent is the home of a process.
type Home struct {
	Node        wire.NodeID
	Addr        string
	Epoch       wire.Epoch // of the home: 1 at first, more after each move
	RegionBytes uint64     // the size of every vRegion of the cluster
	Member      wire.Epoch // if the home has a backup, the membership of its mComponent under which it was chosen; else 0
}

// Owner is the home as a process is told it.
func (h Home) Owner() wire.Owner {
	return wire.Owner{Node: h.Node, Addr: h.Addr, Epoch: h.Epoch, Member: h.Member}
}

// Volume says where a volume is.
type Volume struct {
	Volume      wire.VolumeID
	Epoch       wire.Epoch // of the placement: 1 at first, more after each move
	SizeBytes   uint64     // as rounded
	Storage     wire.NodeID
	StorageAddr string
	Cache       wire.NodeID
	CacheAddr   string
	// Of a volume with several copies: how many, which are where, n that are counted and perhaps one that fills, and the number of this
	// configuration. Storage is the first of them.
	Copies   Copies
	Replicas []wire.VolumeReplica
	Config   uint64
}

// Attach is what a buffer cache is told of it.
func (v *Volume) Attach(client string) wire.VolumeAttachReq {
	q := wire.VolumeAttachReq{Volume: v.Volume, Epoch: v.Epoch, SizeBytes: v.SizeBytes, ClientAddr: client, Through: v.Copies.Through}
	if v.Copies.Replicated() {
		q.Replicas, q.Config, q.WriteQuorum, q.ReadQuorum = v.Replicas, v.Config, v.Copies.WriteQuorum, v.Copies.ReadQuorum
	} else {
		q.Storage, q.StorageAddr = v.Storage, v.StorageAddr
	}
	return q
}

// Places are the sComponents that hold the volume.
func (v *Volume) Places() []wire.VolumeReplica {
	if len(v.Replicas) == 0 {
		return []wire.VolumeReplica{{Node: v.Storage, Addr: v.StorageAddr, State: wire.ReplicaInSync}}
	}
	return v.Replicas
}

// Placement says where a vNode is.
type Placement struct {
	PID     wire.PID
	Epoch   wire.Epoch // of the process: 1 at first, more after each move
	Node    wire.NodeID
	Addr    string
	Home    Home
	Volumes []Volume // in the order of the spec
}

// Check says why no cluster can admit the vNode, as an error of wire.KindBadRequest.
func (s VNodeSpec) Check() error {
	bad := func(format string, args ...any) error {
		return wire.Errorf(wire.KindBadRequest, "vNode %.255q: %s", s.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case len(s.Name) > MaxNameBytes:
		return bad("name of %d bytes, want at most %d", len(s.Name), MaxNameBytes)
	case s.Threads == 0:
		return bad("threads: 0, want at least 1")
	case s.ExCacheLines == 0:
		return bad("excache_lines: 0, want at least 1")
	case s.MemoryBytes > math.MaxInt64:
		return bad("memory_bytes: %d, want at most %d", s.MemoryBytes, int64(math.MaxInt64))
	case len(s.Volumes) > MaxVolumes:
		return bad("volumes: %d, want at most %d", len(s.Volumes), MaxVolumes)
	case len(s.Tenant) > MaxTenantBytes || s.Tenant == EveryTenant:
		return bad("tenant: %.64q, want at most %d bytes, and not %q", s.Tenant, MaxTenantBytes, EveryTenant)
	case s.Priority > MaxPriority:
		return bad("priority: %d, want 1 to %d, or 0 for %d", s.Priority, MaxPriority, DefaultPriority)
	case s.IfFull > Preempt:
		return bad("if_full: %d, want 0 to %d", s.IfFull, Preempt)
	case s.DeadlineMS > MaxDeadlineMS:
		return bad("deadline_ms: %d, want 1 to %d, or 0 for %d", s.DeadlineMS, MaxDeadlineMS, DefaultDeadlineMS)
	}
	if s.Restart && (len(s.Volumes) == 0 || s.Memory.Kind == wire.MemoryErasure) {
		return bad("restart: want a volume for its checkpoints, and memory that is not erasure, whose shares do not go back to one: %d volumes, %v", len(s.Volumes), s.Memory.Kind)
	}
	if err := s.Apart.Check("apart"); err != nil {
		return bad("%v", err)
	}
	for _, f := range MemoryFaults(s.Memory) {
		return bad("memory.%s: %s", f.Key, f.Text)
	}
	for i, v := range s.Volumes {
		if err := v.Apart.Check(fmt.Sprintf("volumes[%d].apart", i)); err != nil {
			return bad("%v", err)
		}
		if v.Apart.Level != 0 && v.Apart.Group == s.Apart.Group {
			return bad("volumes[%d].apart: group %q is that of the vNode: name another, the volumes of a vNode are one member of its group", i, v.Apart.Group)
		}
		switch {
		case len(v.Name) > MaxNameBytes:
			return bad("volumes[%d].name: %d bytes, want at most %d", i, len(v.Name), MaxNameBytes)
		case v.SizeBytes == 0 || v.SizeBytes > math.MaxInt64:
			return bad("volumes[%d].size_bytes: %d, want 1 to %d", i, v.SizeBytes, int64(math.MaxInt64))
		}
		if err := v.Copies.check(fmt.Sprintf("volumes[%d]", i)); err != nil {
			return bad("%v", err)
		}
	}
	return nil
}

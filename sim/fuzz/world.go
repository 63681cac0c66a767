package fuzz

import (
	"fmt"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/weigh"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/faults"
	"splitkernel/sim/hardware"
	"splitkernel/sim/units"
	"splitkernel/sim/vcluster"
)

// Bounds of a world. A drawn one is well within them; one that somebody wrote must be.
const (
	MaxNodes     = 64      // of a role
	MaxProcesses = 64      // and of their volumes
	MaxPages     = 1 << 16 // of a process
	MaxSectors   = 1 << 12 // of a volume
	MaxRefs      = 1 << 24
	MaxOrders    = 1024
	MaxSpan      = 10 * time.Minute // of the part with faults
)

// World is all that a run is made of. Nothing else decides what happens.
type World struct {
	Seed uint64
	Heal time.Duration // when everything has healed

	// The cluster.
	Managers, Compute, Memory, Storage, Racks int
	RegionPages                               int
	MemoryPages                               int // of an mComponent
	CachePages                                int // of its buffer cache
	LogPages                                  int // of the logs of memory that it keeps for others
	Workers                                   int
	GPM, GMM, GSM, Caches                     string // placement policies
	Piggyback, Balance                        bool
	Patience, Lease, Sweep, MoveTimeout       time.Duration

	Latency, Jitter            time.Duration // of every link
	Lost, Unheard, Late, Twice faults.Share  // of the commands of managers, until Heal
	LeaderChange               time.Duration // the mean time between two; 0 is never

	Processes []Process
	Orders    []vcluster.Order
	Faults    []faults.Fault
}

// Process is a vNode with a process that is drawn reference by reference from the seed and its name.
type Process struct {
	Name        string
	Begin       time.Duration
	Threads     int
	Lines       int
	Policy      string // of replacement
	Mechanism   string // of eviction
	Prefetcher  string
	Degree      int // of the prefetcher
	InFlight    int // pages that it brought and that are not used
	Pages       int
	Refs        int          // of all threads
	Writes      faults.Share // of them
	Near        faults.Share // of them that are to an eighth of the pages
	Think       uint64       // instructions between two
	Burst       int          // references of a thread before the process rests
	Remaps      faults.Share // of the bursts, after which a few pages are mapped anew or given back for good
	Volumes     int
	Sectors     int // of each
	Copies      int // sComponents that hold each; 1 is one without quorums
	WriteQuorum int // of several copies
	ReadQuorum  int
	Through     bool // a write waits until it is durable
	Blocks      int  // requests of blocks after each burst
	MemoryBytes uint64

	Replication  string // of its memory: none, sync, log, erasure
	MemoryCopies int    // mComponents that have each vRegion beside the one that serves it
	Data, Parity int    // of erasure: the shares that make a page, and those beside them
	LogBlock     bool   // a full log has the process wait

	Checkpoint int // references between two checkpoints; 0 makes none
}

// replications are what a process's memory may survive by, and their names in a script.
var replications = map[string]wire.MemoryKind{"none": wire.MemoryNone, "sync": wire.MemorySync, "log": wire.MemoryLog, "erasure": wire.MemoryErasure}

// memory is what the process's memory survives by.
func (p *Process) memory() wire.MemoryPolicy {
	m := wire.MemoryPolicy{Kind: replications[p.Replication]}
	switch m.Kind {
	case wire.MemoryErasure:
		m.Data, m.Parity = uint32(p.Data), uint32(p.Parity)
	case wire.MemorySync, wire.MemoryLog:
		m.Copies = uint32(p.MemoryCopies)
		m.LogBlock = m.Kind == wire.MemoryLog && p.LogBlock
	}
	return m
}

// copies are those of the process's volumes.
func (p *Process) copies() admission.Copies {
	if p.Copies < 2 {
		return admission.Copies{Through: p.Through}
	}
	return admission.Copies{Replicas: uint8(p.Copies), WriteQuorum: uint8(p.WriteQuorum), ReadQuorum: uint8(p.ReadQuorum), Through: p.Through}
}

// The nodes of a world, by their role's letter and a number.
func (w *World) nodes() (out []faults.Node) {
	for _, r := range []struct {
		role   wire.Role
		letter string
		n      int
	}{{wire.RoleManager, "g", w.Managers}, {wire.RoleStorage, "s", w.Storage}, {wire.RoleMemory, "m", w.Memory}, {wire.RoleCompute, "p", w.Compute}} {
		for i := range r.n {
			out = append(out, faults.Node{ID: wire.NodeID(fmt.Sprint(r.letter, i+1)), Role: r.role})
		}
	}
	return out
}

// Promise is what the cluster survives under the drawn policies: copies of volumes outlive as many sComponents as the quorums of all of them can
// spare. Policies of memory and of checkpoints belong here, too, and nowhere else: who plays a world asks only whether the promise was Kept.
func (w *World) Promise() faults.Promise {
	p := faults.Promise{Lease: min(w.Lease, membership.Outlives(w.Lease, membership.DefaultProbe)), Patience: w.Patience, CallTimeout: vcluster.CallTimeout, Nodes: w.nodes()}
	found := false
	p.Known = true
	for i := range w.Processes {
		if w.Processes[i].Checkpoint == 0 {
			p.Ends = append(p.Ends, w.Processes[i].Name)
		}
		if x := &w.Processes[i]; (x.Volumes > 0 || x.Checkpoint > 0) && (!found || x.copies().Survives() < p.Survives) {
			p.Survives, found = x.copies().Survives(), true
		}
	}
	for i := range w.Processes {
		if n := w.outlives(&w.Processes[i]); i == 0 || n < p.Outlives {
			p.Outlives = n
		}
	}
	return p
}

// backups is how many mComponents have the memory map of a process beside its home: with both of them its memory is lost, however many have its pages.
const backups = 1

// outlives is how many mComponents may be lost at a time without the memory of a process being lost: what a full log skips is not promised. Of vRegions these are
// as many as there are copies, or parity shares, wherever they are: who serves one in shares has none of it, so his loss costs none.
func (w *World) outlives(p *Process) int {
	m := p.memory()
	switch {
	case m.Kind == wire.MemoryLog && !m.LogBlock && w.fills():
		return 0
	case (p.Volumes > 0 || p.Checkpoint > 0) && !p.Through:
		return 0 // what a buffer cache has not written yet is lost with its mComponent
	case m.Holders() >= w.Memory-w.drained():
		return 0 // what drains keeps nothing for others
	}
	return min(admission.Survives(m), backups)
}

// drained is how many mComponents are drained some time.
func (w *World) drained() int {
	seen := map[wire.NodeID]bool{}
	for i := range w.Orders {
		if o := &w.Orders[i]; o.Node != "" && w.nodesRole(o.Node) == wire.RoleMemory {
			seen[o.Node] = true
		}
	}
	return len(seen)
}

// fills reports whether a log may become full.
func (w *World) fills() bool {
	pages := 0
	for i := range w.Processes {
		if p := &w.Processes[i]; p.memory().Kind == wire.MemoryLog {
			pages += p.Pages
		}
	}
	return pages > w.LogPages
}

// options are those of the cluster.
func (w *World) options() vcluster.Options {
	h := hardware.DefaultOptions()
	l := &h.Link
	l.Latency, l.Jitter = units.Of(w.Latency), units.Of(w.Jitter)
	o := vcluster.Options{
		Seed: w.Seed, Hardware: h, RegionBytes: uint64(w.RegionPages) * wire.PageSize, Fault: fault.DefaultOptions(), BlockPatience: w.Patience,
		Managers:    vcluster.Managers{GPMPolicy: w.GPM, GMMPolicy: w.GMM, GSMPolicy: w.GSM, CachePolicy: w.Caches, Overcommit: 4000},
		Membership:  vcluster.Membership{Lease: w.Lease, Sweep: w.Sweep},
		MoveTimeout: w.MoveTimeout, Orders: w.Orders,
	}
	o.Fault.Piggyback, o.Fault.PatienceMS = w.Piggyback, int(w.Patience/time.Millisecond)
	share := func(s faults.Share) float64 { return float64(s) / float64(faults.Whole) }
	o.Raft = vcluster.RaftFaults{Lost: share(w.Lost), Unheard: share(w.Unheard), Late: share(w.Late), Twice: share(w.Twice), LeaderChange: w.LeaderChange, Until: w.Heal}
	if w.Balance {
		b := weigh.DefaultBalance()
		o.Balance = &b
	}
	for i, n := range w.nodes() {
		cache := buffercache.DefaultOptions()
		cache.Blocks = w.CachePages
		lines := 0
		for _, p := range w.Processes {
			lines += p.Lines
		}
		o.Nodes = append(o.Nodes, vcluster.Node{
			ID: n.ID, Role: n.Role, Rack: fmt.Sprint("rack", i%w.Racks), Cores: 4, ExCacheBytes: uint64(max(lines, 1)) * wire.PageSize,
			MemoryBytes: uint64(w.MemoryPages) * wire.PageSize, Workers: w.Workers, MaxOwnedRegions: 1 << 12, ReplicaLogBytes: uint64(w.LogPages) * wire.PageSize, VRegion: vregion.DefaultOptions(),
			BufferCache: cache, StorageBytes: 64 << 20, FlushQueue: 256, MaxVolumes: 256,
		})
	}
	return o
}

// thing of an order, for its text.
var moveKinds = map[string]wire.MoveKind{
	"vregion": wire.MoveRegion, "home": wire.MoveHome, "process": wire.MoveProcess, "volume": wire.MoveVolume, "cache": wire.MoveCache,
}

var actions = map[string]membership.Action{"drain": membership.Drain, "undrain": membership.Undrain}

// thing makes one of a kind.
func thing(k wire.MoveKind, id, region uint64) movelist.Thing {
	t := movelist.Thing{Kind: k}
	switch k {
	case wire.MoveVolume, wire.MoveCache:
		t.Volume = wire.VolumeID(id)
	default:
		t.PID = wire.PID(id)
	}
	if k == wire.MoveRegion {
		t.Region = wire.RegionNo(region)
	}
	return t
}

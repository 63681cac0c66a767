package reproduce

import (
	"fmt"
	"strconv"

	"splitkernel/gmanagers/admission"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

// legoSizes are LegoOS's messages, from its source (revision 1f4da865).
var legoSizes = vcluster.Sizes{Miss: 40, Flush: 4128, MissFlush: 4168, Page: 4096, Ack: 4, BlockToMemory: 304, BlockToStorage: 284}

// legoReplication is LegoOS's log of 256 entries of 4128 B, which a message of 4144 B brings.
var legoReplication = vcluster.Replication{EntryBytes: 4144, Entries: 256, LogBytes: 1_056_776}

// cluster is a testbed and how LegoOS is set on it. Sizes are the paper's; the scale is applied when it is made.
type cluster struct {
	compute, memory, workers int
	noPiggyback              bool
	linux                    bool // a pComponent without LegoOS, for what slowdowns are measured against
	replicate                bool
	replicaWait              bool // as the paper has it; the released code, which was measured, does not wait
	spread                   bool // vRegions go round, so that the microbenchmark uses all mComponents
}

// Machines of the testbed: two sockets of six cores, 128 GB.
const (
	testbedCores  = 12
	testbedMemory = 128 << 30
	regionBytes   = 1 << 30
)

// new makes the cluster, with memory divided by scale.
func (k cluster) new(o *Options, scale int) (*vcluster.Cluster, error) {
	f := fault.DefaultOptions()
	f.Piggyback = !k.noPiggyback
	v := vcluster.Options{
		Seed: o.Seed, Hardware: o.Hardware, RegionBytes: regionBytes / uint64(scale), Fault: f, Sizes: legoSizes, FlushFirst: true, Released: true,
		Managers: vcluster.Managers{GPMPolicy: "fewest_threads", GMMPolicy: "least_loaded", GSMPolicy: "fewest_volumes", CachePolicy: "fewest_volumes", Overcommit: 1000},
	}
	if k.linux {
		v.Hardware = linux49.hardware(&o.Hardware)
	}
	if k.spread {
		v.Managers.GMMPolicy = "round_robin"
	}
	if k.replicate {
		log := legoReplication
		log.Wait = k.replicaWait
		v.Replication = &log
	}
	cache := buffercache.DefaultOptions()
	cache.Blocks = min(cache.Blocks, 4096)
	add := func(role wire.Role, id string, count int, n vcluster.Node) {
		for i := range count {
			n.ID, n.Role = wire.NodeID(id+strconv.Itoa(i+1)), role
			v.Nodes = append(v.Nodes, n)
		}
	}
	add(wire.RoleManager, "g", 1, vcluster.Node{})
	add(wire.RoleStorage, "s", 1, vcluster.Node{StorageBytes: 1 << 40, Workers: 1, FlushQueue: 256, MaxVolumes: 16, WorkersWait: true})
	add(wire.RoleMemory, "m", k.memory, vcluster.Node{
		MemoryBytes: testbedMemory / 8 / uint64(scale), Workers: k.workers, MaxOwnedRegions: 1 << 16, VRegion: vregion.DefaultOptions(), BufferCache: cache, WorkersWait: true, OwnQueues: true,
	})
	p := vcluster.Node{Cores: testbedCores, ExCacheBytes: testbedMemory}
	if !k.linux {
		p.Slow = threadsShare()
	}
	add(wire.RoleCompute, "p", max(k.compute, 1), p)
	return vcluster.New(v)
}

// open has a process admitted and opened.
func open(y *vtime.Proc, c *vcluster.Cluster, name string, threads int, e excache.Options, local bool) (*vcluster.Process, error) {
	place, err := c.Admit(y, admission.VNodeSpec{Name: name, Threads: uint32(threads), ExCacheLines: uint64(e.Lines)})
	if err != nil {
		return nil, fmt.Errorf("%s is not admitted: %w", name, err)
	}
	return c.Open(y, vcluster.ProcessOptions{
		PID: place.PID, Epoch: place.Epoch, Name: name, Node: place.Node, Threads: threads, ExCache: e, Local: local,
		Home: place.Home.Owner(),
	})
}

// legoCache is an ExCache of LegoOS as it is shipped: 64 ways, list, and a list of lines whose sweep is off, which is FIFO.
func legoCache(bytes uint64, scale int) excache.Options {
	e := excache.DefaultOptions()
	e.Lines, e.Ways, e.Policy, e.Mechanism = int(bytes/uint64(scale)/wire.PageSize), 64, "fifo", excache.MechanismList
	e.FlushFrames = 256
	return e
}

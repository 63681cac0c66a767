package fuzz

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/prefetch"
	"splitkernel/sim/faults"
	"splitkernel/sim/vcluster"
)

// firstPage is where the memory of every process begins, and mappedAt its address.
const (
	mappedAt  = 1 << 30
	firstPage = mappedAt >> wire.PageShift
)

// DefaultWorld is a small cluster in which nothing happens: what a script does not say is as here.
func DefaultWorld() *World {
	return &World{
		Seed: 1, Heal: 4 * time.Second, Managers: 3, Compute: 2, Memory: 2, Storage: 1, Racks: 1, RegionPages: 256, MemoryPages: 1 << 14, CachePages: 256, LogPages: 1 << 14, Workers: 2,
		GPM: "fewest_threads", GMM: "least_loaded", GSM: "fewest_volumes", Caches: "fewest_volumes", Piggyback: true,
		Patience: 20 * time.Second, Lease: membership.DefaultLease, Sweep: time.Second, MoveTimeout: 5 * time.Second, Latency: time.Microsecond,
	}
}

// drawnPolicies are those that a seed draws from. A script may name any but belady; the list is fixed, so that a seed stays the world
// that it was.
var drawnPolicies = []string{"clock", "fifo", "lru", "lru-sweep", "random"}

func defaultProcess() Process {
	return Process{Name: "a", Threads: 1, Lines: 32, Policy: "lru", Mechanism: excache.MechanismList, Prefetcher: prefetch.None, Degree: 8, InFlight: 32, Pages: 300, Refs: 2000, Writes: faults.Whole / 3, Think: 1000, Burst: 64, Sectors: 128, Copies: 1, WriteQuorum: 1, ReadQuorum: 1, Replication: "none", MemoryCopies: 1, Data: 2, Parity: 1}
}

// die draws for a world.
type die struct{ *rand.Rand }

func (d die) from(least, most int) int { return least + d.IntN(most-least+1) }
func (d die) part(percent int) bool    { return d.IntN(100) < percent }

func one[T any](d die, of ...T) T { return of[d.IntN(len(of))] }

// span draws a duration whose magnitude is even: as many between 1 and 10 ms as between 1 and 10 s. It is a whole number of microseconds.
func (d die) span(least, most time.Duration) time.Duration {
	lo, hi := math.Log(float64(least)), math.Log(float64(most))
	return time.Duration(math.Exp(lo + d.Float64()*(hi-lo))).Truncate(time.Microsecond)
}

// at draws a moment before another, in whole milliseconds.
func (d die) at(before time.Duration) time.Duration {
	return time.Duration(d.Int64N(int64(before/time.Millisecond)+1)) * time.Millisecond
}

func (d die) share(least, most float64) faults.Share {
	return faults.Share((least + d.Float64()*(most-least)) * float64(faults.Whole) / 100)
}

// Draw draws a world. In three of five what goes wrong stays within what the cluster promises to outlive, so that every process must end
// well; in the others anything may.
func Draw(seed uint64) *World {
	d := die{rand.New(rand.NewPCG(seed, 0x66757a7a))}
	w := DefaultWorld()
	w.Seed, w.Heal = seed, time.Duration(d.from(3000, 9000))*time.Millisecond
	gentle := d.part(60)
	w.Managers, w.Compute, w.Memory, w.Storage, w.Racks = one(d, 1, 3, 3, 3, 5), d.from(1, 3), d.from(1, 4), one(d, 0, 1, 1, 2, 3, 4), d.from(1, 2)
	w.RegionPages, w.CachePages, w.Workers = one(d, 64, 128, 256), one(d, 32, 128, 512), d.from(1, 3)
	names := placement.Names()
	w.GPM, w.GMM, w.GSM, w.Caches = one(d, names...), one(d, names...), one(d, names...), one(d, names...)
	w.Piggyback, w.Balance = d.part(70), d.part(25)
	w.Lease = one[time.Duration](d, 1000, 1500, 2000, 3000) * time.Millisecond
	w.Sweep, w.MoveTimeout = one[time.Duration](d, 1, 2, 5)*time.Second, one[time.Duration](d, 20, 200, 5000)*time.Millisecond
	w.Latency, w.Jitter = one[time.Duration](d, 1, 1, 20, 200)*time.Microsecond, one[time.Duration](d, 0, 0, 5, 100)*time.Microsecond
	w.Patience = one[time.Duration](d, 20, 30, 60) * time.Second
	if !gentle {
		w.Patience = one[time.Duration](d, 500, 1000, 2000, 5000, 20_000) * time.Millisecond
	}
	if d.part(30) {
		w.Lost, w.Unheard, w.Late, w.Twice = d.share(0, 6), d.share(0, 6), d.share(0, 6), d.share(0, 6)
		w.LeaderChange = one[time.Duration](d, 0, 600, 2000) * time.Millisecond
	}
	for i := range d.from(1, 4) {
		w.Processes = append(w.Processes, d.process(w, i))
	}
	d.survival(w)
	die{rand.New(rand.NewPCG(seed, 0x73686172))}.more(w)
	if d.part(70) {
		for range d.from(1, 10) {
			w.Orders = append(w.Orders, d.order(w))
		}
	}
	if d.part(30) {
		d.drains(w)
	}
	d.faults(w, gentle)
	die{rand.New(rand.NewPCG(seed, 0x61686561))}.prefetchers(w)
	return w
}

func (d die) process(w *World, i int) Process {
	p := Process{
		Name: string(rune('a' + i)), Threads: one(d, 1, 1, 1, 2, 3), Lines: one(d, 8, 16, 32, 64, 128), Policy: one(d, drawnPolicies...), Mechanism: one(d, excache.Mechanisms()...),
		Prefetcher: prefetch.None, Degree: defaultProcess().Degree, InFlight: defaultProcess().InFlight,
		Pages: d.from(20, 700), Refs: d.from(500, 5000), Writes: d.share(5, 70), Near: d.share(40, 97), Think: uint64(d.span(50, 200_000)), Burst: d.from(16, 256),
		Sectors: 128, Copies: 1, WriteQuorum: 1, ReadQuorum: 1, Replication: "none", MemoryCopies: 1, Data: 2, Parity: 1,
	}
	if d.part(60) {
		p.Begin = d.at(w.Heal / 2)
	}
	if d.part(40) {
		p.Remaps = d.share(1, 20)
	}
	if w.Storage > 0 && d.part(60) {
		p.Volumes, p.Sectors, p.Blocks = d.from(1, 2), one(d, 32, 128, 512), d.from(1, 6)
	}
	if p.Volumes > 0 && d.part(30) { // one that is about its volumes
		p.Refs, p.Burst, p.Sectors, p.Blocks = d.from(100, 600), d.from(4, 16), one(d, 512, 1024, 2048), d.from(4, 16)
	}
	if d.part(30) {
		p.MemoryBytes = uint64(p.Pages) * wire.PageSize
	}
	return p
}

// survival draws what processes survive. In many worlds it is the same for all of them, so that components may be killed without a loss.
func (d die) survival(w *World) {
	copies, checkpoints := d.part(40), d.part(25) // of all
	if checkpoints = checkpoints && !copies && w.Storage > 0; checkpoints && w.Compute == 1 && d.part(80) {
		w.Compute = 2
	}
	if copies && w.Memory < 3 && d.part(60) {
		w.Memory = 3
	}
	if d.part(25) {
		w.LogPages = d.from(4, 300)
	}
	for i := range w.Processes {
		p := &w.Processes[i]
		if w.Memory > 1 && !checkpoints && (copies || d.part(25)) {
			d.copies(w, p)
		}
		if w.Storage > 0 && p.Replication == "none" && (checkpoints || d.part(20)) {
			p.Checkpoint = d.from(50, 3000)
		}
		if p.Volumes+p.Checkpoint > 0 && w.Storage > 1 && d.part(60) {
			d.quorums(w, p)
		}
	}
}

// copies draws what of a process's memory others have.
func (d die) copies(w *World, p *Process) {
	p.Replication, p.MemoryCopies = one(d, "sync", "sync", "log"), d.from(1, min(2, w.Memory-1))
	if p.Replication == "log" {
		p.MemoryCopies = 1                       // more draws a second one
		p.LogBlock = w.Storage > 0 && d.part(50) // without an sComponent a full log stays full
	}
}

// more draws what came to survival later: shares, which do not go back to checkpoints; logs with two holders; copies and checkpoints of one process. It has a
// chance of its own, so that a world of which it changes nothing is the one that it was without.
func (d die) more(w *World) {
	if d.part(15) { // shares, of one process at least
		data, parity := one(d, 1, 2, 2, 2, 4, 4, 8), d.from(1, 2)
		w.Memory = max(w.Memory, data+parity+d.from(1, 2))
		all := d.part(60)
		for i := range w.Processes {
			if p := &w.Processes[i]; i == 0 || all || d.part(50) {
				p.Replication, p.Data, p.Parity, p.MemoryCopies, p.LogBlock, p.Checkpoint = "erasure", data, parity, 1, false, 0
			}
		}
		return
	}
	logs, checkpoints := d.part(50), w.Storage > 0 && d.part(40)
	for i := range w.Processes {
		switch p := &w.Processes[i]; {
		case p.Replication == "none":
		case p.Replication == "log" && logs && w.Memory > 2:
			p.MemoryCopies = 2
			fallthrough
		default:
			if checkpoints && d.part(80) {
				p.Checkpoint = d.from(50, 3000)
			}
		}
	}
}

// prefetchers draws who prefetches, in two worlds of five. It has a chance of its own, as more has.
func (d die) prefetchers(w *World) {
	if !d.part(40) {
		return
	}
	for i := range w.Processes {
		if p := &w.Processes[i]; d.part(80) {
			p.Prefetcher, p.Degree, p.InFlight = one(d, prefetch.Names()...), one(d, 1, 2, 4, 8, 16), one(d, 1, 2, 8, 32)
		}
	}
}

// quorums draws the copies of a process's volumes.
func (d die) quorums(w *World, p *Process) {
	p.Copies, p.Through = d.from(2, w.Storage), d.part(50)
	p.WriteQuorum = d.from(p.Copies/2+1, p.Copies)
	p.ReadQuorum = d.from(p.Copies-p.WriteQuorum+1, p.Copies)
}

// thing draws what may be moved: of a process that may be there.
func (d die) thing(w *World) movelist.Thing {
	pid := uint64(d.from(1, len(w.Processes)))
	k := one(d, wire.MoveRegion, wire.MoveRegion, wire.MoveHome, wire.MoveProcess, wire.MoveVolume, wire.MoveCache)
	if w.Storage == 0 && (k == wire.MoveVolume || k == wire.MoveCache) {
		k = wire.MoveRegion
	}
	first := mappedAt / wire.PageSize / w.RegionPages
	return thing(k, pid, uint64(first+d.IntN(700/w.RegionPages+1)))
}

func (d die) order(w *World) vcluster.Order {
	o := vcluster.Order{At: d.at(w.Heal), Thing: d.thing(w)}
	if d.part(20) {
		if to := d.node(w, map[wire.MoveKind]wire.Role{wire.MoveProcess: wire.RoleCompute, wire.MoveVolume: wire.RoleStorage}[o.Thing.Kind]); to != "" {
			o.To = to
		}
	}
	return o
}

// node draws one of a role, an mComponent if none is said.
func (d die) node(w *World, r wire.Role) wire.NodeID {
	switch r {
	case wire.RoleCompute:
		return wire.NodeID(fmt.Sprint("p", d.from(1, w.Compute)))
	case wire.RoleStorage:
		return wire.NodeID(fmt.Sprint("s", d.from(1, w.Storage)))
	case wire.RoleManager:
		return wire.NodeID(fmt.Sprint("g", d.from(1, w.Managers)))
	}
	return wire.NodeID(fmt.Sprint("m", d.from(1, w.Memory)))
}

// anyNode draws one, a component mostly.
func (d die) anyNode(w *World) wire.NodeID {
	r := one(d, wire.RoleCompute, wire.RoleMemory, wire.RoleMemory, wire.RoleStorage, wire.RoleManager)
	if r == wire.RoleStorage && w.Storage == 0 {
		r = wire.RoleMemory
	}
	return d.node(w, r)
}

// drains has components drained for a while.
func (d die) drains(w *World) {
	for range d.from(1, 2) {
		id := d.anyNode(w)
		if id[0] == 'g' {
			continue
		}
		at := d.at(w.Heal)
		w.Orders = append(w.Orders, vcluster.Order{At: at, Node: id, Action: membership.Drain}, vcluster.Order{At: min(at+d.span(10*time.Millisecond, 3*time.Second), w.Heal), Node: id, Action: membership.Undrain})
	}
}

package fuzz

import (
	"slices"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
)

// Faults of a drawn world.
const (
	mostFaults = 7
	// drawTries bounds the faults that are drawn for one that the cluster promises to outlive.
	drawTries = 20
)

// faults draws what goes wrong. If it is gentle all of it together must be within the promise of the cluster.
func (d die) faults(w *World, gentle bool) {
	if !gentle && d.part(60) { // something to recover from, and what goes wrong meanwhile
		f := faults.Fault{At: faults.Moment{Given: true, After: d.at(w.Heal / 2)}, Kind: faults.Kill, For: d.span(100*time.Millisecond, w.Heal/2)}
		f.Node = faults.Who{ID: d.anyNode(w)}
		w.Faults = append(w.Faults, f)
	}
	for range d.from(1, mostFaults) {
		for range drawTries {
			w.Faults = append(w.Faults, d.fault(w, gentle))
			if !gentle || w.Kept() == "" {
				break
			}
			w.Faults = w.Faults[:len(w.Faults)-1]
		}
	}
}

// noticed is how long it takes, at most, until a component that is dead is known to be and what it had is served elsewhere.
const noticed = 3 * time.Second

// Kept says why a world may cost what the cluster promises to keep, or nothing: then every process must end well. A breach is told of each
// fault alone, and here they overlap, so that beyond it nobody may be out of reach for a lease in all, nor anybody's patience end,
// whatever comes together.
func (w *World) Kept() (why string) {
	p := w.Promise()
	if bs := p.Breaches(w.Faults); len(bs) > 0 {
		return bs[0].String()
	}
	if w.strands() {
		return "a process cannot go on from a checkpoint of which something has moved meanwhile, or that found a full disk"
	}
	if !w.bearable() {
		return "faults that overlap may together outlast who waits"
	}
	return ""
}

// strands reports whether a pComponent may be lost while what its processes go back to has moved: what is kept does not move along, so that they
// cannot go on until they have made another checkpoint. One that cannot be saved because a disk is full ends its process.
func (w *World) strands() bool {
	saves := slices.ContainsFunc(w.Processes, func(p Process) bool { return p.Checkpoint > 0 })
	if saves && slices.ContainsFunc(w.Faults, func(f faults.Fault) bool { return f.Kind == faults.DiskFull }) {
		return true
	}
	if len(w.Orders) == 0 && !w.Balance {
		return false
	}
	lease := w.Promise().Lease
	for _, f := range w.Faults {
		if ends := f.Kind == faults.Kill || f.Kind == faults.Restart || f.Kind == faults.Pause && f.For >= lease; ends && w.nodesRole(f.Node.ID) == wire.RoleCompute {
			return true
		}
	}
	return false
}

// bearable reports whether a world bears all its faults together.
func (w *World) bearable() bool {
	var away, silent, headless time.Duration
	lost, lease := false, w.Promise().Lease
	for _, g := range w.Faults {
		role := w.nodesRole(g.Node.ID)
		ends := g.Kind == faults.Kill || g.Kind == faults.Restart || g.Kind == faults.Pause && g.For >= lease
		switch {
		case ends && role == wire.RoleMemory: // whoever has a copy takes over
			away += w.Lease + noticed
			lost = true
		case ends && role == wire.RoleCompute: // its processes go on elsewhere; who else waits for it does not exist
		case g.Kind == faults.Kill && (role == wire.RoleManager || g.Node.Leader != 0):
			headless += g.For
			if g.For == 0 {
				headless += w.Heal
			}
		case g.Kind == faults.Pause, g.Kind == faults.Partition:
			silent += g.For
			away += g.For + 500*time.Millisecond // the answer to what was sent before it may be lost
		case g.Kind == faults.Kill && role == wire.RoleStorage, g.Kind == faults.Restart && role == wire.RoleStorage:
			away += g.For + 500*time.Millisecond
		case g.Kind == faults.Lose:
			if g.Part > faults.Whole/500 {
				return false
			}
			away += 10 * time.Second
		case g.Kind == faults.Delay && g.By+g.Jitter > 20*time.Millisecond: // Jitter has no bound
			return false
		}
	}
	if lost {
		away += headless // nobody takes over without managers
	}
	return silent < w.Lease-600*time.Millisecond && away < w.Patience-5*time.Second
}

func (w *World) nodesRole(id wire.NodeID) wire.Role {
	for _, n := range w.nodes() {
		if n.ID == id {
			return n.Role
		}
	}
	return 0
}

// fault draws one. Half of them happen when the cluster does something.
func (d die) fault(w *World, gentle bool) faults.Fault {
	f := faults.Fault{At: faults.Moment{Given: true, After: d.at(w.Heal)}}
	if d.part(60) {
		phases, most, late := []faults.Phase{faults.Migrating, faults.Migrating, faults.Migrating, faults.Recovering, faults.Recovering, faults.Admitting}, 4, 200*time.Millisecond
		if slices.ContainsFunc(w.Processes, func(p Process) bool { return p.Checkpoint > 0 }) {
			phases = append(phases, faults.Checkpointing, faults.Checkpointing, faults.Checkpointing, faults.Checkpointing)
		}
		f.At = faults.Moment{Given: true, Phase: one(d, phases...)}
		if f.At.Phase == faults.Checkpointing { // there are many, each is over in a moment
			most, late = 12, 2*time.Millisecond
		}
		if n := d.from(0, most); n > 1 {
			f.At.Nth = uint32(n)
		}
		if d.part(70) {
			f.At.After = d.span(time.Microsecond, late)
		}
	}
	who := func(id wire.NodeID) faults.Who { return faults.Who{ID: id} }
	kinds := []faults.Kind{faults.Pause, faults.Partition, faults.Delay, faults.Lose, faults.Duplicate, faults.Reorder, faults.Kill, faults.Restart}
	if !gentle {
		kinds = append(kinds, faults.Kill, faults.Restart, faults.Partition)
	}
	if w.Storage > 0 {
		kinds = append(kinds, faults.SlowDisk, faults.SlowDisk, faults.DiskFull, faults.DiskFull)
		if !gentle || w.Promise().Survives > 0 {
			kinds = append(kinds, faults.CorruptBlock, faults.CorruptBlock, faults.CorruptBlock)
		}
	}
	f.Kind = one(d, kinds...)
	f.For = d.span(time.Millisecond, w.Heal)
	switch f.Kind {
	case faults.Kill, faults.Restart, faults.Pause:
		f.Node = who(d.anyNode(w))
		if f.Kind == faults.Pause && !gentle && d.part(40) {
			f.For = d.fenced(w)
		}
		if f.Kind == faults.Restart {
			f.For = 0
		}
		if d.part(10) {
			f.Node = faults.Who{Leader: one(d, wire.GPM, wire.GMM, wire.GSM)}
		}
	case faults.Partition, faults.Delay, faults.Lose, faults.Duplicate, faults.Reorder:
		f.Link = d.link(w, f.Kind)
		f.Part = d.share(0.01, 8)
		switch f.Kind {
		case faults.Partition:
			if f.Part = 0; !gentle && d.part(40) {
				f.Link, f.For = faults.Link{A: f.Link.A, B: []faults.Who{{All: true}}}, d.fenced(w)
			}
		case faults.Delay:
			f.Part, f.By = 0, d.span(10*time.Microsecond, 200*time.Millisecond)
			if d.part(50) {
				f.Jitter = d.span(10*time.Microsecond, 20*time.Millisecond)
			}
		case faults.Lose:
			if gentle {
				f.Part = d.share(0.01, 0.2)
			}
		case faults.Reorder:
			f.By = d.span(10*time.Microsecond, 300*time.Millisecond)
		}
	case faults.SlowDisk:
		f.Node = who(d.node(w, wire.RoleStorage))
		if f.Times = uint32(d.from(1001, 50_000)); d.part(50) {
			f.Times, f.By = 0, d.span(100*time.Microsecond, 20*time.Millisecond)
		}
	case faults.DiskFull, faults.CorruptBlock:
		f.Node = who(d.node(w, wire.RoleStorage))
		if f.Kind == faults.CorruptBlock {
			f.For = 0
		}
	}
	return f
}

// fenced draws how long somebody is out of reach who is then declared dead, and drops what it has when it is back.
func (d die) fenced(w *World) time.Duration {
	return w.Lease + d.span(500*time.Millisecond, 4*time.Second)
}

// link draws between whom messages go wrong.
func (d die) link(w *World, k faults.Kind) (l faults.Link) {
	if k != faults.Partition && d.part(40) {
		return l // everywhere
	}
	a, b := d.anyNode(w), d.anyNode(w)
	l.A, l.OneWay = []faults.Who{{ID: a}}, d.part(30)
	if a == b || d.part(30) {
		l.B = []faults.Who{{All: true}}
	} else {
		l.B = []faults.Who{{ID: b}}
	}
	return l
}

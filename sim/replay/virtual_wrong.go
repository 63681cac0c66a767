package replay

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/link"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/report"
	"splitkernel/sim/units"
	"splitkernel/sim/vcluster"
)

// virtualWrongs is what goes wrong during a virtual run: the same sentences as live, at the same parts of the run. A part is reached
// when so many accesses and block requests of all processes have been made; the fault then happens at that moment of the clock.
type virtualWrongs struct {
	c       *vcluster.Cluster
	seed    uint64
	nodes   []faults.Node
	waiting []numbered
	byPart  int // of those that wait
	began   time.Duration
	done    uint64
	total   uint64
	told    []report.Fault
}

// numbered is a fault with its place in the list, which is the stream of its chance.
type numbered struct {
	faults.Fault
	no int
}

func newVirtualWrongs(c *vcluster.Cluster, o *VirtualOptions, vnodes []*vnode) *virtualWrongs {
	w := &virtualWrongs{c: c, seed: o.Workload.Seed}
	for _, n := range o.Cluster.Nodes {
		r := o.Cluster.Resolve(n.ID)
		w.nodes = append(w.nodes, faults.Node{ID: r.ID, Role: r.Role})
	}
	for i, f := range resolved(o.Workload.WhatFails(), w.nodes, w.seed) {
		if w.waiting = append(w.waiting, numbered{f, i}); f.At.Progress {
			w.byPart++
		}
	}
	for _, v := range vnodes {
		w.total += v.total
	}
	return w
}

// begin is the start of the run.
func (w *virtualWrongs) begin() {
	w.began = w.c.Now()
	for _, f := range slices.Clone(w.waiting) {
		if !f.At.Progress {
			w.c.Later(w.began+f.At.After, func() { w.strike(f) })
		}
	}
	w.step(0)
}

// step hears of accesses and block requests that were made. Whoever tells is within its coroutine, so what is due happens a little later,
// at the same moment of the clock.
func (w *virtualWrongs) step(n uint64) {
	if w.done += n; w.byPart == 0 {
		return
	}
	for _, f := range slices.Clone(w.waiting) {
		if f.At.Progress && w.total > 0 && w.done*uint64(faults.Whole)/w.total >= uint64(f.At.Share) && w.claim(f) {
			w.byPart--
			w.c.Soon(func() { w.happen(f) })
		}
	}
}

// claim takes a fault from those that wait.
func (w *virtualWrongs) claim(f numbered) bool {
	i := slices.IndexFunc(w.waiting, func(x numbered) bool { return x.no == f.no })
	if i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
	return i >= 0
}

func (w *virtualWrongs) strike(f numbered) {
	if w.claim(f) {
		w.happen(f)
	}
}

// happen has a fault happen now, and takes it down.
func (w *virtualWrongs) happen(f numbered) {
	said := f.String()
	f.Fault = faults.Leads(f.Fault, func(wire.Manager) wire.NodeID { return w.c.Leader() })
	told := report.Fault{Fault: said, State: report.FaultDone, AtSeconds: (w.c.Now() - w.began).Seconds()}
	if w.total > 0 {
		told.AtPercent = float64(min(w.done*uint64(faults.Whole)/w.total, uint64(faults.Whole))) / 1e4
	}
	what, lost, err := w.perform(f)
	if told.What, told.Lost = what, lost; err != nil {
		told.State, told.Error = report.FaultFailed, err.Error()
	}
	w.told = append(w.told, told)
}

func (w *virtualWrongs) perform(f numbered) (what string, lost []string, err error) {
	c, id := w.c, f.Node.ID
	switch f.Kind {
	case faults.Kill, faults.Restart:
		return w.hurt(f)
	case faults.Pause:
		if !c.Runs(id) {
			return "", nil, fmt.Errorf("%s does not run, it cannot be paused", id)
		}
		c.Pause(id, f.For)
		return fmt.Sprintf("%s was stopped", id), nil, nil
	case faults.Partition:
		for _, p := range f.Pairs(w.nodes) {
			if err := c.Strike(vcluster.Fault{What: vcluster.Cut, Node: p.From, To: p.To, For: f.For}); err != nil {
				return "", nil, err
			}
		}
		return "the links were cut", nil, nil
	case faults.SlowDisk:
		c.SlowDisk(id, float64(f.Times)/1000, f.By, f.For)
		return fmt.Sprintf("the disk of %s became slow", id), nil, nil
	case faults.DiskFull:
		c.FillDisk(id, f.For)
		return fmt.Sprintf("the disk of %s became full", id), nil, nil
	case faults.CorruptBlock:
		v, block, err := c.Corrupt(id, f.Volume, f.Block, faults.Stream(w.seed, faults.MaxList+f.no))
		if err != nil {
			return "", nil, err
		}
		return fmt.Sprintf("a byte of block %d of volume %d at %s was changed", block, v, id), []string{fmt.Sprintf("block %d of volume %d at %s", block, v, id)}, nil
	}
	var pairs [][2]wire.NodeID
	for _, p := range f.Pairs(w.nodes) {
		pairs = append(pairs, [2]wire.NodeID{p.From, p.To})
	}
	c.IllLinks(pairs, illOf(&f.Fault), f.For)
	return fmt.Sprintf("on %d links", len(pairs)), nil, nil
}

// hurt is what happens to a node.
func (w *virtualWrongs) hurt(f numbered) (what string, lost []string, err error) {
	c, id := w.c, f.Node.ID
	runs := c.Runs(id)
	if !runs && f.Kind == faults.Kill {
		return "", nil, fmt.Errorf("%s does not run, it cannot be killed", id)
	}
	start := func() error { return c.Strike(vcluster.Fault{What: vcluster.Start, Node: id}) }
	what = fmt.Sprintf("%s was started again", id)
	if runs {
		if role := w.role(id); role == wire.RoleMemory || role == wire.RoleCompute { // volumes are still on the disk
			lost = faults.Lost(id, c.Holdings(id), c.Survives)
		}
		if err := c.Strike(vcluster.Fault{What: vcluster.Kill, Node: id}); err != nil {
			return "", nil, err
		}
		if what = fmt.Sprintf("%s was killed", id); f.Kind == faults.Restart {
			what += " and started again"
		}
	}
	switch {
	case f.Kind == faults.Restart:
		return what, lost, start()
	case f.For > 0:
		c.Later(c.Now()+f.For, func() {
			if !c.Runs(id) {
				_ = start() // it is a node of the cluster, as it was when it was killed
			}
		})
	}
	return what, lost, nil
}

func (w *virtualWrongs) role(id wire.NodeID) wire.Role {
	for _, n := range w.nodes {
		if n.ID == id {
			return n.Role
		}
	}
	return 0
}

// illOf is what a fault of the network is to a link.
func illOf(f *faults.Fault) link.Ill {
	share := units.Share(f.Part) * (units.Whole / units.Share(faults.Whole))
	switch f.Kind {
	case faults.Delay:
		return link.Ill{Delay: units.Of(f.By), Jitter: units.Of(f.Jitter)}
	case faults.Lose:
		return link.Ill{Loss: share}
	case faults.Duplicate:
		return link.Ill{Duplicate: share, ReorderDelay: units.Of(faults.DefaultBy)}
	}
	return link.Ill{Reorder: share, ReorderDelay: units.Of(f.By)}
}

// end tells what happened; what still waits never did.
func (w *virtualWrongs) end() []report.Fault {
	for _, f := range w.waiting {
		w.told = append(w.told, report.Fault{Fault: f.String(), State: report.FaultNever})
	}
	return w.told
}

package replay

import (
	"slices"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/report"
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
		switch {
		case f.At.Timed():
			w.c.Later(w.began+f.At.After, func() { w.strike(f) })
		case !f.At.Progress:
			w.c.When(f.At, func() { w.strike(f) })
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
	what, lost, err := w.c.Happen(f.Fault, w.nodes, faults.Stream(w.seed, faults.MaxList+f.no))
	if told.What, told.Lost = what, lost; err != nil {
		told.State, told.Error = report.FaultFailed, err.Error()
	}
	w.told = append(w.told, told)
}

// end tells what happened; what still waits never did.
func (w *virtualWrongs) end() []report.Fault {
	for _, f := range w.waiting {
		w.told = append(w.told, report.Fault{Fault: f.String(), State: report.FaultNever})
	}
	return w.told
}

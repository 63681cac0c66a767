package vcluster

import (
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
)

// Doing is what a cluster does now, by phase.
type Doing [faults.Phases]bool

// Doing tells what the cluster does now: what the books of the managers say, which components are not members that should be, and whether a
// checkpoint is being made. It is Idle if it does nothing else.
func (c *Cluster) Doing() (d Doing) {
	g := c.gm
	for _, k := range managersOf {
		for i := range g.state(k).Moves().Moves() {
			if !g.state(k).Moves().Moves()[i].Ended() {
				d[faults.Migrating] = true
			}
		}
	}
	if _, waiting := g.gpm.Counts(); waiting > 0 || len(g.gpm.Open(1)) > 0 || len(g.gmm.Prepared())+len(g.gsm.Prepared()) > 0 {
		d[faults.Admitting] = true
	}
	d[faults.Recovering] = c.recovering()
	d[faults.Checkpointing] = c.saving > 0
	d[faults.Idle] = d == Doing{}
	return d
}

// recovering reports whether somebody is dead by the books, or runs and is no member, or was lost with what it had and that is not done with.
func (c *Cluster) recovering() bool {
	if !c.mortal && !c.faulty {
		return false
	}
	g := c.gm
	for _, k := range groups {
		es := g.entries(k)
		for i := range es {
			e := &es[i]
			if no := c.node(e.Member.ID); e.State() == membership.Dead || c.lives[no].down || c.epoch(no) != e.Member.Epoch {
				return true
			}
		}
	}
	return len(g.gpm.Lost(gpm.MaxProcesses)) > 0
}

// awaited is something to be done when the cluster begins to do something.
type awaited struct {
	at   faults.Moment
	left uint32 // times that it must begin before
	f    func()
}

// When has something done when a phase begins, as a moment of the language says. It keeps no run going. A phase that is on when it is asked
// for has begun for the first time.
func (c *Cluster) When(at faults.Moment, f func()) {
	w := awaited{at, max(at.Nth, 1), f}
	if c.Doing()[at.Phase] && c.due1(&w) {
		return
	}
	c.awaits = append(c.awaits, w)
}

// due1 counts that the phase began and, if that was the time, does it.
func (c *Cluster) due1(w *awaited) bool {
	if w.left--; w.left > 0 {
		return false
	}
	c.inTime(c.clock.Now()+w.at.After, w.f)
	return true
}

// phased looks whether a phase has begun that somebody waits for. All begin with a command of a manager, with a fault, or with a checkpoint.
func (c *Cluster) phased() {
	if len(c.awaits) == 0 {
		return
	}
	now := c.Doing()
	was := c.did
	c.did = now
	keep := c.awaits[:0]
	for i := range c.awaits {
		w := c.awaits[i]
		if now[w.at.Phase] && !was[w.at.Phase] && c.due1(&w) {
			continue
		}
		keep = append(keep, w)
	}
	clear(c.awaits[len(keep):])
	c.awaits = keep
}

// Served is something that a component did for a process under an epoch of what it has: a page that it gave or took, a block.
type Served struct {
	Node   wire.NodeID
	Thing  wire.MoveKind // MoveRegion, MoveCache or MoveVolume
	PID    wire.PID      // of a vRegion
	Region wire.RegionNo
	Volume wire.VolumeID
	Epoch  wire.Epoch
}

// tellServed tells who watches that a page was given or taken.
func (m *memory) tellServed(pid wire.PID, page wire.PageNo, epoch wire.Epoch) {
	if f := m.c.o.Served; f != nil {
		f(Served{Node: m.o.ID, Thing: wire.MoveRegion, PID: pid, Region: wire.RegionNo(uint64(page) << wire.PageShift / m.c.o.RegionBytes), Epoch: epoch})
	}
}

package vcluster

import (
	"fmt"
	"time"

	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/restart"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/vtime"
)

// Saver is who drives a process that makes checkpoints: it knows what is in them. Its methods are called from a coroutine of the pComponent
// at which the process is to go on, which ends in their midst when that is killed.
type Saver interface {
	// Again gives what the process was opened with, but for where it goes on.
	Again() ProcessOptions
	// Volumes gives the volumes of the process as they are now, the one with the checkpoints last, of what GPM orders; those that are not
	// made yet are missing.
	Volumes(vs []wire.RestartVolume) []VolumeOptions
	// Read reads the newest checkpoint.
	Read(y *vtime.Proc, p *Process) (at wire.Cut, done uint64, found bool, err error)
	// Revert writes back what the log of the checkpoint kept.
	Revert(y *vtime.Proc, p *Process) error
	// State is what the core of the process is to know, and Opened says that it goes on as p.
	State() fault.State
	Opened(p *Process)
}

// Saves has a process make checkpoints; s drives it.
func (c *Cluster) Saves(pid wire.PID, s Saver) { c.savers[pid] = s }

// Saving says that a checkpoint is being made, or was: that is a phase.
func (c *Cluster) Saving(on bool) {
	if c.saving--; on {
		c.saving += 2
	}
	c.phased()
}

// LastFlush is the version of the last flush.
func (p *Process) LastFlush() uint64 { return p.core.Cache().LastFlush() }

// Undrain lets lines be dirty again after Drain.
func (p *Process) Undrain() { p.core.Undrain() }

// Epoch is the epoch of the process.
func (p *Process) Epoch() wire.Epoch { return p.o.Epoch }

// Moved takes whether something of the process has another owner, or another home, since it was asked last.
func (p *Process) Moved() bool {
	was := p.moved
	p.moved = false
	return was
}

// Export gives the state of a drained process, without its volumes.
func (p *Process) Export() (fault.State, error) { return p.core.Export() }

// Volume gives an attached volume, or nil.
func (p *Process) Volume(id wire.VolumeID) *Volume { return p.volumes[id] }

// Now is the time of the process's cluster.
func (p *Process) Now() time.Duration { return p.c.clock.Now() }

// Cut tells the home that a checkpoint is durable, and returns when every owner knows it.
func (p *Process) Cut(y *vtime.Proc, at wire.Cut) error {
	if err := p.dead(); err != nil {
		return err
	}
	q := wire.ProcessCutReq{PID: p.o.PID, Epoch: p.o.Epoch, Cut: at}
	if err := call(y, p, wire.OpProcessCut, q, (*memory).processCut, func(struct{}) {}); err != nil {
		return fmt.Errorf("checkpoint %d at home %s: %w", at.Number, p.home.Node, err)
	}
	return nil
}

// Abandon forgets a process that goes on elsewhere, or was killed: nobody is told.
func (p *Process) Abandon() {
	if !p.closed {
		p.forget()
	}
}

// Past takes over what the process counted before a checkpoint, and the times of all that it did.
func (p *Process) Past(parts []Part, old *Process) {
	p.past = parts
	if old != nil {
		p.lat, p.waited, p.blocked = old.lat, old.waited, old.blocked
	}
}

// Place is where GPM has a process; false if it has none.
func (c *Cluster) Place(pid wire.PID) (p gpm.Process, lives, ok bool) {
	ps := c.gm.gpm.Processes(pid)
	if len(ps) != 1 {
		return p, false, false
	}
	return ps[0], c.gm.gpm.Current(ps[0].Node, ps[0].NodeEpoch), true
}

// revival is a process of a pComponent that was lost, which is to go on here.
type revival struct {
	n   *compute
	req wire.RestartReq
	r   *checkpoint.Restorer
	p   *Process
}

// restart serves process_restart.
func (n *compute) restart(q wire.RestartReq) (wire.RestartRep, error) {
	if n.revivals == nil {
		n.revivals = map[wire.PID]*revival{}
	}
	switch old := n.revivals[q.PID]; {
	case old != nil && old.req.Epoch == q.Epoch:
		return old.r.Status(), nil
	case old != nil && q.Epoch < old.req.Epoch:
		return wire.RestartRep{}, wire.Errorf(wire.KindStale, "process %d is restarted under epoch %d, not %d", q.PID, old.req.Epoch, q.Epoch)
	case old != nil && old.r.Status().State == wire.RestartUnder:
		return wire.RestartRep{}, wire.Errorf(wire.KindBusy, "process %d is being restarted under epoch %d", q.PID, old.req.Epoch)
	}
	if p := n.procs[q.PID]; p != nil && p.o.Epoch < q.Epoch { // what is left of it here was lost, or is about to be fenced
		p.Stop(wire.Errorf(wire.KindFailed, "the process goes on from its last checkpoint under epoch %d", q.Epoch))
		return wire.RestartRep{State: wire.RestartUnder, Text: "what ran here before is being ended"}, nil
	}
	v := &revival{n: n, req: q, r: checkpoint.NewRestorer(checkpoint.DefaultRestoreOptions(), n.c.clock.Now()+1)}
	n.revivals[q.PID] = v
	n.c.goAt(n.no, fmt.Sprintf("the restart of process %d", q.PID), v.drive)
	return v.r.Status(), nil
}

// drive brings the process back.
func (v *revival) drive(y *vtime.Proc) {
	now := func() time.Duration { return y.Now() + 1 }
	s := v.n.c.savers[v.req.PID]
	for {
		e := v.r.Next(now())
		if e.Kind == checkpoint.Over {
			return
		}
		var o checkpoint.Restored
		var err error
		switch e.Kind {
		case checkpoint.Rest:
			y.Sleep(e.Until - now())
		case checkpoint.Attach:
			err = v.attach(y, s)
		case checkpoint.Read:
			o.Cut, o.Done, o.Found, err = s.Read(y, v.p)
		case checkpoint.Rollback:
			err = v.rollback(y, e.Cut)
		case checkpoint.Revert:
			err = s.Revert(y, v.p)
		case checkpoint.Open:
			err = v.open(y, s)
		}
		o.Err = asWire(err)
		v.r.Step(now(), o)
	}
}

// attach makes the process as it is to be here, which nobody knows yet, and attaches its volumes.
func (v *revival) attach(y *vtime.Proc, s Saver) error {
	o := s.Again()
	o.Epoch, o.Node, o.Home = v.req.Epoch, v.n.o.ID, v.req.Home
	p, err := v.n.newProcess(o)
	if err != nil {
		return err
	}
	v.p = p
	if err := p.openHome(y, v.n, o.Epoch, &p.home); err != nil { // first: who is refused by a volume ends, and must not take the memory along
		return err
	}
	volumes := s.Volumes(v.req.Volumes)
	if len(volumes) < len(v.req.Volumes) {
		return wire.Errorf(wire.KindNotFound, "process %s: %d of its %d volumes are made", o.Name, len(volumes), len(v.req.Volumes))
	}
	for _, w := range volumes {
		vol, err := p.Attach(y, w)
		if err != nil {
			return err
		}
		vol.version = max(vol.version, uint64(o.Epoch)<<renewShift)
	}
	return nil
}

// renewShift leaves 2^40 writes to an epoch, as live.
const renewShift = 40

// rollback has home and owners go back.
func (v *revival) rollback(y *vtime.Proc, to wire.Cut) error {
	p := v.p
	q := wire.ProcessRollbackReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: addr(v.n.o.ID), Cut: to}
	deadline := y.Now() + mapPatience
	for {
		at := p.home
		err := call(y, p, wire.OpProcessRollback, q, (*memory).processRollback, func(r wire.ProcessRollbackRep) { p.heapEnd, p.owners = r.HeapEnd, r.Owners })
		if err == nil || wire.KindOf(err) != wire.KindNotOwner || !p.findHome(y, v.n.no, &p.home, at.Epoch, deadline) {
			return err
		}
	}
}

// open lets the process run here.
func (v *revival) open(y *vtime.Proc, s Saver) error {
	p, n := v.p, v.n
	if room := n.o.ExCacheBytes / wire.PageSize; n.lines+uint64(p.o.ExCache.Lines) > room {
		return wire.Errorf(wire.KindBusy, "%s: an ExCache of %d lines for process %s, %d of %d lines are free", n.o.ID, p.o.ExCache.Lines, p.o.Name, room-min(room, n.lines), room)
	}
	state := s.State()
	state.Owners = p.owners
	if err := p.core.Import(state); err != nil {
		return err
	}
	n.lines += uint64(p.o.ExCache.Lines)
	p.home = n.homes.Newest(p.o.PID, p.home)
	n.procs[p.o.PID] = p
	n.running(p.o.Threads)
	if err := p.openHome(y, n, p.o.Epoch, &p.home); err != nil {
		p.forget()
		return err
	}
	s.Opened(p)
	return nil
}

// bringBack has processes go on from checkpoints whose pComponent was lost.
func (g *managers) bringBack() {
	var stranded []restart.Stranded
	for _, p := range g.gpm.Stranded(restart.MaxUnder) {
		stranded = append(stranded, restart.Stranded{Process: p, Current: g.gpm.Current(p.Node, p.NodeEpoch)})
	}
	for _, e := range g.vigil.restarts.Look(stranded) {
		g.restartBy(g.vigil.restarts, e)
	}
}

// restartBy performs an effect of the driver of restarts, and what follows from it.
func (g *managers) restartBy(d *restart.Driver, e restart.Effect) {
	g.c.Go(fmt.Sprintf("the restart of process %d by GPM", e.Process.PID), func(y *vtime.Proc) {
		for more := []restart.Effect{e}; len(more) > 0 && g.vigil.restarts == d; {
			e := more[0]
			y.Sleep(e.After)
			o := g.restartOnce(y, e)
			if o.Err != nil {
				y.Sleep(restart.RetryInterval)
			}
			more = d.Done(e.Process.PID, e.Call, o)
		}
	})
}

func (g *managers) restartOnce(y *vtime.Proc, e restart.Effect) (o restart.Outcome) {
	p := e.Process
	change := func(q gpm.Request) error {
		client, seq := g.session()
		_, err := g.ask(y, fmt.Sprintf("the restart of process %d in the books", p.PID), client, seq, q)
		return err
	}
	switch e.Kind {
	case restart.Place:
		o.Err = change(gpm.Request{Op: gpm.OpRestart, PID: p.PID, Epoch: p.Epoch})
	case restart.Report:
		o.Err = change(gpm.Request{Op: gpm.OpRestarted, PID: p.PID, Epoch: p.Epoch, Failed: e.Failed, Text: e.Text})
	case restart.Order:
		alive := map[wire.NodeID]bool{}
		for _, k := range groups {
			for _, e := range g.entries(k) {
				alive[e.Member.ID] = e.State() != membership.Dead
			}
		}
		var volumes []gsm.Volume
		for _, v := range p.Volumes {
			volumes = append(volumes, g.gsm.Volumes(v.Volume)...)
		}
		q, err := restart.Request(p, g.gmm.Processes(p.PID), volumes, func(id wire.NodeID) string {
			if !alive[id] {
				return ""
			}
			return addr(id)
		})
		if err != nil {
			o.Err = err
			return o
		}
		to := g.c.node(p.Node)
		o.Rep, o.Err = tell(y, g.c, wire.OpProcessRestart, g.leader, to, endTimeout, q, func(q wire.RestartReq, done func(wire.RestartRep, error)) {
			done(g.c.nodes[to].(*compute).restart(q))
		})
	}
	return o
}

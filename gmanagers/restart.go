package gmanagers

import (
	"context"
	"time"

	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/restart"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// bringBack has processes go on from checkpoints whose pComponent was lost, while this process leads GPM.
func (d *driver) bringBack() {
	if !d.leads(wire.GPM) {
		return
	}
	var stranded []restart.Stranded
	err := d.host.Stale(wire.GPM, func(s raftsm.State) {
		g := s.(*gpm.State)
		for _, p := range g.Stranded(restart.MaxUnder) {
			stranded = append(stranded, restart.Stranded{Process: p, Current: g.Current(p.Node, p.NodeEpoch)})
		}
	})
	if err != nil {
		return // stopping
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	core := d.restartsNow()
	for _, e := range core.Look(stranded) {
		d.wg.Go(func() { d.restartBy(core, e) })
	}
}

// restartsNow returns the driver of restarts of the present term of leadership: what was begun in one before is in the books. d.mu is held.
func (d *driver) restartsNow() *restart.Taped {
	d.current()
	if d.restarts == nil || d.restartsOf != d.term {
		if d.restarts != nil {
			d.restarts.End()
		}
		d.restarts, d.restartsOf = d.m.restartCore(), d.term
	}
	return d.restarts
}

// restartBy performs an effect of a driver of restarts, and what follows from it while that is the present one.
func (d *driver) restartBy(core *restart.Taped, e restart.Effect) {
	for more := []restart.Effect{e}; len(more) > 0; {
		e := more[0]
		var o restart.Outcome
		if d.paused(e.After) {
			o = d.restartOnce(e)
		} else {
			o.Err = context.Canceled
		}
		if o.Err != nil {
			if d.ctx.Err() == nil {
				d.m.log.Warn("restart of a process", "pid", uint64(e.Process.PID), "pcomponent", string(e.Process.Node), "error", o.Err.Error())
			}
			d.paused(restart.RetryInterval)
		}
		d.mu.Lock()
		if more = nil; core == d.restarts {
			more = core.Done(e.Process.PID, e.Call, o)
		}
		d.mu.Unlock()
	}
}

// paused waits; it is false if the driver ends meanwhile.
func (d *driver) paused(pause time.Duration) bool {
	if pause <= 0 {
		return d.ctx.Err() == nil
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}

func (d *driver) restartOnce(e restart.Effect) (o restart.Outcome) {
	ctx, cancel := context.WithTimeout(d.ctx, d.endTimeout)
	defer cancel()
	p := e.Process
	switch e.Kind {
	case restart.Place:
		o.Err = d.client.Restart(ctx, p.PID, p.Epoch)
	case restart.Report:
		o.Err = d.client.Restarted(ctx, p.PID, p.Epoch, e.Failed, e.Text)
	case restart.Order:
		var q wire.RestartReq
		var addr string
		if q, addr, o.Missing, o.Err = d.restartRequest(ctx, p); o.Err == nil {
			o.Rep, o.Err = d.orderRestart(ctx, addr, q)
		}
	}
	return o
}

// restartRequest says what the pComponent of a process is told, and where that is; missing that the books were read, and lack something.
func (d *driver) restartRequest(ctx context.Context, p gpm.Process) (q wire.RestartReq, addr string, missing bool, err error) {
	homes, err := d.client.Regions(ctx, p.PID)
	if err != nil {
		return q, "", false, err
	}
	addrs := map[wire.NodeID]string{} // of those that are not dead
	for _, g := range groups {
		err := d.host.Stale(g, func(s raftsm.State) {
			for _, e := range s.Entries() {
				if e.State() != membership.Dead {
					addrs[e.Member.ID] = e.Member.Addr
				}
			}
		})
		if err != nil {
			return q, "", false, err
		}
	}
	var volumes []gsm.Volume
	err = d.host.Stale(wire.GSM, func(s raftsm.State) {
		for _, v := range p.Volumes {
			volumes = append(volumes, s.(*gsm.State).Volumes(v.Volume)...)
		}
	})
	if err != nil {
		return q, "", false, err
	}
	q, err = restart.Request(p, homes, volumes, func(id wire.NodeID) string { return addrs[id] })
	return q, addrs[p.Node], err != nil, err
}

// orderRestart makes one call over a connection of its own: processes are restarted seldom.
func (d *driver) orderRestart(ctx context.Context, addr string, q wire.RestartReq) (rep wire.RestartRep, err error) {
	if err := netlayer.Addr(addr).Validate(); err != nil {
		return rep, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	o := d.m.o.Net
	o.Slots, o.Metrics = 1, nil
	p := netlayer.NewPeer(netlayer.Addr(addr), o)
	defer p.Close()
	defer context.AfterFunc(ctx, func() { p.Close() })() // ends connecting too
	err = p.Control(ctx, wire.OpProcessRestart, q.Epoch, &q, &rep)
	return rep, err
}

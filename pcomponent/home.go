package pcomponent

import (
	"context"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
)

// Home is the home of the process, as far as it was told.
func (p *Process) Home() wire.Owner {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.homeAt
}

// goneHome takes the news that the process has another home. News that is not newer changes nothing. The lock is held.
func (p *Process) goneHome(now wire.Owner) {
	if now.Epoch <= p.homeAt.Epoch {
		return
	}
	p.homeMoved()
	p.homeAt = now
	p.homeIs, p.homeMoved = context.WithCancel(context.Background())
}

// attempt puts a request to the home as it is now, until that moves.
func (p *Process) attempt(ctx context.Context, op wire.Op, req, rep any) (at wire.Owner, is context.Context, err error) {
	p.mu.Lock()
	at, is, epoch := p.homeAt, p.homeIs, p.o.Epoch
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(is, cancel)()
	return at, is, p.c.peer(at.Addr).Control(ctx, op, epoch, req, rep)
}

// atHome puts a request to the process's home: while the home moves it is busy, and the request is repeated as long as ctx
// lasts; when it has moved, the request goes to the new one, of which this process was told before the old one forgot it, or because the
// old one is dead. One that was taken for dead and lives says that it is not the home any more, one that was started again at once knows of no
// process; the backup may not have said yet that it is the home, so that is waited for. Who opens a process asks the managers for its home,
// and who ends one has nothing to wait for.
func (p *Process) atHome(ctx context.Context, op wire.Op, req, rep any) (home wire.NodeID, err error) {
	for {
		at, is, err := p.attempt(ctx, op, req, rep)
		if kind := wire.KindOf(err); (kind == wire.KindNotOwner || kind == wire.KindNotFound) && op != wire.OpProcessExit && op != wire.OpProcessOpen {
			p.awaitHome(ctx, is)
		}
		switch wire.KindOf(err) {
		case wire.KindNotOwner, wire.KindNotFound, wire.KindUnavailable, wire.KindTimeout, wire.KindBusy:
			if now := p.Home(); now.Epoch > at.Epoch && ctx.Err() == nil {
				continue
			}
		}
		return at.Node, err
	}
}

// awaitHome waits until the home has moved on, for as long as a process waits for anything.
func (p *Process) awaitHome(ctx, is context.Context) {
	limit := time.NewTimer(time.Duration(p.c.o.Fault.PatienceMS) * time.Millisecond)
	defer limit.Stop()
	select {
	case <-is.Done():
	case <-limit.C:
	case <-ctx.Done():
	}
}

// Switched serves OpRegionSwitch and OpHomeSwitch: a vRegion of a process here has another owner, or the process another
// home. When it returns nothing that an older owner answered reaches the process any more.
func (c *Component) Switched(req *netlayer.Request) error {
	switch req.Op {
	case wire.OpRegionSwitch:
		var m wire.RegionSwitchReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		p, err := c.process(m.PID)
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.perform(fault.NoThread, p.core.OwnerMoved(p.now(), m.Owner, nil))
		p.abandon(m.Owner)
		p.settle()
		p.moved.Store(true)
		return nil
	case wire.OpHomeSwitch:
		var m wire.HomeSwitchReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		p, err := c.process(m.PID)
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.homes.Heard(m.PID, m.Home) // it may be about to begin
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.goneHome(m.Home)
		p.moved.Store(true)
		return nil
	}
	return wire.Errorf(wire.KindBadRequest, "%s is a pComponent and does not serve %v", c.o.ID, req.Op)
}

// abandon ends what is on its way to older owners of a vRegion: the core would not take their answers, and if they do not come at all,
// nobody should wait for a deadline to know. The lock is held.
func (p *Process) abandon(now wire.Owner) {
	gone := wire.Errorf(wire.KindUnavailable, "vRegion %d is at %s now, under epoch %d", now.Region, now.Node, now.Epoch)
	for _, f := range p.active {
		if f.epoch < now.Epoch && p.core.Region(f.flush.Page) == now.Region && !f.unsent && f.failed == nil {
			if f.behind {
				p.takeBack(f, gone)
			} else {
				f.peer.Abandon(&f.call, gone)
			}
		}
	}
	for _, t := range p.threads {
		if t.at != nil && t.epoch < now.Epoch && p.core.Region(t.want) == now.Region {
			t.at.Abandon(&t.miss, gone)
		}
	}
}

// homeOf gives the home of a process that begins here: it may have another one since the managers said so.
func (c *Component) homeOf(o ProcessOptions) wire.Owner {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.homes.Newest(o.PID, o.Home)
}

// process gives a process that runs here.
func (c *Component) process(pid wire.PID) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.procs[pid]; p != nil {
		return p, nil
	}
	return nil, wire.Errorf(wire.KindNotFound, "process %d does not run at %s", pid, c.o.ID)
}

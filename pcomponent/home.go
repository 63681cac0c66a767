package pcomponent

import (
	"context"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
)

// homeNow gives the home of the process and the connection to it.
func (p *Process) homeNow() (wire.Owner, *netlayer.Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.homeAt, p.home
}

// Home is the home of the process, as far as it was told.
func (p *Process) Home() wire.Owner {
	at, _ := p.homeNow()
	return at
}

// atHome puts a request to the process's home: while the home moves it is busy, and the request is repeated as long as ctx
// lasts; when it has moved, the request goes to the new one, of which this process was told before the old one forgot it.
func (p *Process) atHome(ctx context.Context, op wire.Op, req, rep any) (home wire.NodeID, err error) {
	for {
		at, peer := p.homeNow()
		err := peer.Control(ctx, op, p.o.Epoch, req, rep)
		switch wire.KindOf(err) {
		case wire.KindNotOwner, wire.KindNotFound:
			if now, _ := p.homeNow(); now.Epoch > at.Epoch && ctx.Err() == nil {
				continue
			}
		}
		return at.Node, err
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
		p.moved.Store(true)
		return nil
	case wire.OpHomeSwitch:
		var m wire.HomeSwitchReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		p, err := c.process(m.PID)
		if err != nil {
			return err
		}
		peer := c.peer(m.Home.Addr)
		p.mu.Lock()
		defer p.mu.Unlock()
		if m.Home.Epoch > p.homeAt.Epoch {
			p.homeAt, p.home = m.Home, peer
			p.moved.Store(true)
		}
		return nil
	}
	return wire.Errorf(wire.KindBadRequest, "%s is a pComponent and does not serve %v", c.o.ID, req.Op)
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

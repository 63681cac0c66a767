package mcomponent

import (
	"context"
	"time"

	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// homeOp gives an event to the home and waits for its reply, or for Stop: every other effect ends within its own timeout, but an unmap or a checkpoint of
// what this component owns itself waits for holders as long as they are holders. The request's deadline does not end it: the operation goes on, a retry of the
// caller waits for its outcome, and an answer of "timeout" would be remembered as that.
func (c *Component) homeOp(event func(h *vregion.TapedHome, call uint64, out []vregion.Effect) []vregion.Effect) vregion.Effect {
	reply := make(chan vregion.Effect, 1)
	c.homeMu.Lock()
	c.homeCall++
	call := c.homeCall
	c.homeCalls[call] = reply
	out := event(c.home, call, nil)
	c.homeMu.Unlock()
	c.performHome(out)
	select {
	case e := <-reply:
		return e
	case <-c.ctx.Done():
	}
	select {
	case e := <-reply:
		return e
	default: // nobody takes it when it comes
		return vregion.Effect{Err: wire.Errorf(wire.KindUnavailable, "%s stops", c.o.Node)}
	}
}

// performHome performs effects. What this mComponent owns itself is done here and now, the rest by goroutines, of which
// the home allows max_outstanding.
func (c *Component) performHome(out []vregion.Effect) {
	for len(out) > 0 {
		e := out[0]
		out = out[1:]
		switch {
		case e.Kind == vregion.Reply:
			c.homeMu.Lock()
			reply := c.homeCalls[e.Call]
			delete(c.homeCalls, e.Call)
			c.homeMu.Unlock()
			reply <- e
		case e.Attempt == 0 && c.ownsIt(&e):
			if res, done := c.ownerHere(e); done {
				out = c.homeDone(e.ID, res, out)
			}
		default:
			c.wg.Go(func() {
				var res vregion.Result
				done := true
				switch {
				case !c.pause(e.Pause()):
					res.Err = wire.Errorf(wire.KindUnavailable, "%s stops", c.o.Node)
				case c.ownsIt(&e):
					res, done = c.ownerHere(e)
				default:
					res = c.ownerThere(e)
				}
				if !done {
					return
				}
				c.performHome(c.homeDone(e.ID, res, nil))
			})
		}
	}
}

// ownsIt reports whether an effect is a request to this component as an owner.
func (c *Component) ownsIt(e *vregion.Effect) bool {
	switch e.Kind {
	case vregion.MapAt, vregion.UnmapAt, vregion.ExitAt, vregion.CutAt, vregion.RollbackAt:
		return e.Owner.Node == c.o.Node
	}
	return false
}

// pause waits; it is false if the component stops meanwhile.
func (c *Component) pause(d time.Duration) bool {
	if d <= 0 {
		return c.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (c *Component) homeDone(id uint64, res vregion.Result, out []vregion.Effect) []vregion.Effect {
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	return c.home.Done(id, res, out)
}

// ownerHere performs an effect for a vRegion that this mComponent owns. It is not done if it waits for holders; then the home is told later.
func (c *Component) ownerHere(e vregion.Effect) (res vregion.Result, done bool) {
	switch e.Kind {
	case vregion.MapAt:
		res.Err = c.regionMap(e.Map)
	case vregion.UnmapAt:
		res.Freed, res.Err = c.regionUnmap(e.Unmap, e.Owner.Epoch, func() func(uint64, error) {
			return func(freed uint64, err error) {
				c.wg.Go(func() { c.performHome(c.homeDone(e.ID, vregion.Result{Freed: freed, Err: err}, nil)) })
			}
		})
	case vregion.ExitAt:
		c.ownerExit(e.PID)
	case vregion.CutAt:
		res.Err = c.regionCut(e.Cut, e.Owner.Epoch, c.laterHome(e.ID))
	case vregion.RollbackAt:
		res.Err = c.regionRollback(e.Rollback, e.Owner.Epoch, c.laterHome(e.ID))
	}
	return res, res.Err != netlayer.ErrDeferred
}

// laterHome tells the home later that an effect that this component has performed as an owner is done.
func (c *Component) laterHome(id uint64) func() func(error) {
	return func() func(error) {
		return func(err error) {
			c.wg.Go(func() { c.performHome(c.homeDone(id, vregion.Result{Err: err}, nil)) })
		}
	}
}

// ownerThere asks GMM or the owner.
func (c *Component) ownerThere(e vregion.Effect) (res vregion.Result) {
	if e.Kind == vregion.AskOwner {
		return c.askOwner(e)
	}
	p, err := c.peer(e.Owner.Addr)
	if err != nil {
		return vregion.Result{Err: err}
	}
	switch e.Kind {
	case vregion.BackupAt:
		return vregion.Result{Err: c.backUp(e)}
	case vregion.TellHome:
		return vregion.Result{Err: send(p, wire.OpHomeSwitch, e.NewHome.Home.Epoch, wire.Marshal(e.NewHome), tellTimeout)}
	case vregion.TellClient:
		return vregion.Result{Err: send(p, wire.OpRegionSwitch, e.Switch.Owner.Epoch, wire.Marshal(e.Switch), tellTimeout)}
	case vregion.MapAt:
		err = p.Control(c.ctx, wire.OpRegionMap, e.Owner.Epoch, e.Map, nil)
	case vregion.UnmapAt:
		var rep wire.MunmapRep
		err = p.Control(c.ctx, wire.OpRegionUnmap, e.Owner.Epoch, e.Unmap, &rep)
		res.Freed = rep.Freed
	case vregion.CutAt:
		err = p.Control(c.ctx, wire.OpRegionCut, e.Owner.Epoch, e.Cut, nil)
	case vregion.RollbackAt:
		err = p.Control(c.ctx, wire.OpRegionRollback, e.Owner.Epoch, e.Rollback, nil)
	case vregion.ExitAt:
		err = p.Control(c.ctx, wire.OpProcessExit, e.Owner.Epoch, e.Exit, nil)
	}
	if err != nil {
		res.Err = wire.Errorf(wire.KindOf(err), "%v of vRegion %d at its owner %s: %v", e.Kind, e.Region, e.Owner.Node, err)
	}
	return res
}

// askOwner asks GMM. Managers that do not answer make the caller's request unavailable: nothing was mapped, and it may ask
// again as long as it has patience. The text is what its process ends with then.
func (c *Component) askOwner(e vregion.Effect) (res vregion.Result) {
	timeout := time.Duration(c.o.ActivateTimeoutMS) * time.Millisecond
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	began := time.Now()
	a, err := c.o.Managers.ActivateRegion(ctx, e.PID, e.Region)
	res.Owner, res.Config, res.Home, res.Err = a.Owner, a.Config, a.Home, err
	c.metrics.activation.Observe(time.Since(began).Seconds())
	if res.Err == nil {
		return res
	}
	switch {
	case c.ctx.Err() != nil:
		res.Err = wire.Errorf(wire.KindUnavailable, "%s stops, GMM gave no owner for vRegion %d of process %d yet", c.o.Node, e.Region, e.PID)
	case ctx.Err() != nil || mayPass(wire.KindOf(res.Err)):
		res.Err = wire.Errorf(wire.KindUnavailable, "GMM gave no owner for vRegion %d of process %d within %v: %v", e.Region, e.PID, timeout, res.Err)
	}
	c.log.Warn("no owner for a vRegion", "pid", e.PID, "region", e.Region, "cause", res.Err)
	return res
}

// mayPass reports whether an error says something about the managers and nothing about the vRegion.
func mayPass(k wire.Kind) bool {
	switch k {
	case wire.KindNotLeader, wire.KindUnavailable, wire.KindTimeout, wire.KindBusy, wire.KindUnknownState:
		return true
	}
	return false
}

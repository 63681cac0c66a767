package mcomponent

import (
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// passed is the move of what had nothing here: it ended when it was ordered.
type passed wire.MoveStatusRep

func (p *passed) Status() wire.MoveStatusRep { return wire.MoveStatusRep(*p) }

// passed makes the move of what was given away without anything in it; err is why that could not be. The lock of what moves is held,
// so nothing comes between the look and the end.
func (c *Component) passed(work span.Work, req wire.MoveReq, err error) (move, error) {
	if err != nil {
		return nil, err
	}
	s := passed{Move: req.Move, State: wire.MoveDone, Epoch: req.Epoch, Text: "nothing of it was here"}
	c.metrics.moved(req.Kind, s.Status())
	work.Moved(s.Status())
	c.log.Info("moved", "move", req.Move.No, "kind", req.Kind.String(), "pid", req.PID, "region", req.Region, "to", req.To, "outcome", s.State.String(), "epoch", s.Epoch, "why", s.Text)
	return &s, nil
}

// Registered says under which epoch the managers have this mComponent now, at the start and after each fence.
func (c *Component) Registered(epoch wire.Epoch) {
	c.homeMu.Lock()
	c.home.Registered(epoch)
	c.homeMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners.Registered(epoch)
	c.replicas.holder.Registered(epoch)
}

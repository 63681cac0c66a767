package mcomponent

import (
	"splitkernel/mcomponent/migrate"
	"splitkernel/netlayer/wire"
)

// adopt serves a vRegion that came by a move whose giver is gone, if it is complete and its home knows that it was handed over; else it
// drops what came. An error says that neither is done yet.
func (c *Component) adopt(req wire.MoveReq) (wire.MoveStatusRep, error) {
	if req.Kind != wire.MoveRegion || req.To != c.o.Node {
		return wire.MoveStatusRep{}, wire.Errorf(wire.KindBadRequest, "%s adopts vRegions that were to come to it, not a %v for %s", c.o.Node, req.Kind, req.To)
	}
	lost := func(text string) (wire.MoveStatusRep, error) {
		return wire.MoveStatusRep{Move: req.Move, State: wire.MoveLost, Text: text}, nil
	}
	epoch := migrate.AdoptEpoch(req)
	c.mu.Lock()
	for _, e := range []wire.Epoch{req.Epoch, epoch} {
		if _, err := c.owners.Serving(req.PID, req.Region, e); err == nil {
			c.mu.Unlock()
			return wire.MoveStatusRep{Move: req.Move, State: wire.MoveDone, Epoch: e}, nil
		}
	}
	in, err := c.taker.Adopting(req.Move)
	if err != nil {
		if in != nil {
			c.dropIncoming(in)
		}
		c.mu.Unlock()
		return lost(err.Error())
	}
	c.mu.Unlock()
	q := wire.RegionSwitchReq{PID: req.PID, Owner: wire.Owner{Region: req.Region, Node: c.o.Node, Addr: string(c.o.Addr), Epoch: epoch, Member: req.ToMember}, If: req.Epoch}
	if req.Via == c.o.Node {
		err = c.switchOwner(q)
	} else if via, perr := c.peer(req.ViaAddr); perr != nil {
		err = perr
	} else {
		err = send(via, wire.OpRegionSwitch, epoch, wire.Marshal(q), sendTimeout)
	}
	if err != nil && mayPass(wire.KindOf(err)) {
		return wire.MoveStatusRep{}, err // whether it has heard is unknown
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if in := c.taker.Drop(req.Move); in != nil {
			c.dropIncoming(in)
		}
		return lost(err.Error())
	}
	if in := c.taker.Adopted(req.Move); in != nil {
		c.owners.Adopt(in.Slot, in.Mapped, epoch)
		c.protectAgain(in, epoch)
		c.goOn(in.Slot, in.PID, in.Region, epoch, in.Kept)
	}
	if _, err := c.owners.Serving(req.PID, req.Region, epoch); err != nil {
		return lost(err.Error())
	}
	c.log.Info("adopted a vRegion of a giver that is gone", "pid", req.PID, "region", req.Region, "epoch", epoch)
	return wire.MoveStatusRep{Move: req.Move, State: wire.MoveDone, Epoch: epoch, Text: "its giver is gone; what it had handed over is served"}, nil
}

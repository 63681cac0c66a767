package scomponent

import (
	"errors"

	"splitkernel/netlayer/wire"
)

// drop deletes a volume that no vNode has here by the books of GSM, if it is here under an epoch up to that of the request.
func (c *Component) drop(q wire.DropReq) error {
	if q.Kind != wire.MoveVolume {
		return wire.Errorf(wire.KindBadRequest, "%s is an sComponent and has no %v", c.o.Node, q.Kind)
	}
	err := c.remove(wire.VolumeRef{Volume: q.Volume, Epoch: q.UpTo})
	if errors.Is(err, wire.ErrNotFound) || errors.Is(err, wire.ErrNotOwner) {
		return nil
	}
	return err
}

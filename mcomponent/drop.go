package mcomponent

import (
	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer/wire"
)

// drop drops what no vNode has here by the books of its manager: nobody is told, for nobody uses it.
func (c *Component) drop(q wire.DropReq) error {
	switch q.Kind {
	case wire.MoveHome:
		c.homeMu.Lock()
		out, err := c.home.Drop(q.PID, q.UpTo, nil)
		c.homeMu.Unlock()
		c.performHome(out)
		return err
	case wire.MoveRegion:
		c.mu.Lock()
		defer c.mu.Unlock()
		slot, ok, err := c.owners.Drop(q.PID, q.Region, q.UpTo)
		if err != nil || !ok {
			return err
		}
		c.unprotect(slot, true, q.Why())
		if m := c.giving[slot]; m != nil {
			m.exited()
		}
		for c.store.FreeGroup(slot, freeBatch) == freeBatch {
			c.mu.Unlock()
			c.mu.Lock()
		}
		c.owners.Release(slot)
		return nil
	case wire.MoveCache:
		return c.volumeOp(func(k *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
			return k.Discard(call, q.Volume, q.UpTo, out)
		})
	}
	return wire.Errorf(wire.KindBadRequest, "%s is an mComponent and has no %v", c.o.Node, q.Kind)
}

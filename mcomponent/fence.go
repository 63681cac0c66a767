package mcomponent

import "splitkernel/netlayer/wire"

// Fence drops all homes and vRegions, because the managers gave up what this mComponent held under an epoch: others may
// serve it, or nobody does. Processes that come for them get an error of wire.KindFailed that repeats why, or ask again who serves what others have copies
// of. Buffer caches
// stay, for GSM has them here whatever the epoch, and the epochs of volumes guard them at the sComponents.
func (c *Component) Fence(why string) {
	c.homeMu.Lock()
	c.home.Fence(why)
	for _, in := range c.homeTaker.Fence() {
		c.home.Depart(in.PID) // its giver goes on
	}
	c.homeMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replicas.holder.Fence()
	c.taker.Fence() // copies that come in end too; their slots are freed below
	for _, slot := range c.owners.Fence(why, c.replicas.primary.Redundant, nil) {
		c.unprotect(slot, false, wire.Errorf(wire.KindNotOwner, "%s has lost everything that it served: %s", c.o.Node, why))
		if m := c.giving[slot]; m != nil {
			m.exited() // a move that is under way has nothing left to give
		}
		for c.store.FreeGroup(slot, freeBatch) == freeBatch {
			c.mu.Unlock()
			c.mu.Lock()
		}
		c.owners.Release(slot)
	}
}

package mcomponent

// Fence drops all homes and vRegions, because the managers gave up what this mComponent held under an epoch: others may
// serve it, or nobody does. Processes that come for them get an error of wire.KindFailed that repeats why. Buffer caches
// stay, for GSM has them here whatever the epoch, and the epochs of volumes guard them at the sComponents.
func (c *Component) Fence(why string) {
	c.homeMu.Lock()
	c.home.Fence(why)
	c.homeMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pid := range c.owners.Processes() {
		c.taker.Exit(pid) // copies that come in end too, and what they may have promised with them
	}
	for _, slot := range c.owners.Fence(why, nil) {
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

package mcomponent

import "splitkernel/netlayer/wire"

// Holdings returns the processes whose home is here and the vRegions that are served here, for audits.
func (c *Component) Holdings() wire.Holdings {
	c.homeMu.Lock()
	homes := c.home.Holdings()
	c.homeMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return wire.Holdings{Homes: homes, Regions: c.owners.Holdings()}
}

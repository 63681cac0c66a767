package mcomponent

import (
	"time"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

// heatBatch is how many vRegions or volumes are looked at under one hold of a lock, so that requests wait some ten microseconds at most.
const heatBatch = 256

// Hot adds to a load which vRegions, homes and buffer caches bear most. It is for heartbeats: rates are of the time since it
// was called last.
func (c *Component) Hot(l *wire.Load) {
	c.heatMu.Lock()
	defer c.heatMu.Unlock()
	dt, ok := c.heat.Next(time.Since(c.t0))
	if !ok {
		return
	}
	regions, homes, caches := heat.NewTop(wire.MaxHot), heat.NewTop(wire.MaxHot), heat.NewTop(wire.MaxHot)
	for more := true; more; {
		c.mu.Lock()
		more = c.owners.Heat(heatBatch, dt, regions)
		c.mu.Unlock()
	}
	c.homeMu.Lock()
	c.home.Heat(dt, homes)
	c.homeMu.Unlock()
	for from, more := 0, true; more; from += heatBatch {
		c.cacheMu.Lock()
		more = c.cache.Heat(from, heatBatch, dt, caches)
		c.cacheMu.Unlock()
	}
	regions.Into(wire.MoveRegion, l)
	homes.Into(wire.MoveHome, l)
	caches.Into(wire.MoveCache, l)
}

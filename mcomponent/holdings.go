package mcomponent

import "splitkernel/netlayer/wire"

// Holdings returns the processes whose home is here, the vRegions that are served here and the volumes whose buffer cache is
// attached here, for audits and for managers that ask who serves what has moved.
func (c *Component) Holdings() wire.Holdings {
	c.homeMu.Lock()
	homes, backups := c.home.Holdings(), c.home.Backups()
	c.homeMu.Unlock()
	c.cacheMu.Lock()
	refs := c.cache.Volumes()
	caches := make([]wire.HeldVolume, len(refs))
	for i, r := range refs {
		caches[i] = wire.HeldVolume{Volume: r.Volume, Epoch: r.Epoch, Unflushed: c.cache.Unflushed(r.Volume)}
	}
	c.cacheMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return wire.Holdings{Homes: homes, Regions: c.owners.Holdings(), Caches: caches, Replicas: c.replicas.holder.Holdings(), Backups: backups}
}

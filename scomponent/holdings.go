package scomponent

import (
	"cmp"
	"slices"

	"splitkernel/netlayer/wire"
)

// served gives the volumes but for those that are on their way here, in no order.
func (c *Component) served() []*vol {
	c.mu.RLock()
	defer c.mu.RUnlock()
	vols := make([]*vol, 0, len(c.vols))
	for _, v := range c.vols {
		if c.incoming[v.id] == nil {
			vols = append(vols, v)
		}
	}
	return vols
}

// Holdings returns the volumes that are served here, for audits and for managers that ask who serves what has moved. One whose files cannot be used has no size and no epoch.
func (c *Component) Holdings() wire.Holdings {
	held := []wire.HeldVolume{}
	for _, v := range c.served() {
		h := wire.HeldVolume{Volume: v.id}
		if v.broken == nil {
			v.st.Lock()
			meta := v.core.Meta()
			v.st.Unlock()
			h.Epoch, h.SizeBytes = meta.Epoch, meta.SizeBytes
		}
		held = append(held, h)
	}
	slices.SortFunc(held, func(a, b wire.HeldVolume) int { return cmp.Compare(a.Volume, b.Volume) })
	return wire.Holdings{Volumes: held}
}

package pcomponent

import "splitkernel/netlayer/wire"

// Holdings returns the processes that run here, for audits.
func (c *Component) Holdings() wire.Holdings {
	held := []wire.HeldProcess{}
	for _, p := range c.open() {
		held = append(held, wire.HeldProcess{PID: p.o.PID, Epoch: p.Epoch(), ExCacheLines: uint64(p.o.ExCache.Lines), Saved: p.o.Saved})
	}
	return wire.Holdings{Processes: held}
}

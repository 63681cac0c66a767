package scomponent

import (
	"time"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

// count counts a request. st is held.
func (v *vol) count(k wire.Block) {
	v.served.Add(1)
	v.bytes.Add(uint64(k.Length))
}

// Hot adds to a load which volumes bear most. It is for heartbeats: rates are of the time since it was called last.
func (c *Component) Hot(l *wire.Load) {
	c.heatMu.Lock()
	defer c.heatMu.Unlock()
	dt, ok := c.heat.Next(time.Since(c.began))
	if !ok {
		return
	}
	top := heat.NewTop(wire.MaxHot)
	for _, v := range c.all() { // Top has an order of its own
		v.st.Lock()
		top.Offer(wire.ThingLoad{Volume: v.id, Ops: v.served.Read(dt), Bytes: v.bytes.Read(dt)}, v.served.Known())
		v.st.Unlock()
	}
	top.Into(wire.MoveVolume, l)
}

package pcomponent

import (
	"time"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

// processHeat is how much a process does. Its counters are those of the ExCache and of the threads, so the path of an
// access counts nothing more.
type processHeat struct {
	accesses, busy heat.Meter // busy in µs
	pastAccesses   uint64
	pastBusy       time.Duration
}

// read ends an interval of dt.
func (h *processHeat) read(dt time.Duration, accesses uint64, busy time.Duration) (x wire.ThingLoad, known bool) {
	h.accesses.Add(accesses - h.pastAccesses)
	h.busy.Add(uint64((busy - h.pastBusy).Microseconds()))
	h.pastAccesses, h.pastBusy = accesses, busy
	return wire.ThingLoad{Ops: h.accesses.Read(dt), MilliCPU: uint32(h.busy.Read(dt) / 1000)}, h.accesses.Known()
}

// Hot adds to a load which processes do most. It is for heartbeats: rates are of the time since it was called last.
func (c *Component) Hot(l *wire.Load) {
	c.heatMu.Lock()
	defer c.heatMu.Unlock()
	dt, ok := c.heat.Next(time.Since(c.began))
	if !ok {
		return
	}
	top := heat.NewTop(wire.MaxHot)
	for _, p := range c.open() {
		p.mu.Lock()
		x, known := p.heat.read(dt, p.core.Cache().Stats().Accesses, p.busy)
		p.mu.Unlock()
		x.PID = p.o.PID
		top.Offer(x, known)
	}
	top.Into(wire.MoveProcess, l)
}

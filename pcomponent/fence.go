package pcomponent

import "splitkernel/netlayer/wire"

// Fence makes every process that runs here fail with why, those that are being opened too, because the managers gave up
// what this pComponent held under an epoch. Who drives the processes closes them as after any failure, but what they have at their homes is the
// managers' now: they give it back, or have the process go on from a checkpoint, here or elsewhere, which an exit under its epoch would make impossible.
func (c *Component) Fence(why string) {
	err := wire.Errorf(wire.KindFailed, "%s: %s", c.o.ID, why)
	c.mu.Lock()
	c.fences, c.fenced = c.fences+1, err
	c.mu.Unlock()
	for _, p := range c.open() {
		p.disowned.Store(true)
		p.Stop(err)
	}
}

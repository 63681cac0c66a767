package buffercache

import (
	"time"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

// Heat reads the meters of at most n volumes from the given place on, requests and their bytes, and reports whether there are more.
func (c *Cache) Heat(from, n int, dt time.Duration, top *heat.Top) (more bool) {
	end := min(len(c.order), from+n)
	for _, id := range c.order[min(from, end):end] {
		v := c.volumes[id]
		top.Offer(wire.ThingLoad{Volume: id, Ops: v.requests.Read(dt), Bytes: v.bytes.Read(dt)}, v.requests.Known())
	}
	return end < len(c.order)
}

// count counts a request to a volume, whatever becomes of it.
func (c *Cache) count(k wire.Block) {
	if v := c.volumes[k.Volume]; v != nil {
		v.requests.Add(1)
		v.bytes.Add(uint64(k.Length))
	}
}

package vcluster

import (
	"fmt"
	"math/rand/v2"
	"time"

	"splitkernel/netlayer/link"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/units"
	"splitkernel/sim/vtime"
)

// What goes wrong beside Fault, for a digest: behind the kinds of Fault.
const (
	illLink    = 64
	illPause   = 65
	illSlow    = 66
	illFull    = 67
	illCorrupt = 68
)

// forever is a moment that no run reaches.
const forever = time.Duration(1) << 62

// illness notes that something goes wrong now, and has it end after a while; 0 is never.
func (c *Cluster) illness(kind uint64, who uint64, lasts time.Duration, end func()) {
	c.faulty = true
	c.digest.mark(c.clock.Now(), markFault, kind<<32|who, uint64(lasts))
	if lasts > 0 {
		c.inTime(c.clock.Now()+lasts, end)
	}
}

// IllLinks has messages between pairs of nodes go wrong for a while, 0 being for ever.
func (c *Cluster) IllLinks(pairs [][2]wire.NodeID, ill link.Ill, lasts time.Duration) {
	if c.illChance == nil {
		c.illChance = vtime.Stream(c.o.Seed, "ill links", 0)
	}
	c.ills++
	no := c.ills
	for _, p := range pairs {
		c.net.MakeIll(no, link.NIC(c.node(p[0])), link.NIC(c.node(p[1])), ill, c.illChance)
	}
	c.illness(illLink, uint64(no), lasts, func() { c.net.MakeWell(no) })
}

// Pause stops a node for a while, 0 being for ever: what comes to it and from it waits. What its processors have already goes on, which
// nobody else sees.
func (c *Cluster) Pause(node wire.NodeID, lasts time.Duration) {
	no := c.node(node)
	c.illness(illPause, uint64(no), 0, nil)
	if lasts == 0 {
		c.isolate(no, true)
		return
	}
	c.net.Hold(link.NIC(no), c.clock.Now()+lasts)
}

// SlowDisk has every operation of a node's device take so many times its time, and so much more, for a while.
func (c *Cluster) SlowDisk(node wire.NodeID, times float64, add, lasts time.Duration) {
	no := c.node(node)
	dev := c.nodes[no].(*storage).dev // it outlives its sComponent
	dev.Slow(times, units.Of(add))
	c.illness(illSlow, uint64(no), lasts, func() { dev.Slow(0, 0) })
}

// FillDisk has a node's device take no more blocks for a while.
func (c *Cluster) FillDisk(node wire.NodeID, lasts time.Duration) {
	no := c.node(node)
	until := forever
	if lasts > 0 {
		until = c.clock.Now() + lasts
	}
	if c.full == nil {
		c.full = map[int32]time.Duration{}
	}
	c.full[no] = max(c.full[no], until)
	c.illness(illFull, uint64(no), 0, nil)
}

// noSpace is the error of a write to a device that is full, or nil.
func (s *storage) noSpace(what string) error {
	if until, ok := s.c.full[s.no]; !ok || s.c.clock.Now() >= until {
		return nil
	}
	return wire.Errorf(wire.KindNoSpace, "%s at %s: no space left on device", what, s.o.ID)
}

// Corrupt changes a sector of a block on a node's device; volume 0 draws a block that was written. It says which.
func (c *Cluster) Corrupt(node wire.NodeID, id wire.VolumeID, block uint64, chance *rand.Rand) (wire.VolumeID, uint64, error) {
	s := c.nodes[c.node(node)].(*storage)
	if id == 0 {
		ids := sorted(s.vols)
		if len(ids) == 0 {
			return 0, 0, fmt.Errorf("%s has no volume whose block could be corrupted", node)
		}
		id = ids[chance.IntN(len(ids))]
		if written := sorted(s.vols[id].blocks); len(written) > 0 {
			block = written[chance.IntN(len(written))]
		} else {
			block = chance.Uint64N(s.vols[id].core.Meta().SizeBytes / wire.PageSize)
		}
	}
	v, err := s.find(id)
	if err != nil {
		return 0, 0, err
	}
	if n := v.core.Meta().SizeBytes / wire.PageSize; block >= n {
		return 0, 0, fmt.Errorf("volume %d at %s: block %d, it has %d", id, node, block, n)
	}
	if v.bad == nil {
		v.bad = map[uint64]uint8{}
	}
	v.bad[block] |= 1 << chance.IntN(wire.SectorsPerPage)
	c.illness(illCorrupt, block, 0, nil)
	return id, block, nil
}

// checked is what a read of sectors gives whose checksums do not fit: an error by name, or nil.
func (v *vol) checked(s *storage, k wire.Block, mask uint8) error {
	if bad := v.bad[k.Offset/wire.PageSize] & mask; bad != 0 {
		return wire.Errorf(wire.KindCorrupt, "volume %d at %s: a sector of the block at offset %d does not fit its checksum: its bytes changed on the disk", k.Volume, s.o.ID, k.Offset)
	}
	return nil
}

// rewritten forgets the damage of sectors that are written anew.
func (v *vol) rewritten(k wire.Block, mask uint8) {
	if v.bad != nil {
		v.bad[k.Offset/wire.PageSize] &^= mask
	}
}

// Leader is the manager that leads the three groups now.
func (c *Cluster) Leader() wire.NodeID { return c.o.Nodes[c.gm.leader].ID }

// Soon has something done now, when whoever runs has stopped for a moment; it keeps no run going.
func (c *Cluster) Soon(f func()) { c.inTime(c.clock.Now(), f) }

// Later has something done at a moment; it keeps no run going that has ended.
func (c *Cluster) Later(at time.Duration, f func()) { c.inTime(at, f) }

// Survives reports whether a vRegion, or the home, of a process outlives the mComponent that serves it.
func (c *Cluster) Survives(pid wire.PID, home bool, region wire.RegionNo) bool {
	ps := c.gm.gmm.Processes(pid)
	return len(ps) == 1 && ps[0].Survives(home, region)
}

// Holdings is what a node has now.
func (c *Cluster) Holdings(node wire.NodeID) wire.Holdings {
	no := c.node(node)
	if c.nodes[no] == nil { // a manager has books
		return wire.Holdings{}
	}
	return c.held(no).Holds
}

package vcluster

import (
	"fmt"
	"math/rand/v2"

	"splitkernel/netlayer/link"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/units"
)

// Happen has a fault of the language happen now, whatever its moment says. It names components and leaders only: any was resolved. nodes are
// those of the cluster, and chance draws the block of a fault that leaves it open. It returns what was done and what nobody has any more.
func (c *Cluster) Happen(f faults.Fault, nodes []faults.Node, chance *rand.Rand) (what string, lost []string, err error) {
	f = faults.Leads(f, func(wire.Manager) wire.NodeID { return c.Leader() })
	id := f.Node.ID
	switch f.Kind {
	case faults.Kill, faults.Restart:
		return c.hurt(&f)
	case faults.Pause:
		if !c.Runs(id) {
			return "", nil, fmt.Errorf("%s does not run, it cannot be paused", id)
		}
		c.Pause(id, f.For)
		return fmt.Sprintf("%s was stopped", id), nil, nil
	case faults.Partition:
		for _, p := range f.Pairs(nodes) {
			if err := c.Strike(Fault{What: Cut, Node: p.From, To: p.To, For: f.For}); err != nil {
				return "", nil, err
			}
		}
		return "the links were cut", nil, nil
	case faults.SlowDisk:
		c.SlowDisk(id, float64(f.Times)/1000, f.By, f.For)
		return fmt.Sprintf("the disk of %s became slow", id), nil, nil
	case faults.DiskFull:
		c.FillDisk(id, f.For)
		return fmt.Sprintf("the disk of %s became full", id), nil, nil
	case faults.CorruptBlock:
		v, block, err := c.Corrupt(id, f.Volume, f.Block, chance)
		if err != nil {
			return "", nil, err
		}
		var lost []string
		if vs := c.gm.gsm.Volumes(v); len(vs) != 1 || !vs[0].KeptWithout(id) {
			lost = []string{fmt.Sprintf("block %d of volume %d at %s", block, v, id)}
		}
		return fmt.Sprintf("a byte of block %d of volume %d at %s was changed", block, v, id), lost, nil
	}
	var pairs [][2]wire.NodeID
	for _, p := range f.Pairs(nodes) {
		pairs = append(pairs, [2]wire.NodeID{p.From, p.To})
	}
	c.IllLinks(pairs, illOf(&f), f.For)
	return fmt.Sprintf("on %d links", len(pairs)), nil, nil
}

// hurt is what happens to a node.
func (c *Cluster) hurt(f *faults.Fault) (what string, lost []string, err error) {
	id := f.Node.ID
	runs := c.Runs(id)
	if !runs && f.Kind == faults.Kill {
		return "", nil, fmt.Errorf("%s does not run, it cannot be killed", id)
	}
	start := func() error { return c.Strike(Fault{What: Start, Node: id}) }
	what = fmt.Sprintf("%s was started again", id)
	if runs {
		if role := c.o.Nodes[c.node(id)].Role; role == wire.RoleMemory || role == wire.RoleCompute { // volumes are still on the disk
			lost = faults.Lost(id, c.Holdings(id), c.Survives)
		}
		if err := c.Strike(Fault{What: Kill, Node: id}); err != nil {
			return "", nil, err
		}
		if what = fmt.Sprintf("%s was killed", id); f.Kind == faults.Restart {
			what += " and started again"
		}
	}
	switch {
	case f.Kind == faults.Restart:
		return what, lost, start()
	case f.For > 0:
		c.Later(c.Now()+f.For, func() {
			if !c.Runs(id) {
				_ = start() // it is a node of the cluster, as it was when it was killed
			}
		})
	}
	return what, lost, nil
}

// illOf is what a fault of the network is to a link.
func illOf(f *faults.Fault) link.Ill {
	share := units.Share(f.Part) * (units.Whole / units.Share(faults.Whole))
	switch f.Kind {
	case faults.Delay:
		return link.Ill{Delay: units.Of(f.By), Jitter: units.Of(f.Jitter)}
	case faults.Lose:
		return link.Ill{Loss: share}
	case faults.Duplicate:
		return link.Ill{Duplicate: share, ReorderDelay: units.Of(faults.DefaultBy)}
	}
	return link.Ill{Reorder: share, ReorderDelay: units.Of(f.By)}
}

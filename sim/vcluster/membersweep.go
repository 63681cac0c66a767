package vcluster

import (
	"fmt"

	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/membership"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer/wire"
)

// sweep has components drop what the books of one group have nowhere: what was left when its process ended while a component did not
// run, was fenced or out of reach.
func (g *managers) sweep(k wire.Manager) {
	r := g.vigil.rounds[k]
	if r == nil {
		return
	}
	of := []wire.Manager{k}
	if k == wire.GSM {
		of = append(of, wire.GMM) // whose members are the buffer caches
	}
	now := g.c.clock.Now()
	for _, o := range of {
		for _, e := range g.entries(o) {
			if r.Due(now, &e, g.watch().Heeded(now, e.Member)) {
				g.lookAt(k, r, e.Member)
			}
		}
	}
}

// lookAt looks at one component.
func (g *managers) lookAt(k wire.Manager, r *membership.Rounds, m wire.Member) {
	c, no := g.c, g.c.node(m.ID)
	var held wire.HoldingsRep
	c.knock(wire.OpHoldings, g.leader, no, len(wire.Marshal(wire.HoldingsReq{})), endTimeout, func(reply func(int)) {
		held = c.held(no)
		reply(len(wire.Marshal(held)))
	}, func() {
		if held.Epoch != m.Epoch || g.vigil.rounds[k] != r || !g.quorum() {
			return // asked again in its turn
		}
		drops := g.leftovers(k, held)
		for _, q := range drops[:min(len(drops), membership.MaxSwept)] {
			c.knock(wire.OpDrop, g.leader, no, len(wire.Marshal(q)), endTimeout, func(reply func(int)) {
				if c.epoch(no) == q.Member {
					c.drop(no, q)
				}
				reply(0)
			}, func() {}, func(bool) {})
		}
		if k == wire.GMM {
			g.sweepCopies(no, held)
		}
		if len(drops) > membership.MaxSwept {
			r.Again(m.ID)
		}
	}, func(bool) {})
}

// sweepCopies has an mComponent forget copies of what others hold now, or nobody has any more.
func (g *managers) sweepCopies(no int32, held wire.HoldingsRep) {
	c := g.c
	copies, backups := g.gmm.StaleCopies(held)
	for _, q := range copies[:min(len(copies), membership.MaxSwept)] {
		c.knock(wire.OpReplicaDrop, g.leader, no, len(wire.Marshal(q)), endTimeout, func(reply func(int)) {
			c.dropped++
			c.nodes[no].(*memory).replicaDrop(q, func(struct{}, error) {})
			reply(0)
		}, func() {}, func(bool) {})
	}
	for _, q := range backups[:min(len(backups), membership.MaxSwept)] {
		c.knock(wire.OpHomeBackup, g.leader, no, len(wire.Marshal(q)), endTimeout, func(reply func(int)) {
			c.dropped++
			m := c.nodes[no].(*memory)
			out, _ := m.home.Backup(q, m.o.ID, nil) // what it refuses, as newer, it keeps
			m.performHome(out)
			reply(0)
		}, func() {}, func(bool) {})
	}
}

// leftovers are what the books of a group have nowhere.
func (g *managers) leftovers(k wire.Manager, held wire.HoldingsRep) []wire.DropReq {
	switch k {
	case wire.GPM:
		return g.gpm.Leftovers(held)
	case wire.GMM:
		return g.gmm.Leftovers(held)
	}
	return g.gsm.Leftovers(held)
}

// drop drops one thing at a component. What it refuses, as newer, it keeps.
func (c *Cluster) drop(no int32, q wire.DropReq) {
	c.dropped++
	switch n := c.nodes[no].(type) {
	case *compute:
		if p := n.procs[q.PID]; p != nil && q.Kind == wire.MoveProcess && p.o.Epoch <= q.UpTo {
			p.Stop(wire.Errorf(wire.KindFailed, "%s", q.Text))
		}
	case *memory:
		switch q.Kind {
		case wire.MoveHome:
			out, _ := n.home.Drop(q.PID, q.UpTo, nil) // what it refuses, as newer, it keeps
			n.performHome(out)
		case wire.MoveRegion:
			if slot, ok, err := n.owners.Drop(q.PID, q.Region, q.UpTo); ok && err == nil {
				n.red.gone(slot, true, q.Why())
				n.store.FreeGroup(slot, int(n.o.MemoryBytes/wire.PageSize))
				n.owners.Release(slot)
			}
		case wire.MoveCache:
			b := &n.blocks
			b.event(&blockCall{reply: func(error) {}}, func(call uint64, out []buffercache.Effect) []buffercache.Effect {
				return b.cache.Discard(call, q.Volume, q.UpTo, out)
			})
		}
	case *storage:
		n.remove(wire.VolumeRef{Volume: q.Volume, Epoch: q.UpTo})
	}
}

// epoch is under which a component is a member, as it knows.
func (c *Cluster) epoch(no int32) wire.Epoch {
	switch n := c.nodes[no].(type) {
	case *compute:
		return n.epoch
	case *memory:
		return n.epoch
	case *storage:
		return n.epoch
	}
	panic(fmt.Sprintf("vcluster: node %d is no component", no))
}

// held is what a component tells that it holds.
func (c *Cluster) held(no int32) wire.HoldingsRep {
	n := &c.o.Nodes[no]
	return wire.HoldingsRep{Node: n.ID, Role: n.Role, Epoch: c.epoch(no), Holds: c.nodes[no].(interface{ holdings() wire.Holdings }).holdings()}
}

// Audit compares the books of the managers with each other and with what the components hold that run and are members: what an audit
// of a live cluster tells. While something is under way it may look like a difference.
func (c *Cluster) Audit() []audit.Difference {
	g := c.gm
	b := audit.Books{
		Processes: g.gpm.Processes(0), Homes: g.gmm.Processes(0), Volumes: g.gsm.Volumes(0), Files: g.gsm.Files(), Compute: g.gpm.Members(), Memory: g.gmm.Members(), Storage: g.gsm.Members(),
		Held: []wire.HoldingsRep{},
	}
	for _, k := range groups {
		for _, e := range g.entries(k) {
			no := c.node(e.Member.ID)
			if e.State() == membership.Dead {
				b.Dead = append(b.Dead, e.Member.ID)
			} else if !c.lives[no].down {
				b.Held = append(b.Held, c.held(no))
			}
		}
	}
	return audit.Compare(b)
}

package mcomponent

import (
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/cachemove"
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	quorum "splitkernel/scomponent/replica"
)

// record begins the tapes of the cores that live as long as the component, if there is a recorder. Nobody knows the component yet.
func (c *Component) record() {
	r, node := c.o.Recorder, c.o.Node
	if r == nil {
		return
	}
	c.store.Record(r.Open(pagestore.TapeKind, wire.Marshal(&pagestore.TapeHead{Node: node, Capacity: c.pages.Frames(), Groups: c.o.MaxOwnedRegions})))
	c.owners.Record(r.Open(vregion.OwnersTapeKind, wire.Marshal(&vregion.OwnersTapeHead{Node: node, Options: c.o.vregion(), MaxSlots: c.o.MaxOwnedRegions})))
	c.home.Record(r.Open(vregion.HomeTapeKind, wire.Marshal(&vregion.HomeTapeHead{Node: node, Options: c.o.vregion()})))
	c.taker.Record(r.Open(migrate.TakerTapeKind, wire.Marshal(&migrate.TakerTapeHead{Node: node, What: "vRegions", Options: c.o.Migrate})))
	c.homeTaker.Record(r.Open(migrate.TakerTapeKind, wire.Marshal(&migrate.TakerTapeHead{Node: node, What: "memory maps", Options: c.o.Migrate})))
	p, h := c.replicas.primary, c.replicas.holder
	p.Record(r, p.Primary, replica.PrimaryTapeKind, &replica.PrimaryTapeHead{Node: node, Options: c.o.replica()})
	h.Record(r, h.Holder, replica.HolderTapeKind, &replica.HolderTapeHead{Node: node, RegionBytes: c.o.RegionBytes, Options: c.o.replica()})
	s := c.shares.core
	s.Record(r, s.Coordinator, erasure.TapeKind, &erasure.TapeHead{Node: node, Options: c.o.erasure()})
	c.cache.Record(r.Open(buffercache.TapeKind, wire.Marshal(&buffercache.TapeHead{Node: node, Options: c.o.buffercache()})))
}

// recordGiver begins the tape of a move, whose vRegion has so many pages from first on; none of a memory map. The lock of what moves is held.
func (c *Component) recordGiver(g *migrate.TapedGiver, first wire.PageNo, pages uint64) {
	if r := c.o.Recorder; r != nil {
		g.Record(r.Open(migrate.GiverTapeKind, wire.Marshal(g.TapeHead(c.o.Node, first, pages))))
	}
}

// newRecovery makes the core of a recovery, and begins its tape. The lock is held.
func (c *Component) newRecovery(h recovery.TapeHead) *recovery.Taped {
	r := &recovery.Taped{Recovery: recovery.New(h.Options, h.Req, h.Slot, h.First, h.Pages, h.Addr).Bare(h.Bare)}
	if c.o.Recorder != nil {
		r.Record(c.o.Recorder, r.Recovery, recovery.TapeKind, &h)
	}
	return r
}

// recordCacheMove begins the tape of the move of a buffer cache that holds so many dirty blocks. Nobody knows the move yet.
func (c *Component) recordCacheMove(g *cachemove.Taped, req wire.MoveReq, dirty int) {
	if r := c.o.Recorder; r != nil {
		g.Record(r.Open(cachemove.TapeKind, wire.Marshal(&cachemove.TapeHead{Node: c.o.Node, Options: c.o.cacheMove(), Move: req, Dirty: dirty})))
	}
}

// replicaCore makes the core that coordinates the copies of a volume, and begins its tape. Nobody knows it yet.
func (c *Component) replicaCore(req wire.VolumeAttachReq, instance, first uint64) *quorum.Taped {
	h := quorum.TapeHead{Node: c.o.Node, Options: c.o.Replica(), Attach: req, Instance: instance, First: first, Now: c.copiesNow()}
	t := &quorum.Taped{Group: h.Make()}
	t.Record(c.o.Recorder, t.Group, quorum.TapeKind, &h)
	return t
}

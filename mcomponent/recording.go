package mcomponent

import (
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
)

// record begins the tapes of the cores that live as long as the component, if there is a recorder. Nobody knows the component yet.
func (c *Component) record() {
	r, node := c.o.Recorder, c.o.Node
	if r == nil {
		return
	}
	c.store.Record(r.Open(pagestore.TapeKind, wire.Marshal(&pagestore.TapeHead{Node: node, Capacity: c.pages.Frames()})))
	c.owners.Record(r.Open(vregion.OwnersTapeKind, wire.Marshal(&vregion.OwnersTapeHead{Node: node, Options: c.o.vregion(), MaxSlots: c.o.MaxOwnedRegions})))
	c.home.Record(r.Open(vregion.HomeTapeKind, wire.Marshal(&vregion.HomeTapeHead{Node: node, Options: c.o.vregion()})))
	c.cache.Record(r.Open(buffercache.TapeKind, wire.Marshal(&buffercache.TapeHead{Node: node, Options: c.o.buffercache()})))
}

package mcomponent

import (
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/netlayer/wire"
)

// record begins the tapes of the cores that live as long as the component, if there is a recorder. Nobody knows the component yet.
func (c *Component) record() {
	r, node := c.o.Recorder, c.o.Node
	if r == nil {
		return
	}
	c.store.Record(r.Open(pagestore.TapeKind, wire.Marshal(&pagestore.TapeHead{Node: node, Capacity: c.pages.Frames()})))
	c.cache.Record(r.Open(buffercache.TapeKind, wire.Marshal(&buffercache.TapeHead{Node: node, Options: c.o.buffercache()})))
}

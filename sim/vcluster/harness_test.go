package vcluster

import (
	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/vtime"
)

// Where the processes of these tests have their memory.
const (
	mappedAt  = 1 << 30
	firstPage = mappedAt >> wire.PageShift
)

// admitted has a vNode admitted and opens it.
func admitted(y *vtime.Proc, c *Cluster, spec admission.VNodeSpec, pages uint64) (*Process, admission.Placement, error) {
	place, err := c.Admit(y, spec)
	if err != nil {
		return nil, place, err
	}
	p, err := opened(y, c, spec, place, pages)
	return p, place, err
}

// opened opens the process of a vNode that was admitted, with a fully associative ExCache of what it has reserved and so many pages of memory.
func opened(y *vtime.Proc, c *Cluster, spec admission.VNodeSpec, place admission.Placement, pages uint64) (*Process, error) {
	e := excache.DefaultOptions()
	e.Lines, e.Ways = int(spec.ExCacheLines), 0
	p, err := c.Open(y, ProcessOptions{
		PID: place.PID, Epoch: place.Epoch, Name: spec.Name, Node: place.Node, Threads: int(spec.Threads), ExCache: e,
		Home: wire.Owner{Node: place.Home.Node, Epoch: place.Home.Epoch},
	})
	if err != nil {
		return nil, err
	}
	return p, p.Map(y, mappedAt, pages*wire.PageSize, true, true, "")
}

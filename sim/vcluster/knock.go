package vcluster

import (
	"time"

	"splitkernel/netlayer/link"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// knock is a small request of membership: a heartbeat, a probe, a registration. It has the wire, the NICs and the polling threads as
// all messages do, but no worker, as live, and keeps no run going.
type knock struct {
	op               wire.Op
	from, to         int32
	fromLife, toLife uint16
	bytes            int32
	limit            time.Duration // when it is given up
	serve            func(reply func(bytes int))
	answered         func()
	failed           func(refused bool)
}

// knock sends one. serve runs where it arrives and calls reply, then or later; answered runs where the answer arrives. failed runs
// instead if no answer comes within so long, or at once if nobody runs there.
func (c *Cluster) knock(op wire.Op, from, to int32, bytes int, within time.Duration, serve func(reply func(int)), answered func(), failed func(refused bool)) {
	ks := &c.members.knocks
	i := ks.take()
	now := c.clock.Now()
	*ks.at(i) = knock{op, from, to, c.lives[from].no, c.lives[to].no, int32(wire.HeaderLen + bytes), now + within, serve, answered, failed}
	out := c.ports[from].Send(now, link.NIC(to), uint64(wire.HeaderLen+bytes))
	c.knocking(i, out.Arrivals(), c.members.arrive)
}

// knocking schedules the arrival of one direction, or the moment at which it is given up.
func (c *Cluster) knocking(i uint32, at []time.Duration, arrives vtime.Kind) {
	k := c.members.knocks.at(i)
	if len(at) == 0 {
		c.clock.Background(max(c.clock.Now(), k.limit), c.members.lost, i)
		return
	}
	first := at[0]
	for _, t := range at {
		first = min(first, t)
	}
	c.clock.Background(first, arrives, i)
}

func (c *Cluster) onKnock(i uint32) {
	ks := &c.members.knocks
	k := ks.at(i)
	now := c.clock.Now()
	if !c.runs(k.to, k.toLife) {
		if c.lives[k.from].cut+c.lives[k.to].cut > 0 || c.cuts[pair{k.to, k.from}] > 0 {
			c.knocking(i, nil, 0)
			return
		}
		c.clock.Background(now+c.o.Hardware.Link.Latency.Duration(), c.members.refused, i)
		return
	}
	if _, ok := c.ports[k.to].Receive(now, uint64(k.bytes)); !ok {
		c.knocking(i, nil, 0)
		return
	}
	c.digest.mark(now, markMessage, uint64(k.from)<<32|uint64(k.to), uint64(k.op)<<32|uint64(k.bytes))
	k.serve(func(bytes int) {
		k := ks.at(i)
		now := c.clock.Now()
		if !c.runs(k.to, k.toLife) {
			c.clock.Background(now+c.o.Hardware.Link.Latency.Duration(), c.members.refused, i)
			return
		}
		k.bytes = int32(wire.HeaderLen + bytes)
		out := c.ports[k.to].Reply(now, link.NIC(k.from), uint64(k.bytes))
		c.knocking(i, out.Arrivals(), c.members.back)
	})
}

func (c *Cluster) onKnockBack(i uint32) {
	k := c.members.knocks.at(i)
	now := c.clock.Now()
	if c.runs(k.from, k.fromLife) {
		if _, ok := c.ports[k.from].Receive(now, uint64(k.bytes)); !ok {
			c.knocking(i, nil, 0)
			return
		}
		if now > k.limit { // whoever asked has given it up
			c.knockEnds(i, func(k *knock) { k.failed(false) })
			return
		}
	}
	c.knockEnds(i, func(k *knock) { k.answered() })
}

// knockEnds frees a knock and tells who sent it, if that still runs.
func (c *Cluster) knockEnds(i uint32, tell func(k *knock)) {
	k := *c.members.knocks.at(i)
	c.members.knocks.free(i)
	if c.runs(k.from, k.fromLife) {
		tell(&k)
	}
}

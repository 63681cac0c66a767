package vcluster

import (
	"time"

	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/weigh"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// balancers order moves by themselves while the managers' leader leads: of what drains, and where Options.Balance says so for balance.
// They look at the moments of a live leader, but not while nothing is there to be moved; no run goes on only for that.
type balancers struct {
	g       *managers
	lookers [wire.GSM + 1]*weigh.Looker
	busy    [wire.GSM + 1]bool // orders are being proposed
	turns   [wire.GSM + 1]uint64
	owed    bool // members have changed, and nobody has looked since
	auto    bool
	term    uint64
	look    vtime.Kind
	at      time.Duration // of the next look
	armed   uint32        // numbers it; the others that lie in the clock are void
}

func newBalancers(g *managers) *balancers {
	b := &balancers{g: g}
	o := g.c.o.Balance
	for _, k := range []balance.Options{o.GPM, o.GMM, o.Homes, o.GSM, o.Caches} {
		b.auto = b.auto || k.Auto
	}
	g.c.metered = b.auto
	b.look = g.c.clock.Handle("a look at the balance", func(who uint32) {
		if who == b.armed {
			b.tick()
		}
	})
	b.lead()
	return b
}

// drainsOnly is how nothing is balanced.
func drainsOnly() weigh.Balance {
	b := weigh.DefaultBalance()
	for _, o := range []*balance.Options{&b.GPM, &b.GMM, &b.Homes, &b.GSM, &b.Caches} {
		o.Auto = false
	}
	return b
}

// lead begins a term.
func (b *balancers) lead() {
	m := &b.g.c.o.Managers
	settings := weigh.Settings{Balance: *b.g.c.o.Balance, GPMPolicy: m.GPMPolicy, GMMPolicy: m.GMMPolicy, GSMPolicy: m.GSMPolicy, CachePolicy: m.CachePolicy, Overcommit: m.Overcommit}
	b.term++
	for _, k := range managersOf {
		b.lookers[k], b.busy[k] = weigh.NewLooker(k, settings, b.g.c.clock.Now()+membership.DefaultLease), false
	}
}

// turn counts what may make something leave or go elsewhere.
func (b *balancers) turn(k wire.Manager) uint64 {
	n := b.g.state(k).Turn()
	if k == wire.GSM { // GMM's members are the buffer caches
		n += b.g.gmm.Turn()
	}
	return n
}

// wanted reports whether there is something to look for.
func (b *balancers) wanted() bool {
	if b.owed {
		return true
	}
	if b.auto && b.g.gpm.Placed() > 0 {
		return true
	}
	for _, k := range managersOf {
		if b.lookers[k].Draining() > 0 {
			return true
		}
	}
	return false
}

// news hears that a command was applied.
func (b *balancers) news() {
	for _, k := range managersOf {
		if t := b.turn(k); t != b.turns[k] {
			b.owed = b.owed || b.turns[k] != 0
			b.turns[k] = t
		}
	}
	b.arm()
}

// arm has the next look made when it is due, or none if there is nothing to look for.
func (b *balancers) arm() {
	c := b.g.c
	if !b.wanted() {
		b.armed, b.at = b.armed+1, 0
		return
	}
	now := c.clock.Now()
	next := (now/HeartbeatInterval + 1) * HeartbeatInterval // loads are new then
	for _, k := range managersOf {
		if b.busy[k] {
			continue
		}
		l := b.lookers[k]
		l.News(now, b.turn(k), b.g.state(k).Moves().Changes()+1)
		next = min(next, max(now, l.Next()))
	}
	if next != b.at {
		b.armed, b.at = b.armed+1, next
		c.clock.Background(next, b.look, b.armed)
	}
}

// tick looks at what is due.
func (b *balancers) tick() {
	b.armed, b.at = b.armed+1, 0
	b.g.refresh()
	b.owed = false
	for _, k := range managersOf {
		if b.busy[k] {
			b.owed = true
			continue
		}
		due := b.lookers[k].Due(b.g.c.clock.Now())
		b.owed = b.owed || len(due) == 0
		b.lookAt(k, b.term, due, len(due) > 0)
	}
	b.arm()
}

// lookAt looks at one kind of thing after the other: each look is told what those before it have ordered.
func (b *balancers) lookAt(k wire.Manager, term uint64, due []*weigh.Scale, any bool) {
	g, l, now := b.g, b.lookers[k], b.g.c.clock.Now()
	if b.busy[k] = any; !any {
		return
	}
	if len(due) == 0 {
		b.order(k, term, nil, l.Drained(), func() {
			b.busy[k] = false
			b.arm()
		})
		return
	}
	s := due[0]
	w := l.Begin(s, now, int64(now/time.Millisecond), g.state(k), g.gmm.Entries(), l.HeatOf(s, beats{g}))
	components, things := w.Finish(beats{g})
	look := l.Look(s, now, components, things)
	s.Took(0)
	b.order(k, term, look.Orders, look.Notes, func() { b.lookAt(k, term, due[1:], true) })
}

// order proposes orders and notes and then goes on; what is refused, or could not be proposed now, is planned again when it still makes
// sense.
func (b *balancers) order(k wire.Manager, term uint64, orders []movelist.Order, notes []movelist.Note, then func()) {
	if len(orders)+len(notes) == 0 {
		then()
		return
	}
	n, m := min(len(orders), movelist.MaxBatch), min(len(notes), movelist.MaxBatch)
	client, seq := b.g.session()
	b.g.beginMoves(k, client, seq, orders[:n], notes[:m], func(_ []movelist.Begun, err error) {
		if b.term != term {
			return
		}
		if err != nil {
			then()
			return
		}
		b.order(k, term, orders[n:], notes[m:], then)
	})
}

// beats are the loads of the last heartbeats, for a look.
type beats struct{ g *managers }

func (h beats) Last(m wire.Member) (wire.Load, time.Duration, bool) {
	l, ok := h.g.loads[m.ID]
	return l, h.g.loadsAt, ok
}

func (h beats) Alive(k wire.Manager, now time.Duration, m wire.Member) bool {
	w := h.g.watch()
	return w == nil || w.Alive(k, now, m)
}

func (h beats) Each(f func(id wire.NodeID, load *wire.Load, at time.Duration)) {
	for _, id := range sorted(h.g.loads) {
		l := h.g.loads[id]
		f(id, &l, h.g.loadsAt)
	}
}

// beat is the heartbeat of a component. If somebody balances it tells what its things bear.
func (g *managers) beat(n *Node, epoch wire.Epoch, l wire.Load, hot func(dt time.Duration, l *wire.Load)) {
	if g.balance.auto {
		r := g.readers[n.ID]
		if dt, ok := r.Next(g.c.clock.Now()); ok {
			hot(dt, &l)
		}
		g.readers[n.ID] = r
	}
	g.loads[n.ID] = l
	if g.c.o.Heard != nil {
		g.c.o.Heard(g.c.clock.Now(), n.ID, n.Role, epoch, l)
	}
}

func (m *memory) hot(dt time.Duration, l *wire.Load) {
	regions, homes, caches := heat.NewTop(wire.MaxHot), heat.NewTop(wire.MaxHot), heat.NewTop(wire.MaxHot)
	const all = 1 << 30
	m.owners.Heat(all, dt, regions)
	m.home.Heat(dt, homes)
	m.blocks.cache.Heat(0, all, dt, caches)
	regions.Into(wire.MoveRegion, l)
	homes.Into(wire.MoveHome, l)
	caches.Into(wire.MoveCache, l)
	l.QueueDelayUS = m.c.delay(m.no, &m.waits, m.misses+m.flushes)
}

func (s *storage) hot(dt time.Duration, l *wire.Load) {
	top := heat.NewTop(wire.MaxHot)
	for _, id := range sorted(s.vols) {
		v := s.vols[id]
		top.Offer(wire.ThingLoad{Volume: id, Ops: v.served.Read(dt), Bytes: v.bytes.Read(dt)}, v.served.Known())
	}
	top.Into(wire.MoveVolume, l)
	l.QueueDelayUS = s.c.delay(s.no, &s.waits, s.reads+s.writes+s.flushes)
}

// processHeat is how much a process does.
type processHeat struct {
	accesses, busy heat.Meter // busy in µs
	pastAccesses   uint64
	pastBusy       time.Duration
}

func (n *compute) hot(dt time.Duration, l *wire.Load) {
	top := heat.NewTop(wire.MaxHot)
	busy := time.Duration(0)
	for _, p := range n.sorted() {
		s, _ := p.Counted()
		now, h := p.busy(), &p.heat
		h.accesses.Add(s.Accesses - h.pastAccesses)
		h.busy.Add(uint64(max(0, now-h.pastBusy) / time.Microsecond))
		busy += max(0, now-h.pastBusy)
		h.pastAccesses, h.pastBusy = s.Accesses, now
		top.Offer(wire.ThingLoad{PID: p.o.PID, Ops: h.accesses.Read(dt), MilliCPU: uint32(h.busy.Read(dt) / 1000)}, h.accesses.Known())
	}
	if dt > 0 {
		l.BusyCores = min(float64(busy)/float64(dt), float64(n.cores))
	}
	top.Into(wire.MoveProcess, l)
}

// busy is how long the threads of a process did not wait for pages or blocks: the rest of their age.
func (p *Process) busy() time.Duration {
	return max(0, (p.c.clock.Now()-p.opened)*time.Duration(p.o.Threads)-p.waited-p.blocked)
}

// waits is what was waited for workers until the last heartbeat.
type waits struct {
	queued time.Duration
	served uint64
}

// delay is the mean wait of a request for a worker since the last heartbeat, in µs.
func (c *Cluster) delay(no int32, w *waits, served uint64) (us uint64) {
	queued := time.Duration(0)
	for _, p := range c.ports[no].workers.pools {
		queued += p.Stats().Queued
	}
	if n := served - w.served; n > 0 {
		us = uint64((queued - w.queued) / time.Duration(n) / time.Microsecond)
	}
	w.queued, w.served = queued, served
	return us
}

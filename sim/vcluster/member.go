package vcluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// members are the components' side of membership, if it is on.
type members struct {
	on      bool
	all     []*member       // by number; nil for managers
	order   []int32         // the components as their heartbeats follow each other
	phases  []time.Duration // of order, in one interval
	turn    int             // of order: whose is next
	began   time.Duration   // of the present interval
	knocks  slab[knock]
	tick    vtime.Kind
	look    vtime.Kind
	doubt   vtime.Kind
	broken  vtime.Kind // a manager notices that a component's connection has ended
	arrive  vtime.Kind // of knocks, as are the following
	back    vtime.Kind
	lost    vtime.Kind
	refused vtime.Kind
}

// member keeps one component registered, as package node does live: it does what the enrolment wants.
type member struct {
	c      *Cluster
	no     int32
	self   wire.Member
	core   *membership.Enrolment
	waits  bool // for the time of its next heartbeat
	poll   membership.Poll
	beats  uint64 // sent
	open   int    // managers that owe the answer to the last
	owes   []bool // by manager: the answer to one of all
	client uint64 // session of its registration under way, 0 if none is
	seq    uint64
	bytes  int // of a heartbeat
}

// member is a component as it registers.
func (c *Cluster) member(no int32) wire.Member {
	n := &c.o.Nodes[no]
	m := wire.Member{ID: n.ID, Addr: addr(n.ID), Role: n.Role, Rack: n.Rack}
	switch n.Role {
	case wire.RoleCompute:
		m.Capacity = wire.Capacity{Cores: uint32(n.Cores), ExCacheLines: n.ExCacheBytes / wire.PageSize}
	case wire.RoleMemory:
		m.Capacity = wire.Capacity{MemoryBytes: n.MemoryBytes, RegionBytes: c.o.RegionBytes}
	case wire.RoleStorage:
		m.Capacity = wire.Capacity{StorageBytes: n.StorageBytes}
	}
	return m
}

// enrol has the components send heartbeats, each at its moment of the interval, which the seed draws: live they began at any.
func (c *Cluster) enrol() {
	ms := &c.members
	for i := range c.lives {
		if c.lives[i].started = !c.o.Nodes[i].Later; !c.lives[i].started {
			c.lives[i].down, c.mortal = true, true
		}
	}
	if c.o.Membership.Lease == 0 {
		return
	}
	ms.on = true
	ms.tick = c.clock.Handle("a heartbeat is due", c.onBeat)
	ms.look = c.clock.Handle("leaders look who is silent", func(uint32) { c.gm.watchOver() })
	ms.doubt = c.clock.Handle("leaders look who may have ended", func(uint32) {
		if c.gm.quorum() {
			c.gm.doubt()
		}
	})
	ms.broken = c.clock.Handle("a manager notices the end of a connection", func(who uint32) { c.onBroken(who) })
	ms.arrive = c.clock.Handle("a heartbeat or probe arrives", c.onKnock)
	ms.back = c.clock.Handle("the answer to a heartbeat or probe arrives", c.onKnockBack)
	ms.lost = c.clock.Handle("a heartbeat or probe is given up", func(i uint32) { c.knockEnds(i, func(k *knock) { k.failed(false) }) })
	ms.refused = c.clock.Handle("a heartbeat or probe is refused", func(i uint32) { c.knockEnds(i, func(k *knock) { k.failed(true) }) })
	chance := vtime.Stream(c.o.Seed, "heartbeats", 0)
	ms.all = make([]*member, len(c.nodes))
	phases := make([]time.Duration, len(c.nodes))
	for i := range c.nodes {
		no := int32(i)
		if c.o.Nodes[i].Role == wire.RoleManager {
			continue
		}
		phases[i] = time.Duration(chance.Int64N(int64(HeartbeatInterval)))
		ms.order = append(ms.order, no)
		if c.lives[i].down {
			continue
		}
		m := c.newMember(no)
		m.core.Registered(c.gm.epoch(m.self), true) // before the clock began
		m.waits = true
	}
	slices.SortStableFunc(ms.order, func(a, b int32) int { return cmp.Compare(phases[a], phases[b]) })
	for _, no := range ms.order {
		ms.phases = append(ms.phases, phases[no])
	}
	if len(ms.order) > 0 {
		c.clock.Background(ms.phases[0], ms.tick, 0)
	}
	c.gm.begin()
}

func (c *Cluster) newMember(no int32) *member {
	m := &member{c: c, no: no, self: c.member(no), owes: make([]bool, len(c.gm.members))}
	m.core, _ = membership.NewEnrolment(m.self.ID)
	m.bytes = len(wire.Marshal(wire.Heartbeat{Member: m.self, Load: c.load(no)}))
	c.members.all[no] = m
	return m
}

// join has a component register that was started.
func (c *Cluster) join(no int32) {
	m := c.newMember(no)
	var next membership.Next
	m.core, next = membership.NewEnrolment(m.self.ID)
	m.do(next)
}

// load is what a component tells of itself.
func (c *Cluster) load(no int32) wire.Load { return c.nodes[no].(interface{ load() wire.Load }).load() }

// onBeat is the moment of one component's heartbeat; one event is pending for all.
func (c *Cluster) onBeat(uint32) {
	ms := &c.members
	no := ms.order[ms.turn]
	if ms.turn++; ms.turn == len(ms.order) {
		ms.turn = 0
		ms.began += HeartbeatInterval
	}
	c.clock.Background(ms.began+ms.phases[ms.turn], ms.tick, 0)
	if m := ms.all[no]; m != nil && !c.lives[no].down {
		m.tick()
	}
}

// tick is the time of its heartbeat.
func (m *member) tick() {
	if m.open > 0 { // what has come by now counts
		m.open = 0
		m.heard()
	}
	if m.waits {
		m.waits = false
		m.act(membership.Beat)
	}
}

// lives reports whether it is still the one that keeps its component registered, which runs.
func (m *member) lives() bool { return m.c.members.all[m.no] == m && !m.c.lives[m.no].down }

// do does what the enrolment wants next.
func (m *member) do(n membership.Next) {
	if n.Fence != "" {
		m.c.fence(m.no, n.Fence)
	}
	switch n.When {
	case membership.OnBeat:
		m.waits = true
	case membership.Shortly:
		m.c.leisurely(m.c.clock.Now()+membership.RegisterPause, func() {
			if m.lives() {
				m.act(n.Do)
			}
		})
	default:
		m.act(n.Do)
	}
}

func (m *member) act(d membership.Duty) {
	switch d {
	case membership.Register:
		m.register()
	case membership.Beat:
		m.beat()
	case membership.Inquire:
		m.inquire()
	case membership.Rest: // until it is started again
	}
}

// register asks the leader, under one session until it is answered.
func (m *member) register() {
	c, g := m.c, m.c.gm
	if m.client == 0 {
		m.client, m.seq = g.session()
	}
	var epoch wire.Epoch
	var err error
	leader := g.leader
	c.knock(wire.OpPropose, m.no, leader, len(wire.Marshal(m.self)), CallTimeout, func(reply func(int)) {
		g.member(m.client, m.seq, gmm.Request{Op: gmm.OpRegister, Member: m.self}, func(e wire.Epoch, failed error) {
			if epoch, err = e, failed; err == nil {
				at := m.self
				at.Epoch = e
				g.vigil.watches[slices.Index(g.members, leader)].Registered(c.clock.Now(), at)
			}
			reply(commandBytes)
		})
	}, func() {
		if err == nil {
			m.client, m.seq = 0, 0
			c.setEpoch(m.no, epoch)
		}
		m.do(m.core.Registered(epoch, err == nil))
	}, func(bool) { m.do(m.core.Registered(0, false)) })
}

// beatTimeout is how long a manager may take to answer a heartbeat, as live.
const beatTimeout = 2 * HeartbeatInterval

// beat sends a heartbeat to every manager that owes no answer to an earlier one.
func (m *member) beat() {
	c, g := m.c, m.c.gm
	m.beats++
	number := m.beats
	m.poll = membership.Poll{Of: len(g.members)}
	m.open = 0
	self, load := m.self, c.load(m.no)
	self.Epoch = m.core.Epoch()
	for k, to := range g.members {
		if m.owes[k] {
			continue
		}
		m.owes[k] = true
		m.open++
		var standing wire.Standing
		ended := func(ok bool) {
			m.owes[k] = false
			if number != m.beats || m.open == 0 {
				return // it comes too late to count
			}
			if ok {
				m.poll.Add(standing)
			}
			if m.open--; m.open == 0 {
				m.heard()
			}
		}
		c.knock(wire.OpHeartbeat, m.no, to, m.bytes, beatTimeout, func(reply func(int)) {
			g.vigil.watches[k].Heard(c.clock.Now(), self, load)
			standing = g.standing(self)
			reply(heartbeatRepBytes)
		}, func() { ended(true) }, func(bool) { ended(false) })
	}
	if m.open == 0 {
		m.heard()
	}
}

// heartbeatRepBytes is the answer to a heartbeat.
var heartbeatRepBytes = len(wire.Marshal(wire.HeartbeatRep{Standing: wire.StandingMember}))

// heard takes the word of the managers.
func (m *member) heard() { m.do(m.core.Beaten(m.poll.Verdict())) }

// inquire asks the manager itself how it stands.
func (m *member) inquire() {
	g := m.c.gm
	self := m.self
	self.Epoch = m.core.Epoch()
	standing, ok := wire.Standing(0), false
	m.c.knock(wire.OpQuery, m.no, g.leader, len(self.ID), CallTimeout, func(reply func(int)) {
		if ok = g.quorum(); ok {
			standing = g.standing(self)
		}
		reply(heartbeatRepBytes)
	}, func() { m.do(m.core.Told(standing, ok)) }, func(bool) { m.do(m.core.Told(0, false)) })
}

// fence drops what a component holds for processes: the managers gave it up. Buffer caches and volumes stay, as live.
func (c *Cluster) fence(no int32, why string) {
	switch n := c.nodes[no].(type) {
	case *compute:
		err := wire.Errorf(wire.KindFailed, "%s: %s", n.o.ID, why)
		for _, p := range n.sorted() {
			p.Stop(err)
		}
	case *memory:
		n.home.Fence(why)
		n.fenceMoves()
		var copied func(uint32) bool
		if n.red != nil {
			copied = n.red.primary.Redundant
		}
		slots := n.owners.Fence(why, copied, nil)
		if n.red != nil {
			n.red.holder.Fence()
		}
		for _, slot := range slots {
			n.gaveUp(slot)
			n.red.gone(slot, false, wire.Errorf(wire.KindNotOwner, "%s has lost everything that it served: %s", n.o.ID, why))
			n.store.FreeGroup(slot, int(n.o.MemoryBytes/wire.PageSize))
			n.owners.Release(slot)
		}
	}
	c.digest.mark(c.clock.Now(), markFence, uint64(no), 0)
}

// Standing says how a component stands with its manager, as a listing does.
type Standing struct {
	ID    wire.NodeID
	Epoch wire.Epoch
	State membership.State
	Alive bool // it is heard of
}

func (s Standing) String() string {
	word := "silent"
	if s.Alive {
		word = "heard"
	}
	return fmt.Sprintf("%s epoch %d %v %s", s.ID, s.Epoch, s.State, word)
}

// Standings lists the registered components of a manager, by id.
func (c *Cluster) Standings(of wire.Manager) []Standing {
	var out []Standing
	w := c.gm.watch()
	for _, e := range c.gm.entries(of) {
		s := Standing{ID: e.Member.ID, Epoch: e.Member.Epoch, State: e.State(), Alive: true}
		if w != nil {
			s.Alive = w.Alive(of, c.clock.Now(), e.Member)
		}
		out = append(out, s)
	}
	return out
}

package vcluster

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
	"splitkernel/sim/vtime"
)

// What managers do at intervals, as live.
const (
	// HeartbeatInterval is how often components tell their load.
	HeartbeatInterval = wire.HeartbeatMS * time.Millisecond
	// driverPatience is how long an intent that nobody drives is left alone.
	driverPatience = time.Second
)

// managers are GPM, GMM and GSM. Their states are applied where a command is committed: replicas would hold the same.
type managers struct {
	c       *Cluster
	gpm     *gpm.State
	gmm     *gmm.State
	gsm     *gsm.State
	leader  int32 // the node that leads the three groups
	seq     uint64
	chance  *rand.Rand
	members []int32 // the nodes of the managers
	disks   map[int32]*logDisk
	logs    [wire.GSM + 1]raft

	core    *admission.Coordinator
	waiting map[wire.PID][]*waiter

	wrong    *rand.Rand // what goes wrong
	ticking  bool
	inquirer [wire.GSM + 1]*admission.Inquirer // of GMM and GSM
	asking   [wire.GSM + 1]bool
	queueing bool                         // a look at the queue is under way
	stopped  map[wire.PID]time.Duration   // since when
	ended    map[wire.PID]*wire.Error     // preempted, and not released yet
	tickets  map[wire.PID][]*vtime.Signal // who waits for a ticket to be decided

	commits int    // commands that a majority had
	changes uint64 // of the leader
	led     bool   // a majority can commit
	// inquired counts the answers of GPM to participants that asked what became of holds that stayed prepared.
	inquired  int
	vigil     vigil // of who is a member
	movers    [wire.GSM + 1]*mover
	keeper    *keeper
	rebuilder *rebuilder
	balance   *balancers
	readers   map[wire.NodeID]heat.Reader // of the meters of components

	loads   map[wire.NodeID]wire.Load // as of the last heartbeats
	loadsAt time.Duration
}

// clientID is under which commands are deduplicated: there is one proposer.
const clientID = 1

func newManagers(c *Cluster) (*managers, error) {
	g := &managers{
		c: c, led: true, gpm: gpm.New(), gmm: gmm.New(), gsm: gsm.New(), leader: -1, chance: vtime.Stream(c.o.Seed, "managers", 0),
		waiting: map[wire.PID][]*waiter{}, wrong: vtime.Stream(c.o.Seed, "raft", 0), ended: map[wire.PID]*wire.Error{}, stopped: map[wire.PID]time.Duration{}, tickets: map[wire.PID][]*vtime.Signal{}, loads: map[wire.NodeID]wire.Load{}, loadsAt: -1, disks: map[int32]*logDisk{},
	}
	for k := range g.logs {
		g.logs[k] = raft{g: g, group: wire.Manager(k)}
	}
	for _, k := range managersOf {
		g.movers[k] = g.newMover(k)
	}
	g.keeper = g.newKeeper()
	g.rebuilder = g.newRebuilder()
	g.core = admission.NewCoordinator(g.chance.Uint64(), driverPatience)
	for _, k := range []wire.Manager{wire.GMM, wire.GSM} {
		g.inquirer[k] = admission.NewInquirer(driverPatience)
	}
	if settings := c.o.Managers.Settings.Sorted(); !settings.Equal(new(admission.Settings)) {
		if err := g.gpm.Apply(gpm.Command{Client: clientID, Seq: g.next(), Request: gpm.Request{Op: gpm.OpSettings, Settings: settings}}).Err(); err != nil {
			return nil, fmt.Errorf("managers: settings: %w", err)
		}
	}
	for i := range c.o.Nodes {
		n := &c.o.Nodes[i]
		if n.Role == wire.RoleManager {
			if g.leader < 0 {
				g.leader = int32(i)
			}
			d, err := device.New(c.o.Hardware.Device, vtime.Stream(c.o.Seed, "log", uint64(i)))
			if err != nil {
				return nil, fmt.Errorf("hardware: device: %w", err)
			}
			g.members = append(g.members, int32(i))
			g.disks[int32(i)] = &logDisk{c, d}
			continue
		}
		if n.Later {
			continue // it joins
		}
		m := c.member(int32(i))
		var epoch wire.Epoch
		var err error
		switch n.Role {
		case wire.RoleCompute:
			r := g.gpm.Apply(gpm.Command{Client: clientID, Seq: g.next(), Request: gpm.Request{Op: gpm.OpRegister, Member: m}})
			epoch, err = r.Epoch, r.Err()
		case wire.RoleMemory:
			r := g.gmm.Apply(gmm.Command{Client: clientID, Seq: g.next(), Request: gmm.Request{Op: gmm.OpRegister, Member: m}})
			epoch, err = r.Epoch, r.Err()
		case wire.RoleStorage:
			r := g.gsm.Apply(gsm.Command{Client: clientID, Seq: g.next(), Request: gsm.Request{Op: gsm.OpRegister, Member: m}})
			epoch, err = r.Epoch, r.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("nodes.%s: it cannot register: %w", n.ID, err)
		}
		c.setEpoch(int32(i), epoch)
	}
	if g.leader < 0 {
		return nil, fmt.Errorf("nodes: none is a manager, want at least one")
	}
	g.balance = newBalancers(g)
	g.readers = map[wire.NodeID]heat.Reader{}
	g.balance.news()
	g.changeLeaders()
	return g, nil
}

func (c *Cluster) setEpoch(no int32, e wire.Epoch) {
	switch n := c.nodes[no].(type) {
	case *compute:
		n.epoch = e
	case *memory:
		n.epoch = e
		n.owners.Registered(e)
		n.home.Registered(e)
		if n.red != nil {
			n.red.holder.Registered(e)
		}
	case *storage:
		n.epoch = e
	}
}

func (g *managers) next() uint64 { g.seq++; return g.seq }

// session gives under what a command is deduplicated. Where commands may come late, each is a client of its own: one that comes
// after many others would be too old to be known.
func (g *managers) session() (client, seq uint64) {
	if g.c.o.Raft.any() || g.c.mortal {
		return clientID + g.next(), 1
	}
	return clientID, g.next()
}

// refresh looks at the loads if heartbeats have come since.
func (g *managers) refresh() {
	now := g.c.clock.Now()
	if beat := now / HeartbeatInterval * HeartbeatInterval; beat > g.loadsAt {
		g.loadsAt = beat
		for _, n := range g.c.compute {
			g.beat(n.o, n.epoch, n.load(), n.hot)
		}
		for _, n := range g.c.memory {
			g.beat(n.o, n.epoch, n.load(), n.hot)
		}
		for _, n := range g.c.storage {
			g.beat(n.o, n.epoch, n.load(), n.hot)
		}
	}
}

// live returns what a stamp tells of the members of a manager: those whose traffic its state does not know. Nobody is silent here.
func (g *managers) live(of wire.Manager) []membership.Live {
	if w := g.watch(); w != nil {
		return g.heard(w, of)
	}
	g.refresh()
	var out []membership.Live
	entries := g.entries(of)
	for i := range entries {
		if m := &entries[i].Member; entries[i].State() == membership.Active && membership.Differs(entries[i].Traffic, g.traffic(m.ID)) {
			out = append(out, g.liveOf(m))
		}
	}
	return out
}

// caches returns what a stamp tells GSM of mComponents that it does not know, or knows with another traffic.
func (g *managers) caches() []membership.Live {
	if w := g.watch(); w != nil {
		return g.heardCaches(w)
	}
	g.refresh()
	var out []membership.Live
	known := g.gsm.Caches()
	for _, e := range g.gmm.Entries() {
		m := e.Member
		i, ok := slices.BinarySearchFunc(known, m.ID, func(l membership.Live, id wire.NodeID) int { return cmp.Compare(l.ID, id) })
		active := e.State() == membership.Active
		if ok && !active {
			gone := known[i]
			gone.Silent = true
			out = append(out, gone)
		} else if active && (!ok || known[i].Epoch != m.Epoch || membership.Differs(known[i].Traffic, g.traffic(m.ID))) {
			out = append(out, g.liveOf(&m))
		}
	}
	return out
}

func (g *managers) traffic(id wire.NodeID) uint64 { l := g.loads[id]; return l.Misses + l.Flushes }

func (g *managers) liveOf(m *wire.Member) membership.Live {
	return membership.Live{ID: m.ID, Epoch: m.Epoch, Addr: m.Addr, Rack: m.Rack, Traffic: g.traffic(m.ID)}
}

// stamp is that of a command; of says whose members it tells of, 0 nobody's.
func (g *managers) stamp(policy string, of wire.Manager) membership.Stamp {
	s := membership.Stamp{NowMS: int64(g.c.clock.Now() / time.Millisecond), ClockMS: int64(g.c.clock.Now() / time.Millisecond), Policy: policy}
	if of != 0 {
		s.Live, s.Chance = g.live(of), g.chance.Uint64()
	}
	return s
}

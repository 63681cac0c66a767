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
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
	"splitkernel/sim/vtime"
)

// What managers do at intervals, as live.
const (
	// HeartbeatInterval is how often components tell their load.
	HeartbeatInterval = 500 * time.Millisecond
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
	waiting map[wire.PID][]func(admission.Answer)

	loads   map[wire.NodeID]wire.Load // as of the last heartbeats
	loadsAt time.Duration
}

// clientID is under which commands are deduplicated: there is one proposer.
const clientID = 1

func newManagers(c *Cluster) (*managers, error) {
	g := &managers{
		c: c, gpm: gpm.New(), gmm: gmm.New(), gsm: gsm.New(), leader: -1, chance: vtime.Stream(c.o.Seed, "managers", 0),
		waiting: map[wire.PID][]func(admission.Answer){}, loads: map[wire.NodeID]wire.Load{}, loadsAt: -1, disks: map[int32]*logDisk{},
	}
	for k := range g.logs {
		g.logs[k] = raft{g: g, group: wire.Manager(k)}
	}
	g.core = admission.NewCoordinator(g.chance.Uint64(), driverPatience)
	for i := range c.o.Nodes {
		n := &c.o.Nodes[i]
		m := wire.Member{ID: n.ID, Addr: addr(n.ID), Role: n.Role, Rack: n.Rack}
		var epoch wire.Epoch
		var err error
		switch n.Role {
		case wire.RoleManager:
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
		case wire.RoleCompute:
			m.Capacity = wire.Capacity{Cores: uint32(n.Cores), ExCacheLines: n.ExCacheBytes / wire.PageSize}
			r := g.gpm.Apply(gpm.Command{Client: clientID, Seq: g.next(), Request: gpm.Request{Op: gpm.OpRegister, Member: m}})
			epoch, err = r.Epoch, r.Err()
		case wire.RoleMemory:
			m.Capacity = wire.Capacity{MemoryBytes: n.MemoryBytes, RegionBytes: c.o.RegionBytes}
			r := g.gmm.Apply(gmm.Command{Client: clientID, Seq: g.next(), Request: gmm.Request{Op: gmm.OpRegister, Member: m}})
			epoch, err = r.Epoch, r.Err()
		case wire.RoleStorage:
			m.Capacity = wire.Capacity{StorageBytes: n.StorageBytes}
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
	case *storage:
		n.epoch = e
	}
}

func (g *managers) next() uint64 { g.seq++; return g.seq }

// commit does apply when a command of so many bytes is committed.
func (g *managers) commit(group wire.Manager, bytes int, apply func()) {
	g.logs[group].propose(bytes, apply)
}

// refresh looks at the loads if heartbeats have come since.
func (g *managers) refresh() {
	now := g.c.clock.Now()
	if beat := now / HeartbeatInterval * HeartbeatInterval; beat > g.loadsAt {
		g.loadsAt = beat
		for _, n := range g.c.compute {
			g.loads[n.o.ID] = n.load()
		}
		for _, n := range g.c.memory {
			g.loads[n.o.ID] = n.load()
		}
		for _, n := range g.c.storage {
			g.loads[n.o.ID] = n.load()
		}
	}
}

// live returns what a stamp tells of the members of a manager: those whose traffic its state does not know. Nobody is silent here.
func (g *managers) live(entries []membership.Entry) []membership.Live {
	g.refresh()
	var out []membership.Live
	for i := range entries {
		if m := &entries[i].Member; membership.Differs(entries[i].Traffic, g.traffic(m.ID)) {
			out = append(out, g.liveOf(m))
		}
	}
	return out
}

// caches returns what a stamp tells GSM of mComponents that it does not know, or knows with another traffic.
func (g *managers) caches() []membership.Live {
	g.refresh()
	var out []membership.Live
	known := g.gsm.Caches()
	for _, e := range g.gmm.Entries() {
		m := e.Member
		i, ok := slices.BinarySearchFunc(known, m.ID, func(l membership.Live, id wire.NodeID) int { return cmp.Compare(l.ID, id) })
		if !ok || known[i].Epoch != m.Epoch || membership.Differs(known[i].Traffic, g.traffic(m.ID)) {
			out = append(out, g.liveOf(&m))
		}
	}
	return out
}

func (g *managers) traffic(id wire.NodeID) uint64 { l := g.loads[id]; return l.Misses + l.Flushes }

func (g *managers) liveOf(m *wire.Member) membership.Live {
	return membership.Live{ID: m.ID, Epoch: m.Epoch, Addr: m.Addr, Rack: m.Rack, Traffic: g.traffic(m.ID)}
}

func (g *managers) stamp(policy string, members []membership.Entry) membership.Stamp {
	s := membership.Stamp{NowMS: int64(g.c.clock.Now() / time.Millisecond), Policy: policy}
	if members != nil {
		s.Live, s.Chance = g.live(members), g.chance.Uint64()
	}
	return s
}

// activate has GMM name the owner of a vRegion, for the home at a node.
func (g *managers) activate(from int32, pid wire.PID, region wire.RegionNo, done func(wire.Owner, error)) {
	q := gmm.Request{Op: gmm.OpActivate, PID: pid, Region: region}
	g.c.ask(wire.OpPropose, from, g.leader, len(q.Encode()), func(reply func(int, func())) {
		cmd := gmm.Command{Client: clientID, Seq: g.next(), Stamp: g.stamp(g.c.o.Managers.GMMPolicy, g.gmm.Entries()), Overcommit: g.c.o.Managers.Overcommit, Request: q}
		g.commit(wire.GMM, len(cmd.Encode()), func() {
			r := g.gmm.Apply(cmd)
			reply(len(r.Encode()), func() { done(r.Owner, r.Err()) })
		})
	}, func(err error) { done(wire.Owner{}, wire.Errorf(wire.KindUnavailable, "GMM does not answer: %v", err)) })
}

// Admit has the managers admit a vNode: all or nothing. from is the node of who asks.
func (c *Cluster) Admit(y *vtime.Proc, spec admission.VNodeSpec) (admission.Placement, error) {
	g := c.gm
	var place admission.Placement
	err := wait(y, "the admission of "+spec.Name, func(done func(error)) {
		q := gpm.Request{Op: gpm.OpAdmit, Spec: spec}
		cmd := gpm.Command{Client: clientID, Seq: g.next(), Stamp: g.stamp(c.o.Managers.GPMPolicy, g.gpm.Entries()), Coordinator: g.core.ID(), Request: q}
		g.commit(wire.GPM, len(cmd.Encode()), func() {
			r := g.gpm.Apply(cmd)
			if err := r.Err(); err != nil {
				done(err)
				return
			}
			g.drive(r.VNode.PID, spec, func(a admission.Answer) {
				if a.Gone {
					done(wire.Errorf(a.Kind, "%s", a.Text))
					return
				}
				place = a.Placement
				done(nil)
			})
		})
	})
	return place, err
}

// Release gives back what a vNode has of the managers.
func (c *Cluster) Release(y *vtime.Proc, pid wire.PID) error {
	g := c.gm
	return wait(y, fmt.Sprintf("the release of process %d", pid), func(done func(error)) {
		cmd := gpm.Command{Client: clientID, Seq: g.next(), Stamp: g.stamp("", nil), Request: gpm.Request{Op: gpm.OpRelease, PID: pid}}
		g.commit(wire.GPM, len(cmd.Encode()), func() {
			if err := g.gpm.Apply(cmd).Err(); err != nil {
				done(err)
				return
			}
			g.drive(pid, admission.VNodeSpec{}, func(admission.Answer) { done(nil) })
		})
	})
}

// drive carries a transaction of GPM's log to its end.
func (g *managers) drive(pid wire.PID, spec admission.VNodeSpec, answer func(admission.Answer)) {
	ps := g.gpm.Processes(pid)
	if len(ps) == 0 {
		answer(admission.Answer{PID: pid, Gone: true})
		return
	}
	g.waiting[pid] = append(g.waiting[pid], answer)
	out, ok := g.core.Begin(g.gpm.Transaction(ps[0]), spec, nil)
	if !ok {
		delete(g.waiting, pid)
		answer(admission.Answer{PID: pid, Gone: true, Kind: wire.KindBusy, Text: fmt.Sprintf("%d transactions are under way", admission.MaxDriven)})
		return
	}
	g.perform(out)
}

// perform sends steps and changes, each as a command of its own, and answers.
func (g *managers) perform(out []admission.Effect) {
	for _, e := range out {
		switch e.To {
		case wire.GPM:
			cmd := gpm.Command{Client: clientID, Seq: g.next(), Stamp: g.stamp("", nil), Request: gpm.Request{Op: gpm.OpChanges, Changes: []admission.Change{e.Change}}}
			g.commit(wire.GPM, len(cmd.Encode()), func() {
				r := g.gpm.Apply(cmd)
				if err := r.Err(); err != nil {
					g.perform(g.core.Lost(wire.GPM, e.Change.PID, err, nil))
					return
				}
				g.perform(g.core.Settled(r.Outcomes[0], nil))
			})
		case wire.GMM:
			cmd := gmm.Command{Client: clientID, Seq: g.next(), Stamp: g.stamp(g.c.o.Managers.GMMPolicy, g.gmm.Entries()), Overcommit: g.c.o.Managers.Overcommit, Request: gmm.Request{Op: gmm.OpSteps, Steps: []admission.Step{e.Step}}}
			g.commit(wire.GMM, len(cmd.Encode()), func() {
				r := g.gmm.Apply(cmd)
				g.voted(wire.GMM, e.Step, r.Votes, r.Err())
			})
		case wire.GSM:
			cmd := gsm.Command{
				Client: clientID, Seq: g.next(), Stamp: g.stamp(g.c.o.Managers.GSMPolicy, g.gsm.Entries()), CachePolicy: g.c.o.Managers.CachePolicy,
				Caches: g.caches(), Request: gsm.Request{Op: gsm.OpSteps, Steps: []admission.Step{e.Step}},
			}
			g.commit(wire.GSM, len(cmd.Encode()), func() {
				r := g.gsm.Apply(cmd)
				g.voted(wire.GSM, e.Step, r.Votes, r.Err())
			})
		default:
			ws := g.waiting[e.Answer.PID]
			delete(g.waiting, e.Answer.PID)
			for _, w := range ws {
				w(e.Answer)
			}
		}
	}
}

func (g *managers) voted(from wire.Manager, s admission.Step, votes []admission.Vote, err error) {
	if err != nil {
		g.perform(g.core.Lost(from, s.PID, err, nil))
		return
	}
	g.perform(g.core.Voted(from, s.Verb, votes[0], nil))
}

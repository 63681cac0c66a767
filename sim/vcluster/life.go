package vcluster

import (
	"slices"
	"time"

	"splitkernel/netlayer/link"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/volume"
	"splitkernel/sim/fifo"
	"splitkernel/sim/vtime"
)

// opGone marks the row of a request whose receiver died with it: whatever still comes for it only frees it.
const opGone wire.Op = 0xfd

// stage is how far a request has come. From polled to working it is within its receiver, and dies with it.
type stage uint8

const (
	polled   stage = 1 // taken from the NIC, or on its way from there
	queued   stage = 2 // waits for a worker, or is about to get one
	working  stage = 3 // a worker has it, or it waits for others
	returned stage = 4 // answered
)

// life is whether a node runs, and for which time.
type life struct {
	no      uint16 // counts its ends and starts: what belongs to another life is nobody's
	down    bool   // it does not run
	started bool   // it ran once
	cut     int    // partitions that it is in
	procs   []*vtime.Proc
}

// lifeMask are the bits of a life that the moment at which a worker is free names: that is microseconds after its answer has left.
const lifeMask = 1<<4 - 1

// freedAs names a worker of a node in a life, and freedOf takes that apart.
func freedAs(no, worker int32, life uint16) uint32 {
	return uint32(no) | uint32(worker)<<16 | uint32(life&lifeMask)<<28
}

func freedOf(who uint32) (no, worker int32, life uint16) {
	return int32(who % MaxNodes), int32(who >> 16 % fifo.MaxWorkers), uint16(who >> 28)
}

// runs reports whether a node runs, in a life.
func (c *Cluster) runs(no int32, in uint16) bool { return !c.lives[no].down && c.lives[no].no == in }

// of has f done at a moment, if the node has the life then that it has now.
func (c *Cluster) of(no int32, t time.Duration, f func()) {
	in := c.lives[no].no
	c.at(t, func() {
		if c.runs(no, in) {
			f()
		}
	})
}

// goAt starts a coroutine of a node, which ends with its life.
func (c *Cluster) goAt(no int32, name string, body func(y *vtime.Proc)) {
	l := &c.lives[no]
	if len(l.procs) == cap(l.procs) {
		l.procs = slices.DeleteFunc(l.procs, (*vtime.Proc).Ended)
	}
	l.procs = append(l.procs, c.clock.Go(name, body))
}

// leaves stamps a message with the lives of both ends. It is false if its sender does not run: then nothing is sent.
func (c *Cluster) leaves(i uint32) bool {
	m := c.msgs.at(i)
	if !c.lives[m.from].down {
		m.fromLife, m.toLife = c.lives[m.from].no, c.lives[m.to].no
		return true
	}
	fail, err := m.fail, wire.Errorf(wire.KindUnavailable, "%s does not run", c.o.Nodes[m.from].ID)
	_, drives := c.nodes[m.from].(*compute)
	c.msgs.free(i)
	if drives && fail != nil { // a coroutine waits for it
		c.after(0, func() { fail(err) })
	}
	return false
}

// asks reports whether who sent a request still runs; if not, the request is forgotten.
func (c *Cluster) asks(i uint32) bool {
	if m := c.msgs.at(i); c.runs(m.from, m.fromLife) {
		return true
	}
	c.msgs.free(i)
	return false
}

// neverComes has a request given up in its time: it, or its answer, was lost.
func (c *Cluster) neverComes(i uint32) {
	c.clock.At(max(c.clock.Now(), c.msgs.at(i).sent+CallTimeout), c.lost, i)
}

// refuse answers for a node that does not run: the machine that it ran on does, and ends the connection.
func (c *Cluster) refuse(i uint32) {
	m := c.msgs.at(i)
	if c.lives[m.from].cut+c.lives[m.to].cut > 0 || c.cuts[pair{m.to, m.from}] > 0 {
		c.neverComes(i)
		return
	}
	c.clock.After(c.o.Hardware.Link.Latency.Duration(), c.refused, i)
}

func (c *Cluster) onRefused(i uint32) {
	m := c.msgs.at(i)
	c.failed(i, wire.Errorf(wire.KindUnavailable, "%v to %s: connection refused", m.op, c.o.Nodes[m.to].ID))
}

// kill ends a node as kill -9 does: what it held in memory is gone, its connections break.
func (c *Cluster) kill(no int32) {
	l := &c.lives[no]
	if l.down {
		return
	}
	l.down, c.mortal = true, true
	l.no++
	n := &c.o.Nodes[no]
	c.ports[no].workers = newWorkers(n, int(c.o.Hardware.Endpoint.WorkerQueue))
	var told []func(error)
	for i := range uint32(len(c.msgs.rows)) {
		m := c.msgs.at(i)
		if m.op == 0 || m.op == opGone {
			continue
		}
		if m.from == no && m.fail != nil && n.Role == wire.RoleCompute {
			told = append(told, m.fail)
			m.fail = nil
		}
		if m.to != no || m.stage < polled || m.stage > working {
			continue
		}
		k := c.msgs.take()
		m = c.msgs.at(i)
		*c.msgs.at(k) = *m
		c.msgs.at(k).stage = 0             // not within its receiver any more: it must not be taken for another when the loop comes to its row
		if m.stage == queued || m.parked { // the pool had it, or who would have answered it, and nothing else comes for it
			c.msgs.free(i)
		} else {
			*m = message{op: opGone}
		}
		if c.msgs.at(k).from == no {
			c.msgs.free(k)
			continue
		}
		c.refuse(k)
	}
	for _, y := range l.procs {
		y.End()
	}
	l.procs = nil
	c.hangUp(no)
	err := wire.Errorf(wire.KindUnavailable, "%s was killed", n.ID)
	switch x := c.nodes[no].(type) {
	case *compute:
		for _, p := range x.sorted() {
			p.gone = err
			p.Stop(err)
			for _, id := range sorted(p.first) {
				p.first[id].Broadcast()
			}
			if h := p.standing; h != nil && !h.decided {
				h.decide(err)
			}
		}
	case nil:
		c.gm.shaken()
	}
	for _, f := range told {
		f(err)
	}
}

// hangUp has the managers notice that the connections of a component have ended, those that its machine reaches: behind what it sent.
func (c *Cluster) hangUp(no int32) {
	if !c.members.on || c.members.all[no] == nil {
		return
	}
	for k, to := range c.gm.members {
		if c.lives[no].cut+c.lives[to].cut == 0 && c.cuts[pair{no, to}] == 0 {
			c.clock.Background(c.clock.Now()+2*c.o.Hardware.Link.Latency.Duration(), c.members.broken, uint32(no)|uint32(k)<<16)
		}
	}
}

// onBroken is the moment at which manager who>>16 notices that.
func (c *Cluster) onBroken(who uint32) {
	if k := int(who >> 16); !c.lives[c.gm.members[k]].down {
		c.gm.disconnected(k, c.o.Nodes[who%MaxNodes].ID)
	}
}

// start starts a node that does not run. What it had in memory is not there; volumes are, with what the operating system has of
// them: their machine did not stop. It becomes a member by itself.
func (c *Cluster) start(no int32) {
	l := &c.lives[no]
	if !l.down {
		return
	}
	if l.down = false; l.started {
		c.restarts++
	}
	l.started, c.mortal = true, true
	l.no++
	n := &c.o.Nodes[no]
	switch old := c.nodes[no].(type) {
	case *compute:
		c.nodes[no] = replaced(c.compute, old, newCompute(c, n, no))
	case *memory:
		c.nodes[no] = replaced(c.memory, old, newMemory(c, n, no))
	case *storage:
		c.nodes[no] = replaced(c.storage, old, old.again())
	case nil:
		c.gm.reborn(no)
		return
	}
	c.join(no)
}

// replaced puts a component in the place of another.
func replaced[T comparable](all []T, old, new T) T {
	for i := range all {
		if all[i] == old {
			all[i] = new
		}
	}
	return new
}

// again is the sComponent after a start: the volumes are read from their files.
func (s *storage) again() *storage {
	x := &storage{c: s.c, o: s.o, no: s.no, dev: s.dev, vols: map[wire.VolumeID]*vol{}, reserved: s.reserved, next: s.next}
	for _, id := range sorted(s.vols) {
		if s.moving != nil && s.moving.incoming[id] != nil { // what has come of it is not a volume
			x.reserved -= s.vols[id].core.Meta().SizeBytes
			continue
		}
		x.vols[id] = s.vols[id].again(s.o)
	}
	return x
}

// again is a volume that is read from its files.
func (v *vol) again(o *Node) *vol {
	return &vol{core: volume.New(v.core.Meta(), volume.BootID{}), sched: iosched.New(o.FlushQueue), base: v.base, blocks: v.blocks, dirty: v.dirty, bad: v.bad, versions: v.versions, waiting: map[uint64]flushing{}}
}

// isolate cuts a node off from all others, or ends that.
func (c *Cluster) isolate(no int32, off bool) {
	l := &c.lives[no]
	if off {
		l.cut++
	} else {
		l.cut--
	}
	c.net.SetDown(link.NIC(no), l.cut > 0)
	if c.o.Nodes[no].Role == wire.RoleManager {
		c.gm.shaken()
	}
}

// pair is a direction between two nodes.
type pair struct{ from, to int32 }

// sever cuts one direction between two nodes, or ends that.
func (c *Cluster) sever(p pair, off bool) {
	if off {
		c.cuts[p]++
		c.net.Cut(link.NIC(p.from), link.NIC(p.to))
		return
	}
	if c.cuts[p]--; c.cuts[p] == 0 {
		delete(c.cuts, p)
		c.net.Heal(link.NIC(p.from), link.NIC(p.to))
	}
}

// fit reports whether a manager runs and reaches others.
func (g *managers) fit(no int32) bool { l := &g.c.lives[no]; return !l.down && l.cut == 0 }

// quorum reports whether a majority of managers can commit, under a leader of theirs.
func (g *managers) quorum() bool {
	if !g.c.faulty {
		return true
	}
	n := 0
	for _, m := range g.members {
		if g.fit(m) {
			n++
		}
	}
	return n > len(g.members)/2 && g.fit(g.leader)
}

// shaken looks who leads after a manager has gone, or is back. What was under way when the leader went, or the majority, has an
// unknown outcome.
func (g *managers) shaken() {
	if led := g.led; led != g.quorum() || !g.fit(g.leader) {
		g.ChangeLeader()
	}
	g.led = g.quorum()
	g.look()
}

// Runs reports whether a node runs.
func (c *Cluster) Runs(id wire.NodeID) bool { return !c.lives[c.node(id)].down }

// Killed reports whether the process ended with its pComponent.
func (p *Process) Killed() bool { return p.gone != nil }

// dead is the error of a process whose pComponent was killed, or nil.
func (p *Process) dead() error {
	if p.gone == nil {
		return nil
	}
	return p.gone
}

// whoAsks gives the number of the node that a driver asks from: another one when its own has gone, as whoever drives a run goes on.
func (c *Cluster) whoAsks(id wire.NodeID) int32 {
	if no := c.node(id); !c.lives[no].down {
		return no
	}
	return c.gm.leader
}

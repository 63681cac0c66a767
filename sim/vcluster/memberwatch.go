package vcluster

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/lost"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/restart"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

const (
	// vigilInterval is how often leaders look who is silent, as live.
	vigilInterval = 250 * time.Millisecond
	// endTimeout bounds a call to a component about a lost vNode, as live.
	endTimeout = 3 * time.Second
	// maxGates bounds the gates of one command.
	maxGates = 64
)

// groups are the managers, in the order of their numbers.
var groups = [...]wire.Manager{wire.GPM, wire.GMM, wire.GSM}

// vigil is the managers' side of membership: what each manager heard, and what their leader does about who is silent.
type vigil struct {
	watches []*membership.Watch // by manager; nil if nobody sends heartbeats
	probers [wire.GSM + 1]*membership.Prober
	lost    *lost.Ender
	tidings [wire.GSM + 1]membership.Tidings // of the leader; 0: what GSM is told of mComponents
	rounds  [wire.GSM + 1]*membership.Rounds // nil if nobody is asked for what it holds
	gating  bool                             // a command about gates is under way
	next    [wire.GSM + 1]time.Duration      // when the next member may become silent
	looks   time.Duration                    // when the leaders look at who may have ended, besides each vigilInterval
	ended   uint64                           // lost vNodes

	restarts *restart.Driver
}

// begin has every manager listen, and their leader look.
func (g *managers) begin() {
	now := g.c.clock.Now()
	for range g.members {
		g.vigil.watches = append(g.vigil.watches, membership.NewWatch(g.c.o.Membership.Lease, now))
	}
	g.lead()
	g.c.clock.Background(now+vigilInterval, g.c.members.look, 0)
}

// watch is the leader's; nil if nobody sends heartbeats.
func (g *managers) watch() *membership.Watch {
	if g.vigil.watches == nil {
		return nil
	}
	return g.vigil.watches[slices.Index(g.members, g.leader)]
}

// lead begins a term: whoever leads calls nobody silent for one lease.
func (g *managers) lead() {
	w := g.watch()
	if w == nil {
		return
	}
	lease := g.c.o.Membership.Lease
	for _, k := range groups {
		w.Lead(k, g.c.clock.Now())
		g.vigil.probers[k] = membership.NewProber(lease, membership.Patience(g.c.o.Membership.probe()))
		if every := g.c.o.Membership.Sweep; every > 0 {
			g.vigil.rounds[k] = membership.NewRounds(every)
		}
	}
	clear(g.vigil.tidings[:])
	g.vigil.lost, g.vigil.gating = lost.New(lost.Patience), false
	g.vigil.restarts = restart.New()
}

// reborn has a manager that was started again know nothing of who was heard.
func (g *managers) reborn(no int32) {
	if g.vigil.watches != nil {
		g.vigil.watches[slices.Index(g.members, no)] = membership.NewWatch(g.c.o.Membership.Lease, g.c.clock.Now())
	}
	g.shaken()
}

// entries are the members of a manager.
func (g *managers) entries(of wire.Manager) []membership.Entry {
	switch of {
	case wire.GPM:
		return g.gpm.Entries()
	case wire.GMM:
		return g.gmm.Entries()
	}
	return g.gsm.Entries()
}

// managerOf is the manager of a role.
func managerOf(r wire.Role) wire.Manager {
	k, err := membership.ManagerOf(r)
	if err != nil {
		panic(fmt.Sprintf("vcluster: %v", err)) // only components are members
	}
	return k
}

// standing tells what the manager of a component has of it.
func (g *managers) standing(m wire.Member) wire.Standing {
	switch m.Role {
	case wire.RoleCompute:
		return g.gpm.Standing(m.ID, m.Epoch)
	case wire.RoleMemory:
		return g.gmm.Standing(m.ID, m.Epoch)
	}
	return g.gsm.Standing(m.ID, m.Epoch)
}

// epoch is under which a component is registered.
func (g *managers) epoch(m wire.Member) wire.Epoch {
	es := g.entries(managerOf(m.Role))
	i := slices.IndexFunc(es, func(e membership.Entry) bool { return e.Member.ID == m.ID })
	return es[i].Member.Epoch // it is registered
}

// member proposes a request about a component to the manager of its role: the operations have one number at all three.
func (g *managers) member(client, seq uint64, q gmm.Request, done func(wire.Epoch, error)) {
	if client == 0 {
		client, seq = g.session()
	}
	ended := func(e wire.Epoch, result, err error) {
		if err == nil {
			err = result
		}
		done(e, err)
	}
	switch managerOf(q.Member.Role) {
	case wire.GPM:
		g.toGPM(client, seq, gpm.Request{Op: gpm.Op(q.Op), Member: q.Member, Note: q.Note, Text: q.Text}, func(r gpm.Result, err error) { ended(r.Epoch, r.Err(), err) })
	case wire.GMM:
		g.toGMM(client, seq, q, func(r gmm.Result, err error) { ended(r.Epoch, r.Err(), err) })
	case wire.GSM:
		g.toGSM(client, seq, gsm.Request{Op: gsm.Op(q.Op), Member: q.Member, Note: q.Note, Text: q.Text}, func(r gsm.Result, err error) { ended(r.Epoch, r.Err(), err) })
	}
}

// watchOver is one look of the leaders at their members.
func (g *managers) watchOver() {
	now := g.c.clock.Now()
	g.c.clock.Background(now+vigilInterval, g.c.members.look, 0)
	if !g.quorum() {
		return
	}
	g.doubt()
	g.gates()
	g.keeper.look()
	g.endLost()
	g.bringBack()
	for _, k := range groups {
		g.sweep(k)
	}
}

// doubt is one look of the leaders at who may have ended.
func (g *managers) doubt() {
	now := g.c.clock.Now()
	var of [wire.GSM + 1][]membership.Entry
	for _, k := range groups {
		of[k] = g.entries(k)
	}
	for _, k := range groups {
		s := g.watch().Suspects(k, now)
		for _, o := range groups {
			s.Add(o, of[o])
		}
		if len(s.Witnesses) == 0 {
			for _, m := range g.members {
				if m != g.leader {
					s.Witnesses = append(s.Witnesses, membership.Witness{ID: g.c.o.Nodes[m].ID, Addr: addr(g.c.o.Nodes[m].ID)})
				}
			}
		}
		g.probe(k, g.vigil.probers[k].Tick(now, s.Doubts, s.Witnesses, nil))
		g.vigil.next[k] = s.Next
	}
	g.doubtNext()
}

// doubtNext has the leaders look when the next member becomes silent or a round of questions is over, if that is before their next look.
func (g *managers) doubtNext() {
	now := g.c.clock.Now()
	next := now + vigilInterval
	for _, k := range groups {
		if at, ok := g.vigil.probers[k].Wake(); ok {
			next = min(next, at)
		}
		next = min(next, g.vigil.next[k])
	}
	if next = max(next, now); next < now+vigilInterval && (g.vigil.looks <= now || next < g.vigil.looks) {
		g.vigil.looks = next
		g.c.clock.Background(next, g.c.members.doubt, 0)
	}
}

// disconnected is told that the connections of a component to a manager have ended.
func (g *managers) disconnected(manager int, id wire.NodeID) {
	if g.vigil.watches[manager].Disconnected(g.c.clock.Now(), id) && g.members[manager] == g.leader && g.quorum() {
		g.doubt()
	}
}

// probe performs what a prober wants.
func (g *managers) probe(k wire.Manager, out []membership.ProbeEffect) {
	core := g.vigil.probers[k]
	for _, e := range out {
		switch e.Kind {
		case membership.Ask:
			g.question(e, func(a membership.ProbeAnswer) {
				if g.vigil.probers[k] == core {
					g.probe(k, core.Answered(g.c.clock.Now(), a, nil))
					g.doubtNext()
				}
			})
		case membership.Declare:
			if g.watch().Refutes(k, g.c.clock.Now(), e) {
				continue // it was heard of meanwhile
			}
			silent := g.watch().Silence(g.c.clock.Now(), e.Of)
			g.member(0, 0, gmm.Request{Op: gmm.OpDead, Member: e.Of, Text: e.Reason(), SilentMS: uint64(silent.Milliseconds())}, func(_ wire.Epoch, err error) {
				if err == nil {
					text := membership.FenceText(g.c.clock.Now() - e.Since)
					g.member(0, 0, gmm.Request{Op: gmm.OpNote, Member: e.Of, Note: membership.NoteFenced, Text: text}, func(wire.Epoch, error) {})
				}
			})
		default:
			g.member(0, 0, gmm.Request{Op: gmm.OpNote, Member: e.Of, Note: e.Kind.Note(), Text: e.Text}, func(wire.Epoch, error) {})
		}
	}
}

// question puts one question about a silent component: to somebody, or the leader tries itself.
func (g *managers) question(e membership.ProbeEffect, done func(membership.ProbeAnswer)) {
	c, timeout := g.c, g.c.o.Membership.probe()
	a := membership.ProbeAnswer{Of: e.Of.ID, By: e.By.ID, Round: e.Round}
	of := c.node(e.Of.ID)
	if e.By.ID == "" {
		c.ping(g.leader, of, timeout, func(alive, refused bool, text string) {
			a.Answered, a.Alive, a.Refused, a.Text = true, alive, refused, text
			done(a)
		})
		return
	}
	by := c.node(e.By.ID)
	q := wire.ProbeReq{Node: e.Of.ID, Addr: e.Of.Addr, TimeoutMS: uint32(timeout / time.Millisecond)}
	c.knock(wire.OpProbe, g.leader, by, len(wire.Marshal(q)), membership.QuestionTimeout(timeout), func(reply func(int)) {
		c.ping(by, of, timeout, func(alive, refused bool, text string) {
			a.Alive, a.Refused, a.Text = alive, refused, text
			reply(len(wire.Marshal(wire.ProbeRep{Alive: alive, Text: text, Refused: refused})))
		})
	}, func() {
		a.Answered = true
		done(a)
	}, func(refused bool) {
		a.Alive, a.Refused = false, false
		a.Text = fmt.Sprintf("%s: %s", e.By.ID, silence(refused, membership.QuestionTimeout(timeout)))
		done(a)
	})
}

// ping tries to reach a node.
func (c *Cluster) ping(from, to int32, within time.Duration, done func(alive, refused bool, text string)) {
	c.knock(wire.OpPing, from, to, 0, within, func(reply func(int)) { reply(0) }, func() { done(true, false, "") }, func(refused bool) {
		done(false, refused, fmt.Sprintf("%s: %s", c.o.Nodes[to].ID, silence(refused, within)))
	})
}

// silence says why nobody answered.
func silence(refused bool, within time.Duration) string {
	if refused {
		return "connection refused"
	}
	return fmt.Sprintf("no answer within %v", within)
}

// gates brings GSM in line with what GMM decided of mComponents.
func (g *managers) gates() {
	if g.vigil.gating {
		return
	}
	stale := g.gsm.StaleGates(g.gmm.Entries(), g.gmm.Gone(), maxGates)
	if len(stale) == 0 {
		return
	}
	core := g.core
	g.vigil.gating = true
	client, seq := g.session()
	g.toGSM(client, seq, gsm.Request{Op: gsm.OpGates, Gates: stale}, func(gsm.Result, error) {
		if g.core == core {
			g.vigil.gating = false
		}
	})
}

// endLost ends vNodes whose pComponent was lost.
func (g *managers) endLost() {
	ender := g.vigil.lost
	for _, b := range ender.Look(g.c.clock.Now(), g.gpm.Lost(gpm.MaxProcesses)) {
		g.c.Go(fmt.Sprintf("the end of lost vNode %d", b.Process.PID), func(y *vtime.Proc) {
			g.endOne(y, b)
			ender.Ended(b.Process.PID)
		})
	}
}

// endOne ends one lost vNode.
func (g *managers) endOne(y *vtime.Proc, b lost.Begun) {
	c, p := g.c, b.Process
	alive := map[wire.NodeID]bool{}
	for _, k := range []wire.Manager{wire.GMM, wire.GSM} {
		for _, e := range g.entries(k) {
			alive[e.Member.ID] = e.State() != membership.Dead
		}
	}
	var volumes []gsm.Volume
	for _, v := range p.Volumes {
		volumes = append(volumes, g.gsm.Volumes(v.Volume)...)
	}
	silent := false
	for _, call := range lost.Calls(p, g.gmm.Processes(p.PID), volumes, func(id wire.NodeID) bool { return alive[id] }) {
		s, err, ended := vtime.Signal{Name: fmt.Sprintf("%v at %s for a lost vNode", call.Op, call.Node)}, error(nil), false
		c.tellLost(g.leader, call, func(e error) {
			err, ended = e, true
			s.Wake()
		})
		if !ended && !y.WaitFor(&s, endTimeout) || err != nil && wire.KindOf(err) != wire.KindNotFound {
			silent = true
		}
	}
	if !b.Ends(true, silent) {
		return // again, soon
	}
	if err := c.Release(y, p.PID); err == nil {
		g.vigil.ended++
	}
}

// tellLost makes a call about a lost vNode.
func (c *Cluster) tellLost(from int32, call lost.Call, done func(error)) {
	to := c.node(call.Node)
	ended := func(_ struct{}, err error) { done(err) }
	switch q := call.Req.(type) {
	case *wire.ProcessExitReq:
		control(c, call.Op, from, to, *q, func(q wire.ProcessExitReq, reply func(struct{}, error)) {
			m := c.nodes[to].(*memory)
			if q.Owner {
				m.ownerExit(q.PID)
				reply(struct{}{}, nil)
				return
			}
			m.exit(q, reply)
		}, ended)
	case *wire.VolumeRef:
		control(c, call.Op, from, to, *q, func(q wire.VolumeRef, reply func(struct{}, error)) {
			if m, ok := c.nodes[to].(*memory); ok {
				m.detach(q, func(err error) { reply(struct{}{}, err) })
				return
			}
			reply(struct{}{}, c.nodes[to].(*storage).remove(q))
		}, ended)
	default:
		panic(fmt.Sprintf("vcluster: a lost vNode has %T", call.Req))
	}
}

// heard is what a stamp tells of the members of a manager, by what the leader heard, if there may be news.
func (g *managers) heard(w *membership.Watch, of wire.Manager) []membership.Live {
	n, now := &g.vigil.tidings[of], g.c.clock.Now()
	if !n.Due(now, w, 0) {
		return nil
	}
	out, until := w.News(of, now, g.entries(of))
	n.Looked(now, w, 0, len(out), until)
	return out
}

// heardCaches is what a stamp tells GSM of mComponents.
func (g *managers) heardCaches(w *membership.Watch) []membership.Live {
	n, now, turn := &g.vigil.tidings[0], g.c.clock.Now(), g.gmm.Turn()
	if !n.Due(now, w, turn) {
		return nil
	}
	out, until := w.NewsOf(wire.GSM, now, g.gmm.Entries(), g.gsm.Caches())
	n.Looked(now, w, turn, len(out), until)
	return out
}

// History is what a manager decided, in order, as far as it is remembered.
func (c *Cluster) History(of wire.Manager) (out []events.Event) {
	state := map[wire.Manager]interface {
		Query(membership.Query) ([]byte, error)
	}{wire.GPM: c.gm.gpm, wire.GMM: c.gm.gmm, wire.GSM: c.gm.gsm}[of]
	for after := uint64(0); ; {
		var page events.Page
		b, err := state.Query(membership.Query{Kind: membership.QueryEvents, ID: after})
		if err == nil {
			err = membership.DecodeAnswer(b, &page)
		}
		if err != nil {
			panic(fmt.Sprintf("vcluster: the events of %v: %v", of, err)) // every state answers this
		}
		if len(page.Events) == 0 {
			return out
		}
		out = append(out, page.Events...)
		after = out[len(out)-1].Seq
	}
}

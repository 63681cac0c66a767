package vcluster

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// What clients and leaders of the managers do, and when, as live.
const (
	// lookInterval is how often leaders look at what is open and who waits, while something is or somebody does.
	lookInterval = 50 * time.Millisecond
	// clientPatience is how long a client waits for the end of a transaction before it asks again.
	clientPatience = 5 * time.Second
	// clientAttempts bounds how often it asks.
	clientAttempts = 64
	// clientTimeout is for how long a client makes other attempts at an admission whose coordinator ended before it decided, and
	// clientPause the longest pause between two; the first is a tenth of it.
	clientTimeout = 15 * time.Second
	clientPause   = 100 * time.Millisecond
	// evictPatience is for how long the process of a vNode that is ended for another is waited for.
	evictPatience = 5 * time.Second
)

// ask puts a request to GPM until an answer comes, under one session.
func (g *managers) ask(y *vtime.Proc, what string, client, seq uint64, q gpm.Request) (r gpm.Result, err error) {
	for range clientAttempts {
		err = wait(y, what, func(done func(error)) {
			g.toGPM(client, seq, q, func(got gpm.Result, e error) {
				r = got
				done(e)
			})
		})
		if err == nil {
			return r, r.Err()
		}
	}
	return r, wire.Errorf(wire.KindUnavailable, "%s: nobody knows what became of it after %d attempts: %v", what, clientAttempts, err)
}

// Admit has the managers admit a vNode: all or nothing. One that may wait for room is waited for until its deadline.
func (c *Cluster) Admit(y *vtime.Proc, spec admission.VNodeSpec) (admission.Placement, error) {
	if c.replayed != nil {
		return c.replayed.admit(y, c.gm, spec)
	}
	for began, pause := y.Now(), clientPause/10; ; pause = min(2*pause, clientPause) {
		p, err := c.attempt(y, spec)
		if wire.KindOf(err) != wire.KindUnavailable || y.Now()-began > clientTimeout {
			return p, err
		}
		y.Sleep(pause)
	}
}

// attempt is one attempt at an admission.
func (c *Cluster) attempt(y *vtime.Proc, spec admission.VNodeSpec) (admission.Placement, error) {
	g, what := c.gm, "the admission of "+spec.Name
	client, seq := g.session()
	for range clientAttempts {
		r, err := g.ask(y, what, client, seq, gpm.Request{Op: gpm.OpAdmit, Spec: spec})
		if err != nil {
			return admission.Placement{}, err
		}
		if r.VNode.PID != 0 {
			a, ended := g.driven(y, what, r.VNode.PID, spec)
			if r.Ticket == 0 && ended {
				if a.Gone {
					return admission.Placement{}, refusal(a.Kind, a.Text)
				}
				return a.Placement, nil
			}
		}
		if r.Ticket != 0 {
			return g.await(y, what, r.Ticket)
		}
	}
	return admission.Placement{}, wire.Errorf(wire.KindUnavailable, "%s does not end", what)
}

// refusal is the error of a vNode that is not there, of which GPM may have forgotten why.
func refusal(kind wire.Kind, text string) error {
	if kind == wire.KindNone {
		return wire.Errorf(wire.KindFailed, "it was released")
	}
	return wire.Errorf(kind, "%s", text)
}

// driven waits for the end of a transaction; false if it does not come for so long that it is better to ask again.
func (g *managers) driven(y *vtime.Proc, what string, pid wire.PID, spec admission.VNodeSpec) (a admission.Answer, ended bool) {
	w := &waiter{s: vtime.Signal{Name: what}}
	if !g.drive(pid, spec, w) {
		y.Sleep(lookInterval)
		return w.answer, false
	}
	if !w.ended && !y.WaitFor(&w.s, clientPatience) {
		g.leave(pid, w)
	}
	return w.answer, w.ended
}

// await waits until a ticket is decided. GPM's log refuses it at its deadline.
func (g *managers) await(y *vtime.Proc, what string, ticket wire.PID) (admission.Placement, error) {
	s := vtime.Signal{Name: what + ", which waits for room"}
	for {
		if t := g.gpm.Ticket(ticket); !t.Waiting {
			if t.Kind != wire.KindNone {
				return admission.Placement{}, wire.Errorf(t.Kind, "%s", t.Text)
			}
			return t.VNode, nil
		}
		g.tickets[ticket] = append(g.tickets[ticket], &s)
		g.look()
		y.Wait(&s)
	}
}

// decided wakes those who wait for tickets that are decided.
func (g *managers) decided() {
	if len(g.tickets) == 0 {
		return
	}
	for _, ticket := range sorted(g.tickets) {
		if !g.gpm.Ticket(ticket).Waiting {
			for _, s := range g.tickets[ticket] {
				s.Wake()
			}
			delete(g.tickets, ticket)
		}
	}
}

// Release gives back what a vNode has of the managers.
func (c *Cluster) Release(y *vtime.Proc, pid wire.PID) error {
	g, what := c.gm, fmt.Sprintf("the release of process %d", pid)
	if c.replayed != nil {
		g.once(y, wire.GPM, what)
		return nil
	}
	client, seq := g.session()
	if _, err := g.ask(y, what, client, seq, gpm.Request{Op: gpm.OpRelease, PID: pid}); err != nil {
		return err
	}
	for began := y.Now(); y.Now()-began < clientAttempts*clientPatience; {
		if len(g.gpm.Processes(pid)) == 0 {
			delete(g.ended, pid)
			delete(g.stopped, pid)
			return nil
		}
		g.driven(y, what, pid, admission.VNodeSpec{})
	}
	return wire.Errorf(wire.KindUnavailable, "%s does not end", what)
}

// changeLeaders has another manager lead now and then.
func (g *managers) changeLeaders() {
	f := g.c.o.Raft
	if f.LeaderChange == 0 || len(g.members) < 2 {
		return
	}
	at := g.c.clock.Now() + ElectionTime + time.Duration(g.wrong.ExpFloat64()*float64(f.LeaderChange))
	if at >= f.Until {
		return
	}
	g.c.at(at, func() {
		g.ChangeLeader()
		g.changeLeaders()
	})
}

// ChangeLeader ends the term of the managers' leader: what is not committed may be lost or not, and the next leader's coordinator
// finishes what it finds in GPM's log.
func (g *managers) ChangeLeader() {
	i := slices.Index(g.members, g.leader)
	for k := 1; k <= len(g.members); k++ {
		if next := g.members[(i+k)%len(g.members)]; g.fit(next) {
			g.leader = next
			break
		}
	}
	g.changes++
	for k := range g.logs {
		g.logs[k].depose()
	}
	g.core = admission.NewCoordinator(g.chance.Uint64(), driverPatience)
	for _, k := range []wire.Manager{wire.GMM, wire.GSM} {
		g.inquirer[k], g.asking[k] = admission.NewInquirer(driverPatience), false
	}
	g.queueing = false
	g.lead()
	for _, k := range managersOf {
		g.movers[k].depose()
		if k == wire.GMM {
			g.rebuilder.depose()
		}
	}
	g.keeper.depose()
	g.balance.lead()
	g.balance.arm()
	g.look()
}

// look has the leaders look at what is open and who waits, soon, if they do not anyway.
func (g *managers) look() {
	if g.ticking {
		return
	}
	g.ticking = true
	g.c.after(lookInterval, func() {
		g.ticking = false
		if g.tick() {
			g.look()
		}
	})
}

// tick is one look; it is false if there is nothing to look for.
func (g *managers) tick() bool {
	if !g.quorum() {
		return false // whoever leads next looks
	}
	_, waiting := g.gpm.Counts()
	open := g.gpm.Open(gpm.MaxProcesses)
	memory, storage := g.gmm.Prepared(), g.gsm.Prepared()
	evictions := g.gpm.Evictions()
	if waiting+len(open)+len(memory)+len(storage)+len(evictions)+len(g.tickets) == 0 {
		return false
	}
	now := g.c.clock.Now()
	g.perform(g.core.Found(now, open, nil))
	g.inquire(wire.GMM, memory)
	g.inquire(wire.GSM, storage)
	if !g.queueing {
		if g.gpm.Due(int64(now / time.Millisecond)) {
			g.serveQueue()
		} else if w, ok := g.gpm.Preempting(); ok {
			g.preempt(w)
		}
	}
	for _, p := range evictions {
		g.evict(p)
	}
	return true
}

// serveQueue has GPM try who waits, and drives what it tries.
func (g *managers) serveQueue() {
	client, seq := g.session()
	core := g.core
	g.queueing = true
	g.toGPM(client, seq, gpm.Request{Op: gpm.OpQueue}, func(r gpm.Result, err error) {
		if g.core != core {
			return
		}
		if g.queueing = false; err != nil {
			return // it is looked at again
		}
		for _, pid := range r.Tried {
			spec, ok := g.gpm.Wanted(pid)
			if ps := g.gpm.Processes(pid); ok && len(ps) == 1 {
				out, _ := g.core.Begin(g.gpm.Transaction(ps[0]), spec, nil)
				g.perform(out)
			}
		}
	})
}

// preempt finds whom to end for a vNode that waits, and has GPM end them, or refuse it.
func (g *managers) preempt(w gpm.Waiting) {
	try := g.whatIf(w.Spec)
	if try(nil) {
		return // there is room meanwhile
	}
	client, seq := g.session()
	core := g.core
	g.queueing = true
	victims := admission.Victims(w.Spec.Priority, g.gpm.Victims(), try)
	g.toGPM(client, seq, gpm.Request{Op: gpm.OpPreempt, PID: w.Ticket, Victims: victims}, func(gpm.Result, error) {
		if g.core == core {
			g.queueing = false
		}
	})
}

// evict stops the process of a vNode that is ended for another; when it is gone, GPM is told.
func (g *managers) evict(p gpm.Process) {
	now := g.c.clock.Now()
	if g.ended[p.PID] == nil {
		g.ended[p.PID], g.stopped[p.PID] = wire.Errorf(wire.KindFailed, "%s", p.Text), now
	}
	if n, ok := g.c.nodes[g.c.node(p.Node)].(*compute); ok && n.procs[p.PID] != nil {
		n.procs[p.PID].Stop(g.ended[p.PID])
		if now-g.stopped[p.PID] < evictPatience {
			return
		}
	}
	client, seq := g.session()
	g.toGPM(client, seq, gpm.Request{Op: gpm.OpChanges, Changes: []admission.Change{{Verb: admission.Evicted, PID: p.PID}}}, func(gpm.Result, error) {})
}

// inquire asks GPM about the holds of a participant that stay prepared, and does what it says.
func (g *managers) inquire(of wire.Manager, prepared []wire.PID) {
	changes := g.inquirer[of].Due(g.c.clock.Now(), prepared)
	if len(changes) == 0 || g.asking[of] {
		return
	}
	core := g.core
	g.asking[of] = true
	client, seq := g.session()
	g.toGPM(client, seq, gpm.Request{Op: gpm.OpChanges, Changes: changes}, func(r gpm.Result, err error) {
		if g.core != core {
			return
		}
		g.asking[of] = false
		g.inquired++
		var steps []admission.Step
		for _, o := range r.Outcomes {
			if s, ok := admission.Resolve(o); ok {
				steps = append(steps, s)
			}
		}
		if len(steps) == 0 {
			return // GPM cannot tell now; the holds stay
		}
		client, seq := g.session()
		if of == wire.GMM {
			g.toGMM(client, seq, gmm.Request{Op: gmm.OpSteps, Steps: steps}, func(gmm.Result, error) {})
		} else {
			g.toGSM(client, seq, gsm.Request{Op: gsm.OpSteps, Steps: steps}, func(gsm.Result, error) {})
		}
	})
}

package vcluster

import (
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// The commands of the three managers: each is stamped by the leader when it is proposed, and proposed again, under the same
// session, by whoever got no answer.

// toGPM proposes a request to GPM. done gets its result, or an error if nobody knows what became of it.
func (g *managers) toGPM(client, seq uint64, q gpm.Request, done func(gpm.Result, error)) {
	cmd := gpm.Command{Client: client, Seq: seq, Stamp: g.stamp("", 0), Request: q}
	switch q.Op {
	case gpm.OpAdmit, gpm.OpQueue, gpm.OpPreempt, gpm.OpBegin, gpm.OpNode, gpm.OpRestart:
		cmd.Stamp, cmd.Coordinator = g.stamp(g.c.o.Managers.GPMPolicy, wire.GPM), g.core.ID()
	}
	g.logs[wire.GPM].propose(entry{len(cmd.Encode()), func() func() {
		r := g.gpm.Apply(cmd)
		g.decided()
		return func() { done(r, nil) }
	}, func(err error) { done(gpm.Result{}, err) }})
	if g.c.o.Raft.any() {
		g.look()
	}
}

// toGMM is the same for GMM.
func (g *managers) toGMM(client, seq uint64, q gmm.Request, done func(gmm.Result, error)) {
	g.toGMMCached(client, seq, q, gmm.Cached{}, done)
}

// toGMMCached is toGMM with what GSM said of the buffer caches of an mComponent that is to be removed.
func (g *managers) toGMMCached(client, seq uint64, q gmm.Request, cached gmm.Cached, done func(gmm.Result, error)) {
	cmd := gmm.Command{Client: client, Seq: seq, Stamp: g.stamp(g.c.o.Managers.GMMPolicy, wire.GMM), Overcommit: g.c.o.Managers.Overcommit, Cached: cached, Request: q}
	g.logs[wire.GMM].propose(entry{len(cmd.Encode()), func() func() {
		r := g.gmm.Apply(cmd)
		g.rebuilder.wake()
		return func() { done(r, nil) }
	}, func(err error) { done(gmm.Result{}, err) }})
}

// toGSM is the same for GSM.
func (g *managers) toGSM(client, seq uint64, q gsm.Request, done func(gsm.Result, error)) {
	cmd := gsm.Command{
		Client: client, Seq: seq, Stamp: g.stamp(g.c.o.Managers.GSMPolicy, wire.GSM), CachePolicy: g.c.o.Managers.CachePolicy,
		Caches: g.caches(), Request: q,
	}
	g.logs[wire.GSM].propose(entry{len(cmd.Encode()), func() func() {
		r := g.gsm.Apply(cmd)
		return func() { done(r, nil) }
	}, func(err error) { done(gsm.Result{}, err) }})
}

// activate has GMM name the owner of a vRegion, for the home at a node.
func (g *managers) activate(from int32, pid wire.PID, region wire.RegionNo, done func(wire.Activated, error)) {
	q := gmm.Request{Op: gmm.OpActivate, PID: pid, Region: region}
	if r := g.c.replayed; r != nil {
		g.c.ask(wire.OpPropose, from, g.leader, len(q.Encode()), func(reply func(int, func())) {
			answered := func() {
				reply(commandBytes, func() {
					o, err := r.owner(pid, region)
					done(wire.Activated{Owner: o}, err)
				})
			}
			g.logs[wire.GMM].propose(entry{commandBytes, func() func() { return answered }, func(error) { answered() }})
		}, func(err error) {
			done(wire.Activated{}, wire.Errorf(wire.KindUnavailable, "GMM does not answer: %v", err))
		})
		return
	}
	client, seq, attempt := uint64(0), uint64(0), 0
	var try func()
	try = func() {
		g.c.ask(wire.OpPropose, from, g.leader, len(q.Encode()), func(reply func(int, func())) {
			if attempt == 0 { // here, where commands have their order: on the way many others may overtake it
				client, seq = g.session()
			}
			g.toGMM(client, seq, q, func(r gmm.Result, err error) {
				if err == nil {
					reply(len(r.Encode()), func() { done(wire.Activated{Owner: r.Owner, Config: r.Config, Home: r.Home}, r.Err()) })
					return
				}
				reply(len(err.Error()), func() {
					if attempt++; attempt < clientAttempts {
						try()
						return
					}
					done(wire.Activated{}, wire.Errorf(wire.KindUnavailable, "GMM does not answer: %v", err))
				})
			})
		}, func(err error) {
			done(wire.Activated{}, wire.Errorf(wire.KindUnavailable, "GMM does not answer: %v", err))
		})
	}
	try()
}

// waiter waits for the end of a transaction.
type waiter struct {
	s      vtime.Signal
	answer admission.Answer
	ended  bool
}

// end tells it.
func (w *waiter) end(a admission.Answer) {
	w.answer, w.ended = a, true
	w.s.Wake()
}

// drive carries a transaction of GPM's log to its end, and tells w. It reports false if as many are under way as there may be.
func (g *managers) drive(pid wire.PID, spec admission.VNodeSpec, w *waiter) bool {
	ps := g.gpm.Processes(pid)
	if len(ps) == 0 {
		o := g.gpm.Outcome(pid)
		w.end(admission.Answer{PID: pid, Gone: true, Kind: o.Kind, Text: o.Text})
		return true
	}
	if ps[0].Phase == admission.Running {
		w.end(admission.Answer{PID: pid, Placement: g.gpm.Placement(ps[0])})
		return true
	}
	g.waiting[pid] = append(g.waiting[pid], w)
	out, ok := g.core.Begin(g.gpm.Transaction(ps[0]), spec, nil)
	if !ok {
		g.leave(pid, w)
		return false
	}
	g.perform(out)
	return true
}

// leave takes w off those who wait for a transaction.
func (g *managers) leave(pid wire.PID, w *waiter) {
	if ws := slices.DeleteFunc(g.waiting[pid], func(x *waiter) bool { return x == w }); len(ws) > 0 {
		g.waiting[pid] = ws
	} else {
		delete(g.waiting, pid)
	}
}

// perform sends steps and changes, each as a command of its own, and answers. What is answered after the coordinator was
// replaced is no matter of the new one.
func (g *managers) perform(out []admission.Effect) {
	core := g.core
	lost := func(from wire.Manager, pid wire.PID, err error) {
		if g.core == core {
			g.perform(core.Lost(from, pid, err, nil))
			g.look()
		}
	}
	voted := func(from wire.Manager, s admission.Step, votes []admission.Vote, err error) {
		switch {
		case err != nil:
			lost(from, s.PID, err)
		case g.core == core:
			g.perform(core.Voted(from, s.Verb, votes[0], nil))
		}
	}
	for _, e := range out {
		client, seq := uint64(0), uint64(0)
		if e.To != 0 {
			client, seq = g.session()
		}
		switch e.To {
		case wire.GPM:
			g.toGPM(client, seq, gpm.Request{Op: gpm.OpChanges, Changes: []admission.Change{e.Change}}, func(r gpm.Result, err error) {
				if err == nil {
					err = r.Err()
				}
				if err != nil {
					lost(wire.GPM, e.Change.PID, err)
				} else if g.core == core {
					g.perform(core.Settled(r.Outcomes[0], nil))
				}
			})
		case wire.GMM:
			g.toGMM(client, seq, gmm.Request{Op: gmm.OpSteps, Steps: []admission.Step{e.Step}}, func(r gmm.Result, err error) {
				if err == nil {
					err = r.Err()
				}
				voted(wire.GMM, e.Step, r.Votes, err)
			})
		case wire.GSM:
			g.toGSM(client, seq, gsm.Request{Op: gsm.OpSteps, Steps: []admission.Step{e.Step}}, func(r gsm.Result, err error) {
				if err == nil {
					err = r.Err()
				}
				voted(wire.GSM, e.Step, r.Votes, err)
			})
		default:
			ws := g.waiting[e.Answer.PID]
			delete(g.waiting, e.Answer.PID)
			for _, w := range ws {
				w.end(e.Answer)
			}
		}
	}
}

// whatIf returns what tells whether a vNode would fit at all three managers if some vNodes were not there.
func (g *managers) whatIf(spec admission.VNodeSpec) func(without []wire.PID) bool {
	o := &g.c.o.Managers
	stamp := func(policy string) membership.Stamp {
		return membership.Stamp{Policy: policy, Chance: g.chance.Uint64()}
	}
	compute, memory, storage := stamp(o.GPMPolicy), stamp(o.GMMPolicy), stamp(o.GSMPolicy)
	spec = spec.Complete()
	step := spec.Step(1<<63 - 1) // above all that are given
	return func(without []wire.PID) bool {
		return g.gpm.Fits(spec, without, gpm.Command{Stamp: compute}) == nil &&
			g.gmm.Fits(step, without, gmm.Command{Stamp: memory, Overcommit: o.Overcommit}) == nil &&
			(len(spec.Volumes) == 0 || g.gsm.Fits(step, without, gsm.Command{Stamp: storage, CachePolicy: o.CachePolicy}) == nil)
	}
}

package gmanagers

import (
	"context"
	"sync"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// maxProbing bounds the probes that one manager process makes at a time, its own and those that others ask it for.
const maxProbing = 2 * membership.MaxSuspects

// vigil looks after the members of one group that may have ended while this process leads it: it performs what membership.Prober
// decides. Lock order: vigil.mu before Managers.mu.
type vigil struct {
	d    *driver
	g    wire.Manager
	wake chan struct{} // capacity 1: there is something to look at

	mu   sync.Mutex
	term uint64
	core *membership.TapedProber
}

// run looks when there is something to see: a connection ended, a member becomes silent, or a round of questions is over.
func (v *vigil) run() {
	t := time.NewTimer(lookInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-v.wake:
		case <-v.d.ctx.Done():
			return
		}
		t.Reset(v.look())
	}
}

// rouse has it look at once.
func (v *vigil) rouse() {
	select {
	case v.wake <- struct{}{}:
	default: // it will
	}
}

// Disconnected is told that a connection of somebody to this process has ended: netlayer.ServerOptions.OnGone. It is a reason to look
// whether a component lives.
func (m *Managers) Disconnected(who wire.Hello) {
	g, err := membership.ManagerOf(who.Role)
	if err != nil {
		return // not a component
	}
	m.mu.Lock()
	news := m.watch.Disconnected(m.now(), who.Node)
	d := m.driver
	m.mu.Unlock()
	if news && d != nil {
		d.vigils[g].rouse()
	}
}

// look returns after how long to look again.
func (v *vigil) look() time.Duration {
	m := v.d.m
	leads := v.d.leads(v.g)
	m.mu.Lock()
	m.lead(v.g, leads) // the event may come later, and the grace must begin first
	term := m.terms[v.g]
	m.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.core != nil && (!leads || term != v.term) {
		v.core.End()
		v.core = nil
	}
	if !leads {
		v.tellReached(nil)
		return lookInterval
	}
	if v.core == nil {
		v.core, v.term = m.proberCore(v.g), term
	}
	s, err := v.watched()
	if err != nil {
		return lookInterval // stopping
	}
	v.perform(v.core.Tick(m.now(), s.Doubts, s.Witnesses, nil))
	v.tellReached(s.Doubts)
	next := s.Next
	if at, ok := v.core.Wake(); ok {
		next = min(next, at)
	}
	return max(min(next-m.now(), lookInterval), minLook)
}

// watched returns the members of the group that may have ended and are not dead, and who can be asked about them: components of
// any role that were heard of, or the other managers if there are none.
func (v *vigil) watched() (*membership.Suspects, error) {
	m := v.d.m
	var entries [wire.GSM + 1][]membership.Entry
	for _, g := range groups {
		if err := v.d.host.Stale(g, func(s raftsm.State) { entries[g] = s.Entries() }); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	s := m.watch.Suspects(v.g, m.now())
	for _, g := range groups {
		s.Add(g, entries[g])
	}
	m.mu.Unlock()
	if len(s.Witnesses) == 0 {
		for _, p := range m.o.Peers {
			if p.ID != m.o.ID {
				s.Witnesses = append(s.Witnesses, membership.Witness{ID: p.ID, Addr: string(p.Addr)})
			}
		}
	}
	return s, nil
}

// tellReached keeps for listings which of the silent members others reach. v.mu is held.
func (v *vigil) tellReached(doubts []membership.Doubt) {
	var reached map[wire.NodeID]wire.Epoch
	for _, d := range doubts {
		if v.core.Unreachable(d.Member) {
			if reached == nil {
				reached = map[wire.NodeID]wire.Epoch{}
			}
			reached[d.Member.ID] = d.Member.Epoch
		}
	}
	v.d.m.mu.Lock()
	v.d.m.reached[v.g] = reached
	v.d.m.mu.Unlock()
}

// perform does what the core wants. v.mu is held. At most membership.MaxSuspects times Witnesses+1 questions are out.
func (v *vigil) perform(effects []membership.ProbeEffect) {
	for _, e := range effects {
		switch e.Kind {
		case membership.Ask:
			v.d.wg.Go(func() { v.ask(v.term, e) })
		case membership.Declare:
			v.d.wg.Go(func() { v.declare(e) })
		default:
			v.d.wg.Go(func() { v.note(e) })
		}
	}
}

// ask puts one question and hands the answer to the core that put it.
func (v *vigil) ask(term uint64, e membership.ProbeEffect) {
	m := v.d.m
	m.stats.probes.Add(1)
	timeout := ms(m.o.ProbeMS)
	q := wire.ProbeReq{Node: e.Of.ID, Addr: e.Of.Addr, TimeoutMS: uint32(timeout.Milliseconds())}
	ctx, cancel := context.WithTimeout(v.d.ctx, membership.QuestionTimeout(timeout))
	defer cancel()
	var rep wire.ProbeRep
	var err error
	if e.By.ID == "" {
		rep, err = m.prober.Probe(ctx, q)
	} else {
		rep, err = m.prober.Ask(ctx, netlayer.Addr(e.By.Addr), q)
	}
	a := membership.ProbeAnswer{Of: e.Of.ID, By: e.By.ID, Round: e.Round, Answered: err == nil, Alive: rep.Alive, Refused: rep.Refused, Text: rep.Text}
	if err != nil {
		a.Text = err.Error()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.core != nil && v.term == term && v.d.ctx.Err() == nil {
		v.perform(v.core.Answered(m.now(), a, nil))
		v.rouse() // the next thing to do may be sooner now
	}
}

// declare has a member declared dead, unless it was heard of meanwhile or somebody else leads.
func (v *vigil) declare(e membership.ProbeEffect) {
	m := v.d.m
	m.mu.Lock()
	silent := m.watch.Silence(m.now(), e.Of)
	refuted := m.watch.Refutes(v.g, m.now(), e)
	m.mu.Unlock()
	if refuted || !v.d.leads(v.g) {
		return
	}
	ctx, cancel := context.WithTimeout(v.d.ctx, stepTimeout)
	defer cancel()
	if err := v.d.client.DeclareDead(ctx, e.Of, e.Reason(), silent); err != nil {
		m.log.Warn("cannot declare a component dead", "component", string(e.Of.ID), "epoch", uint32(e.Of.Epoch), "error", err.Error())
		return
	}
	m.stats.deaths.Add(1)
	took := m.now() - e.Since
	m.log.Warn("declared dead", "component", string(e.Of.ID), "epoch", uint32(e.Of.Epoch), "because", e.Reason(), "took", took.String())
	if err := v.d.client.Note(ctx, e.Of, membership.NoteFenced, membership.FenceText(took)); err != nil && v.d.ctx.Err() == nil {
		m.log.Warn("cannot take down how long it took to fence a component", "component", string(e.Of.ID), "error", err.Error())
	}
}

// note takes down what was seen, as far as it can be: nothing depends on it.
func (v *vigil) note(e membership.ProbeEffect) {
	v.d.m.log.Info("silent component", "component", string(e.Of.ID), "epoch", uint32(e.Of.Epoch), "seen", e.Kind.String(), "told", e.Text)
	ctx, cancel := context.WithTimeout(v.d.ctx, stepTimeout)
	defer cancel()
	if err := v.d.client.Note(ctx, e.Of, e.Kind.Note(), e.Text); err != nil && v.d.ctx.Err() == nil {
		v.d.m.log.Warn("cannot take down what was seen of a component", "component", string(e.Of.ID), "error", err.Error())
	}
}

// maxGates bounds the gates of one command.
const maxGates = 64

// gates brings GSM, while this process leads it, in line with what GMM decided of mComponents, as this replica knows it.
func (d *driver) gates() {
	if !d.leads(wire.GSM) {
		return
	}
	var entries []membership.Entry
	var gone []membership.Tombstone
	var stale []gsm.Gate
	err := d.host.Stale(wire.GMM, func(s raftsm.State) { entries, gone = s.Entries(), s.(*gmm.State).Gone() })
	if err == nil {
		err = d.host.Stale(wire.GSM, func(s raftsm.State) { stale = s.(*gsm.State).StaleGates(entries, gone, maxGates) })
	}
	if err != nil || len(stale) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, stepTimeout)
	defer cancel()
	if _, err := d.client.Gates(ctx, stale); err != nil && d.ctx.Err() == nil {
		d.m.log.Warn("GSM does not know yet which mComponents are closed", "components", len(stale), "error", err.Error())
	}
}

// cached asks GSM, for the removal of an mComponent, how many buffer caches it has, and sees to it that it gets no more:
// GSM closes it under the turn of its present state, which GMM compares when it carries out the removal.
func (m *Managers) cached(ctx context.Context, host *raftsm.Host, id wire.NodeID) (c gmm.Cached, err error) {
	var gate gsm.Gate
	err = host.Stale(wire.GMM, func(s raftsm.State) {
		for _, e := range s.Entries() {
			if e.Member.ID == id && e.State() != membership.Active {
				gate = gsm.GateOf(e)
			}
		}
	})
	if err != nil || gate.ID == "" {
		return c, err // GMM says why it is not removed
	}
	d, err := m.drives()
	if err != nil {
		return c, err
	}
	if err := d.enter(); err != nil { // as an admission it holds a worker while it waits for another manager
		return c, err
	}
	defer d.leave()
	got, err := d.client.Gates(ctx, []gsm.Gate{gate})
	if err != nil {
		return c, wire.Errorf(wire.KindUnavailable, "GSM does not tell whether %s has buffer caches: %v", id, err)
	}
	return gmm.Cached{Turn: got[0].Turn, Volumes: got[0].Volumes}, nil
}

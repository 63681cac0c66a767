package gmanagers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/lost"
	"splitkernel/gmanagers/restart"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

const (
	// MaxAdmitting bounds the admissions and releases that wait at one process; beyond it they are refused as busy.
	MaxAdmitting = 256
	// maxBatches bounds the commands on their way to one group; what comes meanwhile goes with the next one. More would
	// make smaller batches.
	maxBatches = 2
	// stepTimeout bounds a step, leaders' changes included. A step that takes longer counts as lost.
	stepTimeout = 3 * time.Second
	// lookInterval is how often a leader looks for transactions that nobody drives, and for holds that stay prepared.
	lookInterval = 250 * time.Millisecond
	// minLook is the least time between two looks at the members that may have ended, unless something happened.
	minLook = 5 * time.Millisecond
	// patience is how long those are left alone: longer than an admission takes, shorter than anybody wants to wait.
	patience = time.Second
)

// driver performs what the cores of admission decide while this process leads: it sends steps and changes in batches and
// wakes who waits. Lock order: d.mu before m.mu, and before a stale read of the host.
type driver struct {
	m         *Managers
	host      *raftsm.Host
	client    *client.Client
	movers    [wire.GSM + 1]*mover
	rebuilder *rebuilder
	vigils    [wire.GSM + 1]*vigil
	moving    *client.Client     // of what moves and repairs
	peers     *components        // of the sweepers
	ctx       context.Context    // ends with Run
	settings  admission.Settings // what this process says of admissions
	wg        sync.WaitGroup     // senders

	// How long the end of a preempted vNode waits for components, and each attempt to end one takes.
	evictPatience, endTimeout time.Duration

	mu      sync.Mutex
	term    uint64 // of leadership of GPM, as m counts them
	core    *admission.Taped
	waiting map[wire.PID][]*waiter
	traced  map[wire.PID]span.Context // of those that wait, whose request is of a trace
	lanes   [wire.GSM + 1]lane
	effects []admission.Effect // reused
	slots   int                // admissions and releases that wait
	closed  bool               // no sender is started any more
	lost    *lost.Ender

	restarts   *restart.Taped // nil before the first look
	restartsOf uint64         // its term
}

// lane is what goes to one group.
type lane struct {
	queue   []admission.Effect // at most two for each driven transaction
	senders int
}

// waiter is a handler that waits for a vNode.
type waiter struct {
	answer chan admission.Answer // capacity 1
}

func newDriver(ctx context.Context, m *Managers, host *raftsm.Host) (*driver, error) {
	o := client.DefaultOptions()
	o.Net = m.o.Net
	for _, p := range m.o.Peers {
		o.Managers = append(o.Managers, client.Manager{ID: p.ID, Addr: p.Addr})
	}
	c, err := client.New(o)
	if err != nil {
		return nil, fmt.Errorf("client of the other managers: %w", err)
	}
	moving, err := client.New(o)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("client of the other managers: %w", err)
	}
	d := &driver{
		m: m, host: host, client: c, moving: moving, peers: newComponents(m.o.Net), ctx: ctx, settings: m.settings(), core: m.coordinatorCore(), waiting: map[wire.PID][]*waiter{}, traced: map[wire.PID]span.Context{},
		lost: lost.New(lost.Patience), evictPatience: evictPatience, endTimeout: stepTimeout,
	}
	if p := m.o.patience; p != 0 {
		d.lost, d.evictPatience, d.endTimeout = lost.New(p), p, p
	}
	for _, g := range groups {
		d.vigils[g] = &vigil{d: d, g: g, wake: make(chan struct{}, 1)}
		d.movers[g] = newMover(m, host, g, moving)
	}
	d.rebuilder = newRebuilder(m, host, moving)
	return d, nil
}

// run looks after what is open until ctx, the driver's, ends; then it waits for the senders.
func (d *driver) run() {
	var loops sync.WaitGroup
	loops.Go(func() { d.every(lookInterval, func() { d.find() }) })
	loops.Go(func() { d.every(queueInterval, func() { d.serveQueue() }) })
	stopping := map[wire.PID]time.Time{}
	loops.Go(func() { d.every(queueInterval, func() { d.evict(stopping) }) })
	for _, g := range []wire.Manager{wire.GMM, wire.GSM} {
		q := d.m.inquirerCore(g)
		loops.Go(func() { d.every(lookInterval, func() { d.inquire(g, q) }) })
	}
	for _, g := range groups {
		loops.Go(d.vigils[g].run)
		b := newBalancer(d.m, d.host, g, d.moving, d.movers[g])
		d.movers[g].ended = b.woken
		loops.Go(func() { d.movers[g].run(d.ctx) })
		loops.Go(func() { b.run(d.ctx) })
	}
	loops.Go(func() { d.rebuilder.run(d.ctx) })
	kept := newKeeper(d.m, d.host, d.moving)
	loops.Go(func() { kept.run(d.ctx) })
	for _, g := range groups {
		s := &sweeper{d: d, g: g}
		loops.Go(func() { d.every(lookInterval, s.look) })
	}
	loops.Go(func() { d.every(lookInterval, d.gates) })
	loops.Go(func() { d.every(lookInterval, d.endLost) })
	loops.Go(func() { d.every(lookInterval, d.bringBack) })
	loops.Wait()
	d.client.Close() // ends the calls on their way
	d.moving.Close()
	d.peers.close()
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.wg.Wait()
}

func (d *driver) every(interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-d.ctx.Done():
			return
		}
	}
}

// current returns the coordinator of the present term of leadership. d.mu is held.
func (d *driver) current() *admission.Taped {
	d.m.mu.Lock()
	term := d.m.terms[wire.GPM]
	d.m.mu.Unlock()
	if term != d.term {
		d.core.End()
		d.term, d.core = term, d.m.coordinatorCore() // what the last term left open is found in the log
	}
	return d.core
}

// coordinatorID is stamped into intents.
func (d *driver) coordinatorID() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current().ID()
}

// enter takes one of the places for admissions; leave gives it back.
func (d *driver) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slots >= MaxAdmitting {
		return wire.Errorf(wire.KindBusy, "%d admissions and releases wait already", d.slots)
	}
	d.slots++
	return nil
}

func (d *driver) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slots--
}

// open reads a process of GPM's state here.
func (d *driver) open(pid wire.PID) (o admission.Open, gone admission.Outcome, err error) {
	err = d.host.Stale(wire.GPM, func(s raftsm.State) {
		st := s.(*gpm.State)
		if ps := st.Processes(pid); len(ps) == 1 {
			o = st.Transaction(ps[0])
		} else {
			gone = st.Outcome(pid)
		}
	})
	return o, gone, err
}

// complete drives what a command has begun to its end and returns the result for the client.
func (d *driver) complete(ctx context.Context, q gpm.Request, res gpm.Result) (gpm.Result, error) {
	pid := res.VNode.PID
	if pid == 0 {
		return res, nil // it waits, or waited and was released
	}
	d.mu.Lock()
	o, gone, err := d.open(pid) // under the lock: what the coordinator has ended is ended here too
	if err != nil {
		d.mu.Unlock()
		return res, err
	}
	switch {
	case o.Phase == 0:
		d.mu.Unlock()
		return result(q, res, admission.Answer{PID: pid, Gone: true, Kind: gone.Kind, Text: gone.Text}), nil
	case o.Phase == admission.Running && q.Op == gpm.OpAdmit:
		d.mu.Unlock()
		return result(q, res, admission.Answer{PID: pid, Placement: o.Placement}), nil
	}
	w := &waiter{answer: make(chan admission.Answer, 1)}
	effects, ok := d.current().Begin(o, q.Spec, d.effects[:0])
	if !ok {
		d.mu.Unlock()
		return res, wire.Errorf(wire.KindBusy, "%d transactions are under way", admission.MaxDriven)
	}
	d.waiting[pid] = append(d.waiting[pid], w)
	if c := span.Of(ctx); c.Trace != 0 {
		d.traced[pid] = c
	}
	d.perform(effects)
	d.mu.Unlock()
	for {
		select {
		case a := <-w.answer:
			if q.Op == gpm.OpRelease && !a.Gone { // its admission was answered meanwhile
				if d.m.o.OnStep != nil {
					d.m.o.OnStep(d.ctx, "release waits again")
				}
				d.mu.Lock()
				o, gone, err := d.open(pid) // again under the lock: its end may have been answered since, without this waiter
				if err == nil && o.Phase != 0 {
					d.waiting[pid] = append(d.waiting[pid], w)
				}
				d.mu.Unlock()
				switch {
				case err != nil:
					return res, err
				case o.Phase == 0:
					return result(q, res, admission.Answer{PID: pid, Gone: true, Kind: gone.Kind, Text: gone.Text}), nil
				}
				continue
			}
			return result(q, res, a), nil
		case <-ctx.Done():
			d.mu.Lock()
			d.waiting[pid] = slices.DeleteFunc(d.waiting[pid], func(x *waiter) bool { return x == w })
			if len(d.waiting[pid]) == 0 {
				delete(d.waiting, pid)
				delete(d.traced, pid)
			}
			d.mu.Unlock()
			return res, wire.Errorf(wire.KindUnknownState, "process %d: what was begun has not ended in time", pid)
		}
	}
}

// result makes the result of an admission or a release whose command had result was.
func result(q gpm.Request, was gpm.Result, a admission.Answer) gpm.Result {
	switch {
	case q.Op == gpm.OpRelease:
		return gpm.Result{}
	case a.Gone && was.Ticket != 0:
		return gpm.Result{Ticket: was.Ticket} // the queue knows what became of it
	case a.Gone && a.Kind == wire.KindNone:
		return gpm.Result{Kind: wire.KindFailed, Text: fmt.Sprintf("process %d was released, or refused so long ago that the reason is forgotten", a.PID)}
	case a.Gone:
		return gpm.Result{Kind: a.Kind, Text: a.Text}
	}
	return gpm.Result{VNode: a.Placement, Ticket: was.Ticket}
}

// perform queues what is to be sent and wakes who waits. d.mu is held.
func (d *driver) perform(effects []admission.Effect) {
	d.effects = effects
	for _, e := range effects {
		if e.To == 0 {
			d.m.stats.answered(e.Answer)
			for _, w := range d.waiting[e.Answer.PID] {
				w.answer <- e.Answer
			}
			delete(d.waiting, e.Answer.PID)
			delete(d.traced, e.Answer.PID)
			continue
		}
		l := &d.lanes[e.To]
		l.queue = append(l.queue, e)
		if l.senders < maxBatches && !d.closed {
			l.senders++
			d.wg.Go(func() { d.send(e.To) })
		}
	}
}

// send sends batches to a group until none is left.
func (d *driver) send(g wire.Manager) {
	for {
		d.mu.Lock()
		l := &d.lanes[g]
		n := min(len(l.queue), admission.MaxBatch)
		if n == 0 || d.ctx.Err() != nil {
			l.senders--
			d.mu.Unlock()
			return
		}
		batch := slices.Clone(l.queue[:n])
		l.queue = slices.Delete(l.queue, 0, n)
		d.mu.Unlock()
		d.told(batch, "")
		d.call(g, batch)
	}
}

// answered is what follows the name of a step in Options.OnStep once its answer has come.
const answered = " answered"

// told tells a test of steps.
func (d *driver) told(batch []admission.Effect, then string) {
	if d.m.o.OnStep == nil {
		return
	}
	for _, e := range batch {
		d.m.o.OnStep(d.ctx, stepName(e)+then)
	}
}

// stepName names a step for Options.OnStep.
func stepName(e admission.Effect) string {
	if e.To == wire.GPM {
		return e.Change.Verb.String()
	}
	return e.Step.Verb.String() + " " + e.To.String()
}

// traceOf gives the trace to which a batch belongs: that of the first of its transactions that has one.
func (d *driver) traceOf(batch []admission.Effect) span.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := 0; len(d.traced) > 0 && i < len(batch); i++ {
		pid := batch[i].Step.PID
		if batch[i].To == wire.GPM {
			pid = batch[i].Change.PID
		}
		if c := d.traced[pid]; c.Trace != 0 {
			return c
		}
	}
	return span.Context{}
}

// call sends one batch and hands the answers to the coordinator.
func (d *driver) call(g wire.Manager, batch []admission.Effect) {
	ctx, cancel := context.WithTimeout(d.ctx, stepTimeout)
	defer cancel()
	ctx = span.With(ctx, d.traceOf(batch))
	d.m.stats.batches.Add(1)
	var votes []admission.Vote
	var outcomes []admission.Outcome
	var err error
	if g == wire.GPM {
		changes := make([]admission.Change, len(batch))
		for i, e := range batch {
			changes[i] = e.Change
		}
		outcomes, err = d.client.Changes(ctx, changes)
	} else {
		steps := make([]admission.Step, len(batch))
		for i, e := range batch {
			steps[i] = e.Step
		}
		votes, err = d.client.Steps(ctx, g, steps)
	}
	if err == nil {
		d.told(batch, answered)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.effects[:0]
	for i, e := range batch {
		switch {
		case err != nil && g == wire.GPM:
			out = d.core.Lost(g, e.Change.PID, err, out)
		case err != nil:
			out = d.core.Lost(g, e.Step.PID, err, out)
		case g == wire.GPM:
			out = d.core.Settled(outcomes[i], out)
		default:
			out = d.core.Voted(g, e.Step.Verb, votes[i], out)
		}
	}
	d.perform(out)
}

// leads reports whether this process leads a group.
func (d *driver) leads(g wire.Manager) bool { return d.host.Leader(g) == d.m.o.ID }

// find has the coordinator drive what GPM's log holds open.
func (d *driver) find() {
	if !d.leads(wire.GPM) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var open []admission.Open
	if err := d.host.Stale(wire.GPM, func(s raftsm.State) { open = s.(*gpm.State).Open(gpm.MaxProcesses) }); err != nil {
		return // stopping
	}
	d.perform(d.current().Found(d.m.now(), open, d.effects[:0]))
}

// inquire asks GPM about the holds of a participant that stay prepared, and does what it says.
func (d *driver) inquire(g wire.Manager, q *admission.TapedInquirer) {
	if !d.leads(g) {
		return
	}
	var prepared []wire.PID
	err := d.host.Stale(g, func(s raftsm.State) {
		switch s := s.(type) {
		case *gmm.State:
			prepared = s.Prepared()
		case *gsm.State:
			prepared = s.Prepared()
		}
	})
	changes := q.Due(d.m.now(), prepared)
	if err != nil || len(changes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, stepTimeout)
	defer cancel()
	outcomes, err := d.client.Changes(ctx, changes)
	if err != nil {
		return // GPM cannot tell now; the hold stays
	}
	var steps []admission.Step
	for _, o := range outcomes {
		if s, ok := admission.Resolve(o); ok {
			steps = append(steps, s)
		}
	}
	d.m.stats.inquiries.Add(uint64(len(changes)))
	if _, err := d.client.Steps(ctx, g, steps); err != nil {
		d.m.log.Warn("holds that GPM decided stay prepared for now", "manager", g.String(), "holds", len(steps), "error", err.Error())
	}
}

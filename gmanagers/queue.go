package gmanagers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

const (
	// queueInterval is how often the leader of GPM looks whether the queue has anything to do: what a vNode waits for nothing
	// after room appears. It reads its own replica, so it costs little while there is nothing.
	queueInterval = 50 * time.Millisecond
	// evictPatience is how long a pComponent is asked to stop the process of a vNode that is ended for another. One that does
	// not answer for so long is not waited for: the process finds its memory gone.
	evictPatience = 5 * time.Second
	// evictWait is how long one such request waits at the pComponent for the end of the process.
	evictWait = 2 * time.Second
	// maxEvicting bounds the processes that are stopped at a time.
	maxEvicting = 16
)

// settings are what this process says of admissions, as GPM replicates it.
func (m *Managers) settings() admission.Settings {
	return admission.Settings{ThreadsPerCore: uint64(m.o.ThreadsPerCore), Quotas: m.o.Quotas}.Sorted()
}

// configure has GPM replicate the settings of this process, which leads it, if they are others.
func (d *driver) configure(ctx context.Context) error {
	same := false
	want := d.settings
	if err := d.host.Stale(wire.GPM, func(s raftsm.State) {
		is := s.(*gpm.State).Settings()
		same = is.Equal(&want)
	}); err != nil || same {
		return err
	}
	return d.client.Configure(ctx, want)
}

// serveQueue is what the leader of GPM does for the vNodes that wait.
func (d *driver) serveQueue() {
	nowMS, err := d.m.clockMS(d.host) // also while another manager leads
	if err != nil || !d.leads(wire.GPM) {
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, stepTimeout)
	defer cancel()
	if err := d.configure(ctx); err != nil {
		d.m.log.Warn("the settings of admissions are not replicated yet", "error", err.Error())
		return
	}
	var due, preempts bool
	var first gpm.Waiting
	if err := d.host.Stale(wire.GPM, func(s raftsm.State) {
		st := s.(*gpm.State)
		due = st.Due(nowMS)
		first, preempts = st.Preempting()
	}); err != nil {
		return // stopping
	}
	if due {
		if err := d.client.LookAtQueue(ctx); err != nil {
			d.m.log.Warn("the queue could not be looked at", "error", err.Error())
		}
	}
	if preempts {
		d.preempt(ctx, first)
	}
}

// begin drives admissions that a look at the queue began at this process. Those that are not driven are aborted, and tried
// again.
func (d *driver) begin(pids []wire.PID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, pid := range pids {
		var o admission.Open
		var spec admission.VNodeSpec
		found := false
		if err := d.host.Stale(wire.GPM, func(s raftsm.State) {
			st := s.(*gpm.State)
			if ps := st.Processes(pid); len(ps) == 1 {
				o = st.Transaction(ps[0])
				spec, found = st.Wanted(pid)
			}
		}); err != nil || !found {
			continue
		}
		effects, _ := d.current().Begin(o, spec, d.effects[:0])
		d.perform(effects)
	}
}

// preempt finds out whom to end for a vNode that waits, and has GPM end them; if nobody's end would help, that vNode is
// refused. It asks copies of all three states what would be, after it made sure that they are not behind.
func (d *driver) preempt(ctx context.Context, w gpm.Waiting) {
	warn := func(err error) {
		d.m.log.Warn("nobody could be ended for a vNode", "ticket", w.Ticket, "vnode", w.Spec.Name, "error", err.Error())
	}
	for _, g := range groups {
		if err := d.host.Read(ctx, g, func(raftsm.State) {}); err != nil {
			warn(err)
			return
		}
	}
	try := d.whatIf(w.Spec)
	if try(nil) {
		return // there is room meanwhile
	}
	var candidates []admission.Victim
	if err := d.host.Stale(wire.GPM, func(s raftsm.State) { candidates = s.(*gpm.State).Victims() }); err != nil {
		return
	}
	victims := admission.Victims(w.Spec.Priority, candidates, try)
	if err := d.client.Preempt(ctx, w.Ticket, victims); err != nil && wire.KindOf(err) != wire.KindStale { // stale: something changed, look again
		warn(err)
	}
}

// whatIf returns what tells whether a vNode would fit at all three managers if some vNodes were not there.
func (d *driver) whatIf(spec admission.VNodeSpec) func(without []wire.PID) bool {
	m := d.m
	stamp := func(policy string) membership.Stamp {
		return membership.Stamp{Policy: policy, Chance: rand.Uint64()} // the states know who is heard of, or will in a moment
	}
	compute, memory, storage := stamp(m.o.GPMPolicy), stamp(m.o.GMMPolicy), stamp(m.o.GSMPolicy)
	spec = spec.Complete()
	step := spec.Step(1<<63 - 1) // above all that are given
	return func(without []wire.PID) bool {
		var no error
		ask := func(g wire.Manager, fits func(s raftsm.State) error) {
			if no == nil {
				if err := d.host.Stale(g, func(s raftsm.State) { no = fits(s) }); err != nil {
					no = err
				}
			}
		}
		ask(wire.GPM, func(s raftsm.State) error { return s.(*gpm.State).Fits(spec, without, gpm.Command{Stamp: compute}) })
		ask(wire.GMM, func(s raftsm.State) error {
			return s.(*gmm.State).Fits(step, without, gmm.Command{Stamp: memory, Overcommit: uint64(m.o.Overcommit * 1000)})
		})
		if len(spec.Volumes) > 0 {
			ask(wire.GSM, func(s raftsm.State) error {
				return s.(*gsm.State).Fits(step, without, gsm.Command{Stamp: storage, CachePolicy: m.o.CachePolicy})
			})
		}
		return no == nil
	}
}

// evict stops the processes of vNodes that are ended for others, has the components give back what they had, and tells GPM.
// Since is when each was first seen here.
func (d *driver) evict(since map[wire.PID]time.Time) {
	if !d.leads(wire.GPM) {
		clear(since)
		return
	}
	var list []gpm.Process
	if err := d.host.Stale(wire.GPM, func(s raftsm.State) { list = s.(*gpm.State).Evictions() }); err != nil || len(list) == 0 {
		clear(since)
		return
	}
	var wg sync.WaitGroup
	places := make(chan struct{}, maxEvicting)
	for _, p := range list {
		at, ok := since[p.PID]
		if !ok {
			at = time.Now()
			since[p.PID] = at
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			d.evictOne(p, at)
		})
	}
	wg.Wait()
}

// evictOne is evict for one process. After evictPatience GPM is told whoever does not answer.
func (d *driver) evictOne(p gpm.Process, since time.Time) {
	ctx, cancel := context.WithTimeout(d.ctx, d.endTimeout)
	defer cancel()
	if err := d.end(ctx, p); err != nil {
		d.m.log.Warn("not all that a preempted vNode has is given back", "pid", uint64(p.PID), "pcomponent", string(p.Node), "error", err.Error())
		var silent *unanswered
		if time.Since(since) < d.evictPatience || !errors.As(err, &silent) || d.ctx.Err() != nil {
			return // again, soon
		}
	}
	// The components that do not answer have used up ctx.
	ctx, cancel = context.WithTimeout(d.ctx, d.endTimeout)
	defer cancel()
	if _, err := d.client.Changes(ctx, []admission.Change{{Verb: admission.Evicted, PID: p.PID}}); err != nil {
		d.m.log.Warn("a preempted vNode has ended, GPM does not know it yet", "pid", uint64(p.PID), "error", err.Error())
	}
}

// end stops a process and has the components give back what it had.
func (d *driver) end(ctx context.Context, p gpm.Process) error {
	addr := ""
	if err := d.host.Stale(wire.GPM, func(s raftsm.State) { addr = s.(*gpm.State).Placement(p).Addr }); err != nil {
		return err
	}
	stop := wire.ProcessStopReq{PID: p.PID, Text: p.Text, WaitMS: uint32(evictWait / time.Millisecond)}
	if err := d.callOnce(ctx, addr, wire.OpProcessStop, p.Epoch, &stop); err != nil && !errors.Is(err, wire.ErrNotFound) {
		return &unanswered{err}
	}
	return d.freeLost(ctx, p)
}

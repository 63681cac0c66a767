package mcomponent

import (
	"time"

	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// replicas is the redundancy of the vRegions that are served here, and what this component holds for others. It is under Component.mu
// but for what has a lock of its own.
type replicas struct {
	primary *replica.TapedPrimary
	holder  *replica.TapedHolder
	out     []replica.Effect // of the last event, used again for the next
	waiters []waiter         // by the number that a core knows it under
	free    []uint64         // of waiters
	touched []*replicaLink   // that have something to send of which they do not know
	batch   bool             // more will come: they are told when it has, so that it goes in one message
	retry   chan struct{}    // capacity 1: a holder did not answer, so there may be a pause to wait for
	retries bool             // the goroutine that waits for it runs
	file    logFile

	links map[string]*replicaLink // by address
	ended chan struct{}           // closed by Close
}

// waiter is a request that waits for the holders of its vRegion.
type waiter struct {
	flush *netlayer.Deferred
	done  func(err error) // of anything else; it does not wait
}

func newReplicas(o Options) replicas {
	ro := o.replica()
	return replicas{
		primary: &replica.TapedPrimary{Primary: replica.NewPrimary(ro)}, holder: &replica.TapedHolder{Holder: replica.NewHolder(ro, o.Node, o.RegionBytes)}, retry: make(chan struct{}, 1),
		file:  logFile{wake: make(chan struct{}, 1), batch: make([]savedPage, 0, ro.SaveMessages), reading: make(chan struct{}, maxFileReads)},
		links: map[string]*replicaLink{}, ended: make(chan struct{}),
	}
}

// wait books a waiter. The lock is held.
func (r *replicas) wait(w waiter) (call uint64) {
	if n := len(r.free); n > 0 {
		call, r.free = r.free[n-1], r.free[:n-1]
		r.waiters[call] = w
		return call
	}
	r.waiters = append(r.waiters, w)
	return uint64(len(r.waiters) - 1)
}

// answer ends a wait. The lock is held: nothing of it waits for anybody.
func (r *replicas) answer(call uint64, err *wire.Error) {
	w := r.waiters[call]
	r.waiters[call] = waiter{}
	r.free = append(r.free, call)
	var e error
	if err != nil {
		e = err
	}
	if w.flush != nil {
		w.flush.Answer(nil, e)
	} else {
		w.done(e)
	}
}

// replicate has a flush that was applied, or found as old, wait for the holders of its vRegion. The lock is held.
func (c *Component) replicate(slot uint32, page wire.PageNo, req *netlayer.Request) error {
	d := req.Defer()
	if d == nil {
		return wire.Errorf(wire.KindBusy, "%s: too many flushes wait for the copies of their pages: retry", c.o.Node)
	}
	r := &c.replicas
	call := r.wait(waiter{flush: d})
	c.performReplicas(r.primary.Write(c.now(), slot, page, call, r.out[:0]))
	return netlayer.ErrDeferred
}

// replicateUnmap has done called when the holders have freed a range, too. The lock is held.
func (c *Component) replicateUnmap(slot uint32, start, length uint64, done func(error)) {
	r := &c.replicas
	c.performReplicas(r.primary.Unmap(c.now(), slot, start, length, r.wait(waiter{done: done}), r.out[:0]))
}

// unprotect ends the redundancy and the recovery of a slot that is not served here any more; who waits for its holders is told why. drop has the
// holders forget it. The lock is held.
func (c *Component) unprotect(slot uint32, drop bool, why *wire.Error) {
	if v := c.recoveries[slot]; v != nil {
		v.cancel(why.Text)
		delete(c.recoveries, slot)
		cfg := v.r.Req().Config
		c.replicas.holder.Forget(cfg.PID, cfg.Region) // the slot is another's from now on
	}
	r := &c.replicas
	c.performReplicas(r.primary.Close(slot, drop, why, r.out[:0]))
	if s := &c.shares; s.core.Has(slot) {
		c.performShares(s.core.Close(slot, why, s.out[:0]))
	}
}

// performReplicas performs effects: what waits for others is given to the goroutines of the holder. The lock is held.
func (c *Component) performReplicas(out []replica.Effect) {
	r := &c.replicas
	r.out = nil // an answer may lead to another event
	for i := 0; i < len(out); i++ {
		e := &out[i]
		switch e.Kind {
		case replica.Ack, replica.Fail:
			r.answer(e.Waiter, e.Err)
		case replica.Settled:
			if c.giving[e.Slot] == nil { // what moves is counted
				c.store.Remove(e.Write.PID, e.Write.Page)
			}
		case replica.List:
			if s := c.shares.core; s.Has(e.Slot) {
				if s.Whole(e.Slot) {
					out = r.primary.Listed(c.now(), e.Slot, s.Written(e.Slot), out)
				}
				continue
			}
			if v := c.recoveries[e.Slot]; v != nil && !v.gone && !v.r.Ended() {
				continue // what it still brings belongs to the list
			}
			out = r.primary.Listed(c.now(), e.Slot, append(c.store.Flushes(e.Slot), c.store.Keeps(e.Slot)...), out)
		default:
			if s := c.shares.core; e.Kind == replica.Send && s.Has(e.Slot) && !c.here(e.Write.PID, e.Write.Page) && !s.Absent(e.Slot, e.Write.Page) {
				c.fillShare(*e)
				continue
			}
			if e.Kind == replica.Open {
				e.Open.Kept, e.Open.Owner, e.Open.Addr = c.kept(e.Slot), c.o.Node, string(c.o.Addr)
			}
			l := c.link(e.To.Addr)
			l.put(*e)
			r.touched = append(r.touched, l)
		}
	}
	if !r.batch {
		r.tell()
	}
	clear(out)
	r.out = out[:0]
}

// tell has the links send what they were given. The lock is held.
func (r *replicas) tell() {
	for i, l := range r.touched {
		if i == 0 || l != r.touched[i-1] {
			signal(l.wake)
		}
	}
	clear(r.touched)
	r.touched = r.touched[:0]
}

// answeredReplicas gives the core answers of a holder. The lock is not held.
func (c *Component) answeredReplicas(as []replicaAnswer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.replicas
	r.batch = true
	defer func() {
		r.batch = false
		r.tell()
	}()
	for i := range as {
		a := &as[i]
		if a.Err != nil {
			c.noteFailure()
		}
		c.performReplicas(r.primary.Answered(c.now(), a.id, a.Answer, r.out[:0]))
	}
}

// noteFailure has the pauses between attempts waited for. The lock is held.
func (c *Component) noteFailure() {
	r := &c.replicas
	if !r.retries {
		r.retries = true
		c.wg.Go(c.retryReplicas)
	}
	select {
	case r.retry <- struct{}{}:
	default:
	}
}

// retryReplicas sends again what has paused, until the component ends.
func (c *Component) retryReplicas() {
	r := &c.replicas
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		c.performReplicas(r.primary.Tick(c.now(), r.out[:0]))
		due, pauses := r.primary.Due()
		c.mu.Unlock()
		if pauses {
			timer.Reset(max(due-c.now(), 0))
		}
		select {
		case <-r.ended:
			return
		case <-r.retry:
		case <-timer.C:
		}
	}
}

// regionConfig takes the order of GMM who makes a vRegion redundant, and tells how far that has come.
func (c *Component) regionConfig(q wire.RegionConfig) (wire.RegionConfigRep, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, err := c.owners.Serving(q.PID, q.Region, q.Epoch)
	if err != nil {
		return wire.RegionConfigRep{}, err
	}
	c.configure(slot, q, false)
	s := c.replicas.primary.Status(slot)
	c.performShares(c.shares.core.Synced(c.now(), slot, s.InSync, c.shares.out[:0]))
	return s, nil
}

// configure takes a configuration of a vRegion that is served here; fresh says that nothing was written to it if there is none yet. The lock is held.
func (c *Component) configure(slot uint32, q wire.RegionConfig, fresh bool) {
	r, s := &c.replicas, &c.shares
	if q.Policy.Kind == wire.MemoryErasure {
		_, first, pages := c.owners.Bounds(slot)
		c.performShares(s.core.Configure(c.now(), slot, q, first, pages, fresh, s.out[:0]))
	}
	c.performReplicas(r.primary.Configure(c.now(), slot, q, r.out[:0]))
}

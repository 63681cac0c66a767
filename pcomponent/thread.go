package pcomponent

import (
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
)

// CacheStats are the logical counters of a process.
type CacheStats = excache.Stats

// Thread makes the accesses of one thread of a process. One goroutine uses it at a time.
type Thread struct {
	p    *Process
	id   int
	wake chan struct{} // capacity 1: there is mail

	// With the process's lock held:
	mail  fault.Effect // the last effect that another's event had for this thread
	out   []fault.Effect
	now   time.Duration // when the thread last looked: after each wait, since asking the clock costs as much as a hit
	began time.Duration
	idle  time.Duration // waited since began

	unsent []*flushCall // prefetches that go out behind the miss

	miss  netlayer.Call
	body  [wire.MissLen]byte
	at    *netlayer.Peer // where the miss is on its way to, nil if none is
	want  wire.PageNo    // its page
	epoch wire.Epoch     // under which its owner was asked

	spent   spent          // where the time of the fault under way went
	asked   *netlayer.Peer // for the last message that is a trace
	askedAt time.Time
}

// Begin takes the process's lock for a batch of accesses.
func (t *Thread) Begin() {
	t.p.mu.Lock()
	t.p.core.Run(t.id)
	t.began, t.idle = t.p.now(), 0
}

// End gives the lock back.
func (t *Thread) End() {
	t.p.busy += t.p.now() - t.began - t.idle
	t.p.mu.Unlock()
}

// Access performs one access: the bytes of the page, which are valid and the caller's until the next Access or End of
// any thread. A page that is not present is fetched first, the lock released while a message is under way. After an
// error the process serves no more accesses.
func (t *Thread) Access(page uint64, write bool) (*arena.Page, error) {
	if frame, ok := t.p.core.Hit(wire.PageNo(page), write); ok {
		return t.p.frames.Page(frame), nil
	}
	frame, err := t.fault(wire.PageNo(page), write)
	if err != nil {
		return nil, err
	}
	return t.p.frames.Page(frame), nil
}

// fault brings a page. The lock is held, and released while it waits.
func (t *Thread) fault(page wire.PageNo, write bool) (frame uint32, err error) {
	p, began := t.p, t.p.now()
	t.now = began
	t.spent = spent{}
	if p.aheads > 0 { // what has come in the meantime
		p.out = p.reap(began, p.out[:0])
		p.perform(fault.NoThread, p.out)
	}
	t.out = p.core.Fault(t.now, t.id, page, write, t.out[:0])
	for {
		e := p.perform(t.id, t.out)
		if e.Kind == 0 { // nothing newer than what another thread's event had for us
			e = t.mail
		}
		t.mail = fault.Effect{}
		t.out = t.out[:0]
		switch e.Kind {
		case fault.Done:
			frame, t.out = p.core.Finish(t.id, t.out)
			p.perform(fault.NoThread, t.out)
			took := t.now - began
			if e.How == fault.PLocal || e.How == fault.TakenBack || e.How == fault.Ahead {
				took = p.now() - began // without a wait nobody has looked at the clock since
			}
			record(p.faults[e.How-fault.PLocal], took)
			p.observe[e.How-fault.PLocal].Observe(took.Seconds())
			if t.spent.trace != 0 || p.slow.Beats(took, false) {
				t.explain(page, write, e.How, began, took)
			}
			return frame, nil
		case fault.Fail:
			return 0, e.Err
		case fault.Retry:
			if frame, ok := p.core.Hit(page, write); ok {
				return frame, nil
			}
			t.out = p.core.Fault(t.now, t.id, page, write, t.out)
		case fault.Fetch:
			t.fetch(&e)
		default: // Park, or nothing yet
			t.park(e.On)
		}
	}
}

// fetch sends the miss, with a flush in the same message if the core says so, and takes the answer to the core. What
// follows is in t.out. The lock is held, and released while the message is under way.
func (t *Thread) fetch(e *fault.Effect) {
	p := t.p
	peer := p.peer(e.Owner.Addr)
	t.miss.Op, t.miss.Epoch, t.miss.Err = wire.OpMiss, p.o.Epoch, nil
	t.miss.Body = wire.Miss{PID: p.o.PID, Page: e.Page, OwnerEpoch: e.Owner.Epoch}.Append(t.body[:0])
	t.miss.Into = p.frames.Page(e.Frame)[:]
	p.event("fetch", e.Page, 0, e.Owner.Node)
	var fc *flushCall
	if e.Piggyback {
		to := e.Owner
		to.Epoch = e.FlushEpoch
		fc = p.newFlushCall(e.Flush, to)
		fc.waited = true // until it is sent
	}
	waited := t.now
	p.timeFetch(t, e, peer, fc != nil)
	t.at, t.want, t.epoch = peer, e.Page, e.Owner.Epoch
	t.unsent, p.unsent = append(t.unsent[:0], p.unsent...), p.unsent[:0]
	p.mu.Unlock()
	var err error
	if fc != nil {
		err = peer.StartPair(&t.miss, &fc.call)
	} else {
		err = peer.Start(&t.miss)
	}
	sent := err
	for _, f := range t.unsent {
		f.start()
	}
	if err == nil {
		err = peer.Wait(&t.miss)
	}
	p.mu.Lock()
	t.at = nil
	for _, f := range t.unsent {
		f.unsent = false
	}
	p.core.Run(t.id)
	t.now = p.now()
	t.idle += t.now - waited
	t.spent.message = t.now - waited
	if fc != nil {
		fc.waited, fc.failed = false, sent
	}
	if err == nil && t.miss.N != wire.PageSize {
		err = notAPage(peer, t.miss.N)
	}
	t.out = p.core.Fetched(t.now, t.id, wireError(err), t.out[:0])
	if len(p.active) > 0 {
		t.out = p.reap(t.now, t.out)
	}
}

// park waits for mail, or in the message layer for the flush on. What follows is in t.out or t.mail. The lock is held,
// and released while it waits.
func (t *Thread) park(on uint64) {
	p, waited := t.p, t.now
	if f := p.inFlight(on); on != 0 && f != nil {
		p.waitFor(f)
		t.now = p.now()
		t.out = p.reap(t.now, t.out[:0])
	} else {
		p.mu.Unlock()
		<-t.wake
		p.mu.Lock()
		t.now = p.now()
	}
	p.core.Run(t.id)
	t.idle += t.now - waited
	t.spent.wait += t.now - waited
}

// deliver leaves an effect for the thread and wakes it. The lock is held. The last effect is what counts: each says what
// the thread waits for now.
func (t *Thread) deliver(e fault.Effect) {
	t.mail = e
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

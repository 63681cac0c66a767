package fault

import (
	"fmt"
	"sort"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/prefetch"
)

// state is what a thread waits for.
type state uint8

const (
	idle      state = iota
	ready           // its access can be performed
	waitFlush       // the acknowledgement of flush on, then its access begins anew
	waitLine        // any line to be released or prefetch to be answered, then its access begins anew
	waitFill        // another thread's fetch of the same page, or its prefetch
	waitAck         // write-protect: the victim's flush on, then its own fill
	fetching        // the owner's answer
	pausing         // a pause before the next attempt, until due
	waitOwner       // the owner of its page's vRegion
)

// thread is the fault under way of one thread.
type thread struct {
	state    state
	write    bool
	plocal   bool
	how      How
	epoch    wire.Epoch // under which the owner was asked
	page     wire.PageNo
	line     uint32
	frame    uint32
	on       uint64
	since    time.Duration
	due      time.Duration
	attempts int
	damaged  int
}

// flush is a write-back whose acknowledgement has not come.
type flush struct {
	Flush
	state    state      // fetching (sent), pausing or waitOwner
	epoch    wire.Epoch // under which it was sent to the owner
	since    time.Duration
	due      time.Duration
	attempts int
}

// Stats are the timing counters of a process's faults: they depend on what happened when, unlike those of excache.Stats.
type Stats struct {
	Retries   uint64 // messages sent again
	Redirects uint64 // owners asked for again
	Damaged   uint64 // pages received with a wrong checksum

	StallFlush uint64 // faults that found no free frame for their victim's flush: flush_frames was reached
	StallPage  uint64 // faults on a page whose own flush is under way
	StallLine  uint64 // faults that found every line of their set in use by others

	StallPrefetch uint64 // faults that waited for a prefetch: it had their victim's line, or was not answered for long
}

// Add adds what another core counted: that of the same process elsewhere.
func (s *Stats) Add(o Stats) {
	s.Retries += o.Retries
	s.Redirects += o.Redirects
	s.Damaged += o.Damaged
	s.StallFlush += o.StallFlush
	s.StallPage += o.StallPage
	s.StallLine += o.StallLine
	s.StallPrefetch += o.StallPrefetch
}

// Core is the fault protocol of one process. It is not safe for concurrent use: its shell serialises all calls.
type Core struct {
	o       Options
	cache   *excache.Cache
	space   space
	sent    pageSet // pages that were flushed once: their owner is asked, they are never p-local again (rule 3)
	owners  map[wire.RegionNo]wire.Owner
	asking  map[wire.RegionNo]bool
	threads []thread
	flushes []flush // by ID
	waiting int     // threads in waitLine
	sharing int     // threads in waitFill
	acks    int     // threads in waitFlush or waitAck
	parked  int     // threads and flushes in pausing
	failed  *wire.Error
	drain   bool   // final write-back under way
	dirty   uint32 // the line that the final write-back goes on from
	clean   bool   // no line is dirty any more
	stats   Stats
	shift   uint // pages to vRegions
	ahead   ahead
}

// New makes the core of a process whose lines cache holds.
func New(o Options, cache *excache.Cache) (*Core, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	c := &Core{o: o, cache: cache, owners: map[wire.RegionNo]wire.Owner{}, asking: map[wire.RegionNo]bool{}, threads: make([]thread, o.Threads)}
	for b := o.RegionBytes; b > wire.PageSize; b >>= 1 {
		c.shift++
	}
	if x := cache.Options(); x.Prefetches() {
		p, err := prefetch.New(x.Prefetcher, prefetch.Options{Depth: x.PrefetchDegree})
		if err != nil {
			return nil, err
		}
		c.ahead = ahead{guess: p, pages: make([]uint64, 0, x.PrefetchDegree), limit: x.PrefetchInFlight}
	}
	return c, nil
}

// Cache gives the ExCache that the core decides with, for its counters.
func (c *Core) Cache() *excache.Cache { return c.cache }

// Options gives what the core was made of.
func (c *Core) Options() Options { return c.o }

// Stats gives the timing counters.
func (c *Core) Stats() Stats { return c.stats }

// Err tells why the process failed, or nil.
func (c *Core) Err() error {
	if c.failed == nil {
		return nil
	}
	return c.failed
}

// Hit performs an access to a page that is present: the frame that holds it. It counts nothing if it is not.
func (c *Core) Hit(page wire.PageNo, write bool) (frame uint32, ok bool) {
	return c.cache.Hit(uint64(page), write)
}

// Region gives the vRegion of a page.
func (c *Core) Region(page wire.PageNo) wire.RegionNo { return wire.RegionNo(page >> c.shift) }

// Map records a mapping that the home mComponent made, and the owners of its vRegions.
func (c *Core) Map(first, last wire.PageNo, anon bool, owners []wire.Owner) {
	c.space.add(first, last, anon)
	for _, w := range owners {
		c.setOwner(w)
	}
}

// setOwner keeps the newest owner of a vRegion.
func (c *Core) setOwner(w wire.Owner) {
	if old, ok := c.owners[w.Region]; !ok || w.Epoch >= old.Epoch {
		c.owners[w.Region] = w
	}
}

// PendingIn gives the oldest unacknowledged flush of a page in [first, last], or else the oldest prefetch of one that has not been answered,
// or 0. Unmap wants none.
func (c *Core) PendingIn(first, last wire.PageNo) uint64 {
	for i := range c.flushes {
		if f := &c.flushes[i]; f.Page >= first && f.Page <= last {
			return f.ID
		}
	}
	return c.flyingIn(first, last)
}

// Unmap forgets the pages of [first, last], dirty or not. No thread may be faulting, and no flush and no prefetch pending there.
func (c *Core) Unmap(first, last wire.PageNo) {
	if id := c.PendingIn(first, last); id != 0 {
		panic(fmt.Sprintf("fault: unmap of pages %#x to %#x with flush or prefetch %#x pending", first, last, id))
	}
	c.forgetAhead(first, last)
	c.cache.Drop(uint64(first), uint64(last), nil)
	c.sent.removeRange(first, last)
	c.space.remove(first, last)
}

// Fault begins the fault of thread t on page, which Hit did not find. Effects end with Park, Fetch, Done or Fail for t.
func (c *Core) Fault(now time.Duration, t int, page wire.PageNo, write bool, out []Effect) []Effect {
	th := &c.threads[t]
	if th.state != idle {
		panic(fmt.Sprintf("fault: thread %d faults on page %#x while its fault on page %#x is under way", t, page, th.page))
	}
	*th = thread{state: fetching, page: page, write: write, since: now}
	if c.failed != nil {
		th.state = idle
		return append(out, Effect{Kind: Fail, Thread: t, Err: c.failed})
	}
	if c.space.find(page) == nil {
		return c.fail(wire.Errorf(wire.KindUnmapped, "address %#x: no mapping of the process covers it; the trace must map memory before using it", uint64(page)<<wire.PageShift), out)
	}
	return c.decide(now, t, out)
}

// decide asks the ExCache what a miss does.
func (c *Core) decide(now time.Duration, t int, out []Effect) []Effect {
	th := &c.threads[t]
	if f := c.overdue(); f != nil {
		return c.await(t, f, out)
	}
	m := c.cache.Miss(uint64(th.page), th.write)
	th.line, th.frame = m.Line, m.Frame
	if m.Evicted && len(c.ahead.flights) > 0 {
		c.forgetAhead(wire.PageNo(m.EvictedPage), wire.PageNo(m.EvictedPage))
	}
	switch m.Kind {
	case excache.StallFlush:
		if own, ok := c.cache.PendingFlush(uint64(th.page)); ok && own.ID == m.StallOn {
			c.stats.StallPage++
		} else {
			c.stats.StallFlush++
		}
		th.state, th.on = waitFlush, m.StallOn
		c.acks++
		return append(out, Effect{Kind: Park, Thread: t, On: m.StallOn})
	case excache.StallLine:
		c.stats.StallLine++
		th.state = waitLine
		c.waiting++
		return append(out, Effect{Kind: Park, Thread: t})
	case excache.StallPrefetch:
		return c.await(t, c.onLine(m.Line), out)
	case excache.MissPrefetched:
		th.how = Ahead
		c.forgetAhead(th.page, th.page)
		return c.guess(th.page, true, c.done(t, out))
	case excache.MissLate:
		th.state, th.how = waitFill, Late
		c.sharing++
		out = append(out, Effect{Kind: Park, Thread: t, On: c.late(m.Line)})
		return c.guess(th.page, true, out)
	case excache.MissCoalesced:
		th.state, th.how = waitFill, Coalesced
		c.sharing++
		return append(out, Effect{Kind: Park, Thread: t})
	case excache.MissTakeBack:
		th.how = TakenBack
		if m.Copy {
			out = append(out, Effect{Kind: Copy, Thread: t, Page: th.page, Frame: m.Frame, From: m.CopyFrom})
		}
		if m.HasFlush {
			out = c.send(c.newFlush(now, m.Flush), out)
		}
		return c.done(t, out)
	case excache.MissFill:
		out = c.missed(now, t, &m, out)
		return c.guess(th.page, false, out)
	}
	panic(fmt.Sprintf("fault: page %#x: a fault for a page that a hit would have found, or an unknown outcome: %v", uint64(th.page), m.Kind))
}

// missed begins the fill of the line that was reserved for thread t.
func (c *Core) missed(now time.Duration, t int, m *excache.Miss, out []Effect) []Effect {
	th := &c.threads[t]
	th.plocal = c.local(c.space.find(th.page), th.page)
	if th.how = Fetched; th.plocal {
		th.how = PLocal
	}
	c.cache.CountFill(m.Line, th.plocal)
	if m.HasFlush {
		f := c.newFlush(now, m.Flush)
		if m.Flush.MustAckFirst {
			th.state, th.on = waitAck, f.ID
			c.acks++
			out = c.send(f, out)
			return append(out, Effect{Kind: Park, Thread: t, On: f.ID})
		}
		if th.plocal || !c.o.Piggyback || !c.sameOwner(f.Page, th.page) {
			out = c.send(f, out)
			return c.fill(t, out)
		}
		c.cache.CountPiggyback()
		return c.fetch(t, f, out)
	}
	return c.fill(t, out)
}

// local reports whether a page of a mapping is made of zeros here when it is missed (rule 3).
func (c *Core) local(m *mapping, page wire.PageNo) bool { return m.anon && !c.sent.has(page) }

// fill gets the content of the line that thread t reserved.
func (c *Core) fill(t int, out []Effect) []Effect {
	th := &c.threads[t]
	if th.plocal {
		out = append(out, Effect{Kind: Zero, Thread: t, Page: th.page, Frame: th.frame})
		return c.filled(t, out)
	}
	return c.fetch(t, nil, out)
}

// fetch sends the miss, with f in the same message if it is not nil.
func (c *Core) fetch(t int, f *flush, out []Effect) []Effect {
	th := &c.threads[t]
	owner, ok := c.owners[c.Region(th.page)]
	if !ok {
		panic(fmt.Sprintf("fault: page %#x is mapped but its vRegion has no owner", th.page))
	}
	th.state, th.epoch = fetching, owner.Epoch
	e := Effect{Kind: Fetch, Thread: t, Page: th.page, Frame: th.frame, Owner: owner}
	if f != nil {
		f.epoch = c.owners[c.Region(f.Page)].Epoch
		e.Piggyback, e.Flush, e.FlushEpoch = true, f.Flush, f.epoch
	}
	return append(out, e)
}

// filled ends the fill of thread t's line: its own access and those that waited for the same page can be performed.
func (c *Core) filled(t int, out []Effect) []Effect {
	line := c.threads[t].line
	c.cache.Filled(line)
	return c.shared(line, c.done(t, out))
}

// shared has go on who waits for a line that was filled now, or for any.
func (c *Core) shared(line uint32, out []Effect) []Effect {
	for i := 0; c.sharing > 0 && i < len(c.threads); i++ {
		if w := &c.threads[i]; w.state == waitFill && w.line == line {
			c.sharing--
			out = c.done(i, out)
		}
	}
	return c.retryLines(out)
}

func (c *Core) done(t int, out []Effect) []Effect {
	c.threads[t].state = ready
	return append(out, Effect{Kind: Done, How: c.threads[t].how, Thread: t, Page: c.threads[t].page})
}

// retryLines lets the threads that found no line to evict begin anew.
func (c *Core) retryLines(out []Effect) []Effect {
	for i := 0; c.waiting > 0; i++ {
		if c.threads[i].state == waitLine {
			c.waiting--
			out = c.retry(i, out)
		}
	}
	return out
}

// retry ends the fault of a thread without an access: it begins again, with Hit, since others may have brought its page.
func (c *Core) retry(t int, out []Effect) []Effect {
	c.threads[t].state = idle
	return append(out, Effect{Kind: Retry, Thread: t, Page: c.threads[t].page})
}

// Finish performs the access of a thread that is Done: the frame that holds its page, in this critical section.
func (c *Core) Finish(t int, out []Effect) (frame uint32, _ []Effect) {
	th := &c.threads[t]
	if th.state != ready {
		panic(fmt.Sprintf("fault: thread %d finishes in state %d", t, th.state))
	}
	th.state = idle
	frame = c.cache.Complete(th.line, th.write)
	return frame, c.retryLines(out)
}

// newFlush books a write-back.
func (c *Core) newFlush(now time.Duration, o excache.FlushOrder) *flush {
	c.sent.add(wire.PageNo(o.Page))
	c.flushes = append(c.flushes, flush{Flush: Flush{ID: o.ID, Page: wire.PageNo(o.Page), Frame: o.Frame}, state: fetching, since: now})
	return &c.flushes[len(c.flushes)-1]
}

// send emits the write of f.
func (c *Core) send(f *flush, out []Effect) []Effect {
	owner := c.owners[c.Region(f.Page)]
	f.state, f.epoch = fetching, owner.Epoch
	return append(out, Effect{Kind: Write, Thread: NoThread, Page: f.Page, Frame: f.Frame, Flush: f.Flush, Owner: owner})
}

func (c *Core) sameOwner(a, b wire.PageNo) bool {
	ra, rb := c.Region(a), c.Region(b)
	return ra == rb || c.owners[ra].Node == c.owners[rb].Node
}

// Fetched reports the answer to thread t's Fetch: nil, or why not.
func (c *Core) Fetched(now time.Duration, t int, err *wire.Error, out []Effect) []Effect {
	th := &c.threads[t]
	if th.state != fetching {
		if c.failed != nil {
			return out // the process failed while the message was under way
		}
		panic(fmt.Sprintf("fault: an answer for thread %d in state %d", t, th.state))
	}
	if c.voided(th.epoch, th.page) && (err == nil || err.Kind != wire.KindCorrupt) { // who refused or is gone does not have the page any more
		c.stats.Retries++
		th.attempts = 0
		return c.fetch(t, nil, out)
	}
	if err == nil {
		return c.filled(t, out)
	}
	if err.Kind == wire.KindCorrupt {
		c.stats.Damaged++
		out = append(out, Effect{Kind: Damaged, Thread: t, Page: th.page, Owner: c.owners[c.Region(th.page)], Err: err})
		if th.damaged++; th.damaged < DamagedFetches {
			c.stats.Retries++
			return c.fetch(t, nil, out)
		}
		return c.fail(err, out)
	}
	verdict, due := c.judge(now, err, th.page, th.since, &th.attempts)
	switch verdict {
	case waitOwner:
		th.state = waitOwner
		return c.ask(th.page, out)
	case pausing:
		th.state, th.due = pausing, due
		c.parked++
		return append(out, Effect{Kind: Park, Thread: t})
	}
	return c.fail(c.explain(err, "fetch", th.page), out)
}

// FlushDone reports the answer to a flush: nil means that the owner acknowledged it.
func (c *Core) FlushDone(now time.Duration, id uint64, err *wire.Error, out []Effect) []Effect {
	i := c.find(id)
	if i < 0 {
		return out // acknowledged twice: a retry crossed its first answer
	}
	f := &c.flushes[i]
	if err != nil {
		if c.failed != nil || f.state != fetching {
			return out
		}
		if err.Kind == wire.KindCorrupt { // on its way: the frame is as it was, so it is sent again
			c.stats.Damaged++
			out = append(out, Effect{Kind: Damaged, Thread: NoThread, Page: f.Page, Owner: c.owners[c.Region(f.Page)], Err: err})
		}
		if c.voided(f.epoch, f.Page) {
			c.stats.Retries++
			f.attempts = 0
			return c.send(f, out)
		}
		verdict, due := c.judge(now, err, f.Page, f.since, &f.attempts)
		switch verdict {
		case waitOwner:
			f.state = waitOwner
			return c.ask(f.Page, out)
		case pausing:
			f.state, f.due = pausing, due
			c.parked++
			return out
		}
		return c.fail(c.explain(err, "flush", f.Page), out)
	}
	if c.failed == nil && c.voided(f.epoch, f.Page) {
		if f.state != fetching {
			return out // it will be sent again
		}
		c.stats.Retries++
		return c.send(f, out)
	}
	if f.state == pausing {
		c.parked--
	}
	c.flushes = append(c.flushes[:i], c.flushes[i+1:]...)
	c.cache.FlushAcked(id)
	if c.failed != nil {
		return out
	}
	for t := 0; c.acks > 0 && t < len(c.threads); t++ {
		switch th := &c.threads[t]; {
		case th.on != id:
		case th.state == waitAck:
			c.acks--
			out = c.fill(t, out)
		case th.state == waitFlush:
			c.acks--
			out = c.retry(t, out)
		}
	}
	return c.flushedAhead(id, out)
}

func (c *Core) find(id uint64) int {
	for i := range c.flushes {
		if c.flushes[i].ID == id {
			return i
		}
	}
	return -1
}

// judge says what an error leads to: waitOwner, pausing until due, or idle for giving up.
func (c *Core) judge(now time.Duration, err *wire.Error, page wire.PageNo, since time.Duration, attempts *int) (state, time.Duration) {
	switch err.Kind {
	case wire.KindNotOwner, wire.KindStale:
		if *attempts++; now-since < c.o.patience() {
			c.stats.Redirects++
			return waitOwner, 0
		}
	case wire.KindUnavailable, wire.KindTimeout, wire.KindBusy, wire.KindCorrupt:
		if *attempts++; now-since < c.o.patience() {
			c.stats.Retries++
			return pausing, now + c.o.backoff(*attempts)
		}
	}
	return idle, 0
}

// explain names what failed and where.
func (c *Core) explain(err *wire.Error, what string, page wire.PageNo) *wire.Error {
	owner := c.owners[c.Region(page)]
	if err.Kind == wire.KindUnavailable || err.Kind == wire.KindTimeout {
		return wire.Errorf(err.Kind, "%s of page %#x: %s did not answer for %d ms: %s", what, uint64(page), owner.Node, c.o.PatienceMS, err.Text)
	}
	return wire.Errorf(err.Kind, "%s of page %#x at %s: %s", what, uint64(page), owner.Node, err.Text)
}

func (c *Core) ask(page wire.PageNo, out []Effect) []Effect {
	r := c.Region(page)
	if c.asking[r] {
		return out
	}
	c.asking[r] = true
	return append(out, Effect{Kind: AskOwner, Thread: NoThread, Page: page})
}

// OwnerKnown reports the home's answer to AskOwner for the vRegion of page.
func (c *Core) OwnerKnown(now time.Duration, page wire.PageNo, owner wire.Owner, err *wire.Error, out []Effect) []Effect {
	r := c.Region(page)
	delete(c.asking, r)
	if c.failed != nil {
		return out
	}
	if err == nil {
		c.setOwner(owner)
	}
	// What was refused by an older owner is sent to this one at once. Else it goes on after a pause: the owner may not serve yet, and an
	// unanswered question is put again.
	wake := func(s *state, due *time.Duration, attempts int, late bool) {
		if *s == waitOwner {
			c.parked++
			if *s, *due = pausing, now; !late {
				*due += c.o.backoff(attempts)
			}
		}
	}
	for t := range c.threads {
		if th := &c.threads[t]; c.Region(th.page) == r {
			wake(&th.state, &th.due, th.attempts, c.voided(th.epoch, th.page))
		}
	}
	for i := range c.flushes {
		if f := &c.flushes[i]; c.Region(f.Page) == r {
			wake(&f.state, &f.due, f.attempts, c.voided(f.epoch, f.Page))
		}
	}
	return c.Tick(now, out)
}

// OwnerMoved reports that a vRegion has a new owner, or the same under a newer epoch. When it returns, no answer that was
// given under an older epoch reaches the process any more: a page that comes under it is fetched again, a flush that is
// acknowledged under it is sent again (law 5). News that is not newer changes nothing. What paused is sent to the new owner at once, and
// what is under way to the older one as soon as that fails: who had it may be dead, and then nobody should wait for more than this news.
func (c *Core) OwnerMoved(now time.Duration, owner wire.Owner, out []Effect) []Effect {
	r := owner.Region
	if old, ok := c.owners[r]; ok && owner.Epoch <= old.Epoch || c.failed != nil {
		return out
	}
	c.owners[r] = owner
	wake := func(s *state, due *time.Duration, attempts *int) {
		switch *s {
		case waitOwner:
			c.parked++
			*s, *due, *attempts = pausing, now, 0
		case pausing:
			*due, *attempts = now, 0
		}
	}
	for t := range c.threads {
		if th := &c.threads[t]; c.Region(th.page) == r {
			wake(&th.state, &th.due, &th.attempts)
		}
	}
	for i := range c.flushes {
		if f := &c.flushes[i]; c.Region(f.Page) == r {
			wake(&f.state, &f.due, &f.attempts)
		}
	}
	return c.Tick(now, out)
}

// voided reports whether an answer that an owner of the page gave under epoch came too late.
func (c *Core) voided(epoch wire.Epoch, page wire.PageNo) bool {
	return epoch < c.owners[c.Region(page)].Epoch
}

// Tick sends again what has paused long enough. A shell calls it at least once per BackoffMS while Pausing.
func (c *Core) Tick(now time.Duration, out []Effect) []Effect {
	if c.parked == 0 || c.failed != nil {
		return out
	}
	for i := range c.flushes {
		if f := &c.flushes[i]; f.state == pausing && f.due <= now {
			c.parked--
			out = c.send(f, out)
		}
	}
	for t := range c.threads {
		if th := &c.threads[t]; th.state == pausing && th.due <= now {
			c.parked--
			out = c.fetch(t, nil, out)
		}
	}
	return out
}

// Pausing reports whether something waits for Tick.
func (c *Core) Pausing() bool { return c.parked > 0 }

// Drain begins or continues the final write-back of all dirty lines: it emits as many writes as flushing frames allow.
// No thread may be faulting. The shell calls it again after acknowledgements until Drained.
func (c *Core) Drain(now time.Duration, out []Effect) []Effect {
	c.drain = true
	for c.failed == nil && !c.clean {
		w := c.cache.NextDirty(c.dirty)
		c.dirty = w.Next
		switch w.Kind {
		case excache.WritebackFlush:
			out = c.send(c.newFlush(now, w.Flush), out)
		case excache.WritebackDone:
			c.clean = true
		default: // flushing frames are used up, or a thread is faulting after all
			return out
		}
	}
	return out
}

// Pending gives the flush that has waited longest for its acknowledgement, or else the prefetch that has waited longest for its answer, or 0.
func (c *Core) Pending() uint64 {
	if id := c.OldestFlush(); id != 0 {
		return id
	}
	return c.flyingIn(0, wire.PageNo(excache.MaxPages))
}

// OldestFlush gives the flush that has waited longest for its acknowledgement, or 0.
func (c *Core) OldestFlush() uint64 {
	if len(c.flushes) == 0 {
		return 0
	}
	return c.flushes[0].ID
}

// Drained reports whether the final write-back has ended: nothing is dirty, every flush is acknowledged and every prefetch answered.
func (c *Core) Drained() bool { return c.drain && c.clean && c.Pending() == 0 }

// fail ends the process: every thread under way is told.
func (c *Core) fail(err *wire.Error, out []Effect) []Effect {
	if c.failed == nil {
		c.failed = err
	}
	c.waiting, c.sharing, c.acks, c.parked = 0, 0, 0, 0
	told := false
	for t := range c.threads {
		if s := c.threads[t].state; s != idle && s != ready { // what is ready has its page: it finishes and fails at its next fault
			c.threads[t].state = idle
			out = append(out, Effect{Kind: Fail, Thread: t, Err: c.failed})
			told = true
		}
	}
	if !told {
		out = append(out, Effect{Kind: Fail, Thread: NoThread, Err: c.failed})
	}
	return out
}

// Fail ends the process for a reason from outside: it was stopped.
func (c *Core) Fail(err *wire.Error, out []Effect) []Effect { return c.fail(err, out) }

// CheckInvariants reports a broken one, for tests.
func (c *Core) CheckInvariants() error {
	if err := c.space.check(); err != nil {
		return err
	}
	for i := 1; i < len(c.flushes); i++ {
		if c.flushes[i-1].ID >= c.flushes[i].ID {
			return fmt.Errorf("flush %d before flush %d", c.flushes[i-1].ID, c.flushes[i].ID)
		}
	}
	waiting, sharing, acks, parked := 0, 0, 0, 0
	for t := range c.threads {
		switch th := &c.threads[t]; th.state {
		case waitLine:
			waiting++
		case pausing:
			parked++
		case waitFill:
			sharing++
		case waitFlush, waitAck:
			acks++
			if c.find(th.on) < 0 {
				return fmt.Errorf("thread %d waits for flush %d, which is not pending", t, th.on)
			}
		}
	}
	for i := range c.flushes {
		if c.flushes[i].state == pausing {
			parked++
		}
	}
	if c.failed == nil && (waiting != c.waiting || sharing != c.sharing || acks != c.acks || parked != c.parked) {
		return fmt.Errorf("threads that wait for a line, a fill, a flush and a pause: %d %d %d %d, booked %d %d %d %d",
			waiting, sharing, acks, parked, c.waiting, c.sharing, c.acks, c.parked)
	}
	if err := c.checkAhead(); err != nil {
		return err
	}
	return c.cache.CheckInvariants()
}

// Owners gives the owners of the process's vRegions, by region.
func (c *Core) Owners() []wire.Owner {
	ws := make([]wire.Owner, 0, len(c.owners))
	for _, w := range c.owners {
		ws = append(ws, w)
	}
	sort.Slice(ws, func(i, j int) bool { return ws[i].Region < ws[j].Region })
	return ws
}

// Regions is the number of vRegions of which the owner is known.
func (c *Core) Regions() int { return len(c.owners) }

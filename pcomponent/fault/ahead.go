package fault

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/prefetch"
)

// prefetchID is set in the ids of prefetches, so that Park and Pending tell them from flushes.
const prefetchID = 1 << 63

// forgottenAfter is how many pages are fetched on demand until a page that was prefetched before them, and that nobody has used, does not count
// against the bound any more: a wrong guess stays in its line until it is evicted, which may be never. Each of these fetches takes as long as a
// prefetch, so that by then it has come, but for an owner that is slow or lost, or an answer that nobody has read; the thread of the next fetch waits for it.
const forgottenAfter = 32

// ahead is what a core knows of the pages that it prefetches. Which they are, is a function of the accesses: a page that is guessed counts against
// the bound until it is used, leaves or is forgotten, and not until it comes.
type ahead struct {
	guess   prefetch.Prefetcher // nil: nothing is prefetched
	pages   []uint64            // guessed, for the time of one call
	flights []flight            // by id; at most limit that are not used, and one for each thread that waits
	limit   int
	open    int // of flights: not used
	last    uint64
}

// flight is a page that is prefetched, until it has come and is used or forgotten.
type flight struct {
	id    uint64 // with prefetchID
	page  wire.PageNo
	line  uint32
	frame uint32
	state state      // fetching, waitFlush for the flush on, or ready: it has come
	used  bool       // an access waits for it
	on    uint64     // of the page itself, under way when it was guessed
	epoch wire.Epoch // under which the owner was asked
	at    uint64     // pages fetched on demand before it
}

// overdue gives a prefetch that the fault of a thread has to wait for before it decides anything: it could be forgotten, and must have come. Else what is
// brought would depend on when it comes. Nil if there is none.
func (c *Core) overdue() *flight {
	for i := range c.ahead.flights {
		if f := &c.ahead.flights[i]; f.state != ready && !f.used && c.cache.Fetches()+1-f.at >= forgottenAfter { // with the page that is about to be fetched
			return f
		}
	}
	return nil
}

// await has the fault of thread t begin anew when a prefetch has been answered.
func (c *Core) await(t int, f *flight, out []Effect) []Effect {
	c.stats.StallPrefetch++
	c.threads[t].state = waitLine
	c.waiting++
	return append(out, Effect{Kind: Park, Thread: t, On: f.pending()})
}

// pending gives what its answer waits for: a flush, or itself.
func (f *flight) pending() uint64 {
	if f.state == waitFlush {
		return f.on
	}
	return f.id
}

// onLine gives the prefetch for a line that has not come.
func (c *Core) onLine(line uint32) *flight {
	for i := range c.ahead.flights {
		if f := &c.ahead.flights[i]; f.line == line && f.state != ready {
			return f
		}
	}
	panic(fmt.Sprintf("fault: line %d is filled ahead, and nobody has asked for it", line))
}

// guess tells the prefetcher of a miss, or of the first use of a page that was prefetched, and brings what it guesses: pages that were written once, of
// the same mapping and vRegion. The line of page is pinned.
func (c *Core) guess(page wire.PageNo, useful bool, out []Effect) []Effect {
	a := &c.ahead
	if a.guess == nil {
		return out
	}
	a.pages = a.guess.Observe(uint64(page), useful, a.pages[:0])
	m, r, brought := c.space.find(page), c.Region(page), 0
	for _, g := range a.pages {
		g := wire.PageNo(g)
		if g < m.first || g > m.last || c.Region(g) != r || c.local(m, g) || c.cache.Holds(uint64(g)) {
			continue
		}
		if a.open == a.limit && !c.forgetOldest() {
			c.cache.CountRefused()
			continue
		}
		line, frame, ok := c.cache.Prefetch(uint64(g))
		if !ok {
			continue
		}
		brought++
		a.last++
		a.open++
		a.flights = append(a.flights, flight{id: prefetchID | a.last, page: g, line: line, frame: frame, state: waitFlush, at: c.cache.Fetches()})
		f := &a.flights[len(a.flights)-1]
		if own, ok := c.cache.PendingFlush(uint64(g)); ok {
			f.on = own.ID
		} else {
			out = c.fly(f, out)
		}
	}
	a.guess.Brought(brought)
	return out
}

// fly asks the owner for a page, and tells who waits for it what to wait for.
func (c *Core) fly(f *flight, out []Effect) []Effect {
	owner := c.owners[c.Region(f.page)]
	f.state, f.epoch = fetching, owner.Epoch
	out = append(out, Effect{Kind: Prefetch, Thread: NoThread, Page: f.page, Frame: f.frame, On: f.id, Owner: owner})
	for t := 0; f.used && t < len(c.threads); t++ {
		if th := &c.threads[t]; th.state == waitFill && th.line == f.line {
			out = append(out, Effect{Kind: Park, Thread: t, On: f.id})
		}
	}
	return out
}

// flushedAhead goes on with the prefetches that waited for a flush of their page.
func (c *Core) flushedAhead(id uint64, out []Effect) []Effect {
	for i := range c.ahead.flights {
		if f := &c.ahead.flights[i]; f.state == waitFlush && f.on == id {
			out = c.fly(f, out)
		}
	}
	return out
}

// late says that an access waits for the page on its way to a line, and gives the flush or prefetch to wait for.
func (c *Core) late(line uint32) (on uint64) {
	f := c.onLine(line)
	f.used = true
	c.ahead.open--
	return f.pending()
}

// Prefetched reports the answer to a prefetch: nil, or why the page did not come. Then nothing has happened but for an access that waits for it,
// whose thread fetches it.
func (c *Core) Prefetched(now time.Duration, id uint64, err *wire.Error, out []Effect) []Effect {
	i := 0
	for ; i < len(c.ahead.flights) && c.ahead.flights[i].id != id; i++ {
	}
	if i == len(c.ahead.flights) || c.failed != nil {
		return out // the process failed while the message was under way
	}
	f := c.ahead.flights[i]
	if f.state != fetching {
		panic(fmt.Sprintf("fault: an answer for prefetch %d, which %s", id&^prefetchID, stateNames[f.state]))
	}
	if err == nil && !c.voided(f.epoch, f.page) {
		if f.used {
			c.land(i)
		} else {
			c.ahead.flights[i].state = ready
		}
		c.cache.Filled(f.line)
		return c.shared(f.line, out)
	}
	if err != nil && err.Kind == wire.KindCorrupt {
		c.stats.Damaged++
		out = append(out, Effect{Kind: Damaged, Thread: NoThread, Page: f.page, Owner: c.owners[c.Region(f.page)], Err: err})
	}
	c.land(i)
	if !f.used {
		c.cache.PrefetchFailed(f.line)
		return c.retryLines(out)
	}
	for t := range c.threads {
		if th := &c.threads[t]; th.state == waitFill && th.line == f.line && th.how == Late {
			c.sharing--
			c.stats.Retries++
			return c.fetch(t, nil, out)
		}
	}
	panic(fmt.Sprintf("fault: nobody waits for page %#x, which is used", uint64(f.page)))
}

// land takes a flight off the list.
func (c *Core) land(i int) {
	a := &c.ahead
	if !a.flights[i].used {
		a.open--
	}
	a.flights = append(a.flights[:i], a.flights[i+1:]...)
}

// forgetAhead forgets the pages of [first, last], which have come: they are used, or have left.
func (c *Core) forgetAhead(first, last wire.PageNo) {
	for i := 0; i < len(c.ahead.flights); {
		if f := &c.ahead.flights[i]; f.page >= first && f.page <= last {
			c.land(i)
		} else {
			i++
		}
	}
}

// forgetOldest makes room for one more, if one that has come was not used for long.
func (c *Core) forgetOldest() bool {
	for i := range c.ahead.flights {
		if f := &c.ahead.flights[i]; f.state == ready && c.cache.Fetches()-f.at >= forgottenAfter {
			c.land(i)
			return true
		}
	}
	return false
}

// flyingIn gives the oldest prefetch of a page in [first, last] that has not been answered, or 0. One that is not sent waits for a flush of its page, which
// is pending.
func (c *Core) flyingIn(first, last wire.PageNo) uint64 {
	for i := range c.ahead.flights {
		if f := &c.ahead.flights[i]; f.state != ready && f.page >= first && f.page <= last {
			return f.id
		}
	}
	return 0
}

// checkAhead reports a broken invariant of the prefetches.
func (c *Core) checkAhead() error {
	a := &c.ahead
	open := 0
	for i := range a.flights {
		f := &a.flights[i]
		if !f.used {
			open++
		}
		switch {
		case f.id&prefetchID == 0 || f.id > prefetchID|a.last || i > 0 && a.flights[i-1].id >= f.id:
			return fmt.Errorf("prefetch %#x behind %d others, the last is %d", f.id, i, a.last)
		case f.state != fetching && f.state != ready && f.state != waitFlush || f.used && f.state == ready:
			return fmt.Errorf("prefetch of page %#x %s, used: %t", uint64(f.page), stateNames[f.state], f.used)
		case wire.PageNo(c.cache.Page(f.line)) != f.page || c.cache.Valid(f.line) != (f.state == ready):
			return fmt.Errorf("prefetch of page %#x, which %s: line %d has page %#x, valid: %t", uint64(f.page), stateNames[f.state], f.line, c.cache.Page(f.line), c.cache.Valid(f.line))
		case c.failed == nil && f.state == waitFlush && c.find(f.on) < 0:
			return fmt.Errorf("prefetch of page %#x waits for flush %d, which is not pending", uint64(f.page), f.on)
		case c.failed == nil && f.used && !c.awaited(f.line):
			return fmt.Errorf("prefetch of page %#x is used, and nobody waits for it", uint64(f.page))
		}
	}
	if open != a.open || open > a.limit {
		return fmt.Errorf("%d pages are prefetched and not used, booked %d, at most %d", open, a.open, a.limit)
	}
	return nil
}

// awaited reports whether a thread waits for the prefetch of a line.
func (c *Core) awaited(line uint32) bool {
	for t := range c.threads {
		if th := &c.threads[t]; th.state == waitFill && th.line == line && th.how == Late {
			return true
		}
	}
	return false
}

package fault

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
)

// AppendState appends all on which later effects depend, the ExCache included.
//
//	mappings: number, and each: first, last, anonymous     flushed pages: number of spans, and each: first, last
//	owners: number, and each                               vRegions asked for: number, and each
//	threads, each: bits of what is asked, state, how, epoch, page, line, frame, flush, since, due, attempts, damaged
//	flushes: number, and each: id, page, frame, state, epoch, since, due, attempts
//	why it failed; draining, clean, line to go on from; 7 counters
//	if there is a prefetcher: last prefetch, prefetches: number, and each: number, page, line, frame, state, used, flush, epoch, fetches before
//	it; the prefetcher
//	the ExCache
func (c *Core) AppendState(b []byte) []byte {
	u := binary.AppendUvarint
	b = u(b, uint64(len(c.space.maps)))
	for _, m := range c.space.maps {
		b = tape.AppendBool(u(u(b, uint64(m.first)), uint64(m.last)), m.anon)
	}
	spans := c.sent.spans()
	b = u(b, uint64(len(spans)))
	for _, s := range spans {
		b = u(u(b, uint64(s.First)), uint64(s.Last))
	}
	owners := c.Owners()
	b = u(b, uint64(len(owners)))
	for i := range owners {
		b = appendOwner(b, &owners[i])
	}
	asking := make([]wire.RegionNo, 0, len(c.asking))
	for r := range c.asking { // sorted before anything is made of it
		asking = append(asking, r)
	}
	slices.Sort(asking)
	b = u(b, uint64(len(asking)))
	for _, r := range asking {
		b = u(b, uint64(r))
	}
	for i := range c.threads {
		t := &c.threads[i]
		b = tape.AppendBool(tape.AppendBool(append(b, byte(t.state), byte(t.how)), t.write), t.plocal)
		b = u(u(u(u(u(b, uint64(t.epoch)), uint64(t.page)), uint64(t.line)), uint64(t.frame)), t.on)
		b = binary.AppendVarint(binary.AppendVarint(b, int64(t.since)), int64(t.due))
		b = u(u(b, uint64(t.attempts)), uint64(t.damaged))
	}
	b = u(b, uint64(len(c.flushes)))
	for i := range c.flushes {
		f := &c.flushes[i]
		b = append(u(u(u(b, f.ID), uint64(f.Page)), uint64(f.Frame)), byte(f.state))
		b = binary.AppendVarint(binary.AppendVarint(u(b, uint64(f.epoch)), int64(f.since)), int64(f.due))
		b = u(b, uint64(f.attempts))
	}
	b = appendError(b, c.failed)
	b = u(tape.AppendBool(tape.AppendBool(b, c.drain), c.clean), uint64(c.dirty))
	for _, n := range c.stats.fields() {
		b = u(b, *n)
	}
	return c.cache.AppendState(c.ahead.appendState(b))
}

func (a *ahead) appendState(b []byte) []byte {
	if a.guess == nil {
		return b
	}
	u := binary.AppendUvarint
	b = u(u(b, a.last), uint64(len(a.flights)))
	for i := range a.flights {
		f := &a.flights[i]
		b = u(u(u(u(b, f.id&^prefetchID), uint64(f.page)), uint64(f.line)), uint64(f.frame))
		b = u(u(u(tape.AppendBool(append(b, byte(f.state)), f.used), f.on), uint64(f.epoch)), f.at)
	}
	return a.guess.AppendState(b)
}

func (a *ahead) readState(r *tape.Reader, lines, frames uint64) {
	if a.guess == nil {
		return
	}
	a.last = r.Below(prefetchID)
	for n := r.Below(uint64(r.Rest()) + 1); n > 0 && r.Err() == nil; n-- {
		a.flights = append(a.flights, flight{
			id: prefetchID | r.Below(prefetchID), page: wire.PageNo(r.Below(excache.MaxPages)), line: uint32(r.Below(lines)), frame: uint32(r.Below(frames)),
			state: state(r.Byte(byte(len(stateNames)))), used: r.Bool(), on: r.Uint(), epoch: wire.Epoch(r.Below(1 << 32)), at: r.Uint(),
		})
		if !a.flights[len(a.flights)-1].used {
			a.open++
		}
	}
	a.guess.ReadState(r)
}

// fields are the counts in the order of a state.
func (s *Stats) fields() []*uint64 {
	return []*uint64{&s.Retries, &s.Redirects, &s.Damaged, &s.StallFlush, &s.StallPage, &s.StallLine, &s.StallPrefetch}
}

// maxAttempts bounds what a state may say of attempts; they end by patience, long before.
const maxAttempts = 1 << 31

// ReadState makes a core that was just made like the one that appended. After an error it is of no use.
func (c *Core) ReadState(r *tape.Reader) error {
	page := func() wire.PageNo { return wire.PageNo(r.Below(excache.MaxPages)) }
	some := func() uint64 { return r.Below(uint64(r.Rest()) + 1) } // each has a byte at least
	for n := some(); n > 0 && r.Err() == nil; n-- {
		c.space.maps = append(c.space.maps, mapping{page(), page(), r.Bool()})
	}
	if err := c.space.check(); r.Err() == nil && err != nil {
		r.Fail("%v", err)
	}
	pages := uint64(0)
	for n := some(); n > 0 && r.Err() == nil; n-- {
		s := PageSpan{page(), page()}
		if s.First > s.Last || uint64(s.Last-s.First) >= maxSpanPages {
			r.Fail("flushed pages %#x to %#x", uint64(s.First), uint64(s.Last))
			break
		}
		if pages += uint64(s.Last-s.First) + 1; pages > maxSpanPages {
			r.Fail("more than %d flushed pages", maxSpanPages)
			break
		}
		c.sent.addRange(s.First, s.Last)
	}
	for n := some(); n > 0 && r.Err() == nil; n-- {
		w := readOwner(r)
		c.owners[w.Region] = w
	}
	for n := some(); n > 0 && r.Err() == nil; n-- {
		c.asking[wire.RegionNo(r.Uint())] = true
	}
	lines, frames := uint64(c.cache.Options().Lines), uint64(c.cache.Frames())
	for i := range c.threads {
		c.threads[i] = thread{
			state: state(r.Byte(byte(len(stateNames)))), how: How(r.Byte(byte(Late) + 1)), write: r.Bool(), plocal: r.Bool(),
			epoch: wire.Epoch(r.Below(1 << 32)), page: page(), line: uint32(r.Below(lines)), frame: uint32(r.Below(frames)), on: r.Uint(),
			since: time.Duration(r.Int()), due: time.Duration(r.Int()), attempts: int(r.Below(maxAttempts)), damaged: int(r.Below(DamagedFetches + 1)),
		}
	}
	for n := some(); n > 0 && r.Err() == nil; n-- {
		f := flush{Flush: Flush{ID: r.Uint(), Page: page(), Frame: uint32(r.Below(frames))}, state: state(r.Byte(byte(len(stateNames))))}
		f.epoch, f.since, f.due, f.attempts = wire.Epoch(r.Below(1<<32)), time.Duration(r.Int()), time.Duration(r.Int()), int(r.Below(maxAttempts))
		c.flushes = append(c.flushes, f)
	}
	c.failed = readError(r)
	c.drain, c.clean, c.dirty = r.Bool(), r.Bool(), uint32(r.Below(lines+1))
	for _, n := range c.stats.fields() {
		*n = r.Uint()
	}
	c.ahead.readState(r, lines, frames)
	if r.Err() != nil {
		return r.Err()
	}
	if err := c.cache.ReadState(r); err != nil {
		return err
	}
	c.book()
	if err := c.checkState(); err != nil {
		return fmt.Errorf("the state is inconsistent: %w", err)
	}
	return nil
}

// book counts who waits for what, from the states of threads and flushes. Of a process that failed nobody waits.
func (c *Core) book() {
	if c.failed != nil {
		return
	}
	for t := range c.threads {
		switch c.threads[t].state {
		case waitLine:
			c.waiting++
		case waitFill:
			c.sharing++
		case waitFlush, waitAck:
			c.acks++
		case pausing:
			c.parked++
		}
	}
	for i := range c.flushes {
		if c.flushes[i].state == pausing {
			c.parked++
		}
	}
}

// checkState is CheckInvariants, and what else no input can lead to.
func (c *Core) checkState() error {
	for i := range c.flushes {
		switch f := &c.flushes[i]; {
		case f.state != fetching && f.state != pausing && f.state != waitOwner:
			return fmt.Errorf("flush %d %s", f.ID, stateNames[f.state])
		case !c.known(f.Page):
			return fmt.Errorf("flush %d of page %#x, whose vRegion has no owner", f.ID, uint64(f.Page))
		}
	}
	for i := range c.ahead.flights {
		if f := &c.ahead.flights[i]; !c.known(f.page) {
			return fmt.Errorf("prefetch of page %#x, whose vRegion has no owner", uint64(f.page))
		}
	}
	for t := range c.threads {
		if th := &c.threads[t]; th.state != idle && th.state != ready && !c.known(th.page) {
			return fmt.Errorf("thread %d misses page %#x, whose vRegion has no owner", t, uint64(th.page))
		}
	}
	return c.CheckInvariants()
}

func (c *Core) known(page wire.PageNo) bool {
	_, ok := c.owners[c.Region(page)]
	return ok
}

// TapeState is the state of a process on a tape, beside its core: how far its program has come.
type TapeState struct {
	Last time.Duration // of the last record with a time
	Runs int           // the thread whose accesses hit
	Made []uint64      // accesses that each thread has made since the core began
}

// Append appends it, and the state of the core.
func (s *TapeState) Append(b []byte, c *Core) []byte {
	b = binary.AppendUvarint(binary.AppendVarint(b, int64(s.Last)), uint64(s.Runs))
	for _, n := range s.Made {
		b = binary.AppendUvarint(b, n)
	}
	return c.AppendState(b)
}

// Read reads what Append wrote, into s and a core that was just made.
func (s *TapeState) Read(b []byte, c *Core) error {
	r := tape.NewReader(b)
	*s = TapeState{Last: time.Duration(r.Int()), Runs: int(r.Below(uint64(len(c.threads)))), Made: make([]uint64, len(c.threads))}
	for i := range s.Made {
		s.Made[i] = r.Uint()
	}
	if r.Err() != nil {
		return r.Err()
	}
	if err := c.ReadState(&r); err != nil {
		return err
	}
	return r.End()
}

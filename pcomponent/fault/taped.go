package fault

import (
	"time"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// Taped is a Core whose inputs are recorded, in the order in which they are made. Without a tape it is the Core: each input
// costs one branch more. Hits are the Core's own and cost nothing: a record says how many there were since the one before,
// and whoever re-executes knows the accesses of each thread.
type Taped struct {
	*Core
	tape  tape.Tape // nil: off
	in    Input
	buf   []byte
	hits  uint64
	runs  int // the thread whose accesses hit now; the tape is told when one has
	ended bool
	// within is the input that the core is told, until it is on the tape.
	within InputKind
	at     TapeState // as the tape has it
}

// Record begins a tape, before the first input.
func (c *Taped) Record(t tape.Tape) {
	c.tape, c.at = t, TapeState{Made: make([]uint64, len(c.threads))}
}

// put records what c.in holds, and out. Of c.in only the fields of its kind are set: the rest is from records before, for to
// clear them all would cost more than to write a record.
func (c *Taped) put(kind InputKind, s tape.Sum, out []Effect) {
	in := &c.in
	c.within = 0
	if c.at.Runs != c.runs || in.Thread != c.runs {
		c.tellRuns(kind)
	}
	in.Kind = kind
	hits := c.cache.HitsOnly()
	in.Hits, c.hits = hits-c.hits, hits
	if kind.byRunning() {
		c.at.Runs = in.Thread
	}
	in.sum(s, out)
	c.buf = in.append(c.buf[:0], c.at.Last)
	c.at.Made[c.at.Runs] += in.Hits
	if kind == InFinish {
		c.at.Made[in.Thread]++
	}
	if in.Timed() {
		c.at.Last = in.Now
	}
	if c.tape.Record(c.buf) && kind != InEnd && !in.Panicked() {
		c.state()
	}
}

var panicked = []Effect{{Kind: Panicked}}

// left records an input that made the core panic: the process of the node dies of it, and the tape must be written before.
func (c *Taped) left() {
	if c.within == 0 {
		return
	}
	c.put(c.within, 0, panicked)
	if s, ok := c.tape.(tape.Syncer); ok {
		s.Sync()
	}
}

// state writes the state. All that the core was told, hits included, is on the tape. It may be large, and is seldom wanted.
func (c *Taped) state() { c.tape.State(c.at.Append(nil, c.Core)) }

// Run says that the accesses that come are those of thread t: it got the lock. What the one before it hit is told first, if it hit.
func (c *Taped) Run(t int) {
	if c.tape == nil || c.runs == t {
		return
	}
	if c.cache.HitsOnly() != c.hits {
		c.tellRuns(InRun)
		if c.run(t) {
			c.state()
		}
	}
	c.runs = t
}

// tellRuns tells whose the hits are that the record of an input is to hold, if nothing else says it: the input is of another thread, or of none.
// It writes no state: hits, or the input, are not on the tape yet.
func (c *Taped) tellRuns(kind InputKind) {
	if c.cache.HitsOnly() == c.hits || kind.byRunning() && c.in.Thread == c.runs {
		return
	}
	if c.at.Runs != c.runs {
		hits := c.hits
		c.hits = c.cache.HitsOnly() // not yet these
		c.run(c.runs)
		c.hits = hits
	}
	if kind.byRunning() { // and from here on it is another
		c.run(c.in.Thread)
	}
}

// run writes an InRun, with the hits that there are. It reports whether the tape wants the state.
func (c *Taped) run(t int) (state bool) {
	was := c.in.Thread
	c.in.Thread = t
	hits := c.cache.HitsOnly()
	c.in.Kind, c.in.Hits, c.hits = InRun, hits-c.hits, hits
	c.in.sum(0, nil)
	c.buf = c.in.append(c.buf[:0], c.at.Last)
	c.at.Made[c.at.Runs] += c.in.Hits
	c.at.Runs, c.in.Thread = t, was
	return c.tape.Record(c.buf)
}

// End ends the tape with what the cache counted.
func (c *Taped) End() {
	if c.tape != nil && !c.ended {
		c.in.Stats = c.cache.Stats()
		c.put(InEnd, 0, nil)
		c.tape.End()
		c.ended = true
	}
}

func (c *Taped) Map(first, last wire.PageNo, anon bool, owners []wire.Owner) {
	if c.tape != nil {
		c.in.Page, c.in.Last, c.in.Write, c.in.Owners = first, last, anon, owners
		c.within = InMap
		defer c.left()
	}
	c.Core.Map(first, last, anon, owners)
	if c.tape != nil {
		c.put(InMap, 0, nil)
	}
}

func (c *Taped) Unmap(first, last wire.PageNo) {
	if c.tape != nil {
		c.in.Page, c.in.Last = first, last
		c.within = InUnmap
		defer c.left()
	}
	c.Core.Unmap(first, last)
	if c.tape != nil {
		c.put(InUnmap, 0, nil)
	}
}

func (c *Taped) Fault(now time.Duration, t int, page wire.PageNo, write bool, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Now, c.in.Thread, c.in.Page, c.in.Write = now, t, page, write
		c.within = InFault
		defer c.left()
	}
	out = c.Core.Fault(now, t, page, write, out)
	if c.tape != nil {
		c.put(InFault, 0, out[n:])
	}
	return out
}

func (c *Taped) Finish(t int, out []Effect) (frame uint32, _ []Effect) {
	n := len(out)
	if c.tape != nil {
		c.in.Thread = t
		c.within = InFinish
		defer c.left()
	}
	frame, out = c.Core.Finish(t, out)
	if c.tape != nil {
		c.put(InFinish, tape.Sum(0).Uint(uint64(frame)), out[n:])
	}
	return frame, out
}

func (c *Taped) Fetched(now time.Duration, t int, err *wire.Error, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Now, c.in.Thread, c.in.Err = now, t, err
		c.within = InFetched
		defer c.left()
	}
	out = c.Core.Fetched(now, t, err, out)
	if c.tape != nil {
		c.put(InFetched, 0, out[n:])
	}
	return out
}

func (c *Taped) Prefetched(now time.Duration, id uint64, err *wire.Error, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Now, c.in.ID, c.in.Err = now, id, err
		c.within = InPrefetched
		defer c.left()
	}
	out = c.Core.Prefetched(now, id, err, out)
	if c.tape != nil {
		c.put(InPrefetched, 0, out[n:])
	}
	return out
}

func (c *Taped) FlushDone(now time.Duration, id uint64, err *wire.Error, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Now, c.in.ID, c.in.Err = now, id, err
		c.within = InFlushDone
		defer c.left()
	}
	out = c.Core.FlushDone(now, id, err, out)
	if c.tape != nil {
		c.put(InFlushDone, 0, out[n:])
	}
	return out
}

func (c *Taped) OwnerKnown(now time.Duration, page wire.PageNo, owner wire.Owner, err *wire.Error, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Now, c.in.Page, c.in.Owner, c.in.Err = now, page, owner, err
		c.within = InOwnerKnown
		defer c.left()
	}
	out = c.Core.OwnerKnown(now, page, owner, err, out)
	if c.tape != nil {
		c.put(InOwnerKnown, 0, out[n:])
	}
	return out
}

func (c *Taped) OwnerMoved(now time.Duration, owner wire.Owner, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Now, c.in.Owner = now, owner
		c.within = InOwnerMoved
		defer c.left()
	}
	out = c.Core.OwnerMoved(now, owner, out)
	if c.tape != nil {
		c.put(InOwnerMoved, 0, out[n:])
	}
	return out
}

// Tick is recorded when something was due: else it changes nothing, and it comes a hundred times a second.
func (c *Taped) Tick(now time.Duration, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Now = now
		c.within = InTick
		defer c.left()
	}
	out = c.Core.Tick(now, out)
	if c.within = 0; c.tape != nil && len(out) > n {
		c.put(InTick, 0, out[n:])
	}
	return out
}

func (c *Taped) Drain(now time.Duration, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Now = now
		c.within = InDrain
		defer c.left()
	}
	out = c.Core.Drain(now, out)
	if c.tape != nil {
		c.put(InDrain, 0, out[n:])
	}
	return out
}

func (c *Taped) Fail(err *wire.Error, out []Effect) []Effect {
	n := len(out)
	if c.tape != nil {
		c.in.Err = err
		c.within = InFail
		defer c.left()
	}
	out = c.Core.Fail(err, out)
	if c.tape != nil {
		c.put(InFail, 0, out[n:])
	}
	return out
}

func (c *Taped) Undrain() {
	c.Core.Undrain()
	if c.tape != nil {
		c.put(InUndrain, 0, nil)
	}
}

func (c *Taped) WriteBack(now time.Duration, from uint32, n int, out []Effect) (next uint32, written int, done bool, _ []Effect) {
	had := len(out)
	if c.tape != nil {
		c.in.Now, c.in.ID, c.in.N = now, uint64(from), n
		c.within = InWriteBack
		defer c.left()
	}
	next, written, done, out = c.Core.WriteBack(now, from, n, out)
	if c.tape != nil {
		c.put(InWriteBack, sumWriteBack(next, written, done), out[had:])
	}
	return next, written, done, out
}

// Import is recorded if it worked: else there is no process.
func (c *Taped) Import(s State) error {
	err := c.Core.Import(s)
	if c.tape != nil && err == nil {
		c.in.State = s
		c.put(InImport, 0, nil)
	}
	return err
}

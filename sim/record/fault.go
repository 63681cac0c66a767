package record

import (
	"errors"
	"fmt"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
)

// faultCore re-executes the fault protocol of one process, its ExCache included. The accesses that hit are not on the tape:
// they are made in the order of the program, by the thread that held the lock.
type faultCore struct {
	head    fault.TapeHead
	core    *fault.Core
	refs    Accesses
	in      fault.Input
	at      fault.TapeState
	threads []access
	last    string // state when it ended: the core is not kept, of a node that ran for days there were many
	memory  *memory
	bytes   int64
}

// access is the one that a thread is within.
type access struct {
	within bool
	page   uint64
	write  bool
}

func newFault(head []byte, o *ExecuteOptions) (core, error) {
	c := &faultCore{}
	if err := wire.Unmarshal(head, &c.head); err != nil {
		return nil, err
	}
	if err := c.head.ExCache.Validate(); err != nil {
		return nil, err
	}
	c.bytes = lineBytes * int64(c.head.ExCache.Frames())
	if err := o.memory.take(c.bytes); err != nil {
		return nil, err
	}
	c.memory = o.memory
	var err error
	if c.core, err = c.head.New(); err != nil {
		return nil, err
	}
	if c.refs, err = o.Accesses(c.head.Program); err != nil {
		return nil, fmt.Errorf("process %s: %w", c.head.Name, err)
	}
	c.threads = make([]access, c.head.Options.Threads)
	c.at.Made = make([]uint64, len(c.threads))
	return c, nil
}

func (c *faultCore) name() string { return fmt.Sprintf("process %s, pid %d", c.head.Name, c.head.PID) }
func (c *faultCore) ended() bool  { return c.core == nil }

func (c *faultCore) state() string {
	if c.core == nil {
		return c.last
	}
	return c.core.Show()
}

func (c *faultCore) snapshot() []byte {
	if c.core == nil {
		return nil
	}
	return c.at.Append(nil, c.core)
}

func (c *faultCore) restore(state []byte) error {
	if err := c.at.Read(state, c.core); err != nil {
		return err
	}
	return c.refs.Skip(c.at.Made)
}

func (c *faultCore) close() error { return c.refs.Close() }

func (c *faultCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	in := &c.in
	if err := in.Read(b, len(c.threads), c.at.Last); err != nil {
		return "a record", 0, 0, err
	}
	if c.core == nil {
		return in.String(), 0, 0, errors.New("the process has ended before")
	}
	if in.ByRunning() {
		c.at.Runs = in.Thread
	}
	if err := calling(func() {
		for ; hits < in.Hits && err == nil; hits++ {
			err = c.hit()
		}
	}); err != nil {
		return in.String(), 0, hits, err
	}
	if err != nil {
		return in.String(), 0, hits, fmt.Errorf("hit %d of %d before it: %w", hits, in.Hits, err)
	}
	switch in.Kind {
	case fault.InRun:
		c.at.Runs = in.Thread
	case fault.InFault:
		a, err := c.next(in.Thread)
		if err != nil {
			return in.String(), 0, hits, err
		}
		if a.page != uint64(in.Page) || a.write != in.Write {
			return in.String(), 0, hits, fmt.Errorf("the program accesses page %#x, write %t", a.page, a.write)
		}
	case fault.InFinish:
		if _, err := c.next(in.Thread); err != nil { // its fault is on the tape, but for one before a state
			return in.String(), 0, hits, err
		}
		c.made(in.Thread)
	}
	var got fault.Input
	switch perr := calling(func() { got, _, err = c.core.Apply(in) }); {
	case perr != nil && in.Panicked():
		c.leave(fmt.Sprintf("%v, as it did live, at %v\n", perr, in) + c.core.Show())
		return in.String(), 1, hits, nil
	case perr != nil:
		return in.String(), 0, hits, perr
	}
	if err != nil {
		return in.String(), 0, hits, err
	}
	if in.Kind == fault.InEnd && got.Stats != in.Stats {
		return in.String(), 0, hits, fmt.Errorf("the cache counted %+v, recorded was %+v", got.Stats, in.Stats)
	}
	if err := differ(got.Effects, in.Effects, got.Sum, in.Sum); err != nil {
		return in.String(), 0, hits, err
	}
	if in.Timed() {
		c.at.Last = in.Now
	}
	if in.Kind == fault.InEnd {
		c.leave(c.core.Show())
	}
	return in.String(), len(got.Effects), hits, nil
}

// leave ends the core, in a state.
func (c *faultCore) leave(state string) {
	c.last, c.core = state, nil
	c.memory.left += c.bytes
}

// next gives the access that a thread is within, or begins its next.
func (c *faultCore) next(t int) (access, error) {
	a := &c.threads[t]
	if !a.within {
		page, write, err := c.refs.Next(t)
		if err != nil {
			return access{}, fmt.Errorf("the next access of thread %d: %w", t, err)
		}
		*a = access{true, page, write}
	}
	return *a, nil
}

// made says that a thread has made its access.
func (c *faultCore) made(t int) {
	c.threads[t].within = false
	c.at.Made[t]++
}

// hit makes an access of the thread that runs, which hit.
func (c *faultCore) hit() error {
	a, err := c.next(c.at.Runs)
	if err != nil {
		return err
	}
	c.made(c.at.Runs)
	if _, ok := c.core.Hit(wire.PageNo(a.page), a.write); !ok {
		return fmt.Errorf("thread %d misses page %#x, write %t, which hit live", c.at.Runs, a.page, a.write)
	}
	return nil
}

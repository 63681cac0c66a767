package vtime

import (
	"fmt"
	"time"
)

// Horizon is the last moment at which an event may be: 73 years.
const Horizon = time.Duration(1 << 61)

// Kind names what kind of event it is; Handle gives one.
type Kind uint32

// MaxKinds bounds the kinds of a Clock.
const MaxKinds = 1 << 16

// timerBit marks the event of a timer, backBit one in the background.
const (
	timerBit = 1 << 31
	backBit  = 1 << 30
)

// Clock runs events in the order of (time, sequence of scheduling). Make one with New.
type Clock struct {
	now      int64
	seq      uint64
	queue    queue
	handlers []func(who uint32)
	names    []string
	timers   timers
	events   uint64
	back     int         // pending events in the background
	expects  func() bool // of Expect
	stopped  bool
	err      error
	waits    []func(report func(who, what string))
	procs    procs
}

// New makes a clock that stands at 0.
func New() *Clock {
	c := &Clock{}
	c.queue.init()
	c.timers.free = none
	return c
}

// Handle registers what to do at events of a new kind. name appears in errors.
func (c *Clock) Handle(name string, do func(who uint32)) Kind {
	if len(c.handlers) == MaxKinds {
		panic(fmt.Sprintf("vtime: %q would be one kind of event more than %d", name, MaxKinds))
	}
	c.handlers = append(c.handlers, do)
	c.names = append(c.names, name)
	return Kind(len(c.handlers) - 1)
}

// Now is the moment of the event that runs, or of the last one.
func (c *Clock) Now() time.Duration { return time.Duration(c.now) }

// At schedules an event. A moment that has passed, or one after Horizon, ends the run with an error.
func (c *Clock) At(t time.Duration, kind Kind, who uint32) {
	if int64(t) < c.now || t > Horizon {
		c.outside(t, kind, who)
		return
	}
	c.seq++
	c.queue.push(event{int64(t), c.seq, uint32(kind), who})
}

// After schedules an event d from now.
func (c *Clock) After(d time.Duration, kind Kind, who uint32) {
	c.At(time.Duration(c.now)+d, kind, who)
}

// Background schedules an event that keeps no run going: a Run without Until ends when no other is left. So what comes again and again
// whatever happens, like a heartbeat, neither makes a run endless nor hides that all who are left wait for each other.
func (c *Clock) Background(t time.Duration, kind Kind, who uint32) {
	if int64(t) < c.now || t > Horizon {
		c.outside(t, kind, who)
		return
	}
	c.seq++
	c.back++
	c.queue.push(event{int64(t), c.seq, uint32(kind) | backBit, who})
}

// Expect has a Run ask whether it goes on though only events in the background are left: whether one of them may bring what others
// wait for. There is one such function; it is asked often.
func (c *Clock) Expect(more func() bool) { c.expects = more }

// Stop ends Run after the event that runs. What is scheduled stays, and a later Run goes on with it.
func (c *Clock) Stop() { c.stopped = true }

// Fail ends Run after the event that runs, with an error; the first counts, and it stays.
func (c *Clock) Fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.stopped = true
}

// Limits of a Run; the zero value has none.
type Limits struct {
	// Until is the last moment whose events are run; the clock then stands there. 0 is without end.
	Until time.Duration
	// Events is how many events are run at most; 0 is without end.
	Events uint64
}

// Run runs events until none is left, or only some in the background, a limit is reached, or Stop or Fail was called. The error is a *PastError, a
// *DeadlockError, or what Fail was given.
func (c *Clock) Run(l Limits) error {
	until, left := int64(Horizon), l.Events
	if l.Until > 0 {
		until = int64(l.Until)
	}
	c.stopped = c.err != nil
	for !c.stopped {
		e := c.queue.peek()
		if e == nil || c.back > 0 && c.idle(&l) {
			if err := c.deadlock(); err != nil {
				return err // not kept: its driver may schedule what they wait for
			}
			if l.Until > 0 {
				c.now = max(c.now, until)
			}
			break
		}
		if e.at > until {
			c.now = max(c.now, until)
			break
		}
		if l.Events > 0 && left == 0 {
			break
		}
		if c.step() {
			left--
		}
	}
	return c.err
}

// idle reports whether only events in the background are left, and that they are not to be run.
func (c *Clock) idle(l *Limits) bool {
	return c.Pending() == c.back && l.Until == 0 && (c.expects == nil || !c.expects())
}

// step runs the first event; it is false for a timer that was cancelled.
func (c *Clock) step() bool {
	e := c.queue.pop()
	if e.kind >= backBit {
		if e.kind&backBit != 0 {
			c.back--
			e.kind &^= backBit
		} else if !c.fired(&e) {
			return false
		}
	}
	c.now = e.at
	c.events++
	c.handlers[e.kind](e.who)
	return true
}

// Events is how many events have run.
func (c *Clock) Events() uint64 { return c.events }

// Pending is how many events are scheduled, in the background too; timers that were cancelled do not count.
func (c *Clock) Pending() int { return c.queue.size - c.timers.dead }

// CheckInvariants says what is wrong with the clock's own state. It looks at every pending event.
func (c *Clock) CheckInvariants() error {
	if first := c.queue.peek(); first != nil && first.at < c.now {
		return fmt.Errorf("vtime: an event at %d ns is pending at %d ns", first.at, c.now)
	}
	if err := c.queue.check(); err != nil {
		return err
	}
	if c.back < 0 || c.back > c.Pending() {
		return fmt.Errorf("vtime: %d of %d pending events are in the background", c.back, c.Pending())
	}
	return c.checkTimers()
}

// PastError is an event that was scheduled for a moment that has passed, or that lies after Horizon.
type PastError struct {
	Name    string // of its kind
	Who     uint32
	At, Now time.Duration
}

func (e *PastError) Error() string {
	if e.At > Horizon {
		return fmt.Sprintf("vtime: event %q for %d at %v, want at most %v", e.Name, e.Who, e.At, Horizon)
	}
	return fmt.Sprintf("vtime: event %q for %d at %v lies before now, %v: want no event in the past", e.Name, e.Who, e.At, e.Now)
}

// outside reports an event that At cannot take. It is a function of its own so that At stays small.
func (c *Clock) outside(t time.Duration, kind Kind, who uint32) {
	c.Fail(&PastError{c.names[kind], who, t, c.Now()})
}

package vtime

import (
	"fmt"
	"time"
)

// Timer is an event that can be cancelled. The zero Timer is none, and so is one that has run or was cancelled: a Timer that is kept
// too long can do no harm.
type Timer struct {
	seq  uint64
	slot uint32
}

// timers has a slot for each pending timer. An event belongs to its slot as long as their sequence numbers agree, so a slot
// can be used again at once, while the event of the cancelled timer still lies in the queue.
type timers struct {
	slots []slot
	free  int32
	dead  int // cancelled ones that lie in the queue
}

type slot struct {
	seq  uint64 // 0: free
	kind Kind
	who  uint32
	next int32 // free slot, while it is free
}

// deadMost is how many cancelled timers may lie in the queue whatever else does. Beyond it, a Cancel that makes them more than the
// half of the queue sweeps them out.
const deadMost = 64

// Timer schedules an event that Cancel takes back. It costs a few nanoseconds more than At.
func (c *Clock) Timer(t time.Duration, kind Kind, who uint32) Timer {
	if int64(t) < c.now || t > Horizon {
		c.outside(t, kind, who)
		return Timer{}
	}
	ts := &c.timers
	i := ts.free
	if i == none {
		i = int32(len(ts.slots))
		ts.slots = append(ts.slots, slot{})
	} else {
		ts.free = ts.slots[i].next
	}
	c.seq++
	ts.slots[i] = slot{seq: c.seq, kind: kind, who: who}
	c.queue.push(event{int64(t), c.seq, timerBit, uint32(i)})
	return Timer{c.seq, uint32(i)}
}

// Cancel takes a timer back. It is false if the timer has run, was cancelled, or never was.
func (c *Clock) Cancel(t Timer) bool {
	if !c.Active(t) {
		return false
	}
	c.release(t.slot)
	ts := &c.timers
	ts.dead++
	if ts.dead > deadMost && ts.dead > c.queue.size/2 { // each sweep removes half of what it looks at
		c.queue.keep(func(e event) bool { return e.kind&timerBit != 0 && ts.slots[e.who].seq != e.seq })
		ts.dead = 0
	}
	return true
}

// Active reports whether a timer will run.
func (c *Clock) Active(t Timer) bool {
	return t.seq != 0 && c.timers.slots[t.slot].seq == t.seq
}

func (c *Clock) release(i uint32) {
	ts := &c.timers
	ts.slots[i] = slot{next: ts.free}
	ts.free = int32(i)
}

// fired puts the kind and the receiver of a timer into its event, or is false if it was cancelled.
func (c *Clock) fired(e *event) bool {
	s := c.timers.slots[e.who]
	if s.seq != e.seq {
		c.timers.dead--
		return false
	}
	c.release(e.who)
	e.kind, e.who = uint32(s.kind), s.who
	return true
}

func (c *Clock) checkTimers() error {
	ts := &c.timers
	free := 0
	for i := ts.free; i != none; i = ts.slots[i].next {
		if free++; ts.slots[i].seq != 0 {
			return fmt.Errorf("vtime: slot %d of a pending timer is free", i)
		}
	}
	if ts.dead < 0 || ts.dead > c.queue.size {
		return fmt.Errorf("vtime: %d cancelled timers among %d events", ts.dead, c.queue.size)
	}
	return nil
}

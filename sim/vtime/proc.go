package vtime

import (
	"fmt"
	"iter"
	"time"
)

// Proc is a process that runs as a coroutine: its body is straight code that sleeps and waits. Its methods are called from its
// body only.
type Proc struct {
	c     *Clock
	name  string
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	index uint32
	done  bool
	due   bool // an event that lets it go on is pending

	on    *Signal // what it waits for
	woken bool    // by the signal, not by the deadline
	timer Timer
}

// procs has the processes that have not ended, each at its index.
type procs struct {
	all    []*Proc
	free   []uint32
	resume Kind
	ready  bool // resume is registered
	closed bool
}

// unwound is what ends the body of a process whose clock was closed.
type unwound struct{}

// Go starts a process now, after the events of this moment that are scheduled already. name appears in errors.
func (c *Clock) Go(name string, body func(p *Proc)) *Proc {
	ps := &c.procs
	if ps.closed {
		panic(fmt.Sprintf("vtime: process %q on a clock that is closed", name))
	}
	if !ps.ready {
		ps.resume, ps.ready = c.Handle("resume", func(who uint32) { ps.all[who].run() }), true
	}
	p := &Proc{c: c, name: name}
	if n := len(ps.free); n > 0 {
		p.index, ps.free = ps.free[n-1], ps.free[:n-1]
		ps.all[p.index] = p
	} else {
		p.index = uint32(len(ps.all))
		ps.all = append(ps.all, p)
	}
	p.next, p.stop = iter.Pull(func(yield func(struct{}) bool) {
		p.yield = yield
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(unwound); !ok {
					panic(r)
				}
			}
		}()
		body(p)
	})
	p.due = true
	c.After(0, ps.resume, p.index)
	return p
}

// run lets the body go on until it waits or ends.
func (p *Proc) run() {
	p.due = false
	if p.done { // it was ended while this event was pending
		p.forget()
		return
	}
	if _, more := p.next(); !more {
		p.end()
	}
}

func (p *Proc) end() {
	if p.done {
		return
	}
	p.done = true
	if !p.due {
		p.forget()
	}
}

// forget gives its index back, when no event is pending that names it.
func (p *Proc) forget() {
	p.c.procs.all[p.index] = nil
	p.c.procs.free = append(p.c.procs.free, p.index)
}

// Ended reports whether the process has ended.
func (p *Proc) Ended() bool { return p.done }

// End ends a process that waits or sleeps, or has not begun, from without: it goes on by a panic that runs its deferred calls and ends
// there. One that has ended stays so. A process cannot end itself.
func (p *Proc) End() {
	if p.done {
		return
	}
	if p.on != nil {
		p.on.remove(p)
		p.on = nil
	}
	p.c.Cancel(p.timer)
	p.stop()
	p.end()
}

// park gives control back until run is called.
func (p *Proc) park() {
	if !p.yield(struct{}{}) {
		panic(unwound{})
	}
}

// Name of the process.
func (p *Proc) Name() string { return p.name }

// Now is the clock's.
func (p *Proc) Now() time.Duration { return p.c.Now() }

// Sleep goes on d later; 0 is after what is scheduled for this moment.
func (p *Proc) Sleep(d time.Duration) {
	p.due = true
	p.c.After(d, p.c.procs.resume, p.index)
	p.park()
}

// Wait goes on when s is given to this process.
func (p *Proc) Wait(s *Signal) {
	s.add(p)
	p.on = s
	p.park()
}

// WaitFor is Wait that gives up after d; it reports whether s was given.
func (p *Proc) WaitFor(s *Signal, d time.Duration) bool {
	p.woken = false
	p.timer = p.c.Timer(p.c.Now()+d, p.c.procs.resume, p.index)
	p.Wait(s)
	if !p.woken {
		s.remove(p)
		p.on = nil
	}
	return p.woken
}

// Signal is what processes wait for. They get it in the order in which they began to wait; given to nobody it is lost. The zero
// value is ready; Name appears in a DeadlockError.
type Signal struct {
	Name    string
	waiting []*Proc
	head    int
}

func (s *Signal) add(p *Proc) {
	if s.head > 32 && s.head > len(s.waiting)/2 { // what was taken does not accumulate
		n := copy(s.waiting, s.waiting[s.head:])
		clear(s.waiting[n:])
		s.waiting, s.head = s.waiting[:n], 0
	}
	s.waiting = append(s.waiting, p)
}

func (s *Signal) remove(p *Proc) {
	for i := s.head; i < len(s.waiting); i++ {
		if s.waiting[i] == p {
			copy(s.waiting[i:], s.waiting[i+1:])
			s.waiting[len(s.waiting)-1] = nil
			s.waiting = s.waiting[:len(s.waiting)-1]
			return
		}
	}
}

// Wake gives the signal to the process that has waited longest; it goes on at this moment, after what is scheduled for it. It is
// false if none waits.
func (s *Signal) Wake() bool {
	if s.head == len(s.waiting) {
		return false
	}
	p := s.waiting[s.head]
	s.waiting[s.head] = nil
	if s.head++; s.head == len(s.waiting) {
		s.waiting, s.head = s.waiting[:0], 0
	}
	p.c.Cancel(p.timer)
	p.on, p.woken, p.due = nil, true, true
	p.c.After(0, p.c.procs.resume, p.index)
	return true
}

// Broadcast gives the signal to all that wait.
func (s *Signal) Broadcast() {
	for s.Wake() {
	}
}

// Waiting is how many processes wait.
func (s *Signal) Waiting() int { return len(s.waiting) - s.head }

// Procs is how many processes have not ended.
func (c *Clock) Procs() int { return len(c.procs.all) - len(c.procs.free) }

// Close ends the processes that have not ended: each goes on from where it waits by a panic that runs its deferred calls and ends
// there. After it the clock runs nothing.
func (c *Clock) Close() {
	ps := &c.procs
	ps.closed = true
	for _, p := range ps.all {
		if p != nil && !p.done {
			p.stop()
			p.due = false // nothing is run any more
			p.end()
		}
	}
	c.queue = queue{}
	c.queue.init()
	c.timers, c.back = timers{free: none}, 0
}

// waiting reports every process that waits for a signal.
func (ps *procs) waiting(report func(who, what string)) {
	for _, p := range ps.all {
		if p == nil || p.done || p.on == nil {
			continue
		}
		name := p.on.Name
		if name == "" {
			name = "a signal without a name"
		}
		report(p.name, name)
	}
}

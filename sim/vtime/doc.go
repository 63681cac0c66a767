// Package vtime is the event clock: virtual time in which the cores run, with modelled links and devices, thousands of
// components in one goroutine.
//
// A moment is a time.Duration since the start of the run, in whole nanoseconds: the cores take their now so, and a run may last
// years (picoseconds in an int64 end after 106 days). Costs below a nanosecond are carried by who adds them (units.Carry), so
// sums are exact.
//
// Events are ordered by (time, sequence of scheduling), and nothing else: two runs that schedule the same events in the same
// order are the same run. An event names a kind, whose handler was registered at the start, and who it is for, a number that the
// model gives meaning to; so an event is 24 bytes by value and costs no allocation. What belongs to an event beyond that lies in
// the model's own tables. Whatever can be computed at once (package fifo) needs no event.
//
//	c := vtime.New()
//	var tick vtime.Kind
//	tick = c.Handle("tick", func(who uint32) { c.After(period, tick, who) })
//	c.After(0, tick, 7)
//	err := c.Run(vtime.Limits{Until: time.Second})
//
// # Errors
//
// An event in the past is a fault of the model: Run returns a *PastError that names it. If nothing is scheduled any more while
// processes wait, or a model registered with WhoWaits says that something does, Run returns a *DeadlockError with who waits for
// what; the texts are made then, not before.
//
// # The background
//
// What comes again and again whatever happens, like a heartbeat, is scheduled with Background: a Run without Until ends, or tells of
// a deadlock, when no other event is left. Expect lets a model have it go on while an event in the background may help.
//
// # Processes
//
// The cheap process is a state machine: a handler and a row of the model's tables. Where a sequence of waits reads better, Go starts a
// coroutine, at about ten times the cost of an event and some KiB each:
//
//	c.Go("client", func(p *vtime.Proc) {
//		p.Sleep(time.Microsecond)
//		reply.Wait(p)
//	})
//	defer c.Close() // ends the coroutines that have not ended, running their deferred calls
//
// # Chance
//
// Stream gives one generator per purpose and index, so that a new consumer of chance does not shift the others.
//
// One goroutine uses a Clock; no locks, and no goroutines but the coroutines of Go, which run one at a time inside Run.
package vtime

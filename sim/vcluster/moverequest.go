package vcluster

import (
	"fmt"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// Times of requests, as live.
const (
	// retryBase and retryMax bound the pauses before a request is sent again: the defaults of live connections.
	retryBase = 20 * time.Millisecond
	retryMax  = 500 * time.Millisecond
)

// timed is control with a patience: if the answer has not come when that is over, it is an error of KindTimeout, and whatever comes
// later is not heard.
func timed[Q, R any](c *Cluster, op wire.Op, from, to int32, patience time.Duration, q Q, serve func(q Q, done func(R, error)), answer func(R, error)) {
	heard := c.heard(op, to, patience, func(err error) {
		var none R
		answer(none, err)
	})
	control(c, op, from, to, q, serve, func(r R, err error) {
		if heard() {
			answer(r, err)
		}
	})
}

// heard begins to wait for an answer. What it gives says whether the answer is the first that is heard.
func (c *Cluster) heard(op wire.Op, to int32, patience time.Duration, late func(error)) func() bool {
	over := false
	i := c.later.take()
	*c.later.at(i) = func() {
		over = true
		late(wire.Errorf(wire.KindTimeout, "%v to %s: no answer within %v", op, c.o.Nodes[to].ID, patience))
	}
	timer := c.clock.Timer(c.clock.Now()+patience, c.run, i)
	return func() bool {
		if over {
			return false
		}
		over = true
		c.clock.Cancel(timer)
		c.later.free(i)
		return true
	}
}

// tell sends a request from within a coroutine, once, and waits for the answer as long as the patience lasts.
func tell[Q, R any](y *vtime.Proc, c *Cluster, op wire.Op, from, to int32, patience time.Duration, q Q, serve func(q Q, done func(R, error))) (r R, err error) {
	err = wait(y, fmt.Sprintf("%v to be answered by %s", op, c.o.Nodes[to].ID), func(done func(error)) {
		timed(c, op, from, to, patience, q, serve, func(got R, e error) {
			r = got
			done(e)
		})
	})
	return r, err
}

// order is tell of what has no answer but that it was done.
func order[Q any](y *vtime.Proc, c *Cluster, op wire.Op, from, to int32, patience time.Duration, q Q, serve func(q Q) error) error {
	_, err := tell(y, c, op, from, to, patience, q, func(q Q, done func(struct{}, error)) { done(struct{}{}, serve(q)) })
	return err
}

// once serves a request that is sent again after its answer was lost: it is executed at most once, and what comes again gets the
// answer of the first, as live by the sessions of connections.
type once[R any] struct {
	begun, ended bool
	r            R
	err          error
	waiting      []func(R, error)
}

func (o *once[R]) serve(do func(done func(R, error)), done func(R, error)) {
	if o.ended {
		done(o.r, o.err)
		return
	}
	o.waiting = append(o.waiting, done)
	if o.begun {
		return
	}
	o.begun = true
	do(func(r R, err error) {
		waiting := o.waiting
		o.r, o.err, o.ended, o.waiting = r, err, true, nil
		if wire.KindOf(err) == wire.KindBusy { // it was not executed
			o.begun, o.ended = false, false
		}
		for _, w := range waiting {
			w(r, err)
		}
	})
}

// mayRetry reports whether the same request may succeed later.
func mayRetry(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindUnavailable, wire.KindTimeout, wire.KindBusy:
		return true
	}
	return false
}

// controlling sends a request until it is answered for good, as a live connection does: while the receiver is busy or does not
// answer, controlAttempts times. An operation that must be executed at most once is.
func controlling[Q, R any](y *vtime.Proc, c *Cluster, op wire.Op, from, to int32, q Q, serve func(q Q, done func(R, error))) (r R, err error) {
	schedule := session.Backoff{Base: retryBase, Max: retryMax, Attempts: controlAttempts}
	var done once[R]
	for attempt := 1; ; attempt++ {
		err = wait(y, fmt.Sprintf("%v to be answered by %s", op, c.o.Nodes[to].ID), func(ended func(error)) {
			control(c, op, from, to, q, func(q Q, reply func(R, error)) {
				if op.Once() {
					done.serve(func(executed func(R, error)) { serve(q, executed) }, reply)
				} else {
					serve(q, reply)
				}
			}, func(got R, e error) {
				r = got
				ended(e)
			})
		})
		if err == nil || !mayRetry(err) {
			return r, err
		}
		pause, ok := schedule.Delay(attempt, c.retries())
		if !ok {
			return r, err
		}
		y.Sleep(pause)
	}
}

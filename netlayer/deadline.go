package netlayer

import (
	"context"
	"sync"
	"time"
)

// deadlineCtx is the context of a request at a worker. Most handlers never ask it for Done, so the timer and the channel,
// which cost three allocations, are made when somebody does. One that nobody asked may serve the next request.
type deadlineCtx struct {
	parent   context.Context
	deadline time.Time

	mu     sync.Mutex
	timed  context.Context // nil until it is needed
	cancel context.CancelFunc
}

func (d *deadlineCtx) begin(parent context.Context, deadline time.Time) {
	d.mu.Lock()
	d.parent, d.deadline = parent, deadline
	d.mu.Unlock()
}

// end ends the context with its request, and reports whether it may be used for another: nobody holds its channel.
func (d *deadlineCtx) end() (again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed != nil {
		d.cancel()
		return false
	}
	d.parent = nil
	return true
}

func (d *deadlineCtx) real() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.cancel = context.WithDeadline(d.parent, d.deadline)
	}
	return d.timed
}

// Deadline implements context.Context.
func (d *deadlineCtx) Deadline() (time.Time, bool) { return d.deadline, true }

// Done implements context.Context.
func (d *deadlineCtx) Done() <-chan struct{} { return d.real().Done() }

// Err implements context.Context.
func (d *deadlineCtx) Err() error { return d.real().Err() }

// Value implements context.Context. It asks the real context, so that the context package finds it there and derives
// others from it without a goroutine.
func (d *deadlineCtx) Value(key any) any { return d.real().Value(key) }

package mcomponent

import (
	"errors"
	"sync"
	"time"

	"splitkernel/mcomponent/migrate"
	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// sendTimeout bounds one message of a move. tellTimeout is that of the home's message to the pComponent, which is part of the
// giver's to the home.
const (
	sendTimeout = 3 * time.Second
	tellTimeout = 2 * time.Second
)

// send sends one message of a move, once: what follows from its failure is decided by the core.
func send(p *netlayer.Peer, op wire.Op, epoch wire.Epoch, body []byte, timeout time.Duration) error {
	return sendIn(span.Context{}, p, op, epoch, body, timeout)
}

// send sends one message of the move.
func (v *giving) send(p *netlayer.Peer, op wire.Op, epoch wire.Epoch, body []byte, timeout time.Duration) error {
	return sendIn(v.work.Context, p, op, epoch, body, timeout)
}

func sendIn(in span.Context, p *netlayer.Peer, op wire.Op, epoch wire.Epoch, body []byte, timeout time.Duration) error {
	return p.DoIn(in, &netlayer.Call{Op: op, Epoch: epoch, Body: body, Timeout: timeout})
}

// wireError gives err as the cores want it.
func wireError(err error) *wire.Error {
	if err == nil {
		return nil
	}
	var e *wire.Error
	if errors.As(err, &e) {
		return e
	}
	return wire.Errorf(wire.KindInternal, "%v", err)
}

// subject is what moves: a vRegion or a memory map.
type subject interface {
	// local performs a Freeze, Thaw, Forget or Lose. The lock is held, and may be given up for moments.
	local(e migrate.Effect) error
	// message performs an Open, Close, Tell, Serve or Drop and returns when it is answered.
	message(e migrate.Effect) error
	// copy fills and sends a Copy, and returns what follows if that is known.
	copy(e migrate.Effect, out []migrate.Effect) []migrate.Effect
	// await waits for the answer to a Copy; ok is false if none is under way.
	await() (id uint64, err error, ok bool)
	// held reports whether something that began before the freeze goes on. The lock is held.
	held() bool
}

// giving drives the core of one move that this component gives. Its goroutine ends with the move or with the component.
type giving struct {
	c    *Component
	req  wire.MoveReq
	lock *sync.Mutex // of what moves: Component.mu or homeMu
	wake chan struct{}
	work span.Work

	// With the lock:
	g         *migrate.TapedGiver
	began     time.Time
	freed     bool // the process has ended and what moves was freed
	cancelled bool // and the core knows
}

func (v *giving) now() time.Duration { return time.Since(v.began) }

func (v *giving) Status() wire.MoveStatusRep {
	v.lock.Lock()
	defer v.lock.Unlock()
	return v.g.Status(v.now())
}

// begin starts the goroutine. The lock is held.
func (v *giving) begin(s subject) {
	v.began = time.Now()
	out := v.g.Begin(0, nil)
	v.c.wg.Go(func() { v.run(s, out) })
}

// event gives the core an event. If the process has ended that is the event, and what was to be done is not done; f is then
// not called.
func (v *giving) event(out []migrate.Effect, f func(now time.Duration, out []migrate.Effect) []migrate.Effect) []migrate.Effect {
	v.lock.Lock()
	defer v.lock.Unlock()
	if v.freed && !v.cancelled {
		v.cancelled = true
		return v.g.Cancel(v.now(), out[:0])
	}
	return f(v.now(), out)
}

func (v *giving) run(s subject, out []migrate.Effect) {
	for v.c.ctx.Err() == nil {
		if len(out) > 0 {
			e := out[0]
			out = v.perform(s, e, out[1:])
			continue
		}
		if id, err, ok := s.await(); ok {
			out = v.event(out, func(now time.Duration, out []migrate.Effect) []migrate.Effect {
				return v.g.Answered(now, id, wireError(err), out)
			})
			continue
		}
		v.lock.Lock()
		ended := v.g.Ended()
		due, waits := v.g.Due()
		v.lock.Unlock()
		if ended {
			v.end()
			return
		}
		if waits {
			v.sleep(due)
		}
		out = v.event(out, func(now time.Duration, out []migrate.Effect) []migrate.Effect {
			v.g.Hold(s.held())
			return v.g.Tick(now, out)
		})
	}
	for ok := true; ok; { // messages under way are calls of ours
		_, _, ok = s.await()
	}
}

func (v *giving) perform(s subject, e migrate.Effect, out []migrate.Effect) []migrate.Effect {
	switch e.Kind {
	case migrate.Freeze, migrate.Thaw, migrate.Forget, migrate.Lose:
		return v.event(out, func(now time.Duration, out []migrate.Effect) []migrate.Effect {
			if v.cancelled {
				return out // it is freed
			}
			if err := s.local(e); err != nil { // the process ended before the freeze
				v.freed, v.cancelled = true, true
				return v.g.Cancel(now, out[:0])
			}
			v.g.Hold(s.held())
			return out
		})
	case migrate.Copy:
		return s.copy(e, out)
	}
	err := s.message(e)
	return v.event(out, func(now time.Duration, out []migrate.Effect) []migrate.Effect {
		v.g.Hold(s.held())
		return v.g.Answered(now, e.ID, wireError(err), out)
	})
}

// sleep waits until due, the end of the process or of the component.
func (v *giving) sleep(due time.Duration) {
	t := time.NewTimer(due - v.now())
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.wake:
	case <-v.c.ctx.Done():
	}
}

// end counts how it ended.
func (v *giving) end() {
	s := v.Status()
	v.c.metrics.moved(v.req.Kind, s)
	v.work.Moved(s)
	v.c.log.Info("moved", "move", s.Move.No, "kind", v.req.Kind.String(), "pid", v.req.PID, "region", v.req.Region, "to", v.req.To, "outcome", s.State.String(),
		"epoch", s.Epoch, "bytes", s.Bytes, "rounds", s.Rounds, "pause_us", s.PauseUS, "why", s.Text)
}

package netlayer

import (
	"context"
	"errors"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// Control sends a control message and decodes the reply into rep; req and rep may be nil for an empty body. It retries
// while the peer cannot be reached, does not answer in call_timeout_ms or is busy: retry_attempts times in all, with
// growing pauses, until ctx ends. An op with Once keeps its call id over the retries, so the server executes it at most
// once. Other errors of the peer are returned as they are.
func (p *Peer) Control(ctx context.Context, op wire.Op, epoch wire.Epoch, req any, rep any) error {
	c := &Call{Op: op, Epoch: epoch, keep: op.Once(), Trace: span.Of(ctx).Trace}
	if req != nil {
		c.Body = wire.Marshal(req)
	}
	defer p.giveUp(c)
	tell := p.spans(ctx, c)
	defer tell()
	schedule := session.Backoff{Base: ms(p.o.RetryBaseMS), Max: ms(p.o.RetryMaxMS), Attempts: p.o.RetryAttempts}
	for attempt := 1; ; attempt++ {
		err := p.attempt(ctx, c)
		if err == nil {
			if rep == nil {
				return nil
			}
			return wire.Unmarshal(c.Reply, rep)
		}
		if !mayRetry(err) || ctx.Err() != nil || p.ctx.Err() != nil {
			return err
		}
		if !c.keep { // else the next attempt is the same call
			tell()
		}
		p.mu.Lock()
		pause, ok := schedule.Delay(attempt, p.rng)
		if ok {
			p.stats.retries++
		}
		p.mu.Unlock()
		if !ok {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-p.ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// attempt sends c once and waits for the reply, call_timeout_ms or the end of ctx.
func (p *Peer) attempt(ctx context.Context, c *Call) error {
	c.Timeout = ms(p.o.CallTimeoutMS)
	if d, ok := ctx.Deadline(); ok {
		c.Timeout = min(c.Timeout, max(time.Until(d), 1))
	}
	if ctx.Err() != nil {
		return wire.Errorf(wire.KindTimeout, "%v to %s: %v", c.Op, p.addr, context.Cause(ctx))
	}
	if err := p.Start(c); err != nil {
		return err
	}
	if c.keep {
		c.flags = wire.FlagRetry // from now on the server may have seen it
	}
	stop := context.AfterFunc(ctx, func() {
		p.abort(c, wire.Errorf(wire.KindTimeout, "%v to %s: %v", c.Op, p.addr, context.Cause(ctx)))
	})
	defer stop()
	return p.Wait(c)
}

// giveUp gives back the slot that c kept.
func (p *Peer) giveUp(c *Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.held {
		c.held = false
		p.release(int32(c.id.Slot()))
	}
}

func mayRetry(err error) bool {
	return errors.Is(err, wire.ErrUnavailable) || errors.Is(err, wire.ErrTimeout) || errors.Is(err, wire.ErrBusy)
}

var errWriteTimeout = errors.New("the peer takes no bytes")

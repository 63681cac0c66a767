package client

import (
	"context"
	"fmt"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// await asks what became of a ticket until it is admitted or refused. The answer is in GPM's log, so it outlives leaders and
// lost answers.
func (c *Client) await(ctx context.Context, ticket wire.PID) (admission.Placement, error) {
	backoff := session.Backoff{Base: ms(c.o.RetryBaseMS), Max: ms(c.o.RetryMaxMS), Attempts: 1 << 30}
	for attempt := 1; ; attempt++ {
		t, err := c.Ticket(ctx, ticket)
		switch {
		case err != nil && !mayRetry(err):
			return admission.Placement{}, err
		case err == nil && !t.Waiting && t.Kind != wire.KindNone:
			return admission.Placement{}, &wire.Error{Kind: t.Kind, Text: t.Text}
		case err == nil && !t.Waiting:
			return t.VNode, nil
		}
		if c.pause(ctx, backoff, attempt) != nil {
			return c.giveUp(ticket, t)
		}
	}
}

// giveUp ends the wait of a ticket whose caller does not wait any more. It takes at most the time of one attempt.
func (c *Client) giveUp(ticket wire.PID, was gpm.Ticket) (admission.Placement, error) {
	ctx, cancel := context.WithTimeout(c.ctx, ms(c.o.CallTimeoutMS))
	defer cancel()
	const pause = 20 * time.Millisecond
	for {
		err := c.Release(ctx, ticket)
		switch wire.KindOf(err) {
		case wire.KindNone, wire.KindNotFound:
			return admission.Placement{}, wire.Errorf(wire.KindTimeout, "gpm: the vNode was not admitted in time and waits no more; last: %s", was.Text)
		case wire.KindBusy: // it is being tried just now
			if c.pause(ctx, session.Backoff{Base: pause, Max: pause, Attempts: 1 << 30}, 1) == nil {
				continue
			}
		}
		return admission.Placement{}, wire.Errorf(wire.KindTimeout, "gpm: the vNode was not admitted in time and may still wait, as ticket %d (release it): %v; last: %s", ticket, err, was.Text)
	}
}

// Ticket tells what became of a vNode that had to wait.
func (c *Client) Ticket(ctx context.Context, ticket wire.PID) (t gpm.Ticket, err error) {
	b, err := c.query(ctx, wire.GPM, membership.Query{Kind: gpm.QueryTicket, ID: uint64(ticket)}.Encode())
	if err != nil {
		return t, err
	}
	if err := membership.DecodeAnswer(b, &t); err != nil {
		return t, fmt.Errorf("gpm: %w", err)
	}
	return t, nil
}

// Queue returns the vNodes that wait for room, in the order of their turns, and those whose first attempt is under way.
func (c *Client) Queue(ctx context.Context) ([]gpm.Waiting, error) {
	return listing[gpm.Waiting](ctx, c, wire.GPM, membership.Query{Kind: gpm.QueryQueue})
}

// Configure has GPM replicate what the leader's options say of admissions. For the managers themselves.
func (c *Client) Configure(ctx context.Context, s admission.Settings) error {
	_, err := c.gpm(ctx, gpm.Request{Op: gpm.OpSettings, Settings: s})
	return err
}

// LookAtQueue has GPM refuse who waited too long and try who may fit. For the managers themselves.
func (c *Client) LookAtQueue(ctx context.Context) error {
	_, err := c.gpm(ctx, gpm.Request{Op: gpm.OpQueue})
	return err
}

// Restart has GPM give a process whose pComponent was lost a place at another; epoch is the one that it had. For the managers themselves.
func (c *Client) Restart(ctx context.Context, pid wire.PID, epoch wire.Epoch) error {
	_, err := c.gpm(ctx, gpm.Request{Op: gpm.OpRestart, PID: pid, Epoch: epoch})
	return err
}

// Restarted has GPM take down how a restart ended. For the managers themselves.
func (c *Client) Restarted(ctx context.Context, pid wire.PID, epoch wire.Epoch, failed bool, text string) error {
	_, err := c.gpm(ctx, gpm.Request{Op: gpm.OpRestarted, PID: pid, Epoch: epoch, Failed: failed, Text: text})
	return err
}

// Preempt has GPM end victims for a vNode that waits, or refuse that vNode if there are none. For the managers themselves.
func (c *Client) Preempt(ctx context.Context, ticket wire.PID, victims []wire.PID) error {
	_, err := c.gpm(ctx, gpm.Request{Op: gpm.OpPreempt, PID: ticket, Victims: victims})
	return err
}

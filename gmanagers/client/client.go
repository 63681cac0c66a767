package client

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// Client is a client of the managers. Make one with New; end it with Close.
type Client struct {
	o     Options
	id    uint64 // random: a restarted component is another client
	peers []*peer
	index map[wire.NodeID]int
	lanes [wire.GSM + 1]*lane
	// target is, by manager, the index of the peer to ask first: the last known leader.
	target [wire.GSM + 1]atomic.Int32

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // heartbeats on their way

	mu     sync.Mutex // of rng and closed
	rng    *rand.Rand
	closed bool
}

type peer struct {
	*netlayer.Peer
	beating atomic.Bool // a heartbeat is on its way
}

// New makes a client. It connects when first used.
func New(o Options) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var b [16]byte
	crand.Read(b[:]) // never fails (crypto/rand)
	c := &Client{
		o: o, id: max(1, binary.LittleEndian.Uint64(b[:8])), index: map[wire.NodeID]int{},
		rng: rand.New(rand.NewPCG(o.Seed, binary.LittleEndian.Uint64(b[8:]))),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	net := o.Net
	net.RetryAttempts = 1 // the client retries itself, elsewhere
	for i, m := range o.Managers {
		c.peers = append(c.peers, &peer{Peer: netlayer.NewPeer(m.Addr, net)})
		c.index[m.ID] = i
	}
	for _, m := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		c.lanes[m] = newLane()
	}
	return c, nil
}

// Close ends the calls on their way and waits for the client's goroutines and connections. It may be called again.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	var errs []error
	for _, p := range c.peers {
		errs = append(errs, p.Close())
	}
	c.wg.Wait()
	return errors.Join(errs...)
}

// bounded gives ctx a deadline if it has none, and ends it with the client.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, ms(c.o.TimeoutMS))
	}
	ctx, cancel2 := context.WithCancel(ctx)
	stop := context.AfterFunc(c.ctx, cancel2)
	return ctx, func() { stop(); cancel2(); cancel() }
}

// propose has a manager apply a command once and returns its encoded result.
func (c *Client) propose(ctx context.Context, m wire.Manager, command []byte) ([]byte, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	seq, err := c.lanes[m].begin(ctx)
	if err != nil {
		return nil, wire.Errorf(wire.KindTimeout, "%v: the window of commands is full: %v", m, err)
	}
	defer c.lanes[m].end(seq)
	return c.proposeAs(ctx, m, c.id, seq, command)
}

// proposeAs is propose as the command of a given client and sequence. ctx has a deadline.
func (c *Client) proposeAs(ctx context.Context, m wire.Manager, id, seq uint64, command []byte) ([]byte, error) {
	var rep wire.ProposeRep
	req := wire.ProposeReq{Manager: m, Client: id, Seq: seq, Command: command}
	err := c.follow(ctx, m, func(ctx context.Context, p *peer) error {
		return p.Control(ctx, wire.OpPropose, 0, &req, &rep)
	})
	return rep.Result, err
}

// query asks a manager; any replica answers with the state as of now.
func (c *Client) query(ctx context.Context, m wire.Manager, query []byte) ([]byte, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var rep wire.QueryRep
	req := wire.QueryReq{Manager: m, Query: query}
	err := c.follow(ctx, m, func(ctx context.Context, p *peer) error {
		return p.Control(ctx, wire.OpQuery, 0, &req, &rep)
	})
	return rep.Result, err
}

// follow calls one manager after the other, beginning with the last known leader, until one answers or ctx ends.
func (c *Client) follow(ctx context.Context, m wire.Manager, call func(context.Context, *peer) error) error {
	backoff := session.Backoff{Base: ms(c.o.RetryBaseMS), Max: ms(c.o.RetryMaxMS), Attempts: 1 << 30}
	pauses := 0
	redirected := false // the last attempt was where a redirection pointed
	var last error      // of the last attempt that the end of ctx did not cut short: that would say nothing
	for {
		at := c.target[m].Load()
		attempt, cancel := context.WithTimeout(ctx, ms(c.o.CallTimeoutMS))
		err := call(attempt, c.peers[at])
		cancel()
		if err == nil || !mayRetry(err) {
			return err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		next := (at + 1) % int32(len(c.peers))
		hint, known := c.hint(err)
		if known {
			next = int32(hint)
		}
		c.target[m].CompareAndSwap(at, next) // unless another call knows better already
		if known && !redirected {
			redirected = true
			continue // go where the leader is at once; a second redirection in a row pauses, two may point at each other
		}
		redirected = false
		pauses++
		if werr := c.pause(ctx, backoff, pauses); werr != nil {
			return wire.Errorf(wire.KindTimeout, "%v: no manager of %d answered in time (%v); the outcome is unknown; last: %s", m, len(c.peers), werr, reason(last))
		}
	}
}

// hint returns the manager that a redirection names.
func (c *Client) hint(err error) (int, bool) {
	var e *wire.Error
	if !errors.As(err, &e) || e.Kind != wire.KindNotLeader {
		return 0, false
	}
	i, ok := c.index[wire.NodeID(e.Text)]
	return i, ok
}

// reason says in words why an attempt failed.
func reason(err error) string {
	var e *wire.Error
	if errors.As(err, &e) && e.Kind == wire.KindNotLeader && e.Text == "" {
		return "no leader"
	}
	return err.Error()
}

// mayRetry reports whether another attempt, perhaps elsewhere, can help.
func mayRetry(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindNotLeader, wire.KindUnavailable, wire.KindTimeout, wire.KindBusy, wire.KindUnknownState:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// pause waits before the next attempt; it returns the context's error if that ends first.
func (c *Client) pause(ctx context.Context, b session.Backoff, attempt int) error {
	c.mu.Lock()
	d, _ := b.Delay(attempt, c.rng)
	c.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return ctx.Err()
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

package netlayer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"splitkernel/netlayer/wire"
)

const (
	// probeAttempts is how often a probe tries within its time: a connection may be lost while it is made.
	probeAttempts = 3
	// probePause is the pause between two attempts: long enough that a process that is ending has ended.
	probePause = 20 * time.Millisecond
	// MaxProbe is the longest that a probe may take.
	MaxProbe = wire.MaxProbeMS * time.Millisecond
)

// Prober finds out whether other nodes live, for a manager that does not hear of them: it connects, checks who answers, and
// pings. It keeps no connection. Safe for concurrent use.
type Prober struct {
	o     Options
	slots chan struct{}
}

// NewProber makes a prober with the identity of o. It makes limit probes at a time; more are refused as busy, which says
// nothing about who was to be probed.
func NewProber(o Options, limit int) *Prober {
	o.Slots, o.RetryAttempts = 1, probeAttempts
	o.Metrics = nil // connections of one ping each would crowd the counts of those that last
	return &Prober{o: o, slots: make(chan struct{}, limit)}
}

// Probe looks whether node lives at addr. The error is not about the node: there are too many probes, the request makes no
// sense, or ctx has ended.
func (p *Prober) Probe(ctx context.Context, q wire.ProbeReq) (wire.ProbeRep, error) {
	timeout := time.Duration(q.TimeoutMS) * time.Millisecond
	if timeout <= 0 || timeout > MaxProbe {
		return wire.ProbeRep{}, wire.Errorf(wire.KindBadRequest, "probe of %.64q: timeout_ms: %d, want 1 to %d", q.Node, q.TimeoutMS, MaxProbe.Milliseconds())
	}
	if err := Addr(q.Addr).Validate(); err != nil {
		return wire.ProbeRep{}, wire.Errorf(wire.KindBadRequest, "probe of %.64q: %v", q.Node, err)
	}
	select {
	case p.slots <- struct{}{}:
	default:
		return wire.ProbeRep{}, wire.Errorf(wire.KindBusy, "%s makes %d probes already", p.o.Node, cap(p.slots))
	}
	defer func() { <-p.slots }()
	ms := int(q.TimeoutMS)
	o := p.o
	o.RetryAttempts, o.RetryBaseMS = 1, 1 // ping looks between attempts
	o.CallTimeoutMS, o.DialTimeoutMS, o.HelloTimeoutMS, o.WriteTimeoutMS = ms, ms, ms, ms
	peer := NewPeer(Addr(q.Addr), o)
	defer peer.Close()
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(within, func() { peer.Close() })() // ends connecting too
	err, gone := p.ping(within, peer, q.Node)
	if ctx.Err() != nil && err != nil {
		return wire.ProbeRep{}, wire.Errorf(wire.KindUnavailable, "probe of %s: %v", q.Node, context.Cause(ctx))
	}
	if err != nil {
		return wire.ProbeRep{Text: err.Error(), Refused: gone}, nil
	}
	who, ok := peer.Remote()
	switch {
	case !ok:
		return wire.ProbeRep{Text: "the connection was lost after its answer"}, nil
	case who.Node != q.Node:
		return wire.ProbeRep{Text: fmt.Sprintf("%s is at %s now", who.Node, q.Addr)}, nil
	}
	return wire.ProbeRep{Alive: true}, nil
}

// ping tries a few times to reach a node, until it knows more: gone says that nobody listens there any more.
func (p *Prober) ping(ctx context.Context, peer *Peer, node wire.NodeID) (err error, gone bool) {
	for attempt := 1; ; attempt++ {
		if err = peer.Control(ctx, wire.OpPing, 0, nil, nil); err == nil {
			return nil, false
		}
		// Looked at after the attempt, so that an end in which connections went before the listener counts as one. Whom we do not
		// reach on purpose does not tell us either.
		if !p.o.Faults.swallows(peer.Addr(), node, 0) && refused(ctx, peer.Addr()) {
			return err, true
		}
		if attempt == probeAttempts || !mayRetry(err) {
			return err, false
		}
		pause := time.NewTimer(probePause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err, false
		}
	}
}

// refused reports whether nobody listens at an address: its machine says so.
func refused(ctx context.Context, addr Addr) bool {
	nc, err := Dial(ctx, addr)
	if err == nil {
		nc.Close()
		return false
	}
	// ENOENT: a process that stops in order takes the file of its socket with it.
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// Serve answers OpProbe. ctx should carry the request's deadline.
func (p *Prober) Serve(ctx context.Context, req *Request, rep *Reply) error {
	var q wire.ProbeReq
	if err := wire.Unmarshal(req.Body, &q); err != nil {
		return err
	}
	got, err := p.Probe(ctx, q)
	if err != nil {
		return err
	}
	rep.SetControl(got)
	return nil
}

// Ask has the node at addr make a probe, and returns its answer. It keeps no connection.
func (p *Prober) Ask(ctx context.Context, addr Addr, q wire.ProbeReq) (rep wire.ProbeRep, err error) {
	if err := addr.Validate(); err != nil {
		return rep, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	peer := NewPeer(addr, p.o)
	defer peer.Close()
	defer context.AfterFunc(ctx, func() { peer.Close() })() // ends connecting too
	err = peer.Control(ctx, wire.OpProbe, 0, &q, &rep)
	return rep, err
}

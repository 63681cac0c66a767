package netlayer

import (
	"context"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// traced begins the times of a call that is to be sent to cn, for which it may have waited. The peer's mutex is held.
func (c *Call) traced(p *Peer, cn *clientConn, h *wire.Header, began time.Duration) {
	c.began = began
	c.Times = Times{Slot: p.clock() - began}
	if cn.trace {
		h.Trace = c.Trace
	}
}

// sent notes that the connection has the frame. The peer's mutex is held: the reply may have come, and nobody waits for it yet.
func (c *Call) sent(p *Peer) {
	if c.Trace != 0 {
		c.Times.Sent = p.clock() - c.began
	}
}

// came notes that the reply was read. The peer's mutex is held.
func (c *Call) came(p *Peer, served uint32) {
	t := &c.Times
	t.Came = p.clock() - c.began
	t.Queue, t.Service, t.Told = wire.ParseServedTimes(served)
}

// SpanOf gives the id of the span of a call that was sent, which the server's has as its parent.
func (p *Peer) SpanOf(c *Call) span.ID { return span.Call(p.session, uint64(c.id)) }

// TellSpan tells the span of a call that has completed, if it was one of a trace and somebody keeps spans.
func (p *Peer) TellSpan(c *Call, parent span.ID, start, end time.Time) {
	if p.o.Spans == nil || c.Trace < wire.FirstTrace {
		return
	}
	s := span.Span{
		Trace: c.Trace, ID: p.SpanOf(c), Parent: parent, Kind: span.Client, Name: c.Op.String(), Start: start, End: end,
		Attrs: []span.Attr{{Key: "peer.address", Text: string(p.addr)}, {Key: "call", N: int64(c.id)}},
	}
	if h, ok := p.Remote(); ok {
		s.Attrs = append(s.Attrs, span.Attr{Key: "peer.node", Text: string(h.Node)})
	}
	if c.Err != nil {
		s.Err = c.Err.Error()
	}
	p.o.Spans.Tell(s)
}

// DoIn is Do of a call that belongs to a trace, whose span it tells; in may be of none.
func (p *Peer) DoIn(in span.Context, c *Call) error {
	if c.Trace = in.Trace; c.Trace == 0 {
		return p.Do(c)
	}
	began := time.Now()
	if err := p.Start(c); err != nil {
		return err // of what was not sent there is nothing to tell
	}
	err := p.Wait(c)
	p.TellSpan(c, in.Span, began, time.Now())
	return err
}

// spans gives what tells the span of c, from the last time it was called or from now on.
func (p *Peer) spans(ctx context.Context, c *Call) (tell func()) {
	if c.Trace == 0 {
		return func() {}
	}
	began, told := time.Now(), session.ID(0)
	return func() {
		now := time.Now()
		if c.id != told { // of an attempt that was not sent there is nothing to tell
			p.TellSpan(c, span.Of(ctx).Span, began, now)
		}
		began, told = now, c.id
	}
}

// traceOf gives the trace of a request that is answered.
func (c *serverConn) traceOf(h *wire.Header) uint32 {
	if h.Flags&wire.FlagOneWay != 0 {
		return 0
	}
	return h.Trace
}

// serveTraced has the handler serve a request of a trace: what it calls in its context belongs to that too. A request that is handed over is
// told of where it is served; one that is answered later, up to where Serve returned.
func (c *serverConn) serveTraced(ctx context.Context, req *Request, rep *Reply) error {
	began, came := time.Now(), req.came
	if came.IsZero() {
		came = began // its payload was placed: it is served when that has come
	}
	sink, id := c.s.o.Spans, span.Served(req.Session, req.Call)
	if sink != nil && req.trace >= wire.FirstTrace {
		ctx = span.With(ctx, span.Context{Trace: req.trace, Span: id})
	}
	err := c.s.h.Serve(ctx, req, rep)
	if err == ErrWouldWait && req.MayHandOver {
		return err
	}
	end := time.Now()
	rep.times = wire.ServedTimes(began.Sub(came), end.Sub(began))
	if sink == nil || req.trace < wire.FirstTrace {
		return err
	}
	s := span.Span{
		Trace: req.trace, ID: id, Parent: span.Call(req.Session, req.Call), Kind: span.Server, Name: req.Op.String(), Start: came, End: end,
		Attrs: []span.Attr{{Key: "client.node", Text: string(req.From.Node)}, {Key: "queue_ns", N: int64(began.Sub(came))}},
	}
	if err != nil && err != ErrDeferred {
		s.Err = err.Error()
	}
	sink.Tell(s)
	return err
}

package netlayer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// writeBatch is how many bytes of replies are collected before they are written, in bytes: a batch of pages.
const writeBatch = batch * (wire.HeaderLen + wire.PageSize)

// serverConn is a connection of a Server. Its goroutine reads, serves inline requests and writes their replies in one
// write per batch; workers write their replies themselves.
type serverConn struct {
	t     *listening
	s     *Server
	nc    net.Conn
	hello wire.Hello
	trace bool // the client knows wire.Header.Trace
	in    *frameReader

	out     []byte // replies of the batch
	req     Request
	rep     Reply
	inTally tally
	pending sync.WaitGroup // requests at the workers

	placer    Placer    // nil if the handler is none
	ahead     int       // bytes to read at most, as then a long payload may follow; 0 is all that there is room for
	readLimit time.Time // the read deadline that is set, for the rest of a frame; zero if there is none

	wmu        sync.Mutex
	writeLimit time.Time   // the write deadline that is set
	all        [][]byte    // of a frame with a long payload
	rest       net.Buffers // of all, to be written
	late       delayLine   // of replies that are late on purpose; of its own lock
	lateGroup  sync.WaitGroup
	later      laterReplies // of its own lock
}

// run is the connection's goroutine.
func (c *serverConn) run() {
	defer c.nc.Close()
	if !c.shakeHands() {
		return
	}
	err := c.loop()
	c.inTally.flushTo(&c.s.stats.in)
	var bad *wire.FrameError
	switch {
	case errors.As(err, &bad):
		c.refuse(bad.Reason, err)
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.t.closing.Load():
		c.refuse("frame_timeout", errors.New("a frame began and did not end"))
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !c.t.closing.Load():
		c.s.log.Info("connection lost", "from", c.name(), "cause", err)
	}
	if c.s.o.OnGone != nil && !c.t.closing.Load() && !c.s.o.Faults.swallows("", c.hello.Node, c.hello.Role) {
		c.s.o.OnGone(c.hello)
	}
	c.late.stop()
	if err != nil && !c.t.closing.Load() {
		c.nc.Close() // workers need not write to it any more
	} else {
		c.later.drain()
	}
	c.later.end()
	c.pending.Wait()
	c.lateGroup.Wait()
	c.s.onceMu.Lock()
	c.s.once.Close(c.hello.Session)
	c.s.onceMu.Unlock()
	c.s.mu.Lock()
	c.s.members--
	c.s.mu.Unlock()
}

// refuse counts and logs why a connection is closed.
func (c *serverConn) refuse(reason string, err error) {
	c.s.stats.refuse(reason)
	c.s.log.Warn("connection closed", "from", c.name(), "reason", reason, "cause", err)
}

func (c *serverConn) name() string {
	n := c.nc.RemoteAddr().Network() + ":" + c.nc.RemoteAddr().String()
	if c.hello.Node != "" {
		n = string(c.hello.Node) + " at " + n
	}
	return n
}

// shakeHands exchanges hellos within hello_timeout_ms. Bytes that are no hello are not answered.
func (c *serverConn) shakeHands() bool {
	defer func() {
		c.s.mu.Lock()
		c.s.handshakes--
		c.s.mu.Unlock()
	}()
	c.nc.SetDeadline(time.Now().Add(ms(c.s.o.HelloTimeoutMS)))
	if c.t.closing.Load() {
		return false
	}
	h, body, err := readHello(c.nc)
	var bad *wire.FrameError
	switch {
	case c.t.closing.Load():
		return false
	case errors.As(err, &bad):
		c.refuse(bad.Reason, err)
		return false
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.refuse("hello_timeout", errors.New("no hello in time"))
		return false
	case err != nil:
		c.refuse("hello_closed", err)
		return false
	}
	var hello wire.Hello
	if err := wire.Unmarshal(body, &hello); err != nil {
		c.turnAway(h.Call, "body", err.Error())
		return false
	}
	reason, text := helloFault(hello, c.s.o.Cluster, c.s.o.Token)
	if reason == "" && (len(hello.Node) > maxName || h.Flags != 0) {
		reason, text = "body", "its node id is too long or it has flags"
	}
	if reason == "" {
		reason, text = c.s.welcome(hello.Session)
	}
	if reason != "" {
		c.turnAway(h.Call, reason, text)
		return false
	}
	c.hello, c.trace = hello, h.Epoch&wire.KnowsTrace != 0
	me := wire.Hello{Protocol: wire.Version, Cluster: c.s.o.Cluster, Role: c.s.o.Role, Node: c.s.o.Node, Token: c.s.o.Token}
	reply := helloFrame(me, wire.FlagReply)
	if !c.s.o.Faults.swallows("", hello.Node, hello.Role) {
		c.nc.Write(reply) // a failure shows at the first read
	}
	c.late = delayLine{f: c.s.o.Faults, group: &c.lateGroup, write: func(frames []byte) { c.writeNow(frames) }}
	c.nc.SetDeadline(time.Time{})
	var in, out tally
	in.add(wire.OpHello, wire.HeaderLen+len(body))
	out.add(wire.OpHello, len(reply))
	in.flushTo(&c.s.stats.in)
	out.flushTo(&c.s.stats.out)
	c.in = newFrameReader(readBuffer, wire.MaxBody)
	c.placer, c.in.places = c.s.h.(Placer)
	return true
}

// turnAway answers a hello that is refused, so that the operator of the other side reads why.
func (c *serverConn) turnAway(call uint64, reason, text string) {
	kind := wire.KindHello
	if reason == "too_many_conns" || reason == "hello_sessions" {
		kind = wire.KindUnavailable // may pass
	}
	c.refuse(reason, errors.New(text))
	c.nc.Write(errorFrame(nil, wire.OpHello, call, wire.Errorf(kind, "%s", text)))
}

// loop reads and serves until the connection or the server ends.
func (c *serverConn) loop() error {
	for {
		if c.t.closing.Load() {
			return nil
		}
		room := c.in.space()
		if c.ahead > 0 {
			room = room[:min(len(room), c.ahead)]
			c.ahead = 0
		}
		n, err := c.nc.Read(room)
		c.in.filled(n)
		served := 0
		if n > 0 {
			var e error
			if served, e = c.serveAll(); e != nil {
				return e
			}
		}
		if err != nil {
			return err
		}
		if c.placer != nil {
			fr, ok, e := c.in.long()
			if e != nil {
				return e
			}
			if ok {
				if e := c.takeLong(&fr); e != nil {
					return e
				}
				served++
			}
		}
		if !c.in.partial() {
			if !c.readLimit.IsZero() {
				c.readLimit = time.Time{}
				c.nc.SetReadDeadline(c.readLimit)
			}
			continue
		}
		c.limitFrame(served > 0)
	}
}

// limitFrame sets the deadline of a frame that has begun. If others ended since it was set, this one is younger: it gets a new deadline,
// but not with each read, because setting it costs as much as a small request.
func (c *serverConn) limitFrame(younger bool) {
	timeout := ms(c.s.o.FrameTimeoutMS)
	if c.readLimit.IsZero() || younger && time.Until(c.readLimit) < timeout-timeout/4 {
		c.readLimit = time.Now().Add(timeout)
		c.nc.SetReadDeadline(c.readLimit)
	}
}

// serveAll serves every whole frame in the buffer and counts them.
func (c *serverConn) serveAll() (served int, bad error) {
	for more := true; more && bad == nil; {
		var frames []frame
		frames, bad = c.in.next()
		more = len(frames) == batch
		served += len(frames)
		var now time.Time
		if len(frames) > 0 {
			now = time.Now()
		}
		for i := range frames {
			if e := c.take(&frames[i], now); e != nil {
				bad = e
				break
			}
			if len(c.out) >= writeBatch {
				if e := c.flush(); e != nil {
					return served, e
				}
			}
		}
	}
	if e := c.flush(); e != nil && bad == nil {
		bad = e
	}
	return served, bad
}

// flush writes the replies of the batch.
func (c *serverConn) flush() error {
	c.inTally.flushTo(&c.s.stats.in)
	if len(c.out) == 0 {
		return nil
	}
	err := c.write(c.out)
	if c.out = c.out[:0]; cap(c.out) > keepBuffer {
		c.out = nil
	}
	return err
}

// write writes whole frames, but for those that go wrong on purpose.
func (c *serverConn) write(b []byte) error {
	if f := c.s.o.Faults; f.active() && f.touches(c.hello.Node, c.hello.Role) {
		if b = f.sort(nil, b, c.hello.Node, c.late.add); len(b) == 0 {
			return nil
		}
	}
	return c.writeNow(b)
}

// writeNow writes whole frames. The write deadline is renewed when a quarter of it has passed, because setting it costs as
// much as a small request.
// pieces are the payload of the last frame, if it is not behind its body.
func (c *serverConn) writeNow(b []byte, pieces ...[]byte) error {
	var out tally
	for rest := b; len(rest) > 0; {
		n := wire.FrameLen(rest)
		out.add(wire.Op(rest[3]), n)
		rest = rest[min(n, len(rest)):]
	}
	c.wmu.Lock()
	now, limit := time.Now(), ms(c.s.o.WriteTimeoutMS)
	if c.writeLimit.Sub(now) < limit-limit/4 {
		c.writeLimit = now.Add(limit)
		c.nc.SetWriteDeadline(c.writeLimit)
	}
	var err error
	if len(pieces) == 0 {
		_, err = c.nc.Write(b)
	} else {
		c.all = append(append(c.all[:0], b), pieces...)
		c.rest = c.all // which WriteTo shortens
		_, err = c.rest.WriteTo(c.nc)
		clear(c.all)
	}
	if err != nil {
		c.nc.Close() // part of a frame may have been written
		c.writeLimit = now.Add(limit)
	}
	c.wmu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.refuse("write_timeout", errors.New("the peer does not take its replies"))
	}
	out.flushTo(&c.s.stats.out)
	return err
}

// take serves a request here or gives it to the workers. The error closes the connection.
func (c *serverConn) take(fr *frame, now time.Time) error {
	h := &fr.h
	c.inTally.add(h.Op, wire.HeaderLen+len(fr.body)+len(fr.payload))
	if h.Flags&(wire.FlagReply|wire.FlagError) != 0 {
		return &wire.FrameError{Reason: "direction", Text: "a reply to " + h.Op.String() + " came to a server"}
	}
	if h.Op == wire.OpHello {
		return &wire.FrameError{Reason: "direction", Text: "a second hello"}
	}
	if h.Trace != 0 && !c.trace {
		return &wire.FrameError{Reason: "reserved", Text: "a request is of a trace, and its sender said that it knows none"}
	}
	if h.Trace != 0 {
		fr.came = now
	}
	deadline := deadlineOf(h, now)
	if fr.corrupt {
		c.s.stats.corrupt.Add(1)
		if h.Op != wire.OpMissFlush { // of a pair the miss has no payload and is served
			c.out = c.decline(c.out, h, fr.body, corrupt(h))
			return nil
		}
	}
	if h.Op == wire.OpPing {
		if h.Flags&wire.FlagOneWay == 0 {
			c.out = appendFrame(c.out, &wire.Header{Op: h.Op, Flags: wire.FlagReply, Call: h.Call, BodyLen: h.BodyLen, PayloadLen: h.PayloadLen, PayloadCRC: h.PayloadCRC}, fr.body, fr.payload)
		}
		return nil
	}
	if onlyOnce(h) {
		run, err := c.begin(h)
		if err != nil {
			c.s.stats.errors.Add(1)
			c.logRefused(h, err)
			c.out = errorFrame(c.out, h.Op, h.Call, err)
		}
		if !run {
			return nil
		}
	}
	if c.s.h.Inline(h.Op) {
		var wait bool
		if c.out, wait = c.serve(c.t.ctx, c.out, &c.req, &c.rep, fr, deadline, inline); !wait {
			return nil
		}
		c.s.stats.handedOver.Add(1)
	}
	t := c.s.tasks.Get().(*task)
	t.c, t.deadline, t.queued = c, deadline, now
	t.buf = append(append(t.buf[:0], fr.body...), fr.payload...)
	t.frame = frame{h: *h, body: t.buf[:len(fr.body):len(fr.body)], payload: t.buf[len(fr.body):], corrupt: fr.corrupt, came: fr.came}
	c.pending.Add(1)
	select {
	case c.s.queue <- t:
	default:
		c.pending.Done()
		t.c = nil
		c.s.tasks.Put(t)
		c.s.stats.queueFull.Add(1)
		c.out = c.declineBegun(c.out, h, fr.body, wire.Errorf(wire.KindBusy, "%s: %d requests wait for its %d workers", c.s.o.Node, c.s.o.QueueLen, c.s.o.Workers))
	}
	return nil
}

// deadlineOf gives the deadline of a request that came at now, zero if it has none.
func deadlineOf(h *wire.Header, now time.Time) time.Time {
	if h.TimeoutUS == 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(h.TimeoutUS) * time.Microsecond)
}

// begin asks whether an at-most-once request is to be executed; if not, the answer was appended, or is err, or will come
// from the execution that runs.
func (c *serverConn) begin(h *wire.Header) (run bool, err error) {
	s := c.s
	s.onceMu.Lock()
	defer s.onceMu.Unlock()
	verdict, reply := s.once.Begin(c.hello.Session, session.ID(h.Call), h.Flags&wire.FlagRetry != 0)
	key := onceKey{c.hello.Session, h.Call}
	switch verdict {
	case session.Execute:
		s.answer[key] = c
		return true, nil
	case session.InProgress:
		s.answer[key] = c
		return false, nil
	case session.Replay:
		s.stats.replayed.Add(1)
		c.out = append(c.out, reply...)
		return false, nil
	case session.TooOld:
		return false, wire.Errorf(wire.KindUnknownState, "%v: the server no longer knows whether it executed this request", h.Op)
	}
	return false, wire.Errorf(wire.KindBusy, "%v: %d requests of this session are running", h.Op, s.o.DedupeWindow)
}

// end keeps the reply of an at-most-once request and says who gets it now. A request that was declined is forgotten.
func (c *serverConn) end(h *wire.Header, reply []byte, executed bool) *serverConn {
	s := c.s
	s.onceMu.Lock()
	defer s.onceMu.Unlock()
	key := onceKey{c.hello.Session, h.Call}
	to := s.answer[key]
	delete(s.answer, key)
	if executed {
		s.once.End(c.hello.Session, session.ID(h.Call), append([]byte(nil), reply...))
	} else {
		s.once.Forget(c.hello.Session, session.ID(h.Call))
	}
	return to
}

// decline appends the answers to a request that is not executed: for a pair, to both halves.
func (c *serverConn) decline(out []byte, h *wire.Header, body []byte, err error) []byte {
	c.logRefused(h, err)
	if h.Flags&wire.FlagOneWay != 0 {
		return out
	}
	c.s.stats.errors.Add(1)
	out = errorFrame(out, h.Op, h.Call, err)
	if h.Op == wire.OpMissFlush {
		if _, flushCall, _, ok := wire.SplitMissFlush(body); ok {
			out = errorFrame(out, h.Op, flushCall, err)
		}
	}
	return out
}

// declineBegun is decline for a request that has passed begin.
func (c *serverConn) declineBegun(out []byte, h *wire.Header, body []byte, err error) []byte {
	start := len(out)
	out = c.decline(out, h, body, err)
	if onlyOnce(h) {
		out = c.settle(out, start, h, false)
	}
	return out
}

// onlyOnce reports whether a request is remembered, so that it is executed at most once.
func onlyOnce(h *wire.Header) bool { return h.Op.Once() && h.Flags&wire.FlagOneWay == 0 }

// settle ends an at-most-once request whose reply is out[start:]. If another connection of the session waits for it, it
// is sent there instead.
func (c *serverConn) settle(out []byte, start int, h *wire.Header, executed bool) []byte {
	if to := c.end(h, out[start:], executed); to != c {
		to.write(out[start:])
		out = out[:start]
	}
	return out
}

// corrupt is the error of a request whose payload does not fit its checksum.
func corrupt(h *wire.Header) error {
	return wire.Errorf(wire.KindCorrupt, "%v: the payload of %d bytes does not fit its checksum %#08x", h.Op, h.PayloadLen, h.PayloadCRC)
}

// The places where a request is served.
const (
	inline   = true
	atWorker = false
)

// serve executes a request and appends its reply, or the two of a pair, to out. A worker sends the reply to the miss of a
// pair before its flush is executed. wait says that an inline request was not executed and belongs to a worker.
func (c *serverConn) serve(ctx context.Context, out []byte, req *Request, rep *Reply, fr *frame, deadline time.Time, inline bool) (_ []byte, wait bool) {
	h, start := &fr.h, len(out)
	*req = Request{
		Op: h.Op, Epoch: h.Epoch, Session: c.hello.Session, Call: h.Call, Body: fr.body, Page: fr.payload, PageCRC: h.PayloadCRC,
		From: c.hello, Deadline: deadline, OneWay: h.Flags&wire.FlagOneWay != 0, MayHandOver: inline && h.Op != wire.OpMissFlush && fr.placed == nil,
		Placed: fr.placed, trace: c.traceOf(h), came: fr.came,
	}
	if inline && fr.placed == nil && !req.OneWay && !h.Op.Once() {
		req.conn, req.frameOp = c, h.Op
	}
	if h.Op == wire.OpMissFlush {
		miss, flushCall, flush, ok := wire.SplitMissFlush(fr.body)
		if !ok {
			c.s.stats.errors.Add(1)
			err := wire.Errorf(wire.KindBadRequest, "%v: body of %d bytes, want %d", h.Op, len(fr.body), wire.MissFlushLen)
			c.logRefused(h, err)
			return errorFrame(out, h.Op, h.Call, err), false
		}
		req.Op, req.Body, req.Page, req.PageCRC = wire.OpMiss, miss, nil, 0
		out, _ = c.one(ctx, out, req, rep, h.Op)
		if !inline {
			c.write(out)
			out = out[:0]
		}
		if fr.corrupt {
			c.logRefused(h, corrupt(h))
			if c.s.stats.errors.Add(1); !req.OneWay {
				out = errorFrame(out, h.Op, flushCall, corrupt(h))
			}
			return out, false
		}
		req.trace = 0
		req.Op, req.Call, req.Body, req.Page, req.PageCRC = wire.OpFlush, flushCall, flush, fr.payload, h.PayloadCRC
		out, _ = c.one(ctx, out, req, rep, h.Op)
		return out, false
	}
	if out, wait = c.one(ctx, out, req, rep, h.Op); wait {
		return out, true
	}
	if onlyOnce(h) {
		out = c.settle(out, start, h, !mayRunAgain(out[start:]))
	}
	return out, false
}

// SlowRequest is from which time at its handler on a request is told of in the log, at the level debug: far above what memory takes, and
// below what people notice.
const SlowRequest = 10 * time.Millisecond

// debugs reports whether requests are told of. It is asked for each, and costs the look at a level.
func (c *serverConn) debugs(ctx context.Context) bool { return c.s.log.Enabled(ctx, slog.LevelDebug) }

// logRequest tells of a request: by its call and session it is found in the logs of both ends. Who calls it has asked debugs: errors such as busy come often, so
// nothing is made of what is not written.
func (c *serverConn) logRequest(ctx context.Context, what string, op wire.Op, call uint64, epoch wire.Epoch, oneWay bool, more ...slog.Attr) {
	c.s.log.LogAttrs(ctx, slog.LevelDebug, what, append([]slog.Attr{slog.String("from", c.name()), slog.String("op", op.String()), slog.Uint64("call", call),
		slog.Uint64("session", c.hello.Session), slog.Uint64("epoch", uint64(epoch)), slog.Bool("one_way", oneWay)}, more...)...)
}

// logServed tells of a request that was answered with an error, or has none to be answered with, and of one that was slow.
func (c *serverConn) logServed(ctx context.Context, req *Request, took time.Duration, err error) {
	micros := slog.Int64("service_us", took.Microseconds())
	switch {
	case err != nil && err != ErrDeferred:
		c.logRequest(ctx, "a request failed", req.Op, req.Call, req.Epoch, req.OneWay, micros, slog.String("error", err.Error()))
	case took >= SlowRequest:
		c.logRequest(ctx, "a request was slow", req.Op, req.Call, req.Epoch, req.OneWay, micros)
	}
}

// logRefused tells of a request that no handler was given.
func (c *serverConn) logRefused(h *wire.Header, err error) {
	if ctx := context.Background(); c.debugs(ctx) {
		c.logRequest(ctx, "a request was refused", h.Op, h.Call, h.Epoch, h.Flags&wire.FlagOneWay != 0, slog.String("error", err.Error()))
	}
}

// mayRunAgain reports whether a reply is an error by which the handler says that nothing was done: see Handler.
func mayRunAgain(reply []byte) bool {
	h, err := wire.ParseHeader(reply)
	return err == nil && h.Flags&wire.FlagError != 0 && (h.Status == wire.KindBusy || h.Status == wire.KindUnavailable)
}

// one calls the handler and appends the reply; op is that of the frame. wait says that the handler hands the request over.
func (c *serverConn) one(ctx context.Context, out []byte, req *Request, rep *Reply, op wire.Op) (_ []byte, wait bool) {
	start := len(out)
	rep.begin(out)
	var err error
	debugs, began := c.debugs(ctx), time.Time{}
	if debugs {
		began = time.Now()
	}
	if req.trace != 0 {
		err = c.serveTraced(ctx, req, rep)
	} else {
		err = c.s.h.Serve(ctx, req, rep)
	}
	if debugs && (err != ErrWouldWait || !req.MayHandOver) {
		c.logServed(ctx, req, time.Since(began), err)
	}
	if err != nil {
		if err == ErrDeferred {
			out, rep.buf = rep.buf[:start], nil
			return out, false
		}
		if err == ErrWouldWait && req.MayHandOver {
			out, rep.buf = rep.buf[:start], nil
			return out, true
		}
		c.s.stats.errors.Add(1)
	}
	out = rep.end(op, req.Call, err)
	pages := rep.pages
	rep.buf, rep.pages = nil, nil
	switch f := c.s.o.Faults; {
	case len(pages) == 0 || req.OneWay:
	case op.Once() || f.active() && f.touches(c.hello.Node, c.hello.Role):
		for _, b := range pages {
			out = append(out, b...)
		}
	default:
		_ = c.writeNow(out, pages...) // a failure closes the connection, which is noticed when it is read
		out = out[:0]
	}
	if req.OneWay {
		return out[:start], false
	}
	return out, false
}

package netlayer

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"splitkernel/netlayer/wire"
)

// ErrDeferred is what Serve returns for a request of which it has taken the Deferred: the answer comes by that.
var ErrDeferred = errors.New("netlayer: the request is answered later")

// farewellTime is how long a server that stops tries to tell clients that their requests are not answered any more.
const farewellTime = 100 * time.Millisecond

// Deferred is a request whose answer comes later, from any goroutine. Whoever took it answers it once, also when the
// connection or the server has ended meanwhile; then nobody hears it.
type Deferred struct {
	c          *serverConn
	op         wire.Op // of the frame
	call       uint64
	prev, next *Deferred // of the connection's list; next also of the free ones
	dropped    bool      // the connection or the server has ended, or it was answered in the place of who took it
}

// Defer takes a request that is served inline, so that its answer may come later: Serve then returns ErrDeferred, and
// whoever has the Deferred answers. Halves of a pair are taken each for itself. The bytes of the request are valid until
// Serve returns, as ever. It is nil, and the request must be answered at once, if max_deferred requests of the server, or maxDeferredPerConn of the connection, are
// deferred, or the request is one that a worker serves, has a placed payload, is not answered at all or executed at most once.
func (r *Request) Defer() *Deferred {
	c := r.conn
	if c == nil {
		return nil
	}
	if n := c.s.stats.deferred.Add(1); n <= int64(c.s.o.MaxDeferred) {
		if d := c.later.take(c, r.frameOp, r.Call); d != nil {
			return d
		}
	}
	c.s.stats.deferred.Add(-1)
	c.s.stats.deferredFull.Add(1)
	return nil
}

// maxDeferredPerConn bounds the requests of one connection that are deferred, so that one client, or what it waits for, does not take the places of all others.
// It is four times what a client with the default of slots can have under way.
const maxDeferredPerConn = 1024

// Answer sends the reply: body, or err as Handler.Serve would. It does not wait for the client. body is copied.
func (d *Deferred) Answer(body []byte, err error) { d.answer(answer{body: body, err: err}) }

// AnswerPage sends a reply with a page, at most wire.MaxPayload bytes, and the checksum that is kept with it. The page is copied.
func (d *Deferred) AnswerPage(page []byte, crc uint32) { d.answer(answer{page: page, crc: crc}) }

type answer struct {
	body, page []byte
	crc        uint32
	err        error
}

func (d *Deferred) answer(a answer) {
	l, s := &d.c.later, d.c.s
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.dropped {
		return
	}
	l.remove(d)
	s.stats.deferred.Add(-1)
	l.put(d, a)
	d.next, l.free = l.free, d
}

// laterReplies are the deferred requests of a connection and the answers that are not written yet. A goroutine of its own writes them, so
// that a client that takes nothing holds up nobody else's answers; it is started with the first.
type laterReplies struct {
	mu         sync.Mutex
	changed    sync.Cond
	first      *Deferred // outstanding
	n          int       // of them
	free       *Deferred
	out, spare []byte
	running    bool
	writing    bool
	ended      bool // nothing is taken or written any more
	wg         sync.WaitGroup
}

// take makes the deferred request of a call, or gives nil if there are too many. Only the connection's goroutine calls it, while it serves.
func (l *laterReplies) take(c *serverConn, op wire.Op, call uint64) *Deferred {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= maxDeferredPerConn {
		return nil
	}
	l.n++
	if !l.running {
		l.running = true
		l.changed.L = &l.mu
		l.wg.Add(1)
		go l.write(c)
	}
	d := l.free
	if d == nil {
		d = new(Deferred)
	} else {
		l.free = d.next
	}
	*d = Deferred{c: c, op: op, call: call, next: l.first}
	if l.first != nil {
		l.first.prev = d
	}
	l.first = d
	return d
}

func (l *laterReplies) remove(d *Deferred) {
	l.n--
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		l.first = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
}

// put appends an answer to what is written next.
func (l *laterReplies) put(d *Deferred, a answer) {
	if a.err != nil {
		d.c.s.stats.errors.Add(1)
		if ctx := context.Background(); d.c.debugs(ctx) {
			d.c.s.log.LogAttrs(ctx, slog.LevelDebug, "a request failed", slog.String("from", d.c.name()), slog.String("op", d.op.String()), slog.Uint64("call", d.call),
				slog.Uint64("session", d.c.hello.Session), slog.String("error", a.err.Error()))
		}
		l.out = errorFrame(l.out, d.op, d.call, a.err)
	} else {
		h := wire.Header{Op: d.op, Flags: wire.FlagReply, Call: d.call, BodyLen: uint32(len(a.body)), PayloadLen: uint32(len(a.page)), PayloadCRC: a.crc}
		l.out = appendFrame(l.out, &h, a.body, a.page)
	}
	if !l.writing {
		l.changed.Broadcast()
	}
}

// write is the goroutine that writes answers, until the end.
func (l *laterReplies) write(c *serverConn) {
	defer l.wg.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.out) == 0 && !l.ended {
			l.changed.Wait()
		}
		if l.ended {
			return
		}
		l.writing = true
		l.mu.Unlock()
		runtime.Gosched() // who answers one often answers the next at once: they go in one write
		l.mu.Lock()
		buf := l.out
		l.out = l.spare[:0]
		l.mu.Unlock()
		c.write(buf) // a failure closes the connection, which its goroutine notices
		l.mu.Lock()
		if l.spare = buf[:0]; cap(buf) > keepBuffer {
			l.spare = nil
		}
		l.writing = false
		l.changed.Broadcast()
	}
}

// drain waits until everything that was deferred is answered and written. Nothing new is taken.
func (l *laterReplies) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.running && !l.ended && (l.first != nil || l.writing || len(l.out) > 0) {
		l.changed.Wait()
	}
}

// refuse answers what is outstanding with err, because the server stops. Later answers are dropped. It says whether there is anything to be
// written.
func (l *laterReplies) refuse(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d := l.first; d != nil; d = l.first {
		l.remove(d)
		d.dropped = true
		d.c.s.stats.deferred.Add(-1)
		l.put(d, answer{err: err})
	}
	return l.running && !l.ended && (l.writing || len(l.out) > 0)
}

// end drops what is outstanding and waits for the goroutine. The connection is closed, or everything is answered.
func (l *laterReplies) end() {
	l.mu.Lock()
	l.ended = true
	for d := l.first; d != nil; d = l.first {
		l.remove(d)
		d.dropped = true
		d.c.s.stats.deferred.Add(-1)
	}
	l.out = nil
	if l.running {
		l.changed.Broadcast()
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// farewell ends the connection of a server that stops and does not wait any longer.
func (c *serverConn) farewell() {
	if c.later.refuse(wire.Errorf(wire.KindUnavailable, "%s stops", c.s.o.Node)) {
		end := time.AfterFunc(farewellTime, func() { c.nc.Close() })
		c.later.drain()
		end.Stop()
	}
	c.nc.Close()
}

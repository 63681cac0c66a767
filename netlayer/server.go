package netlayer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// Server answers the requests of peers. One server may serve several listeners at once; they share its workers, bounds
// and memory of executed requests.
type Server struct {
	h     Handler
	o     ServerOptions
	log   *slog.Logger
	stats serverStats
	queue chan *task
	tasks sync.Pool

	mu         sync.Mutex
	members    int // connections with an accepted hello
	handshakes int // connections without
	serving    int // calls of Serve
	stop       chan struct{}
	workers    sync.WaitGroup

	onceMu sync.Mutex
	once   *session.Taped          // its tape is written under onceMu
	answer map[onceKey]*serverConn // whom to answer when a running at-most-once request ends: the latest to ask
}

type onceKey struct{ session, call uint64 }

// NewServer makes a server. It panics if the options are not valid.
func NewServer(h Handler, o ServerOptions) *Server {
	if err := o.Validate(); err != nil {
		panic("netlayer: options of a server: " + err.Error())
	}
	head := session.TapeHead{Node: o.Node, Options: session.DedupeOptions{Sessions: o.Sessions, Window: o.DedupeWindow, Bytes: o.DedupeBytes}}
	once := &session.Taped{Dedupe: session.NewDedupe(head.Options)}
	once.Record(o.Recorder, once.Dedupe, session.TapeKind, &head)
	return &Server{
		h: h, o: o, log: logger(o.Log), queue: make(chan *task, o.QueueLen), answer: make(map[onceKey]*serverConn),
		tasks: sync.Pool{New: func() any { return new(task) }},
		once:  once,
	}
}

// The pause after a failed accept, for example because descriptors ran out, grows between these.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// listening is one call of Serve.
type listening struct {
	s       *Server
	ctx     context.Context // of the handlers
	closing atomic.Bool
	wg      sync.WaitGroup

	mu    sync.Mutex
	conns map[*serverConn]struct{}
}

// Serve accepts connections on l until ctx ends, then closes l, lets running requests end for up to drain_ms, cancels
// theirs, closes the connections and returns nil when all goroutines of l have ended. It closes l in any case and returns
// an error if l breaks.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.startWorkers()
	defer s.stopWorkers()
	hctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	t := &listening{s: s, ctx: hctx, conns: make(map[*serverConn]struct{})}
	stop := context.AfterFunc(ctx, func() {
		t.closing.Store(true) // before nobody can connect: who sees that may count on it
		l.Close()
	})
	err := t.accept(ctx, l)
	stop()
	l.Close()

	t.closing.Store(true)
	t.each(func(c *serverConn) { c.nc.SetReadDeadline(longAgo) })
	drained := time.AfterFunc(ms(s.o.DrainMS), func() {
		cancel()
		t.each(func(c *serverConn) {
			t.wg.Add(1)
			go func() {
				defer t.wg.Done()
				c.farewell()
			}()
		})
	})
	t.wg.Wait()
	drained.Stop()
	return err
}

func (t *listening) accept(ctx context.Context, l net.Listener) error {
	pause := acceptPauseMin
	for {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			t.s.stats.acceptErrs.Add(1)
			t.s.log.Warn("accept failed", "address", AddrOf(l), "error", err, "again_in", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = acceptPauseMin
		c := &serverConn{t: t, s: t.s, nc: nc}
		if !t.s.enter() {
			c.refuse("too_many_conns", errors.New("too many connections have not said hello"))
			nc.Close()
			continue
		}
		t.mu.Lock()
		t.conns[c] = struct{}{}
		t.mu.Unlock()
		t.wg.Add(1)
		go func() {
			defer t.wg.Done()
			c.run()
			t.mu.Lock()
			delete(t.conns, c)
			t.mu.Unlock()
		}()
	}
}

func (t *listening) each(f func(*serverConn)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		f(c)
	}
}

// enter counts a connection that has not said hello yet; it is false if there are too many.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handshakes >= s.o.MaxHandshakes {
		return false
	}
	s.handshakes++
	return true
}

// welcome turns a connection's handshake into a membership; the reason is empty if that succeeds.
func (s *Server) welcome(sess uint64) (reason, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members >= s.o.MaxConns {
		return "too_many_conns", "too many connections"
	}
	s.onceMu.Lock()
	ok := s.once.Open(sess)
	s.onceMu.Unlock()
	if !ok {
		return "hello_sessions", "too many sessions"
	}
	s.members++
	s.stats.accepted.Add(1)
	return "", ""
}

func (s *Server) startWorkers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving++; s.serving > 1 {
		return
	}
	s.stop = make(chan struct{})
	for range s.o.Workers {
		s.workers.Add(1)
		go s.work(s.stop)
	}
}

// stopWorkers ends the workers with the last listener. Its connections have waited for their requests, so the queue is
// empty.
func (s *Server) stopWorkers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving--; s.serving == 0 {
		close(s.stop)
		s.workers.Wait()
	}
}

// task is a request on its way to a worker, with its own copy of the bytes.
type task struct {
	c        *serverConn
	frame    frame
	buf      []byte // of frame
	deadline time.Time
	queued   time.Time
	ctx      *deadlineCtx
	req      Request
	rep      Reply
	out      []byte
}

func (s *Server) work(stop <-chan struct{}) {
	defer s.workers.Done()
	for {
		select {
		case t := <-s.queue:
			s.stats.waitNS.Add(int64(time.Since(t.queued)))
			s.stats.waited.Add(1)
			s.stats.busy.begin()
			s.run(t)
			s.stats.busy.end()
		case <-stop:
			return
		}
	}
}

// run serves one task and writes its replies.
func (s *Server) run(t *task) {
	c := t.c
	defer func() {
		if cap(t.out) > keepBuffer || cap(t.buf) > keepBuffer {
			t.out, t.buf = nil, nil
		}
		if t.ctx != nil && !t.ctx.end() {
			t.ctx = nil
		}
		t.c, t.frame, t.req, t.rep = nil, frame{}, Request{}, Reply{}
		s.tasks.Put(t)
		c.pending.Done()
	}()
	ctx := c.t.ctx
	var err error
	switch {
	case c.t.closing.Load():
		err = wire.Errorf(wire.KindUnavailable, "%s stops", s.o.Node)
	case !t.deadline.IsZero():
		if !time.Now().Before(t.deadline) {
			s.stats.expired.Add(1)
			err = wire.Errorf(wire.KindTimeout, "%v: the deadline passed while the request waited for a worker", t.frame.h.Op)
			break
		}
		if t.ctx == nil {
			t.ctx = new(deadlineCtx)
		}
		t.ctx.begin(ctx, t.deadline)
		ctx = t.ctx
	}
	t.out = t.out[:0]
	if err != nil {
		t.out = c.declineBegun(t.out, &t.frame.h, t.frame.body, err)
	} else {
		t.out, _ = c.serve(ctx, t.out, &t.req, &t.rep, &t.frame, t.deadline, atWorker)
	}
	if len(t.out) > 0 {
		c.write(t.out)
	}
}

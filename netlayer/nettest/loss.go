package nettest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// shutdown stops a server while calls run, wait in the queue, and come.
func shutdown(t *testing.T, addr NewAddr) {
	started, release := make(chan struct{}, 100), make(chan struct{})
	so := ServerOptions()
	so.Workers, so.DrainMS = 1, int(patience/time.Millisecond)
	s := start(t, addr(t), handler{serve: func(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		started <- struct{}{}
		<-release
		rep.SetBody([]byte("drained"))
		return nil
	}}, so)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	var calls [3]netlayer.Call
	for i := range calls {
		calls[i].Op = wire.OpQuery
		if err := p.Start(&calls[i]); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-started
		}
	}
	until(t, "two requests wait", func() bool { return s.Stats().Queued == 2 })
	s.cancel()
	until(t, "nobody listens", func() bool {
		nc, err := netlayer.Dial(context.Background(), s.Addr)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	close(release)
	if err := p.Wait(&calls[0]); err != nil || string(calls[0].Reply) != "drained" {
		t.Errorf("the request that ran: %v, %q", err, calls[0].Reply)
	}
	for i := 1; i < 3; i++ {
		if err := p.Wait(&calls[i]); !errors.Is(err, wire.ErrUnavailable) {
			t.Errorf("a request that waited for a worker: %v", err)
		}
	}
	s.Stop(t)
	if err := p.Do(&netlayer.Call{Op: wire.OpPing}); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("a call to a server that has stopped: %v", err)
	}

	// A request that does not end by itself is cancelled after drain_ms.
	so.DrainMS = 10
	s = start(t, addr(t), blocking(nil), so)
	p2 := netlayer.NewPeer(s.Addr, Options())
	defer p2.Close()
	c := &netlayer.Call{Op: wire.OpQuery}
	if err := p2.Start(c); err != nil {
		t.Fatal(err)
	}
	until(t, "the request arrived", func() bool { return s.Stats().In[netlayer.KindManager].Frames == 1 })
	s.Stop(t)
	if err := p2.Wait(c); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("a request that was cancelled: %v", err)
	}
}

func restart(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	o := Options()
	o.RetryAttempts, o.RetryMaxMS = 1000, 20
	p := netlayer.NewPeer(s.Addr, o)
	defer p.Close()
	if err := p.Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	done := make(chan error, 2)
	go func() { done <- p.Control(context.Background(), wire.OpMmap, 0, wire.MmapReq{PID: 1}, nil) }()
	go func() { done <- p.Control(context.Background(), wire.OpQuery, 0, wire.QueryReq{}, nil) }()
	until(t, "control retries", func() bool { return p.Stats().Retries >= 4 })
	s = start(t, s.Addr, handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("control over a restart: %v", err)
		}
	}
	until(t, "a plain call works again", func() bool { return p.Do(&netlayer.Call{Op: wire.OpPing}) == nil })
	if st := p.Stats(); st.Connects != 2 || st.FreeSlots != o.Slots {
		t.Errorf("stats: %+v", st)
	}
}

// restartIdle restarts a server while nobody calls: the next call finds that out before it is sent, and succeeds.
func restartIdle(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	for range 2 {
		if err := p.Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
			t.Fatal(err)
		}
		until(t, "the peer is idle", func() bool { return p.Stats().Idle })
		s.Stop(t)
		s = start(t, s.Addr, handler{serve: echoServe}, ServerOptions())
	}
	defer s.Stop(t)
	if err := p.Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
		t.Errorf("the first call after a restart: %v", err)
	}
	if n := p.Stats().Connects; n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// lost cuts the connection again and again under load: every call ends, either well or as unavailable.
func lost(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	const cuts = 10
	var wg sync.WaitGroup
	var stop atomic.Bool
	var good, bad atomic.Uint64
	for g := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			miss := &netlayer.Call{Op: wire.OpMiss, Into: make([]byte, wire.PageSize), Body: wire.Miss{Page: wire.PageNo(g)}.Append(nil)}
			flush := &netlayer.Call{Op: wire.OpFlush, Body: make([]byte, wire.FlushLen), Page: make([]byte, wire.PageSize), Into: make([]byte, wire.PageSize)}
			for !stop.Load() {
				var err error
				if g%2 == 0 {
					err = p.Do(miss)
				} else if err = p.StartPair(miss, flush); err == nil {
					err = errors.Join(p.Wait(miss), p.Wait(flush))
				}
				switch {
				case err == nil:
					good.Add(1)
				case errors.Is(err, wire.ErrUnavailable):
					bad.Add(1)
				default:
					t.Error(err)
				}
			}
		}()
	}
	for range cuts {
		n := good.Load()
		until(t, "calls go well", func() bool { return good.Load() > n+50 })
		s.l.cut()
	}
	stop.Store(true)
	wg.Wait()
	st := p.Stats()
	if st.InFlight != 0 || st.InFlightBytes != 0 || st.FreeSlots != Options().Slots {
		t.Errorf("%d good, %d unavailable; at the end: %+v", good.Load(), bad.Load(), st)
	}
}

// busyThenRun refuses an at-most-once request as busy, then as unavailable: the retries are executed, other errors are not.
func busyThenRun(t *testing.T, addr NewAddr) {
	var runs atomic.Int64
	s := start(t, addr(t), handler{serve: func(_ context.Context, _ *netlayer.Request, rep *netlayer.Reply) error {
		switch n := runs.Add(1); n {
		case 1:
			return wire.ErrBusy
		case 2:
			return wire.ErrUnavailable
		case 4:
			return wire.ErrNoRoom
		default:
			rep.SetControl(wire.MmapRep{Addr: uint64(n)})
			return nil
		}
	}}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	var rep wire.MmapRep
	if err := p.Control(context.Background(), wire.OpMmap, 0, wire.MmapReq{PID: 1}, &rep); err != nil || rep.Addr != 3 {
		t.Errorf("%v, answered by run %d, want the third", err, rep.Addr)
	}
	if err := p.Control(context.Background(), wire.OpMmap, 0, wire.MmapReq{PID: 1}, &rep); !errors.Is(err, wire.ErrNoRoom) || runs.Load() != 4 {
		t.Errorf("%v after %d runs", err, runs.Load())
	}
}

// onceAfterLoss loses the reply of an at-most-once request: the retry gets it without a second execution.
func onceAfterLoss(t *testing.T, addr NewAddr) {
	var runs atomic.Int64
	var s *Server
	ready := make(chan struct{})
	for _, inline := range []bool{false, true} {
		runs.Store(0)
		ready = make(chan struct{})
		s = start(t, addr(t), handler{inline: func(wire.Op) bool { return inline }, serve: func(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
			<-ready
			n := runs.Add(1)
			if n == 1 {
				s.l.cut() // the reply cannot arrive
			}
			if req.Op == wire.OpBrk {
				return wire.Errorf(wire.KindNoMemory, "run %d", n)
			}
			rep.SetControl(wire.MmapRep{Addr: uint64(n)})
			return nil
		}}, ServerOptions())
		close(ready)
		p := netlayer.NewPeer(s.Addr, Options())
		var rep wire.MmapRep
		if err := p.Control(context.Background(), wire.OpMmap, 0, wire.MmapReq{PID: 1}, &rep); err != nil || rep.Addr != 1 || runs.Load() != 1 {
			t.Errorf("inline %v: %v, answered by run %d of %d", inline, err, rep.Addr, runs.Load())
		}
		// A second request is another request.
		if err := p.Control(context.Background(), wire.OpMmap, 0, wire.MmapReq{PID: 1}, &rep); err != nil || rep.Addr != 2 {
			t.Errorf("inline %v: %v, answered by run %d, want 2", inline, err, rep.Addr)
		}
		// An error is a reply like any other.
		runs.Store(0)
		if err := p.Control(context.Background(), wire.OpBrk, 0, wire.BrkReq{PID: 1}, &rep); !errors.Is(err, wire.ErrNoMemory) || runs.Load() != 1 {
			t.Errorf("inline %v: %v after %d runs", inline, err, runs.Load())
		}
		if st := p.Stats(); st.FreeSlots != Options().Slots {
			t.Errorf("%d slots free, want %d", st.FreeSlots, Options().Slots)
		}
		if n := s.Stats().Replayed; !inline && n > 2 || inline && n != 2 {
			t.Errorf("inline %v: %d replays", inline, n)
		}
		p.Close()
		s.Stop(t)
	}
}

// onceWhileRunning loses the connection while an at-most-once request runs: the retry gets the answer of that run.
func onceWhileRunning(t *testing.T, addr NewAddr) {
	var runs atomic.Int64
	var s *Server
	first := make(chan struct{})
	s = start(t, addr(t), handler{serve: func(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		n := runs.Add(1)
		if n == 1 {
			close(first)
			s.l.cut()
			until(t, "the retry arrived", func() bool { return s.Stats().In[netlayer.KindMap].Frames >= 2 })
		}
		rep.SetControl(wire.MmapRep{Addr: uint64(n)})
		return nil
	}}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	var rep wire.MmapRep
	if err := p.Control(context.Background(), wire.OpMmap, 0, wire.MmapReq{PID: 1}, &rep); err != nil || rep.Addr != 1 || runs.Load() != 1 {
		t.Errorf("%v, answered by run %d of %d", err, rep.Addr, runs.Load())
	}
	<-first
}

func closePeer(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), blocking(nil), ServerOptions())
	defer s.Stop(t)
	o := Options()
	o.Slots = 8
	p := netlayer.NewPeer(s.Addr, o)
	const callers = 12 // some find no slot
	results := make(chan error, callers)
	for range callers {
		go func() { results <- p.Do(&netlayer.Call{Op: wire.OpQuery}) }()
	}
	controls := make(chan error, 1)
	until(t, "calls in flight and waiting", func() bool { return p.Stats().InFlight == 8 && p.Stats().RoomWaits >= 4 })
	go func() { controls <- p.Control(context.Background(), wire.OpMmap, 0, nil, nil) }()
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	for range callers {
		if err := <-results; !errors.Is(err, wire.ErrUnavailable) {
			t.Errorf("a call while the peer was closed: %v", err)
		}
	}
	if err := <-controls; !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("control while the peer was closed: %v", err)
	}
	if err := p.Do(&netlayer.Call{Op: wire.OpPing}); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("a call after Close: %v", err)
	}
	if err := netlayer.NewPeer(s.Addr, o).Close(); err != nil {
		t.Errorf("close of a peer that was never used: %v", err)
	}
}

func nobodyThere(t *testing.T, addr NewAddr) {
	l, err := netlayer.Listen(addr(t))
	if err != nil {
		t.Fatal(err)
	}
	a := netlayer.AddrOf(l)
	l.Close()
	o := Options()
	o.RetryAttempts, o.RetryBaseMS, o.RetryMaxMS = 4, 1, 2
	p := netlayer.NewPeer(a, o)
	defer p.Close()
	results := make(chan error, 10)
	for range cap(results) {
		go func() { results <- p.Do(&netlayer.Call{Op: wire.OpPing}) }()
	}
	for range cap(results) {
		if err := <-results; !errors.Is(err, wire.ErrUnavailable) {
			t.Errorf("a call to nobody: %v", err)
		}
	}
	if err := p.Control(context.Background(), wire.OpMmap, 0, nil, nil); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("control to nobody: %v", err)
	}
	if st := p.Stats(); st.Retries != 3 || st.DialFailures == 0 || st.FreeSlots != o.Slots {
		t.Errorf("stats: %+v", st)
	}
}

func addressInUse(t *testing.T, addr NewAddr) {
	l, err := netlayer.Listen(addr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = netlayer.Listen(netlayer.AddrOf(l))
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second listener: %v", err)
	}
}

package nettest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

func errorsCross(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: func(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		switch req.Epoch {
		case 1:
			rep.SetBody([]byte("dropped"))
			return wire.Errorf(wire.KindNotOwner, "page %d", 7)
		case 2:
			return errors.New("a plain error")
		case 3:
			return wire.Errorf(wire.KindNoSpace, "%s", bytes.Repeat([]byte("x"), 100_000))
		}
		return nil
	}}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	for _, op := range []wire.Op{wire.OpMiss, wire.OpQuery} {
		c := &netlayer.Call{Op: op, Epoch: 1}
		if err := p.Do(c); !errors.Is(err, wire.ErrNotOwner) || err.Error() != "not owner: page 7" || len(c.Reply) != 0 {
			t.Errorf("%v: %v with a reply of %d bytes", op, err, len(c.Reply))
		}
		c.Epoch = 2
		if err := p.Do(c); !errors.Is(err, wire.ErrInternal) || err.Error() != "internal: a plain error" {
			t.Errorf("%v: %v", op, err)
		}
		c.Epoch = 3
		if err := p.Do(c); !errors.Is(err, wire.ErrNoSpace) || len(err.Error()) > 5000 {
			t.Errorf("%v: an error of %d bytes", op, len(err.Error()))
		}
		c.Epoch = 0
		if err := p.Do(c); err != nil || c.Err != nil {
			t.Errorf("%v after errors: %v", op, err)
		}
	}
	if err := p.Control(context.Background(), wire.OpQuery, 1, wire.QueryReq{}, nil); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("control: %v", err)
	}
	if n := p.Stats().Retries; n != 0 {
		t.Errorf("%d retries of errors that a retry cannot mend", n)
	}
	c := &netlayer.Call{Op: wire.OpMiss, Body: make([]byte, wire.MaxBody+1)}
	if err := p.Do(c); !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("a body that is too long: %v", err)
	}
	if err := p.Wait(new(netlayer.Call)); !errors.Is(err, wire.ErrInternal) {
		t.Errorf("wait for a call that was not started: %v", err)
	}
}

func oneWay(t *testing.T, addr NewAddr) {
	var got, sum atomic.Uint64
	s := start(t, addr(t), handler{inline: func(wire.Op) bool { return true }, serve: func(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		if req.OneWay {
			got.Add(1)
			sum.Add(uint64(len(req.Body)))
		}
		return wire.ErrInternal // nobody hears of it
	}}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	const n, size = 300, 20_000
	body := make([]byte, size)
	for range n {
		if err := p.Send(wire.OpRaft, body); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all one-way requests served", func() bool { return got.Load() == n && sum.Load() == n*size })
	if err := p.Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
		t.Fatal(err)
	}
	if st := p.Stats(); st.Late != 0 || st.In[netlayer.KindRaft].Frames != 0 {
		t.Errorf("one-way requests were answered: %+v", st)
	}
	if err := p.Send(wire.OpRaft, make([]byte, wire.MaxBody+1)); !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("a body that is too long: %v", err)
	}
}

func detached(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	calls := make([]netlayer.Call, 100)
	for i := range calls {
		calls[i].Op, calls[i].Body = wire.OpFlush, []byte{byte(i)}
		if err := p.Start(&calls[i]); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody waits: the housekeeper reads.
	until(t, "all detached calls done", func() bool {
		for i := range calls {
			if !p.Done(&calls[i]) {
				return false
			}
		}
		return true
	})
	for i := range calls {
		if err := p.Wait(&calls[i]); err != nil || !bytes.Equal(calls[i].Reply, []byte{byte(i)}) {
			t.Fatalf("call %d: %v, %x", i, err, calls[i].Reply)
		}
	}
	// Another's wait reads for a detached call: requests are served in order, so it is done when the later one is.
	c, d := &netlayer.Call{Op: wire.OpFlush}, &netlayer.Call{Op: wire.OpFlush}
	if err := p.Start(d); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(c); err != nil || !p.Done(d) {
		t.Errorf("%v; the earlier call is done: %v", err, p.Done(d))
	}
	// A connection that is lost ends detached calls too.
	hold := make(chan struct{})
	s2 := start(t, addr(t), handler{serve: func(ctx context.Context, _ *netlayer.Request, _ *netlayer.Reply) error {
		<-hold
		return nil
	}}, ServerOptions())
	defer s2.Stop(t)
	defer close(hold)
	p2 := netlayer.NewPeer(s2.Addr, Options())
	defer p2.Close()
	e := &netlayer.Call{Op: wire.OpQuery}
	if err := p2.Start(e); err != nil {
		t.Fatal(err)
	}
	until(t, "the request arrived", func() bool { return s2.Stats().In[netlayer.KindManager].Frames == 1 })
	s2.l.cut()
	until(t, "the detached call failed", func() bool { return p2.Done(e) })
	if err := p2.Wait(e); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("a detached call whose connection was lost: %v", err)
	}
}

// handOver lets replies come in an order that makes each reader leave before the others.
func handOver(t *testing.T, addr NewAddr) {
	const callers, rounds = 16, 20
	var mu sync.Mutex
	var queue []chan struct{}
	s := start(t, addr(t), handler{serve: func(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		turn := make(chan struct{})
		mu.Lock()
		queue = append(queue, turn)
		mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
		}
		rep.SetBody(req.Body)
		return nil
	}}, func() netlayer.ServerOptions { o := ServerOptions(); o.Workers = callers; return o }())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	for round := range rounds {
		done := make(chan error, callers)
		for g := range callers {
			go func() {
				c := &netlayer.Call{Op: wire.OpQuery, Body: []byte{byte(g)}}
				err := p.Do(c)
				if err == nil && !bytes.Equal(c.Reply, c.Body) {
					err = errors.New("another's reply")
				}
				done <- err
			}()
		}
		until(t, "all requests at the server", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(queue) == callers
		})
		mu.Lock()
		turns := queue
		queue = nil
		mu.Unlock()
		for i := range turns {
			if round%2 == 1 {
				i = len(turns) - 1 - i
			}
			close(turns[i])
			if err := <-done; err != nil { // exactly one waiter goes, and the others still have a reader
				t.Fatal(err)
			}
		}
	}
	if p.Stats().HandOvers == 0 {
		t.Error("the leadership was never handed over")
	}
	if st := p.Stats(); st.FreeSlots != Options().Slots {
		t.Errorf("%d slots free at the end, want %d", st.FreeSlots, Options().Slots)
	}
}

func pairs(t *testing.T, addr NewAddr) {
	var order []wire.Op
	var mu sync.Mutex
	for _, inline := range []bool{true, false} {
		order = nil
		s := start(t, addr(t), handler{inline: func(wire.Op) bool { return inline }, serve: func(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
			mu.Lock()
			order = append(order, req.Op)
			mu.Unlock()
			switch req.Op {
			case wire.OpMiss:
				m, ok := wire.ParseMiss(req.Body)
				if !ok || len(req.Page) != 0 {
					return wire.Errorf(wire.KindBadRequest, "no miss")
				}
				if m.OwnerEpoch == 9 {
					return wire.Errorf(wire.KindNotOwner, "miss")
				}
				fill(rep.Page(wire.PageSize), uint64(m.Page))
			case wire.OpFlush:
				f, ok := wire.ParseFlush(req.Body)
				want := make([]byte, wire.PageSize)
				fill(want, uint64(f.Page))
				if !ok || !bytes.Equal(req.Page, want) || wire.Checksum(want) != req.PageCRC {
					return wire.Errorf(wire.KindBadRequest, "no flush")
				}
				if f.OwnerEpoch == 9 {
					return wire.Errorf(wire.KindStale, "flush")
				}
			}
			return nil
		}}, ServerOptions())
		p := netlayer.NewPeer(s.Addr, Options())
		page, want, into := make([]byte, wire.PageSize), make([]byte, wire.PageSize), make([]byte, wire.PageSize)
		fill(page, 3)
		fill(want, 4)
		for _, tc := range []struct {
			missEpoch, flushEpoch wire.Epoch
			missErr, flushErr     error
		}{{1, 1, nil, nil}, {9, 1, wire.ErrNotOwner, nil}, {1, 9, nil, wire.ErrStale}, {9, 9, wire.ErrNotOwner, wire.ErrStale}} {
			clear(into)
			miss := &netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{PID: 1, Page: 4, OwnerEpoch: tc.missEpoch}.Append(nil), Into: into}
			flush := &netlayer.Call{Op: wire.OpFlush, Body: wire.Flush{PID: 1, Page: 3, OwnerEpoch: tc.flushEpoch}.Append(nil), Page: page}
			if err := p.StartPair(miss, flush); err != nil {
				t.Fatal(err)
			}
			if err := p.Wait(miss); !errors.Is(err, tc.missErr) {
				t.Errorf("inline %v, %+v: the miss ended with %v", inline, tc, err)
			}
			if err := p.Wait(flush); !errors.Is(err, tc.flushErr) {
				t.Errorf("inline %v, %+v: the flush ended with %v", inline, tc, err)
			}
			if tc.missErr == nil && !bytes.Equal(into, want) {
				t.Errorf("inline %v, %+v: another page came", inline, tc)
			}
		}
		for i, op := range order {
			if want := []wire.Op{wire.OpMiss, wire.OpFlush}[i%2]; op != want {
				t.Errorf("inline %v: request %d was %v, want %v", inline, i, op, want)
			}
		}
		// A page that was damaged on the way fails its flush only: the miss has no part in it.
		order = order[:0]
		miss := &netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{Page: 4}.Append(nil), Into: into}
		flush := &netlayer.Call{Op: wire.OpFlush, Body: wire.Flush{}.Append(nil), Page: page, PageCRC: 1, HavePageCRC: true}
		if err := p.StartPair(miss, flush); err != nil {
			t.Fatal(err)
		}
		if a, b := p.Wait(miss), p.Wait(flush); a != nil || !errors.Is(b, wire.ErrCorrupt) {
			t.Errorf("inline %v: a pair with a damaged page: %v, %v, want a miss that is served and a flush that is corrupt", inline, a, b)
		}
		if len(order) != 1 || order[0] != wire.OpMiss || !bytes.Equal(into, want) || s.Stats().Corrupt != 1 {
			t.Errorf("inline %v: of a pair with a damaged page %v was executed, want the miss and its page", inline, order)
		}
		flush = &netlayer.Call{Op: wire.OpFlush, Body: []byte{1}}
		if err := p.StartPair(miss, flush); !errors.Is(err, wire.ErrBadRequest) || flush.Err == nil || !p.Done(miss) {
			t.Errorf("a pair with a bad flush: %v", err)
		}
		if st := p.Stats(); st.FreeSlots != Options().Slots {
			t.Errorf("%d slots free at the end, want %d", st.FreeSlots, Options().Slots)
		}
		p.Close()
		s.Stop(t)
	}
}

// handedOver serves everything inline; what would wait goes to a worker with its bytes whole, and what comes later is
// answered meanwhile. An at-most-once request that is handed over is still executed once.
func handedOver(t *testing.T, addr NewAddr) {
	release, bad := make(chan struct{}), make(chan string, 16)
	var runs, waits atomic.Int64
	s := start(t, addr(t), handler{inline: func(wire.Op) bool { return true }, serve: func(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		switch req.Op {
		case wire.OpFlush, wire.OpMiss:
			if req.MayHandOver {
				bad <- "half of a pair may be handed over"
			}
			return nil
		case wire.OpBlockFlush:
			return nil // waits for nothing
		}
		if req.MayHandOver {
			rep.AppendBody([]byte("must not be sent"))
			return netlayer.ErrWouldWait
		}
		waits.Add(1)
		<-release
		if _, ok := ctx.Deadline(); !ok {
			bad <- "a worker's request has no deadline"
		}
		if req.Op.Once() {
			rep.SetControl(wire.MmapRep{Addr: uint64(runs.Add(1))})
			return nil
		}
		rep.SetBody(req.Body)
		copy(rep.Page(len(req.Page)), req.Page)
		return nil
	}}, func() netlayer.ServerOptions { o := ServerOptions(); o.Workers, o.QueueLen = 2, 1; return o }())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()

	page, into := make([]byte, wire.PageSize), make([]byte, wire.PageSize)
	fill(page, 5)
	slow := &netlayer.Call{Op: wire.OpBlockWrite, Body: []byte("body"), Page: page, Into: into}
	if err := p.Start(slow); err != nil {
		t.Fatal(err)
	}
	until(t, "it waits at a worker", func() bool { return waits.Load() == 1 })
	mapped := make(chan error, 1)
	var rep wire.MmapRep
	go func() { mapped <- p.Control(context.Background(), wire.OpMmap, 0, wire.MmapReq{PID: 1}, &rep) }()
	until(t, "both wait at workers", func() bool { return waits.Load() == 2 })
	for range 4 { // these overwrite the read buffer of the connection
		if err := p.Do(&netlayer.Call{Op: wire.OpBlockFlush, Body: []byte("other body"), Page: make([]byte, wire.PageSize)}); err != nil {
			t.Errorf("a request behind one that waits: %v", err)
		}
	}
	queued := &netlayer.Call{Op: wire.OpBlockRead}
	if err := p.Start(queued); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(&netlayer.Call{Op: wire.OpBlockRead}); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("one more than the queue holds: %v, want busy", err)
	}
	miss, flush := &netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{}.Append(nil)}, &netlayer.Call{Op: wire.OpFlush, Body: wire.Flush{}.Append(nil), Page: page}
	if err := p.StartPair(miss, flush); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Wait(miss), p.Wait(flush)); err != nil {
		t.Errorf("a pair: %v", err)
	}
	close(release)
	if err := p.Wait(slow); err != nil || string(slow.Reply) != "body" || slow.N != wire.PageSize || !bytes.Equal(into, page) {
		t.Errorf("what was handed over: %v, %q and %d bytes", err, slow.Reply, slow.N)
	}
	if err := p.Wait(queued); err != nil {
		t.Errorf("what was queued: %v", err)
	}
	if err := <-mapped; err != nil || rep.Addr != 1 || runs.Load() != 1 {
		t.Errorf("an at-most-once request: %v, answered by run %d of %d", err, rep.Addr, runs.Load())
	}
	if n := s.Stats().HandedOver; n != 4 {
		t.Errorf("%d requests were handed over, want 4", n)
	}
	select {
	case what := <-bad:
		t.Error(what)
	default:
	}
}

// blocking is a handler whose worker requests wait until release is closed or the server stops.
func blocking(release <-chan struct{}) handler {
	return handler{serve: func(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		if req.Op >= 32 {
			select {
			case <-release:
			case <-ctx.Done():
				return wire.Errorf(wire.KindUnavailable, "stopped")
			}
		}
		rep.SetBody(req.Body)
		return nil
	}}
}

func slotsFull(t *testing.T, addr NewAddr) {
	release := make(chan struct{})
	s := start(t, addr(t), blocking(release), ServerOptions())
	defer s.Stop(t)
	o := Options()
	o.Slots = 4
	p := netlayer.NewPeer(s.Addr, o)
	defer p.Close()
	var held [4]netlayer.Call
	for i := range held {
		held[i].Op = wire.OpQuery
		if err := p.Start(&held[i]); err != nil {
			t.Fatal(err)
		}
	}
	c := &netlayer.Call{Op: wire.OpPing, Timeout: 30 * time.Millisecond}
	if err := p.Start(c); !errors.Is(err, wire.ErrTimeout) || !p.Done(c) {
		t.Errorf("a call without a slot: %v", err)
	}
	if n := p.Stats().RoomWaits; n != 1 {
		t.Errorf("%d waits for room, want 1", n)
	}
	// Many wait for room; all go on when there is some.
	results := make(chan error, 20)
	for range cap(results) {
		go func() { results <- p.Do(&netlayer.Call{Op: wire.OpPing}) }()
	}
	until(t, "callers wait for room", func() bool { return p.Stats().RoomWaits == 1+uint64(cap(results)) })
	close(release)
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	for i := range held {
		if err := p.Wait(&held[i]); err != nil {
			t.Error(err)
		}
	}
	if st := p.Stats(); st.FreeSlots != 4 || st.InFlight != 0 {
		t.Errorf("at the end: %+v", st)
	}
}

func bytesFull(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	o := Options()
	o.InFlightBytes = wire.HeaderLen + wire.MaxBody + wire.MaxPayload // one frame of the longest kind
	p := netlayer.NewPeer(s.Addr, o)
	defer p.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := &netlayer.Call{Op: wire.OpFlush, Body: bytes.Repeat([]byte{byte(g)}, 700_000)}
			for range 5 {
				if err := p.Do(c); err != nil || !bytes.Equal(c.Reply, c.Body) {
					t.Errorf("caller %d: %v, %d bytes", g, err, len(c.Reply))
				}
			}
		}()
	}
	wg.Wait()
	if p.Stats().RoomWaits == 0 {
		t.Error("nobody waited for room")
	}
}

// bothWriting fills the buffers in both directions from one goroutine that waits for nothing: it must not stand still.
func bothWriting(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	o := Options()
	o.Slots, o.InFlightBytes = 2048, 64<<20
	p := netlayer.NewPeer(s.Addr, o)
	defer p.Close()
	page := make([]byte, wire.PageSize)
	fill(page, 1)
	calls := make([]netlayer.Call, 2048)
	into := make([]byte, len(calls)*wire.PageSize)
	for i := range calls {
		calls[i].Op, calls[i].Page, calls[i].Into = wire.OpFlush, page, into[i*wire.PageSize:][:wire.PageSize]
		if err := p.Start(&calls[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range calls {
		if err := p.Wait(&calls[i]); err != nil || calls[i].N != wire.PageSize || !bytes.Equal(calls[i].Into, page) {
			t.Fatalf("call %d: %v, %d bytes", i, err, calls[i].N)
		}
	}
}

func serverBusy(t *testing.T, addr NewAddr) {
	release := make(chan struct{})
	so := ServerOptions()
	so.Workers, so.QueueLen = 1, 2
	s := start(t, addr(t), blocking(release), so)
	defer s.Stop(t)
	o := Options()
	o.RetryAttempts, o.RetryBaseMS, o.RetryMaxMS = 1000, 1, 5
	p := netlayer.NewPeer(s.Addr, o)
	defer p.Close()
	var calls [3]netlayer.Call
	for i := range calls {
		calls[i].Op = wire.OpQuery
		if err := p.Start(&calls[i]); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			until(t, "the worker is busy", func() bool { return s.Stats().In[netlayer.KindManager].Frames == 1 && s.Stats().Queued == 0 })
		}
	}
	for _, op := range []wire.Op{wire.OpQuery, wire.OpMmap} { // the latter is remembered, so it must be forgotten again
		if err := p.Do(&netlayer.Call{Op: op}); !errors.Is(err, wire.ErrBusy) {
			t.Errorf("%v beyond the queue: %v", op, err)
		}
	}
	done := make(chan error, 2)
	go func() { done <- p.Control(context.Background(), wire.OpMmap, 0, nil, nil) }()
	go func() { done <- p.Control(context.Background(), wire.OpQuery, 0, nil, nil) }()
	until(t, "control retries", func() bool { return p.Stats().Retries >= 4 })
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("control while the server was busy: %v", err)
		}
	}
	for i := range calls {
		if err := p.Wait(&calls[i]); err != nil {
			t.Error(err)
		}
	}
	if s.Stats().QueueFull < 4 {
		t.Errorf("full queue counted %d times", s.Stats().QueueFull)
	}
}

func deadlines(t *testing.T, addr NewAddr) {
	release := make(chan struct{})
	s := start(t, addr(t), handler{serve: func(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		if req.Op == wire.OpQuery {
			if _, ok := ctx.Deadline(); !ok || req.Deadline.IsZero() {
				t.Error("the request's deadline did not arrive")
			}
			<-release
		}
		return nil
	}}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	// The first leads, the second is a follower, the third is waited for by nobody.
	var calls [3]netlayer.Call
	results := make(chan error, 2)
	for i := range calls {
		calls[i].Op, calls[i].Timeout = wire.OpQuery, 40*time.Millisecond
		if err := p.Start(&calls[i]); err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			go func() { results <- p.Wait(&calls[i]) }()
		}
	}
	for range 2 {
		if err := <-results; !errors.Is(err, wire.ErrTimeout) {
			t.Errorf("a call beyond its deadline: %v", err)
		}
	}
	until(t, "the detached call ended", func() bool { return p.Done(&calls[2]) })
	if err := p.Wait(&calls[2]); !errors.Is(err, wire.ErrTimeout) {
		t.Errorf("a detached call beyond its deadline: %v", err)
	}
	// The connection goes on, and the replies that come late hurt nobody.
	c := &netlayer.Call{Op: wire.OpPing}
	if err := p.Do(c); err != nil {
		t.Fatal(err)
	}
	close(release)
	until(t, "the late replies", func() bool { return p.Stats().Late == 3 })
	if err := p.Do(c); err != nil {
		t.Fatal(err)
	}
	if st := p.Stats(); st.Timeouts != 3 || st.Connects != 1 || st.FreeSlots != Options().Slots {
		t.Errorf("stats: %+v", st)
	}
}

func cancelled(t *testing.T, addr NewAddr) {
	release := make(chan struct{})
	s := start(t, addr(t), blocking(release), ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	for _, op := range []wire.Op{wire.OpQuery, wire.OpMmap} {
		ctx, cancel := context.WithCancel(context.Background())
		before := s.Stats().In
		done := make(chan error, 1)
		go func() { done <- p.Control(ctx, op, 0, nil, nil) }()
		until(t, "the request arrived", func() bool { return s.Stats().In != before })
		cancel()
		if err := <-done; !errors.Is(err, wire.ErrTimeout) {
			t.Errorf("%v whose context ended: %v", op, err)
		}
		if err := p.Control(ctx, op, 0, nil, nil); !errors.Is(err, wire.ErrTimeout) {
			t.Errorf("%v under a context that had ended: %v", op, err)
		}
	}
	close(release)
	if err := p.Control(context.Background(), wire.OpMmap, 0, nil, nil); err != nil {
		t.Errorf("control afterwards: %v", err)
	}
	if st := p.Stats(); st.FreeSlots != Options().Slots || st.InFlight != 0 {
		t.Errorf("at the end: %+v", st)
	}
}

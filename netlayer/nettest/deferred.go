package nettest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// keeper is a handler that keeps flushes for later and answers misses at once.
type keeper struct {
	mu   sync.Mutex
	kept []*netlayer.Deferred
	full int
	bad  string // what must not be
}

func (k *keeper) serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	switch req.Op {
	case wire.OpMiss:
		fill(rep.Page(wire.PageSize), 4)
		return nil
	case wire.OpFlush:
		rep.SetBody([]byte("dropped"))
		d := req.Defer()
		k.mu.Lock()
		defer k.mu.Unlock()
		if d == nil {
			k.full++
			return wire.Errorf(wire.KindBusy, "no more")
		}
		k.kept = append(k.kept, d)
		return netlayer.ErrDeferred
	}
	if req.Defer() != nil {
		k.mu.Lock()
		k.bad = req.Op.String()
		k.mu.Unlock()
	}
	return nil
}

func (k *keeper) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.kept)
}

// deferred answers requests from other goroutines than those that served them, in another order; halves of pairs, too. At most max_deferred
// are kept, and requests for which it is not meant cannot be.
func deferred(t *testing.T, addr NewAddr) {
	const most = 8
	var k keeper
	so := ServerOptions()
	so.MaxDeferred = most
	s := start(t, addr(t), handler{inline: func(op wire.Op) bool { return op != wire.OpQuery }, serve: k.serve}, so)
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	page, want, into := make([]byte, wire.PageSize), make([]byte, wire.PageSize), make([]byte, wire.PageSize)
	fill(want, 4)
	for round := range 3 {
		var flushes [most]netlayer.Call
		for i := range flushes {
			f := &flushes[i]
			*f = netlayer.Call{Op: wire.OpFlush, Body: wire.Flush{}.Append(nil), Page: page}
			var err error
			if i%2 == 0 {
				err = p.Start(f)
			} else {
				clear(into)
				miss := &netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{}.Append(nil), Into: into}
				if err = p.StartPair(miss, f); err == nil {
					err = p.Wait(miss) // does not wait for its flush
				}
				if !bytes.Equal(into, want) {
					t.Fatal("another page came")
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		until(t, "all flushes are kept", func() bool { return k.len() == most })
		if n := s.Stats().Deferred; n != most {
			t.Errorf("%d requests are deferred, want %d", n, most)
		}
		if err := p.Do(&netlayer.Call{Op: wire.OpFlush, Page: page}); !errors.Is(err, wire.ErrBusy) || k.full != round+1 || s.Stats().DeferredFull != uint64(round+1) {
			t.Errorf("one more than may be deferred: %v", err)
		}
		for i := range flushes {
			if p.Done(&flushes[i]) {
				t.Errorf("flush %d was answered before its answer", i)
			}
		}
		var wg sync.WaitGroup
		for i := most - 1; i >= 0; i-- {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if i == 3 {
					k.kept[i].Answer([]byte("dropped"), wire.Errorf(wire.KindStale, "late"))
				} else {
					k.kept[i].Answer([]byte{byte(i)}, nil)
				}
			}()
		}
		for i := range flushes {
			switch err := p.Wait(&flushes[i]); {
			case i == 3 && (!errors.Is(err, wire.ErrStale) || err.Error() != "stale epoch: late"):
				t.Errorf("flush %d: %v, want the error that it was answered with", i, err)
			case i != 3 && (err != nil || !bytes.Equal(flushes[i].Reply, []byte{byte(i)})):
				t.Errorf("flush %d: %v, %x", i, err, flushes[i].Reply)
			}
		}
		wg.Wait()
		k.kept = k.kept[:0]
		if n := s.Stats().Deferred; n != 0 {
			t.Errorf("%d requests are deferred at the end", n)
		}
	}
	// A worker's request, one that nobody awaits, and one that is remembered.
	if err := p.Do(&netlayer.Call{Op: wire.OpQuery}); err != nil {
		t.Error(err)
	}
	if err := p.Send(wire.OpBlockRead, nil); err != nil {
		t.Error(err)
	}
	if err := p.Control(context.Background(), wire.OpMmap, 0, wire.MmapReq{}, nil); err != nil {
		t.Error(err)
	}
	if k.bad != "" || s.Stats().Deferred != 0 {
		t.Errorf("%s was deferred", k.bad)
	}
	if st := p.Stats(); st.FreeSlots != Options().Slots || st.Late != 0 {
		t.Errorf("at the end: %+v", st)
	}
}

// deferredLost answers after the connection has gone. Nobody hears it, and a new connection has nothing to do with it.
func deferredLost(t *testing.T, addr NewAddr) {
	var k keeper
	s := start(t, addr(t), handler{inline: func(wire.Op) bool { return true }, serve: k.serve}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	flush := func() *netlayer.Call {
		c := &netlayer.Call{Op: wire.OpFlush, Body: wire.Flush{}.Append(nil), Page: make([]byte, wire.PageSize)}
		if err := p.Start(c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := flush(), flush()
	until(t, "both are kept", func() bool { return k.len() == 2 })
	s.l.cut()
	if err := errors.Join(p.Wait(a), p.Wait(b)); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("flushes whose connection was lost: %v", err)
	}
	until(t, "the server knows", func() bool { st := s.Stats(); return st.Conns == 0 && st.Deferred == 0 })
	c := flush()
	until(t, "it is kept", func() bool { return k.len() == 3 })
	k.kept[0].Answer([]byte("late"), nil)
	k.kept[1].Answer(nil, wire.ErrStale)
	k.kept[2].Answer([]byte("in time"), nil)
	if err := p.Wait(c); err != nil || string(c.Reply) != "in time" {
		t.Errorf("a flush on the new connection: %v, %q", err, c.Reply)
	}
	if st := p.Stats(); st.Late != 0 || s.Stats().Deferred != 0 {
		t.Errorf("a late answer was sent: %+v", st)
	}
}

// deferredEnd stops the server while requests are deferred: those that are answered while it drains are heard, the others are answered by
// the server.
func deferredEnd(t *testing.T, addr NewAddr) {
	for _, answered := range []bool{true, false} {
		var k keeper
		so := ServerOptions()
		if so.DrainMS = int(patience / time.Millisecond); !answered {
			so.DrainMS = 10
		}
		s := start(t, addr(t), handler{inline: func(wire.Op) bool { return true }, serve: k.serve}, so)
		p := netlayer.NewPeer(s.Addr, Options())
		var flushes [3]netlayer.Call
		for i := range flushes {
			flushes[i] = netlayer.Call{Op: wire.OpFlush, Body: wire.Flush{}.Append(nil), Page: make([]byte, wire.PageSize)}
			if err := p.Start(&flushes[i]); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "all are kept", func() bool { return k.len() == len(flushes) })
		s.cancel()
		until(t, "nobody listens", func() bool {
			nc, err := netlayer.Dial(context.Background(), s.Addr)
			if err == nil {
				nc.Close()
			}
			return err != nil
		})
		if answered {
			for _, d := range k.kept {
				d.Answer([]byte("drained"), nil)
			}
		}
		for i := range flushes {
			switch err := p.Wait(&flushes[i]); {
			case answered && (err != nil || string(flushes[i].Reply) != "drained"):
				t.Errorf("a flush that was answered while the server drained: %v, %q", err, flushes[i].Reply)
			case !answered && (!errors.Is(err, wire.ErrUnavailable) || err.Error() != "unavailable: m1 stops"):
				t.Errorf("a flush that nobody answered: %v, want the word of the server", err)
			}
		}
		s.Stop(t)
		if !answered {
			for _, d := range k.kept {
				d.Answer(nil, nil) // nothing happens
			}
		}
		if n := s.Stats().Deferred; n != 0 {
			t.Errorf("%d requests are deferred at the end", n)
		}
		p.Close()
	}
}

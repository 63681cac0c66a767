package netlayer_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer"
	_ "splitkernel/netlayer/inproc"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// spanList keeps what it is told.
type spanList struct {
	mu    sync.Mutex
	spans []span.Span
}

func (l *spanList) Tell(s span.Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spans = append(l.spans, s)
}

func (l *spanList) all() []span.Span {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]span.Span(nil), l.spans...)
}

// onward serves a query by asking itself once more, in the context that it was given, at a worker; and a miss inline.
type onward struct{ again *netlayer.Peer }

func (*onward) Inline(op wire.Op) bool { return op == wire.OpMiss }

func (o *onward) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op == wire.OpMiss {
		rep.Page(wire.PageSize)
		return nil
	}
	if span.Of(ctx).Trace == 0 {
		return wire.Errorf(wire.KindFailed, "no trace came")
	}
	var q wire.QueryReq
	if err := wire.Unmarshal(req.Body, &q); err != nil || q.Stale {
		return err
	}
	q.Stale = true
	return o.again.Control(ctx, wire.OpQuery, 0, &q, nil)
}

// TestATraceGoesOn: the spans of a call, of who serves it, and of what that calls are each other's parents, and times of the other side come
// with the reply of a call that is timed.
func TestATraceGoesOn(t *testing.T) {
	l, err := netlayer.Listen("inproc:" + netlayer.Addr(t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	var told, served spanList
	o := netlayer.DefaultOptions()
	o.Cluster, o.Role, o.Node, o.Spans = "c", wire.RoleClient, "me", &told
	p := netlayer.NewPeer(netlayer.AddrOf(l), o)
	defer p.Close()
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Node, so.Role, so.Spans = "c", "it", wire.RoleMemory, &served
	s := netlayer.NewServer(&onward{p}, so)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	defer serving.Wait()
	defer cancel()

	in, end := span.Begin(context.Background(), &told, "all of it")
	if err := p.Control(in, wire.OpQuery, 0, &wire.QueryReq{Manager: wire.GPM}, nil); err != nil {
		t.Fatal(err)
	}
	end(nil)
	client, server := told.all(), served.all() // the inner ones first
	if len(client) != 3 || len(server) != 2 {
		t.Fatalf("%d spans of who called and %d of who served, want 3 and 2", len(client), len(server))
	}
	chain := []span.Span{client[2], client[1], server[1], client[0], server[0]}
	for i, x := range chain {
		if i > 0 && (x.Parent != chain[i-1].ID || x.Trace != chain[0].Trace) {
			t.Errorf("span %d is not below span %d: %+v", i, i-1, chain)
		}
	}
	if err := p.Control(context.Background(), wire.OpQuery, 0, &wire.QueryReq{Manager: wire.GPM}, nil); wire.KindOf(err) != wire.KindFailed || len(told.all()) != 3 {
		t.Errorf("a call without a trace: %v, and %d spans", err, len(told.all()))
	}

	miss := &netlayer.Call{Op: wire.OpMiss, Trace: wire.Timed, Into: make([]byte, wire.PageSize)}
	began := time.Now()
	if err := p.Do(miss); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if x := miss.Times; !x.Told || x.Slot > x.Sent || x.Came > took || x.Queue+x.Service > x.Came || x.Came == 0 {
		t.Errorf("times %+v of a call of %v", x, took)
	}
	if len(told.all()) != 3 || len(served.all()) != 2 {
		t.Error("a call that is only timed has spans")
	}
}

// TestAnOlderPeerIsSentNoTrace: who does not say in its hello that it knows traces gets frames as they always were.
func TestAnOlderPeerIsSentNoTrace(t *testing.T) {
	l, err := netlayer.Listen("inproc:" + netlayer.Addr(t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heads := make(chan wire.Header, 1)
	var older sync.WaitGroup
	older.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		body := wire.Marshal(wire.Hello{Protocol: wire.Version, Cluster: "c", Role: wire.RoleMemory, Node: "old"})
		if _, err := readFrame(nc); err != nil {
			t.Error(err)
			return
		}
		h := wire.Header{Op: wire.OpHello, Flags: wire.FlagReply, BodyLen: uint32(len(body)), BodyCRC: wire.Checksum(body)}
		nc.Write(append(h.Append(nil), body...))
		q, err := readFrame(nc)
		if err != nil {
			t.Error(err)
			return
		}
		r := wire.Header{Op: q.Op, Flags: wire.FlagReply, Call: q.Call}
		nc.Write(r.Append(nil))
		heads <- q
	})
	o := netlayer.DefaultOptions()
	var told spanList
	o.Cluster, o.Role, o.Node, o.Spans = "c", wire.RoleClient, "me", &told
	p := netlayer.NewPeer(netlayer.AddrOf(l), o)
	defer p.Close()
	if err := p.Control(span.With(context.Background(), span.Context{Trace: 77, Span: 5}), wire.OpQuery, 0, nil, nil); err != nil {
		t.Fatal(err)
	}
	if h := <-heads; h.Trace != 0 {
		t.Errorf("an older peer was sent trace %d", h.Trace)
	}
	if s := told.all(); len(s) != 1 || s[0].Trace != 77 || s[0].Parent != 5 {
		t.Errorf("the call is told as %+v", s)
	}
	older.Wait()
}

// readFrame reads a frame and gives its header.
func readFrame(nc net.Conn) (wire.Header, error) {
	b := make([]byte, wire.HeaderLen)
	if _, err := readFull(nc, b); err != nil {
		return wire.Header{}, err
	}
	h, err := wire.ParseHeader(b)
	if err == nil {
		_, err = readFull(nc, make([]byte, h.BodyLen+h.PayloadLen))
	}
	return h, err
}

func readFull(nc net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = nc.Read(b[n:])
		n += k
	}
	return n, err
}

package nettest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// NewAddr gives an address to listen on that nobody else uses.
type NewAddr func(t *testing.T) netlayer.Addr

// Run runs the suite, each part with goroutines checked for leaks.
func Run(t *testing.T, addr NewAddr) {
	for _, c := range []struct {
		name string
		f    func(*testing.T, NewAddr)
	}{
		{"echo", echo},
		{"pipelining", pipelining},
		{"pages", pages},
		{"long payloads", longPayloads},
		{"long payloads that are corrupt", longCorrupt},
		{"long payloads cut short", longCut},
		{"errors", errorsCross},
		{"one way", oneWay},
		{"detached", detached},
		{"hand over", handOver},
		{"pairs", pairs},
		{"handed over to a worker", handedOver},
		{"deferred", deferred},
		{"deferred until after the loss of the connection", deferredLost},
		{"deferred until after the end of the server", deferredEnd},
		{"slots full", slotsFull},
		{"bytes full", bytesFull},
		{"both sides writing", bothWriting},
		{"server busy", serverBusy},
		{"deadlines", deadlines},
		{"cancel", cancelled},
		{"shutdown", shutdown},
		{"restart", restart},
		{"restart while idle", restartIdle},
		{"an at-most-once request that was refused as busy runs again", busyThenRun},
		{"connection lost", lost},
		{"once after loss", onceAfterLoss},
		{"once while running", onceWhileRunning},
		{"close", closePeer},
		{"nobody there", nobodyThere},
		{"hello refused", helloRefused},
		{"strangers", strangers},
		{"silent stranger", silentStranger},
		{"frame cut short", frameCutShort},
		{"too many", tooMany},
		{"address in use", addressInUse},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			c.f(t, addr)
		})
	}
}

const (
	cluster  = "nettest"
	token    = "secret"
	patience = 20 * time.Second // for anything that must happen; a failure, not a measurement
)

// Options are those of a peer of the suite's servers.
func Options() netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster, o.Token, o.Role, o.Node = cluster, token, wire.RoleClient, "t1"
	o.CallTimeoutMS = int(patience / time.Millisecond)
	return o
}

// ServerOptions are those of the suite's servers.
func ServerOptions() netlayer.ServerOptions {
	o := netlayer.DefaultServerOptions()
	o.Cluster, o.Token, o.Role, o.Node = cluster, token, wire.RoleMemory, "m1"
	return o
}

// handler is a Handler made of functions.
type handler struct {
	inline func(op wire.Op) bool
	serve  func(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error
}

func (h handler) Inline(op wire.Op) bool {
	if h.inline != nil {
		return h.inline(op)
	}
	return op < 32
}

func (h handler) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	return h.serve(ctx, req, rep)
}

// Server is a running server of the suite.
type Server struct {
	*netlayer.Server
	Addr   netlayer.Addr
	l      *listener
	cancel context.CancelFunc
	done   chan error
}

// listener remembers its connections, so that a test can cut them.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

// cut closes every connection that was accepted so far.
func (l *listener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func start(t *testing.T, addr netlayer.Addr, h netlayer.Handler, o netlayer.ServerOptions) *Server {
	t.Helper()
	nl, err := netlayer.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: nl}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{Server: netlayer.NewServer(h, o), Addr: netlayer.AddrOf(nl), l: l, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- s.Serve(ctx, l) }()
	return s
}

// Stop stops the server and waits for it. It may be called again.
func (s *Server) Stop(t *testing.T) {
	t.Helper()
	s.cancel()
	select {
	case err, ok := <-s.done:
		if ok && err != nil {
			t.Errorf("Serve: %v", err)
		}
		if ok {
			close(s.done)
		}
	case <-time.After(patience):
		t.Fatal("Serve did not return")
	}
}

// until polls f until it is true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// fill writes the page that belongs to n.
func fill(page []byte, n uint64) {
	for i := 0; i+8 <= len(page); i += 8 {
		binary.LittleEndian.PutUint64(page[i:], n*0x9e3779b97f4a7c15+uint64(i))
	}
}

// echoServe answers any request with its own body and page, and a miss with the page that belongs to its number.
func echoServe(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op == wire.OpMiss {
		m, ok := wire.ParseMiss(req.Body)
		if !ok {
			return wire.Errorf(wire.KindBadRequest, "no miss")
		}
		fill(rep.Page(wire.PageSize), uint64(m.Page))
		return nil
	}
	rep.SetBody(req.Body)
	if len(req.Page) > 0 {
		copy(rep.Page(len(req.Page)), req.Page)
		rep.SetPageCRC(req.PageCRC)
	}
	return nil
}

func echo(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	into := make([]byte, wire.PageSize)
	page := make([]byte, wire.PageSize)
	fill(page, 5)
	for _, op := range []wire.Op{wire.OpPing, wire.OpFlush, wire.OpQuery} { // the server itself, inline, worker
		for _, n := range []int{0, 1, 100, 70_000, wire.MaxBody} {
			for _, m := range []int{0, 1, wire.PageSize} {
				c := &netlayer.Call{Op: op, Body: bytes.Repeat([]byte{7}, n), Page: page[:m], Into: into}
				if err := p.Do(c); err != nil {
					t.Fatalf("%v with %d+%d bytes: %v", op, n, m, err)
				}
				if !bytes.Equal(c.Reply, c.Body) || c.N != m || !bytes.Equal(into[:m], page[:m]) || c.PageCRC != wire.Checksum(page[:m]) {
					t.Fatalf("%v with %d+%d bytes: %d+%d came back or they differ", op, n, m, len(c.Reply), c.N)
				}
			}
		}
	}
	if h, ok := p.Remote(); !ok || h.Node != "m1" || h.Role != wire.RoleMemory {
		t.Errorf("remote: %+v, %v", h, ok)
	}
}

func pipelining(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	const callers, calls = 64, 50
	var wg sync.WaitGroup
	var bad atomic.Pointer[error]
	for g := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			into, want := make([]byte, wire.PageSize), make([]byte, wire.PageSize)
			c := &netlayer.Call{Op: wire.OpMiss, Into: into}
			for i := range calls {
				n := uint64(g*calls + i)
				c.Body = wire.Miss{PID: 1, Page: wire.PageNo(n)}.Append(c.Body[:0])
				err := p.Do(c)
				fill(want, n)
				if err == nil && !bytes.Equal(into, want) {
					err = fmt.Errorf("page %d: another page came", n)
				}
				if err != nil {
					bad.Store(&err)
					return
				}
			}
		}()
	}
	wg.Wait()
	if e := bad.Load(); e != nil {
		t.Fatal(*e)
	}
	st := p.Stats()
	if st.InFlight != 0 || st.InFlightBytes != 0 || st.Connects != 1 || st.In[netlayer.KindPage].Frames != callers*calls {
		t.Errorf("stats: %+v", st)
	}
}

func pages(t *testing.T, addr NewAddr) {
	crc := uint32(1)
	s := start(t, addr(t), handler{serve: func(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
		fill(rep.Page(wire.PageSize), 1)
		rep.SetPageCRC(crc)
		return nil
	}}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	c := &netlayer.Call{Op: wire.OpMiss, Into: make([]byte, wire.PageSize)}
	if err := p.Do(c); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("a page that does not fit its checksum: %v", err)
	}
	c.Into = c.Into[:100]
	page := make([]byte, wire.PageSize)
	fill(page, 1)
	crc = wire.Checksum(page)
	if err := p.Do(c); !errors.Is(err, wire.ErrInternal) {
		t.Errorf("a page that does not fit into Into: %v", err)
	}
	c.Into = c.Into[:wire.PageSize]
	if err := p.Do(c); err != nil || c.PageCRC != crc || !bytes.Equal(c.Into, page) {
		t.Errorf("a good page: %v", err)
	}
	c = &netlayer.Call{Op: wire.OpFlush, Page: page, PageCRC: crc + 1, HavePageCRC: true}
	if err := p.Do(c); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("a flush whose page does not fit its checksum: %v", err)
	}
	if n := s.Stats().Corrupt; n != 1 {
		t.Errorf("corrupt requests counted: %d, want 1", n)
	}
}

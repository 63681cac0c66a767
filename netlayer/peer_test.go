package netlayer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

var serial atomic.Int64

// serve runs a server on inproc until the test ends.
func serve(tb testing.TB, h netlayer.Handler, change func(*netlayer.ServerOptions)) (*netlayer.Server, netlayer.Addr) {
	tb.Helper()
	o := netlayer.DefaultServerOptions()
	o.Cluster, o.Node = "bench", "m1"
	if change != nil {
		change(&o)
	}
	l, err := netlayer.Listen(netlayer.Addr("inproc:" + tb.Name() + string(rune('a'+serial.Add(1)))))
	if err != nil {
		tb.Fatal(err)
	}
	s := netlayer.NewServer(h, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return s, netlayer.AddrOf(l)
}

// TestNoAllocations: a miss, a flush and a pair allocate nothing in the steady state, both sides together.
func TestNoAllocations(t *testing.T) {
	_, addr := serve(t, newStore(), nil)
	p := netlayer.NewPeer(addr, peerOptions())
	defer p.Close()
	page := make([]byte, wire.PageSize)
	miss := &netlayer.Call{Op: wire.OpMiss, Into: make([]byte, wire.PageSize)}
	flush := &netlayer.Call{Op: wire.OpFlush, Page: page}
	var err error
	for name, f := range map[string]func(){
		"miss": func() {
			miss.Body = wire.Miss{PID: 1, Page: 3}.Append(miss.Body[:0])
			err = errors.Join(err, p.Do(miss))
		},
		"flush": func() {
			flush.Body = wire.Flush{PID: 1, Page: 4}.Append(flush.Body[:0])
			err = errors.Join(err, p.Do(flush))
		},
		"pair": func() {
			miss.Body = wire.Miss{PID: 1, Page: 3}.Append(miss.Body[:0])
			flush.Body = wire.Flush{PID: 1, Page: 4}.Append(flush.Body[:0])
			if e := p.StartPair(miss, flush); e != nil {
				err = e
				return
			}
			if e := p.Wait(miss); e != nil {
				err = e
			}
			if e := p.Wait(flush); e != nil {
				err = e
			}
		},
	} {
		if name != "pair" {
			g := f
			f = func() {
				if err == nil {
					g()
				}
			}
		}
		if n := testing.AllocsPerRun(2000, f); n != 0 || err != nil {
			t.Errorf("%s: %v allocations per run, want 0; %v", name, n, err)
		}
	}
}

// workersOnly serves nothing inline.
type workersOnly struct{ *store }

func (workersOnly) Inline(wire.Op) bool { return false }

// TestNoAllocationsAtWorkers: a request that is copied for a worker, with a deadline, allocates nothing either.
func TestNoAllocationsAtWorkers(t *testing.T) {
	_, addr := serve(t, workersOnly{newStore()}, nil)
	p := netlayer.NewPeer(addr, peerOptions())
	defer p.Close()
	flush := &netlayer.Call{Op: wire.OpFlush, Page: make([]byte, wire.PageSize)}
	var err error
	n := testing.AllocsPerRun(2000, func() {
		flush.Body = wire.Flush{PID: 1, Page: 4}.Append(flush.Body[:0])
		if e := p.Do(flush); e != nil {
			err = e
		}
	})
	most := 0.0
	if raceEnabled {
		most = 2
	}
	if n > most || err != nil {
		t.Errorf("%v allocations per run, want at most %v; %v", n, most, err)
	}
}

// TestKilledPeer: a process that is killed fails all who wait for it, on both transports.
func TestKilledPeer(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr, func(t *testing.T) { kill(t, tr, 32) })
	}
}

// TestChild talks to another process, so that the pages cross one.
func TestChild(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr, func(t *testing.T) {
			p := netlayer.NewPeer(startChild(t, tr).framed, peerOptions())
			defer p.Close()
			want := newStore()
			c := &netlayer.Call{Op: wire.OpMiss, Into: make([]byte, wire.PageSize)}
			for i := range want.pages {
				c.Body = wire.Miss{Page: wire.PageNo(i)}.Append(c.Body[:0])
				if err := p.Do(c); err != nil || !bytes.Equal(c.Into, want.pages[i]) || c.PageCRC != want.crcs[i] {
					t.Fatalf("page %d: %v or another page", i, err)
				}
			}
		})
	}
}

// fakeServer answers a hello and then does what f says with the connection.
func fakeServer(t *testing.T, f func(net.Conn)) netlayer.Addr {
	t.Helper()
	l, err := netlayer.Listen(netlayer.Addr("inproc:" + t.Name() + "-fake" + string(rune('a'+serial.Add(1)))))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer nc.Close()
				head := make([]byte, wire.HeaderLen)
				if _, err := io.ReadFull(nc, head); err != nil {
					return
				}
				h, err := wire.ParseHeader(head)
				if err != nil {
					t.Errorf("the client's hello: %v", err)
					return
				}
				io.CopyN(io.Discard, nc, int64(h.BodyLen))
				nc.Write(frameBytes(wire.Header{Op: wire.OpHello, Flags: wire.FlagReply}, wire.Marshal(wire.Hello{Protocol: wire.Version, Cluster: "bench", Node: "fake"}), nil))
				f(nc)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return netlayer.AddrOf(l)
}

func frameBytes(h wire.Header, body, payload []byte) []byte {
	h.BodyLen, h.BodyCRC, h.PayloadLen, h.PayloadCRC = uint32(len(body)), wire.Checksum(body), uint32(len(payload)), wire.Checksum(payload)
	return append(append(h.Append(nil), body...), payload...)
}

// TestBadServer: whatever a server sends, the client's calls end with an error, and the reason is counted.
func TestBadServer(t *testing.T) {
	for _, tc := range []struct {
		name, reason string
		reply        func(call uint64) []byte
	}{
		{"noise", "magic", func(uint64) []byte { return bytes.Repeat([]byte("noise"), 100) }},
		{"a request", "direction", func(id uint64) []byte { return frameBytes(wire.Header{Op: wire.OpPing, Call: id}, nil, nil) }},
		{"a call beyond the slots", "call", func(id uint64) []byte {
			return frameBytes(wire.Header{Op: wire.OpPing, Flags: wire.FlagReply, Call: id | 0xffff}, nil, nil)
		}},
		{"a damaged body", "body_checksum", func(id uint64) []byte {
			b := frameBytes(wire.Header{Op: wire.OpPing, Flags: wire.FlagReply, Call: id}, []byte("body"), nil)
			b[len(b)-1]++
			return b
		}},
	} {
		addr := fakeServer(t, func(nc net.Conn) {
			head := make([]byte, wire.HeaderLen)
			if _, err := io.ReadFull(nc, head); err != nil {
				return
			}
			h, _ := wire.ParseHeader(head)
			nc.Write(tc.reply(h.Call))
			io.Copy(io.Discard, nc)
		})
		p := netlayer.NewPeer(addr, peerOptions())
		if err := p.Do(&netlayer.Call{Op: wire.OpPing}); !errors.Is(err, wire.ErrUnavailable) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if st := p.Stats(); len(st.BadFrames) != 1 || st.BadFrames[0].Reason != tc.reason {
			t.Errorf("%s: counted as %+v, want %s", tc.name, st.BadFrames, tc.reason)
		}
		p.Close()
	}
}

// TestLateAndDoubled: replies that come twice or to another call complete nothing.
func TestLateAndDoubled(t *testing.T) {
	addr := fakeServer(t, func(nc net.Conn) {
		head := make([]byte, wire.HeaderLen)
		for {
			if _, err := io.ReadFull(nc, head); err != nil {
				return
			}
			h, _ := wire.ParseHeader(head)
			reply := wire.Header{Op: wire.OpPing, Flags: wire.FlagReply, Call: h.Call}
			other := reply
			other.Call += 1 << 16 // the slot fits, the sequence does not
			nc.Write(append(append(frameBytes(other, []byte("other"), nil), frameBytes(reply, []byte("mine"), nil)...), frameBytes(reply, []byte("twice"), nil)...))
		}
	})
	p := netlayer.NewPeer(addr, peerOptions())
	defer p.Close()
	for range 10 {
		c := &netlayer.Call{Op: wire.OpPing}
		if err := p.Do(c); err != nil || string(c.Reply) != "mine" {
			t.Fatalf("%v, %q", err, c.Reply)
		}
	}
	if n := p.Stats().Late; n < 19 {
		t.Errorf("%d late replies, want 19 or 20", n)
	}
}

// TestDeafServer: a server that reads nothing is cut off, and a caller that must write gets away at its deadline or then.
func TestDeafServer(t *testing.T) {
	stop := make(chan struct{})
	addr := fakeServer(t, func(net.Conn) { <-stop })
	defer close(stop)
	o := peerOptions()
	o.WriteTimeoutMS = 50
	p := netlayer.NewPeer(addr, o)
	defer p.Close()
	for p.Stats().WriteTimeouts == 0 {
		c := &netlayer.Call{Op: wire.OpPing, Body: make([]byte, wire.MaxBody), Timeout: 20 * time.Millisecond}
		if err := p.Do(c); !errors.Is(err, wire.ErrTimeout) && !errors.Is(err, wire.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

// TestDeafClient: a client that does not take its replies is cut off by the server; another is served all the while.
func TestDeafClient(t *testing.T) {
	s, addr := serve(t, newStore(), func(o *netlayer.ServerOptions) { o.WriteTimeoutMS = 50 })
	p := netlayer.NewPeer(addr, peerOptions())
	defer p.Close()
	nc, err := netlayer.Dial(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.Write(frameBytes(wire.Header{Op: wire.OpHello}, wire.Marshal(wire.Hello{Protocol: wire.Version, Cluster: "bench"}), nil))
	nc.SetWriteDeadline(time.Now().Add(20 * time.Second))
	miss := frameBytes(wire.Header{Op: wire.OpMiss, Call: 1}, wire.Miss{}.Append(nil), nil)
	for err == nil {
		_, err = nc.Write(miss)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error("the connection stays open")
	}
	if err := p.Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
		t.Errorf("another client: %v", err)
	}
	counted := false
	for _, r := range s.Stats().Refused {
		counted = counted || r.Reason == "write_timeout"
	}
	if !counted {
		t.Errorf("not counted: %+v", s.Stats().Refused)
	}
}

// TestOneLogLine: a stranger costs one line that says who, why and what was expected.
func TestOneLogLine(t *testing.T) {
	var buf bytes.Buffer
	s, addr := serve(t, newStore(), func(o *netlayer.ServerOptions) { o.Log = slog.New(slog.NewTextHandler(&buf, nil)) })
	nc, err := netlayer.Dial(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.Write(bytes.Repeat([]byte("GET / "), 20))
	io.Copy(io.Discard, nc)
	nc.Close()
	if n := len(s.Stats().Refused); n != 1 {
		t.Fatalf("%d reasons counted, want 1", n)
	}
	out := buf.String() // written before the connection was closed
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, "reason=magic") || !strings.Contains(out, "want 0x4b53") {
		t.Errorf("log:\n%s", out)
	}
}

// TestAFailedRequestIsLoggedWithItsCall: at the level debug, and not above.
func TestAFailedRequestIsLoggedWithItsCall(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelDebug: 1, slog.LevelInfo: 0} {
		var buf bytes.Buffer
		_, addr := serve(t, newStore(), func(o *netlayer.ServerOptions) {
			o.Log = slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: level}))
		})
		p := netlayer.NewPeer(addr, peerOptions())
		if err := p.Do(&netlayer.Call{Op: wire.OpMiss, Epoch: 3, Body: []byte("no miss")}); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%v, want a bad request", err)
		}
		out := buf.String() // written before the reply
		p.Close()
		if n := strings.Count(out, "a request failed"); n != want {
			t.Errorf("level %s: %d lines, want %d:\n%s", level, n, want, out)
		}
		for _, part := range []string{" call=", " session=", " epoch=3", " op=", " from="} {
			if want == 1 && !strings.Contains(out, part) {
				t.Errorf("no %s in %s", part, out)
			}
		}
	}
}

// slowStore is a store that takes its time over one operation.
type slowStore struct{ *store }

func (s slowStore) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op == wire.OpNodeStats {
		time.Sleep(netlayer.SlowRequest) // it is what is slow, not what is waited for
		return nil
	}
	return s.store.Serve(ctx, req, rep)
}

// TestSlowAndRefusedRequestsAreLogged: with their calls, at the level debug and not above.
func TestSlowAndRefusedRequestsAreLogged(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelDebug: 1, slog.LevelInfo: 0} {
		var buf safeBuffer
		_, addr := serve(t, slowStore{newStore()}, func(o *netlayer.ServerOptions) {
			o.Log = slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: level}))
		})
		p := netlayer.NewPeer(addr, peerOptions())
		miss := wire.Miss{PID: 1, Page: 3}.Append(nil)
		if err := p.Do(&netlayer.Call{Op: wire.OpMiss, Epoch: 2, Body: miss, Into: make([]byte, wire.PageSize)}); err != nil {
			t.Fatal(err)
		}
		if err := p.Do(&netlayer.Call{Op: wire.OpNodeStats, Epoch: 3}); err != nil {
			t.Fatal(err)
		}
		if err := p.Do(&netlayer.Call{Op: wire.OpMissFlush, Epoch: 4, Body: []byte("no pair")}); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%v, want a bad request", err)
		}
		p.Close()
		out := buf.String() // written before the replies
		for what, epoch := range map[string]string{"a request was slow": " epoch=3", "a request was refused": " epoch=4"} {
			found := 0
			for line := range strings.Lines(out) {
				if strings.Contains(line, what) && strings.Contains(line, epoch) && strings.Contains(line, " call=") && strings.Contains(line, " session=") && strings.Contains(line, " from=") {
					found++
				}
			}
			if found != want {
				t.Errorf("level %s: %d lines of %q, want %d:\n%s", level, found, what, want, out)
			}
		}
	}
}

// safeBuffer is a log of several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestOptions(t *testing.T) {
	o := peerOptions()
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
	o.Cluster, o.Slots, o.RetryMaxMS, o.InFlightBytes = "", 0, 1, 5
	so := netlayer.DefaultServerOptions()
	so.Token, so.Workers, so.Sessions = strings.Repeat("x", 200), 0, 3
	for err, keys := range map[error][]string{o.Validate(): {"cluster", "slots", "retry_max_ms", "in_flight_bytes"}, so.Validate(): {"cluster", "token", "workers", "sessions"}} {
		for _, k := range keys {
			if err == nil || !strings.Contains("\n"+err.Error(), "\n"+k+": ") {
				t.Errorf("%v: says nothing of %s", err, k)
			}
		}
	}
}

// TestUnused: a peer may be forgotten before its first call and some time after its last, but not while it has a connection, or is called.
func TestUnused(t *testing.T) {
	_, addr := serve(t, newStore(), nil)
	p := netlayer.NewPeer(addr, peerOptions())
	defer p.Close()
	if !p.Unused() {
		t.Error("a peer that nobody has called is used")
	}
	if err := p.Control(context.Background(), wire.OpPing, 0, nil, nil); err != nil {
		t.Fatal(err)
	}
	if p.Unused() {
		t.Error("a peer with a connection is unused")
	}
	gone := netlayer.NewPeer("inproc:nobody-listens", peerOptions())
	defer gone.Close()
	if err := gone.Do(&netlayer.Call{Op: wire.OpPing}); err == nil || gone.Unused() {
		t.Errorf("a peer that was called right now is unused: %v", err)
	}
	for end := time.Now().Add(20 * time.Second); !gone.Unused(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a peer that nobody calls any more is used for ever")
		}
	}
}

func TestAddr(t *testing.T) {
	for a, want := range map[netlayer.Addr]string{
		"tcp:127.0.0.1:0": "", "unix:/tmp/x": "", "inproc:x": "", "": "want unix:/path", "tcp:": "want unix:/path", "x": "want unix:/path", "tcp:localhost": "host:port",
		"udp:127.0.0.1:1": `"udp" is unknown, want one of inproc, tcp, unix`, netlayer.Addr("unix:/" + strings.Repeat("x", 107)): "at most 107",
	} {
		err := a.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", a, err, want)
		}
		if want != "" {
			if _, err := netlayer.Listen(a); err == nil {
				t.Errorf("listen on %q: no error", a)
			}
			if _, err := netlayer.Dial(context.Background(), a); err == nil {
				t.Errorf("dial %q: no error", a)
			}
		}
	}
}

// locked makes a store safe for several connections at once.
type locked struct {
	*store
	mu sync.Mutex
}

func (l *locked) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op < 32 {
		l.mu.Lock()
		defer l.mu.Unlock()
	}
	return l.store.Serve(ctx, req, rep)
}

// FuzzServer: no bytes after a hello, in pieces of any size, harm a server; other clients go on.
func FuzzServer(f *testing.F) {
	whole := frameBytes(wire.Header{Op: wire.OpMiss, Call: 1}, wire.Miss{}.Append(nil), nil)
	pair := frameBytes(wire.Header{Op: wire.OpMissFlush, Call: 1}, wire.AppendMissFlush(nil, wire.Miss{}.Append(nil), 2, wire.Flush{}.Append(nil)), make([]byte, wire.PageSize))
	mmap := frameBytes(wire.Header{Op: wire.OpMmap, Call: 7, Flags: wire.FlagRetry}, []byte("x"), nil)
	f.Add(whole, uint16(5))
	f.Add(pair, uint16(1000))
	f.Add(append(append(bytes.Clone(mmap), mmap...), whole[:20]...), uint16(60))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint16(3))
	_, addr := serve(f, &locked{store: newStore()}, func(o *netlayer.ServerOptions) { o.HelloTimeoutMS, o.FrameTimeoutMS = 1000, 1000 })
	p := netlayer.NewPeer(addr, peerOptions())
	f.Cleanup(func() { p.Close() })
	hello := frameBytes(wire.Header{Op: wire.OpHello}, wire.Marshal(wire.Hello{Protocol: wire.Version, Cluster: "bench"}), nil)
	f.Fuzz(func(t *testing.T, b []byte, piece uint16) {
		nc, err := netlayer.Dial(context.Background(), addr)
		for errors.Is(err, syscall.EAGAIN) { // the fuzzer connects faster than the server accepts
			runtime.Gosched()
			nc, err = netlayer.Dial(context.Background(), addr)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		b = mend(bytes.Clone(b))
		nc.Write(hello)
		for len(b) > 0 {
			n := min(len(b), int(piece)+1)
			if _, err := nc.Write(b[:n]); err != nil {
				break // it has closed the connection
			}
			b = b[n:]
		}
		if err := p.Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
			t.Fatalf("another client: %v", err)
		}
	})
}

// mend makes the header's checksum and the checksum of the body of the first frame fit, so that the fuzzer gets past them.
func mend(b []byte) []byte {
	if len(b) < wire.HeaderLen {
		return b
	}
	sum := func(at int, of []byte) {
		c := wire.Checksum(of)
		b[at], b[at+1], b[at+2], b[at+3] = byte(c), byte(c>>8), byte(c>>16), byte(c>>24)
	}
	if n := int(b[24]) | int(b[25])<<8; len(b) >= wire.HeaderLen+n && b[26]|b[27] == 0 {
		sum(32, b[wire.HeaderLen:wire.HeaderLen+n])
	}
	sum(44, b[:44])
	return b
}

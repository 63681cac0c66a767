package nettest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

func helloRefused(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	for _, tc := range []struct {
		reason string
		change func(*netlayer.Options)
	}{
		{"hello_cluster", func(o *netlayer.Options) { o.Cluster = "another" }},
		{"hello_token", func(o *netlayer.Options) { o.Token = "guess" }},
	} {
		o := Options()
		tc.change(&o)
		p := netlayer.NewPeer(s.Addr, o)
		if err := p.Control(context.Background(), wire.OpQuery, 0, nil, nil); !errors.Is(err, wire.ErrHello) {
			t.Errorf("%s: %v", tc.reason, err)
		}
		if n := refused(s, tc.reason); n != 1 {
			t.Errorf("%s counted %d times, want 1 and no retry", tc.reason, n)
		}
		p.Close()
	}
	// The client refuses too: a server that does not know the token gets no request.
	l, err := netlayer.Listen(addr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		nc.Write(frame(wire.Header{Op: wire.OpHello, Flags: wire.FlagReply}, wire.Marshal(wire.Hello{Protocol: wire.Version, Cluster: cluster, Token: "guess"})))
		io.Copy(io.Discard, nc)
		nc.Close()
	}()
	p := netlayer.NewPeer(netlayer.AddrOf(l), Options())
	defer p.Close()
	if err := p.Do(&netlayer.Call{Op: wire.OpPing}); !errors.Is(err, wire.ErrHello) {
		t.Errorf("a server with another token: %v", err)
	}
}

func refused(s *Server, reason string) uint64 {
	for _, r := range s.Stats().Refused {
		if r.Reason == reason {
			return r.Count
		}
	}
	return 0
}

func frame(h wire.Header, body []byte) []byte {
	h.BodyLen, h.BodyCRC = uint32(len(body)), wire.Checksum(body)
	return append(h.Append(nil), body...)
}

func hello(protocol uint8) []byte {
	return frame(wire.Header{Op: wire.OpHello}, wire.Marshal(wire.Hello{Protocol: protocol, Cluster: cluster, Token: token, Session: 1}))
}

// patched changes a frame's header after its checksum was made, and makes a new one.
func patched(b []byte, change func(b []byte)) []byte {
	change(b)
	sum := wire.Checksum(b[:44])
	b[44], b[45], b[46], b[47] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return b
}

// strangers sends bytes that are none of ours, before and after a hello. Each closes its connection with a counted reason,
// and a member's calls go on all the while.
func strangers(t *testing.T, addr NewAddr) {
	s := start(t, addr(t), handler{serve: echoServe}, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	ping := func() []byte { return frame(wire.Header{Op: wire.OpPing, Call: 1}, nil) }
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	damaged := ping()
	damaged[9] ^= 1
	body := frame(wire.Header{Op: wire.OpQuery, Call: 1}, []byte("body"))
	body[len(body)-1] ^= 1
	for _, tc := range []struct {
		name, reason string
		member       bool // says hello first
		bytes        []byte
	}{
		{"noise", "magic", false, noise},
		{"http", "magic", false, []byte("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: somebody\r\n\r\n")},
		{"no hello", "no_hello", false, ping()},
		{"long hello", "length", false, frame(wire.Header{Op: wire.OpHello}, make([]byte, 2000))},
		{"hello that is no message", "body", false, frame(wire.Header{Op: wire.OpHello}, []byte("hello"))},
		{"hello of another version", "hello_version", false, hello(99)},
		{"header of another version", "version", false, patched(hello(wire.Version), func(b []byte) { b[2] = 99 })},
		{"noise after hello", "magic", true, noise},
		{"damaged header", "checksum", true, damaged},
		{"damaged body", "body_checksum", true, body},
		{"4 GiB body", "length", true, patched(ping(), func(b []byte) { b[24], b[25], b[26], b[27] = 255, 255, 255, 255 })},
		{"long page", "length", true, patched(ping(), func(b []byte) { b[29] = 0x20 })},
		{"unknown op", "op", true, patched(ping(), func(b []byte) { b[3] = 200 })},
		{"unknown flag", "flags", true, patched(ping(), func(b []byte) { b[5] = 0x80 })},
		{"reserved bytes", "reserved", true, patched(ping(), func(b []byte) { b[40] = 1 })},
		{"a reply", "direction", true, frame(wire.Header{Op: wire.OpPing, Flags: wire.FlagReply}, nil)},
		{"a second hello", "direction", true, hello(wire.Version)},
	} {
		before := refused(s, tc.reason)
		nc, err := netlayer.Dial(context.Background(), s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		if tc.member {
			nc.Write(hello(wire.Version))
		}
		nc.Write(tc.bytes)
		if _, err := io.Copy(io.Discard, nc); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%s: the connection stays open", tc.name)
		}
		nc.Close()
		until(t, tc.name+" counted as "+tc.reason, func() bool { return refused(s, tc.reason) == before+1 })
		if err := p.Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
			t.Errorf("%s: a member's call: %v", tc.name, err)
		}
	}
	if n := p.Stats().Connects; n != 1 {
		t.Errorf("the member connected %d times", n)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// silentStranger says nothing, or too little, and is cut off.
func silentStranger(t *testing.T, addr NewAddr) {
	so := ServerOptions()
	so.HelloTimeoutMS = 30
	s := start(t, addr(t), handler{serve: echoServe}, so)
	defer s.Stop(t)
	for _, b := range [][]byte{nil, hello(wire.Version)[:10], hello(wire.Version)[:50]} {
		before := refused(s, "hello_timeout")
		nc, err := netlayer.Dial(context.Background(), s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.Write(b)
		nc.SetDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, nc); isTimeout(err) {
			t.Errorf("silent after %d bytes: the connection stays open", len(b))
		}
		nc.Close()
		until(t, "the silence is counted", func() bool { return refused(s, "hello_timeout") == before+1 })
	}
	nc, err := netlayer.Dial(context.Background(), s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.Write(hello(wire.Version)[:10])
	nc.Close()
	until(t, "the hang-up is counted", func() bool { return refused(s, "hello_closed") == 1 })
	// A member may be silent for as long as it likes.
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	for range 3 {
		if err := p.Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * ms(so.HelloTimeoutMS)) // the condition under test is that time passes
	}
	if n := p.Stats().Connects; n != 1 {
		t.Errorf("the member connected %d times", n)
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// frameCutShort begins a frame and does not end it, after a hello.
func frameCutShort(t *testing.T, addr NewAddr) {
	so := ServerOptions()
	so.FrameTimeoutMS = 30
	s := start(t, addr(t), handler{serve: echoServe}, so)
	defer s.Stop(t)
	whole := frame(wire.Header{Op: wire.OpQuery, Call: 1}, make([]byte, 100))
	for _, n := range []int{1, wire.HeaderLen, len(whole) - 1} {
		before := refused(s, "frame_timeout")
		nc, err := netlayer.Dial(context.Background(), s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.Write(hello(wire.Version))
		nc.Write(whole[:n])
		nc.SetDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, nc); isTimeout(err) {
			t.Errorf("cut after %d bytes: the connection stays open", n)
		}
		nc.Close()
		until(t, "the cut is counted", func() bool { return refused(s, "frame_timeout") == before+1 })
	}
}

// tooMany fills the places for connections: strangers cannot take those of members.
func tooMany(t *testing.T, addr NewAddr) {
	so := ServerOptions()
	so.MaxConns, so.MaxHandshakes, so.HelloTimeoutMS = 2, 2, int(patience/time.Millisecond)
	s := start(t, addr(t), handler{serve: echoServe}, so)
	defer s.Stop(t)
	o := Options()
	o.RetryAttempts = 2
	peers := []*netlayer.Peer{netlayer.NewPeer(s.Addr, o), netlayer.NewPeer(s.Addr, o), netlayer.NewPeer(s.Addr, o)}
	for i, p := range peers {
		defer p.Close()
		err := p.Do(&netlayer.Call{Op: wire.OpPing})
		if want := []error{nil, nil, wire.ErrUnavailable}[i]; !errors.Is(err, want) {
			t.Errorf("peer %d of at most 2: %v", i+1, err)
		}
	}
	peers[0].Close()
	until(t, "a place is free again", func() bool { return s.Stats().Conns == 1 })
	var silent []net.Conn
	for range 2 {
		nc, err := netlayer.Dial(context.Background(), s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		silent = append(silent, nc)
	}
	before := refused(s, "too_many_conns")
	until(t, "a third stranger is refused", func() bool {
		nc, err := netlayer.Dial(context.Background(), s.Addr)
		if err == nil {
			nc.Close()
		}
		return refused(s, "too_many_conns") > before
	})
	if err := peers[1].Do(&netlayer.Call{Op: wire.OpPing}); err != nil {
		t.Errorf("a member beside strangers: %v", err)
	}
	for _, nc := range silent {
		nc.Close()
	}
	until(t, "a new member comes in once they have gone", func() bool { return peers[2].Do(&netlayer.Call{Op: wire.OpPing}) == nil })
}

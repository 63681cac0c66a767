package netlayer_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// longReplies answers replica_read with as many pages as its body says, from where they are, and everything else with what came.
type longReplies struct {
	pages [][]byte
	wrong bool // the checksum is another's
}

func (h *longReplies) Inline(wire.Op) bool { return true }

func (h *longReplies) Serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	rep.AppendBody(req.Body)
	if req.Op != wire.OpReplicaRead {
		return nil
	}
	pages, sum := h.pages[:req.Body[0]], uint32(0)
	for _, b := range pages {
		sum = wire.ChecksumMore(sum, b)
	}
	if h.wrong {
		sum++
	}
	rep.Pages(pages, sum)
	return nil
}

// TestLongReplies: payloads of many pages come to where their calls want them, among small replies and others' calls, whole or not at all; what does not fit its
// checksum fails its call alone.
func TestLongReplies(t *testing.T) {
	h := &longReplies{}
	for i := range wire.MaxReplicaPages {
		h.pages = append(h.pages, bytes.Repeat([]byte{byte(i + 1)}, wire.PageSize))
	}
	_, addr := serve(t, h, nil)
	p := netlayer.NewPeer(addr, peerOptions())
	defer p.Close()
	ask := func(n int, pieces ...int) error {
		c := netlayer.Call{Op: wire.OpReplicaRead, Body: []byte{byte(n)}, Timeout: 20 * time.Second}
		var got [][]byte
		for _, k := range pieces {
			b := make([]byte, k*wire.PageSize)
			c.Pieces, got = append(c.Pieces, b), append(got, b)
		}
		if err := p.Do(&c); err != nil {
			return err
		}
		if all := bytes.Join(got, nil); c.N != n*wire.PageSize || !bytes.Equal(all[:c.N], bytes.Join(h.pages[:n], nil)) || len(c.Reply) != 1 || c.Reply[0] != byte(n) {
			return errors.New("the pages are not those that were sent")
		}
		return nil
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				var err error
				switch (g + i) % 4 {
				case 0:
					err = ask(64, 64)
				case 1:
					err = ask(20, 3, 16, 45)
				case 2:
					err = ask(1, 64)
				default:
					c := netlayer.Call{Op: wire.OpFlush, Body: []byte{7}}
					if err = p.Do(&c); err == nil && !bytes.Equal(c.Reply, []byte{7}) {
						err = errors.New("a small reply is not what was sent")
					}
				}
				if err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := ask(64, 63); wire.KindOf(err) != wire.KindInternal {
		t.Errorf("a reply for which there is no room: %v", err)
	}
	h.wrong = true
	if err := ask(64, 64); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("a reply that does not fit its checksum: %v", err)
	}
	h.wrong = false
	if err := ask(64, 64); err != nil {
		t.Error(err)
	}
}

// TestALongReplyThatStops: the connection ends in the middle of a long payload. The call ends then, and not before, for its memory is written to.
func TestALongReplyThatStops(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	middle := make(chan net.Conn, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		head := make([]byte, wire.HeaderLen)
		next := func() (wire.Header, []byte) {
			for n := 0; n < len(head); {
				k, err := nc.Read(head[n:])
				if n += k; err != nil {
					return wire.Header{}, nil
				}
			}
			h, _ := wire.ParseHeader(head)
			b := make([]byte, h.BodyLen)
			for n := 0; n < len(b); {
				k, err := nc.Read(b[n:])
				if n += k; err != nil {
					return h, nil
				}
			}
			return h, b
		}
		h, _ := next()
		body := wire.Marshal(&wire.Hello{Protocol: wire.Version, Cluster: "bench", Role: wire.RoleMemory, Node: "m1"})
		h = wire.Header{Op: wire.OpHello, Flags: wire.FlagReply, Call: h.Call, BodyLen: uint32(len(body)), BodyCRC: wire.Checksum(body)}
		nc.Write(append(h.Append(nil), body...))
		h, _ = next()
		h = wire.Header{Op: wire.OpReplicaRead, Flags: wire.FlagReply, Call: h.Call, PayloadLen: 64 * wire.PageSize, BodyCRC: wire.Checksum(nil)}
		nc.Write(append(h.Append(nil), make([]byte, 40*wire.PageSize)...))
		middle <- nc
	}()
	o := peerOptions()
	p := netlayer.NewPeer(netlayer.Addr("tcp:"+l.Addr().String()), o)
	defer p.Close()
	done := make(chan error, 1)
	c := netlayer.Call{Op: wire.OpReplicaRead, Body: []byte{64}, Timeout: time.Second, Pieces: [][]byte{make([]byte, 64*wire.PageSize)}}
	go func() { done <- p.Do(&c) }()
	nc := <-middle
	// Its deadline passes: it goes on while there is hope.
	select {
	case err := <-done:
		t.Fatalf("the call has ended while its memory is written to: %v", err)
	case <-time.After(c.Timeout + 200*time.Millisecond):
	}
	nc.Close()
	if err := <-done; !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("it ends with %v", err)
	}
}

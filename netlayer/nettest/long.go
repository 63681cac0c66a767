package nettest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// placer takes long payloads into pieces of its own. A body that begins with 'd' is declined.
type placer struct {
	handler
	mu                         sync.Mutex
	rng                        *rand.Rand
	placed, declined, unplaced atomic.Int64
}

func newPlacer() *placer {
	p := &placer{rng: rand.New(rand.NewPCG(1, 2))}
	p.handler = handler{inline: func(op wire.Op) bool { return op < 32 || op == wire.OpRegionCopy }, serve: p.longServe}
	return p
}

func (p *placer) Place(req *netlayer.Request, n int) [][]byte {
	if req.Body[0] == 'd' {
		p.declined.Add(1)
		return nil
	}
	p.placed.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	pieces := cut(p.rng, make([]byte, n))
	req.Placed = pieces
	return pieces
}

func (p *placer) Unplace(req *netlayer.Request) {
	if req.Placed != nil {
		p.unplaced.Add(1)
	}
}

// longServe answers with the checksum of the payload, wherever it is.
func (p *placer) longServe(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op != wire.OpRegionCopy {
		return echoServe(ctx, req, rep)
	}
	got := req.Page
	if pieces, ok := req.Placed.([][]byte); ok {
		if len(got) > 0 {
			return wire.Errorf(wire.KindInternal, "the payload is in two places")
		}
		got = bytes.Join(pieces, nil)
	}
	if wire.Checksum(got) != req.PageCRC {
		return wire.Errorf(wire.KindInternal, "the payload of %d bytes is another", len(got))
	}
	rep.SetBody(append(bytes.Clone(req.Body), byte(len(got)), byte(len(got)>>8), byte(len(got)>>16)))
	return nil
}

// cut cuts b into pieces.
func cut(rng *rand.Rand, b []byte) (pieces [][]byte) {
	for len(b) > 0 {
		n := min(len(b), 1+rng.IntN(max(len(b), 2)))
		pieces, b = append(pieces, b[:n]), b[n:]
	}
	return pieces
}

// longPayloads sends payloads of all lengths, in one piece or many, from several goroutines, with small requests between them.
func longPayloads(t *testing.T, addr NewAddr) {
	h := newPlacer()
	s := start(t, addr(t), h, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	var wg sync.WaitGroup
	for w := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, w))
			b := make([]byte, wire.MaxLongPayload)
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			for range 60 {
				if rng.IntN(3) == 0 {
					c := &netlayer.Call{Op: wire.OpPing, Body: []byte("ping")}
					if err := p.Do(c); err != nil || string(c.Reply) != "ping" {
						t.Errorf("%q, %v", c.Reply, err)
					}
					continue
				}
				n := rng.IntN(len(b) + 1)
				body := []byte{"pd"[rng.IntN(2)], byte(w), 0, 0}[:2+rng.IntN(3)]
				c := &netlayer.Call{Op: wire.OpRegionCopy, Body: body, Page: b[:n]}
				if rng.IntN(2) == 0 {
					c.Page, c.Pages = nil, cut(rng, b[:n])
				}
				err := p.Do(c)
				want := append(bytes.Clone(body), byte(n), byte(n>>8), byte(n>>16))
				if err != nil || !bytes.Equal(c.Reply, want) {
					t.Errorf("payload of %d bytes: %x, %v", n, c.Reply, err)
				}
			}
		})
	}
	wg.Wait()
	if h.placed.Load() == 0 || h.declined.Load() == 0 || h.unplaced.Load() != 0 {
		t.Errorf("%d placed, %d declined, %d taken back", h.placed.Load(), h.declined.Load(), h.unplaced.Load())
	}
	for _, c := range []*netlayer.Call{
		{Op: wire.OpRegionCopy, Page: make([]byte, wire.MaxLongPayload+1)}, {Op: wire.OpFlush, Page: make([]byte, wire.MaxPayload+1)},
	} {
		if err := p.Do(c); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%v with %d bytes: %v", c.Op, len(c.Page), err)
		}
	}
}

// longCorrupt sends long payloads that do not fit their checksum: the call fails and the connection goes on.
func longCorrupt(t *testing.T, addr NewAddr) {
	h := newPlacer()
	s := start(t, addr(t), h, ServerOptions())
	defer s.Stop(t)
	p := netlayer.NewPeer(s.Addr, Options())
	defer p.Close()
	page := make([]byte, 50*wire.PageSize)
	for i, body := range []string{"p", "d", "p"} {
		err := p.Do(&netlayer.Call{Op: wire.OpRegionCopy, Body: []byte(body), Page: page, PageCRC: 1, HavePageCRC: true})
		if !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("%d: %v, want corrupt", i, err)
		}
		if err := p.Do(&netlayer.Call{Op: wire.OpRegionCopy, Body: []byte(body), Page: page}); err != nil {
			t.Errorf("%d: the next: %v", i, err)
		}
	}
	if h.placed.Load() != 4 || h.unplaced.Load() != 2 || s.Stats().Accepted != 1 {
		t.Errorf("%d placed, %d taken back, %d connections", h.placed.Load(), h.unplaced.Load(), s.Stats().Accepted)
	}
}

// longCut ends, or lets stand, connections in the middle of a long payload: what was placed is taken back, also by a server that stops.
func longCut(t *testing.T, addr NewAddr) {
	h := newPlacer()
	so := ServerOptions()
	so.FrameTimeoutMS = 200
	s := start(t, addr(t), h, so)
	defer s.Stop(t)
	page := make([]byte, 50*wire.PageSize)
	whole := append(frame(wire.Header{Op: wire.OpRegionCopy, Call: 1, PayloadLen: uint32(len(page)), PayloadCRC: wire.Checksum(page)}, []byte("p")), page...)
	for i, leave := range []string{"close", "stand", "stop"} {
		nc, err := netlayer.Dial(context.Background(), s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if leave == "stop" {
			nc.Write(hello(wire.Version))
			nc.Write(whole) // whole, and then one more
		} else {
			nc.Write(hello(wire.Version))
		}
		nc.Write(whole[:len(whole)/2])
		until(t, "it was begun", func() bool { return h.placed.Load() >= int64(i+1) })
		switch leave {
		case "close":
			nc.Close()
		case "stop":
			until(t, "the second was begun", func() bool { return h.placed.Load() == 4 })
			s.Stop(t)
		}
		until(t, leave+": it was taken back", func() bool { return h.unplaced.Load() == int64(i+1) })
	}
}

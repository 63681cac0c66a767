package netlayer_test

import (
	"context"
	"path/filepath"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// gated serves flushes once its gate is open, and remembers the order of their pages.
type gated struct {
	gate  chan struct{}
	pages []wire.PageNo // of one connection, which one goroutine serves
}

func (g *gated) Inline(wire.Op) bool { return true }

func (g *gated) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	<-g.gate
	f, ok := wire.ParseFlush(req.Body)
	if !ok || len(req.Page) != wire.PageSize || req.Page[7] != byte(f.Page) {
		return wire.ErrBadRequest
	}
	g.pages = append(g.pages, f.Page)
	return nil
}

// TestTryStart: who may not wait is told so while there is no connection and when no slot is free. A server that reads nothing keeps nobody: what its
// connection does not take is written behind it, in order.
func TestTryStart(t *testing.T) {
	for _, transport := range []string{"inproc", "unix", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			at := netlayer.Addr("inproc:" + t.Name())
			switch transport {
			case "unix":
				at = netlayer.Addr("unix:" + filepath.Join(t.TempDir(), "s"))
			case "tcp":
				at = "tcp:127.0.0.1:0"
			}
			l, err := netlayer.Listen(at)
			if err != nil {
				t.Fatal(err)
			}
			so := netlayer.DefaultServerOptions()
			so.Cluster, so.Node = "bench", "m1"
			g := &gated{gate: make(chan struct{})}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- netlayer.NewServer(g, so).Serve(ctx, l) }()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()
			o := peerOptions()
			o.Slots = 1000                                     // 4 MB: no socket takes so much
			o.InFlightBytes, o.WriteTimeoutMS = 64<<20, 60_000 // who writes on would be stuck for good
			p := netlayer.NewPeer(netlayer.AddrOf(l), o)
			defer p.Close()
			calls := make([]netlayer.Call, o.Slots+1)
			page := make([]byte, wire.PageSize)
			try := func(i int) bool {
				page[7] = byte(i)
				calls[i].Op, calls[i].Page = wire.OpFlush, page
				calls[i].Body = wire.Flush{PID: 1, Page: wire.PageNo(i)}.Append(calls[i].Body[:0])
				sent, err := p.TryStart(&calls[i])
				if err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
				return sent
			}
			if try(0) {
				t.Fatal("sent without a connection")
			}
			if err := p.Await(wire.FlushLen + wire.PageSize); err != nil {
				t.Fatal(err)
			}
			for i := range o.Slots {
				if !try(i) {
					t.Fatalf("call %d was not sent, though a slot is free", i)
				}
			}
			if try(o.Slots) {
				t.Fatal("sent without a slot")
			}
			close(g.gate)
			for i := range o.Slots {
				if err := p.Wait(&calls[i]); err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			if err := p.Await(wire.FlushLen + wire.PageSize); err != nil || !try(o.Slots) {
				t.Fatalf("not sent when all slots are free: %v", err)
			}
			if err := p.Wait(&calls[o.Slots]); err != nil {
				t.Fatal(err)
			}
			for i, page := range g.pages {
				if int(page) != i {
					t.Fatalf("page %d came as number %d", page, i)
				}
			}
		})
	}
}

package netlayer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// proberServer serves probes.
type proberServer struct{ *netlayer.Prober }

func (proberServer) Inline(wire.Op) bool { return false }

// TestProbe: who lives, who does not, and who is another; directly and by a witness.
func TestProbe(t *testing.T) {
	_, addr := serve(t, newStore(), nil) // its id is m1
	mute, err := netlayer.Listen("inproc:" + netlayer.Addr(t.Name()) + "-mute")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	p := netlayer.NewProber(peerOptions(), 1)
	_, witness := serve(t, proberServer{p}, func(o *netlayer.ServerOptions) { o.Node = "w1" })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, c := range []struct {
		node  wire.NodeID
		addr  netlayer.Addr
		alive bool
		text  string
	}{
		{"m1", addr, true, ""},
		{"m2", addr, false, "m1 is at " + string(addr)},
		{"m1", "inproc:nobody-listens", false, "nobody-listens"},
		{"m1", netlayer.AddrOf(mute), false, "hello"},
	} {
		q := wire.ProbeReq{Node: c.node, Addr: string(c.addr), TimeoutMS: 20_000}
		if strings.HasSuffix(string(c.addr), "-mute") {
			q.TimeoutMS = 50
		}
		for who, probe := range map[string]func() (wire.ProbeRep, error){
			"directly":   func() (wire.ProbeRep, error) { return p.Probe(ctx, q) },
			"by another": func() (wire.ProbeRep, error) { return p.Ask(ctx, witness, q) },
		} {
			if got, err := probe(); err != nil || got.Alive != c.alive || !strings.Contains(got.Text, c.text) {
				t.Errorf("%s at %s %s: %+v, %v", c.node, c.addr, who, got, err)
			}
		}
	}
	for _, q := range []wire.ProbeReq{
		{Node: "m1", Addr: string(addr)}, {Node: "m1", Addr: "nonsense", TimeoutMS: 10}, {Node: "m1", Addr: string(addr), TimeoutMS: uint32(netlayer.MaxProbe.Milliseconds()) + 1},
	} {
		if _, err := p.Ask(ctx, witness, q); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := p.Ask(ctx, "inproc:nobody-listens", wire.ProbeReq{Node: "m1", Addr: string(addr), TimeoutMS: 10}); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("a witness that is away: %v", err)
	}

	// One place, which a probe of the mute one takes.
	busy, done := wire.ProbeReq{Node: "m1", Addr: string(netlayer.AddrOf(mute)), TimeoutMS: 30_000}, make(chan error, 1)
	held, release := context.WithCancel(ctx)
	go func() {
		err := error(wire.ErrBusy)
		for errors.Is(err, wire.ErrBusy) { // the probes below may be in its place
			_, err = p.Probe(held, busy)
		}
		done <- err
	}()
	for {
		_, err := p.Probe(ctx, wire.ProbeReq{Node: "m1", Addr: string(addr), TimeoutMS: 20_000})
		if errors.Is(err, wire.ErrBusy) {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("never busy: %v", err)
		}
	}
	release()
	if err := <-done; !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("a probe that was cut short: %v", err)
	}
}

// TestQueueWait: requests for a worker are counted, inline ones are not.
func TestQueueWait(t *testing.T) {
	s, addr := serve(t, proberServer{netlayer.NewProber(peerOptions(), 1)}, nil)
	p := netlayer.NewPeer(addr, peerOptions())
	defer p.Close()
	for range 3 {
		if err := p.Control(context.Background(), wire.OpProbe, 0, &wire.ProbeReq{}, nil); !errors.Is(err, wire.ErrBadRequest) {
			t.Fatal(err)
		}
		if err := p.Control(context.Background(), wire.OpPing, 0, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if d, n := s.QueueWait(); n != 3 || d < 0 {
		t.Errorf("%d requests waited %v, want 3", n, d)
	}
}

package netlayer_test

import (
	"context"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// gate is a handler whose requests wait at a worker until they are let go.
type gate struct{ entered, open chan struct{} }

func (gate) Inline(wire.Op) bool { return false }

func (g gate) Serve(context.Context, *netlayer.Request, *netlayer.Reply) error {
	g.entered <- struct{}{}
	<-g.open
	return nil
}

// TestBusyTimeOfWorkers: a request that runs counts up to now, and what ended stays.
func TestBusyTimeOfWorkers(t *testing.T) {
	g := gate{make(chan struct{}), make(chan struct{})}
	s, addr := serve(t, g, nil)
	if b := s.Stats().WorkerBusy; b != 0 {
		t.Fatalf("busy for %s before any request", b)
	}
	p := netlayer.NewPeer(addr, peerOptions())
	defer p.Close()
	calls := [2]netlayer.Call{{Op: wire.OpBlockFlush}, {Op: wire.OpBlockFlush}}
	for i := range calls {
		if err := p.Start(&calls[i]); err != nil {
			t.Fatal(err)
		}
	}
	<-g.entered
	<-g.entered
	began := time.Now()
	before := s.Stats().WorkerBusy
	inner := time.Now()
	for time.Since(inner) < time.Millisecond { // both run all the while
	}
	least := 2 * time.Since(inner)
	after := s.Stats().WorkerBusy
	if most := 2 * time.Since(began); after-before < least || after-before > most {
		t.Errorf("two running requests were busy for %s, want %s to %s", after-before, least, most)
	}
	close(g.open)
	for i := range calls {
		if err := p.Wait(&calls[i]); err != nil {
			t.Fatal(err)
		}
	}
	last := time.Duration(0)
	for range 1000 {
		b := s.Stats().WorkerBusy
		if b < last || b < after {
			t.Fatalf("the busy time falls from %s to %s", max(last, after), b)
		}
		last = b
	}
}

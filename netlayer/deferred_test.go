package netlayer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// late defers every flush until it is let go.
type late struct {
	mu   sync.Mutex
	kept []*netlayer.Deferred
}

func (l *late) Inline(wire.Op) bool { return true }

func (l *late) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := req.Defer()
	if d == nil {
		return wire.ErrBusy
	}
	l.kept = append(l.kept, d)
	return netlayer.ErrDeferred
}

func (l *late) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kept)
}

// TestOneClientDoesNotTakeAllThatIsDeferred: of what a server answers later one client has a part only, and others are served as ever.
func TestOneClientDoesNotTakeAllThatIsDeferred(t *testing.T) {
	const most, more = 1024, 50
	h := &late{}
	s, addr := serve(t, h, nil)
	o := peerOptions()
	o.Slots = most + more
	greedy, other := netlayer.NewPeer(addr, o), netlayer.NewPeer(addr, peerOptions())
	defer greedy.Close()
	defer other.Close()
	calls := make([]netlayer.Call, most+more)
	for i := range calls {
		calls[i].Op = wire.OpFlush
		if err := greedy.Start(&calls[i]); err != nil {
			t.Fatal(err)
		}
	}
	busy := 0
	for i := most; i < most+more; i++ {
		if err := greedy.Wait(&calls[i]); errors.Is(err, wire.ErrBusy) {
			busy++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Deferred; n != most || busy != more {
		t.Errorf("%d are deferred and %d busy, want %d and %d", n, busy, most, more)
	}
	one := netlayer.Call{Op: wire.OpFlush}
	if err := other.Start(&one); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); h.len() < most+1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are deferred, and not that of another client", h.len())
		}
	}
	for _, d := range h.kept {
		d.Answer(nil, nil)
	}
	for i := range most {
		if err := greedy.Wait(&calls[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Wait(&one); err != nil {
		t.Fatal(err)
	}
	if err := greedy.Do(&netlayer.Call{Op: wire.OpPing}); err != nil { // whose places are free again
		t.Fatal(err)
	}
	if n := s.Stats().Deferred; n != 0 {
		t.Errorf("%d are deferred still", n)
	}
}

package membership

import (
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

func TestTidings(t *testing.T) {
	const ms = time.Millisecond
	w := NewWatch(DefaultLease, 0)
	m := memory("m1")
	m.Epoch = 1
	var n Tidings
	due := func(at time.Duration, turn uint64, want bool) {
		t.Helper()
		if got := n.Due(at, w, turn); got != want {
			t.Errorf("at %v under turn %d: due %v", at, turn, got)
		}
	}
	due(0, 0, true)
	w.Heard(0, m, wire.Load{})
	n.Looked(0, w, 0, 1, DefaultLease)
	due(newsPause-1, 0, false)
	due(newsPause, 0, true) // whether the state has it
	n.Looked(newsPause, w, 0, 0, DefaultLease)
	due(500*ms, 0, false)
	due(500*ms, 1, true) // a member changed
	w.Heard(500*ms, m, wire.Load{Misses: 9})
	due(500*ms, 0, false) // it was heard before
	w.Lead(wire.GMM, 600*ms)
	due(600*ms, 0, true) // another term
	n.Looked(600*ms, w, 0, 0, 700*ms)
	due(699*ms, 0, false)
	due(700*ms, 0, true) // a lease may be over
	n.Looked(700*ms, w, 0, 0, time.Hour)
	due(1699*ms, 0, false)
	due(1700*ms, 0, true) // traffic
}

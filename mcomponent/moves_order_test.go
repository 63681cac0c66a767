package mcomponent

import (
	"errors"
	"testing"

	"splitkernel/netlayer/wire"
)

// TestOrdersOvertakeEachOther: an order that comes after a later one has ended and was forgotten begins its move, once.
func TestOrdersOvertakeEachOther(t *testing.T) {
	cl := newCluster(t, 2, nil)
	p := newClient(cl)
	const pid = 7
	home := cl.m[0]
	p.open(home, pid, 1, 2) // owned by m2
	p.open(home, pid, 3, 2)
	first, from := p.order(pid, 1, home, home)
	second, _ := p.order(pid, 3, home, home)
	for _, req := range []wire.MoveReq{second, first} {
		if s := cl.move(from, req); s.State != wire.MoveDone {
			t.Errorf("move %d: %+v", req.Move.No, s)
		}
		if err := from.control(wire.OpMoveStart, req, nil); !errors.Is(err, wire.ErrStale) {
			t.Errorf("a copy of order %d: %v", req.Move.No, err)
		}
	}
}

package gmanagers_test

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestMoves: a thing of each kind moves to another component by a client's call.
func TestMoves(t *testing.T) {
	c := startCluster(t, nil)
	cl := c.client()
	w := newFakes(t, cl)
	for i := 1; i <= 2; i++ {
		w.add(pcomponent(i, 1<<20))
		w.add(mcomponent(i, 1<<30))
		w.add(scomponent(i, 1<<30))
	}
	_, things := w.admit(1)
	for _, thing := range things {
		from, _ := w.where(thing)
		id, err := cl.Move(within(t), thing, "")
		if err != nil {
			t.Fatalf("%v: %v", thing, err)
		}
		m := w.ended(id)
		to, epoch := w.where(thing)
		if m.State != wire.MoveDone || m.PauseUS != 700 || len(to) != 1 || to[0] != m.Req.To || to[0] == from[0] || epoch != m.Epoch {
			t.Errorf("%v: %+v; served by %v under epoch %d", thing, m, to, epoch)
		}
	}
}

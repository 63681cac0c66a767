package gmanagers_test

import (
	"errors"
	"testing"

	"github.com/lni/goutils/vfs"

	"splitkernel/gmanagers"
	"splitkernel/netlayer/wire"
)

// TestReadmission: a manager that has lost everything comes back under a new Raft node id and counts for a majority; asked again for the
// same nothing changes; numbers that were given are not given again, and what is left of the old replica is nobody any more.
func TestReadmission(t *testing.T) {
	t.Parallel()
	replica := map[wire.NodeID]uint64{}
	c := startCluster(t, func(o *gmanagers.Options) { o.Readmitted = replica[o.ID] })
	cl := c.client()
	register := func(i int) {
		t.Helper()
		if _, err := cl.Register(within(t), mcomponent(i, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	register(1)
	const lost = 1 // g2
	id := c.nodes[lost].id
	caughtUp := func(i int) func() bool {
		return func() bool {
			for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
				if l := c.leader(g); l < 0 || c.applied(i, g) != c.applied(l, g) {
					return false
				}
			}
			return true
		}
	}
	c.stop(lost)
	old := c.nodes[lost].fs
	until(t, "the others have leaders", func() bool { return c.leader(wire.GPM) >= 0 && c.leader(wire.GMM) >= 0 && c.leader(wire.GSM) >= 0 })
	for _, wrong := range []struct {
		node wire.NodeID
		id   uint64
		err  error
	}{{"g9", 9, wire.ErrNotFound}, {id, 0, wire.ErrBadRequest}, {id, 1, wire.ErrBadRequest}, {id, 2, wire.ErrBadRequest}, {c.nodes[c.leader(wire.GPM)].id, 9, wire.ErrBadRequest}} {
		if err := cl.Readmit(within(t), wrong.node, wrong.id); !errors.Is(err, wrong.err) {
			t.Errorf("%s as %d: %v, want %v", wrong.node, wrong.id, err, wrong.err)
		}
	}
	for _, n := range []uint64{4, 4, 5} { // 4 is given up before anything ran as it
		if err := cl.Readmit(within(t), id, n); err != nil {
			t.Fatalf("as %d: %v", n, err)
		}
	}
	if err := cl.Readmit(within(t), id, 4); !errors.Is(err, wire.ErrBadRequest) || !has(err, "never used again") {
		t.Errorf("a number that was given up: %v", err)
	}
	replica[id], c.nodes[lost].fs = 5, vfs.NewStrictMem()
	c.start(lost)
	register(2)
	until(t, "it knows everything", caughtUp(lost))
	const other = 2 // g3
	c.stop(other)
	register(3) // which needs it
	c.start(other)
	until(t, "all know everything", caughtUp(other))
	c.stop(lost)
	c.start(lost) // from what it has now
	register(4)
	until(t, "it knows everything again", caughtUp(lost))
	// The old replica, with all that it had, is nobody: what it says counts for nothing, and it learns nothing.
	c.stop(lost)
	replica[id], c.nodes[lost].fs = 0, old
	c.start(lost)
	before := c.applied(lost, wire.GMM)
	for i := 5; i < 15; i++ {
		register(i)
	}
	if l := c.leader(wire.GMM); l == lost || c.applied(lost, wire.GMM) > before+1 {
		t.Errorf("the old replica leads (%v), or has applied %d commands after %d", l == lost, c.applied(lost, wire.GMM), before)
	}
	if list, err := cl.Members(within(t), wire.GMM); err != nil || len(list) != 14 {
		t.Errorf("%d members, %v", len(list), err)
	}
}

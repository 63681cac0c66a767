package membership

import (
	"testing"

	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// TestSnapshotIsWhole: the random worlds do not come to each state.
func TestSnapshotIsWhole(t *testing.T) {
	p := NewProber(testLease, testPatience)
	p.rounds = 9
	p.open = []*inquiry{{
		of: wire.Member{ID: "m1", Epoch: 2, Addr: "a", Rack: "r"}, round: 8, next: 1, due: 2, waits: []wire.NodeID{"m2"}, alone: true, said: 3, own: true, ownSaid: true, alive: true,
		told: []string{"x"}, reached: true,
	}}
	tapedtest.Whole(t, p, NewProber(testLease, testPatience))
}

package moves

import (
	"testing"

	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// TestSnapshotIsWhole: the random worlds do not come to each state.
func TestSnapshotIsWhole(t *testing.T) {
	l := Listed{Req: wire.MoveReq{Move: wire.MoveID{Manager: wire.GMM, No: 3}}, Giver: Party{Node: "m1", Epoch: 2, Then: 1}, Taker: Party{Node: "m2", Gone: true}}
	m := New()
	m.moves = []*tracked{{Listed: l, phase: takerLook, why: "x", absent: true, lived: true, end: End{State: wire.MoveLost, Text: "y"}, next: 3, fails: 4, polls: 5, call: 6, until: 7}}
	m.calls, m.numbers, m.stats = 1, 9, Stats{Calls: 1, Failed: 2, Late: 3, Lost: 4}
	tapedtest.Whole(t, m, New())
}

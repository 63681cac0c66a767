package admission

import (
	"testing"

	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// TestSnapshotIsWhole: the random worlds do not come to each state.
func TestSnapshotIsWhole(t *testing.T) {
	c := NewCoordinator(7, 9)
	c.txns[3] = &txn{open: Open{Phase: Intent, Coordinator: 7, WantsVolumes: true, Kind: wire.KindNoRoom, Text: "x", Placement: Placement{PID: 3, Node: "p1"}}, doing: preparing, waits: []wire.Manager{wire.GSM}, never: true}
	c.txns[4] = &txn{open: Open{Placement: Placement{PID: 4}}, doing: ending, stalled: true, gone: true}
	c.alone[5] = 17
	tapedtest.Whole(t, c, NewCoordinator(7, 9))
}

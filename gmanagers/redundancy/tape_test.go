package redundancy

import (
	"testing"

	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// TestSnapshotIsWhole: the random worlds do not come to each state.
func TestSnapshotIsWhole(t *testing.T) {
	part := Part{PID: 3, Region: 4}
	d := New()
	d.parts = []*tracked{{
		Listed: Listed{Part: part, Stage: Recover, Node: "m1", Epoch: 4, Holders: []wire.Holder{{Node: "m2"}}, Sources: []wire.Holder{{Node: "m3"}}},
		change: &Change{Verb: Recovered, Part: part, Epoch: 4, LostPages: []wire.PageNo{7}}, next: 1, fails: 2, polls: 3, call: 4, until: 5, done: 6, known: 7, fenced: 8, text: "x",
	}}
	d.processes = []*process{{pid: 3, next: 1, done: 2, known: 3, call: 5, until: 6}}
	d.calls, d.numbers, d.stats = 2, 9, Stats{Calls: 1, Failed: 2, Late: 3, Lost: 4}
	tapedtest.Whole(t, d, New())
}

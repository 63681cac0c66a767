package repair

import (
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// TestSnapshotIsWhole: the random worlds do not come to each state.
func TestSnapshotIsWhole(t *testing.T) {
	k := New(time.Second)
	k.volumes = []*kept{{
		Volume: Volume{
			Place: admission.Volume{Volume: 3, Epoch: 4, Config: 5, Cache: "m1", Copies: admission.Copies{Replicas: 2, WriteQuorum: 2, ReadQuorum: 1}}, Name: "v", Client: "unix:/p1",
			Gone: "x", Recached: true, Missing: "s1", Why: "dead", Dead: true, Back: []Back{{"s2", 6}}, Unconfirmed: true,
		},
		since: 1, created: true, served: true, told: true, lost: "y", next: 2, fails: 3, call: 4, kind: Attach, until: 5, heard: true, absent: true,
		rep: wire.VolumeConfigRep{Config: 5, InSync: true, Done: 1, Blocks: 2, Behind: []wire.NodeID{"s2"}, Lost: []wire.NodeID{"s3"}},
	}}
	k.calls, k.numbers, k.touched = 1, 9, 8
	tapedtest.Whole(t, k, New(time.Second))
}

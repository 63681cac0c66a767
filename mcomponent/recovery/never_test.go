package recovery

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestNeverOpened: who recovers is told of its own copy if it is a source and nobody told it, and only then.
func TestNeverOpened(t *testing.T) {
	log := wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1}
	own := []wire.Holder{{Node: "m1", Member: 1}, {Node: "m2", Member: 3, Index: 1}}
	for what, tc := range map[string]struct {
		policy  wire.MemoryPolicy
		sources []wire.Holder
		held    bool
		want    bool
	}{
		"its copy was never told of":   {log, own, false, true},
		"of a full copy":               {wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 2}, own, false, true},
		"it has its copy":              {log, own, true, false},
		"others have all that counts":  {log, own[:1], false, false},
		"it holds no share of its own": {wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}, own, false, false},
	} {
		q := wire.RegionRecoverReq{Config: wire.RegionConfig{PID: 7, Region: 3, Epoch: 4, Config: 2, Policy: tc.policy}, Sources: tc.sources, Self: "m2"}
		open, ok := NeverOpened(q, tc.held)
		if want := (wire.ReplicaOpenReq{PID: 7, Region: 3, Epoch: 4, Config: 2, Policy: tc.policy, Index: 1, Member: 3}); ok != tc.want || ok && open != want {
			t.Errorf("%s: %+v, %v, want %v", what, open, ok, tc.want)
		}
	}
}

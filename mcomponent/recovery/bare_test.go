package recovery

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestAHolderThatNobodyTold becomes the owner with what it has, which is nothing, and asks nobody for it. What it holds it asks itself for.
func TestAHolderThatNobodyTold(t *testing.T) {
	for _, bare := range []bool{true, false} {
		req := wire.RegionRecoverReq{
			Config:  wire.RegionConfig{PID: 1, Region: 2, Epoch: 4, Config: 2, Policy: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1}},
			Sources: []wire.Holder{{Node: "m2", Member: 1}}, Self: "m2", Member: 1, Via: "m3",
		}
		r := New(DefaultOptions(), req, 0, 32, 16, "inproc:m2").Bare(bare)
		var kinds []EffectKind
		for out := r.Begin(0, nil); len(out) > 0; {
			e := out[0]
			out = out[1:]
			kinds = append(kinds, e.Kind)
			if err := r.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			switch e.Kind {
			case Fence, Tell, Parts, Pull:
				out = r.Answered(0, e.ID, Answer{}, out)
			}
		}
		pulls := 0
		for _, k := range kinds {
			if k == Pull {
				pulls++
			}
		}
		if s := r.Status(0, nil); s.State != wire.RecoverDone || (pulls == 0) != bare || (kinds[0] == Tell) != bare {
			t.Errorf("bare %t: %v, and it is %v", bare, kinds, s.State)
		}
	}
}

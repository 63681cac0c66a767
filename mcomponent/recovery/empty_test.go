package recovery

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestAHolderToWhichItsOwnerNeverCame: a new owner that is itself the only source, and of which the former owner was lost before it had opened it, has nothing
// to bring: nothing was ever acknowledged. It is done, and who waits for a page is woken.
func TestAHolderToWhichItsOwnerNeverCame(t *testing.T) {
	q := wire.RegionRecoverReq{Config: wire.RegionConfig{PID: 1, Region: 2, Epoch: 4, Config: 2, Policy: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1}}, OldEpoch: 1,
		Sources: []wire.Holder{{Node: "m1", Member: 1}}, Self: "m1", Member: 1, Via: "m1"}
	r := New(DefaultOptions(), q, 3, 64, 32, "inproc:m1")
	next := func(out []Effect, want EffectKind, a Answer) []Effect {
		t.Helper()
		if len(out) != 1 || out[0].Kind != want {
			t.Fatalf("%+v, want a %v", out, want)
		}
		return r.Answered(0, out[0].ID, a, nil)
	}
	out := next(r.Begin(0, nil), Fence, Answer{})
	out = next(out, Tell, Answer{})
	out = next(out, Parts, Answer{})
	if len(out) < 2 || out[0].Kind != Serve || out[1].Kind != Pull {
		t.Fatalf("%+v, want that it serves and asks itself", out)
	}
	pulls := out[1:]
	waits, more := r.Miss(0, 70, 9, nil)
	if !waits {
		t.Fatal("a page that is not known does not wait")
	}
	woken, done := false, false
	for pulls = append(pulls, more...); len(pulls) > 0; pulls = pulls[1:] {
		for _, e := range r.Answered(0, pulls[0].ID, Answer{Err: wire.Errorf(wire.KindNotFound, "m1 holds nothing")}, nil) {
			woken, done = woken || e.Kind == Wake && e.Waiter == 9, done || e.Kind == Complete
		}
	}
	if s := r.Status(0, nil); !woken || !done || s.State != wire.RecoverDone || r.CheckInvariants() != nil {
		t.Errorf("woken %t, done %t, %+v, %v", woken, done, s, r.CheckInvariants())
	}
}

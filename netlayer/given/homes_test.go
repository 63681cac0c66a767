package given

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestHomesThatWereHeardOf: whoever begins gets the newest home, of as many processes as are remembered.
func TestHomesThatWereHeardOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Homes
		newest := map[wire.PID]wire.Epoch{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			pid, epoch := wire.PID(rapid.IntRange(1, 5).Draw(t, "pid")), wire.Epoch(rapid.IntRange(1, 9).Draw(t, "epoch"))
			if rapid.Bool().Draw(t, "hears") {
				h.Heard(pid, wire.Owner{Node: "m", Epoch: epoch})
				newest[pid] = max(newest[pid], epoch)
			} else if got, want := h.Newest(pid, wire.Owner{Node: "known", Epoch: epoch}), max(newest[pid], epoch); got.Epoch != want || (got.Node == "m") != (newest[pid] > epoch) {
				t.Fatalf("process %d, known under %d: %+v, want epoch %d", pid, epoch, got, want)
			}
			if err := h.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
	})
	var h Homes
	for pid := wire.PID(1); pid <= MaxHomes+1; pid++ {
		h.Heard(pid, wire.Owner{Epoch: 2})
	}
	if err := h.CheckInvariants(); err != nil || h.Newest(1, wire.Owner{}).Epoch != 0 || h.Newest(2, wire.Owner{}).Epoch != 2 || h.Newest(MaxHomes+1, wire.Owner{}).Epoch != 2 {
		t.Errorf("%v; want the first to be forgotten, and no other", err)
	}
}

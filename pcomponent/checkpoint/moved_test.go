package checkpoint

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestAProcessThatHasMoved: the next cut is of its new epoch, under which it flushes since; the log that was begun goes on under the one of before, for
// whoever goes back reads it up to the first record of another.
func TestAProcessThatHasMoved(t *testing.T) {
	k := NewKeeper(Options{Every: 10, LogBytes: 1 << 20}, 1)
	made := func(want wire.Cut) {
		t.Helper()
		k.Hurry()
		for range 4 { // drained, synced, saved, told
			k.Step(0, 0, Outcome{Version: want.Version, Err: k.Next(0, 0).Err})
		}
		if last, ok := k.Last(); !ok || last != want {
			t.Fatalf("%+v, %v, want %+v", last, ok, want)
		}
	}
	guard := func(block uint64, want Undo) {
		t.Helper()
		g, err := k.Guard(0, block, block)
		want.Sector, want.Sectors = block*wire.SectorsPerPage, wire.SectorsPerPage
		if err != nil || len(g.Undo) != 1 || g.Undo[0] != want {
			t.Fatalf("%+v, %v, want %+v", g, err, want)
		}
	}
	made(wire.Cut{Number: 0, Epoch: 1, Version: 5})
	guard(3, Undo{Number: 0, Epoch: 1, No: 0})
	k.Moved(2)
	guard(7, Undo{Number: 0, Epoch: 1, No: 1})
	made(wire.Cut{Number: 1, Epoch: 2, Version: 9})
	guard(3, Undo{Number: 1, Epoch: 2, No: 0})
}

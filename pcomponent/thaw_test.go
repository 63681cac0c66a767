package pcomponent

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestThawedUnderAnotherEpoch: a process whose move was undone flushes under another epoch from then on, so whoever makes its checkpoints hears of it as of any move;
// one that only stood still is as it was.
func TestThawedUnderAnotherEpoch(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(8, "list"), 1, nil)
	for _, ahead := range []wire.Epoch{0, 2} {
		p.Moved()
		if err := p.Freeze(background(t)); err != nil {
			t.Fatal(err)
		}
		epoch := p.Epoch() + ahead
		if err := p.Thaw(background(t), epoch); err != nil {
			t.Fatal(err)
		}
		if is := p.Moved(); is != (ahead > 0) || p.Epoch() != epoch {
			t.Errorf("%d epochs ahead: moved %t, under epoch %d", ahead, is, p.Epoch())
		}
	}
}

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

// TestThawBesideAQuestion: who asks the home for owners may do so while the process goes on after it stood still. The race detector sees whether they meet.
func TestThawBesideAQuestion(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(8, "list"), 1, nil)
	mapPages(t, p, 64, 8, true)
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			default:
				p.askOwner(64)
			}
		}
	}()
	for range 20 {
		if err := p.Freeze(background(t)); err != nil {
			t.Error(err)
		}
		if err := p.Thaw(background(t), p.Epoch()); err != nil {
			t.Error(err)
		}
	}
	close(end)
	<-done
}

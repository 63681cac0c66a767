package pcomponent

import (
	"errors"
	"strings"
	"testing"

	"splitkernel/netlayer/wire"
)

// TestFence: processes fail with the reason, and one that is opened later runs.
func TestFence(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(8, "list"), 1, nil)
	mapPages(t, p, 0, 10, false)
	p.c.Fence("p1 was declared dead under epoch 3")
	th := p.Thread(0)
	th.Begin()
	_, err := th.Access(3, false)
	th.End()
	if !errors.Is(err, wire.ErrFailed) || !strings.Contains(err.Error(), "p1 was declared dead under epoch 3") {
		t.Fatal(err)
	}
	if err := p.Close(background(t)); err != nil {
		t.Fatal(err)
	}
	if n := os[0].exits.Load(); n != 0 {
		t.Errorf("a process that was fenced ended at its home, where it may have to go on from a checkpoint: %d exits", n)
	}
	o := p.o
	o.PID++
	q, err := p.c.Open(background(t), o)
	if err != nil {
		t.Fatal(err)
	}
	mapPages(t, q, 0, 10, false)
	th = q.Thread(0)
	th.Begin()
	_, err = th.Access(3, false)
	th.End()
	if err = errors.Join(err, q.Close(background(t))); err != nil || os[0].exits.Load() != 1 {
		t.Errorf("%v, %d exits", err, os[0].exits.Load())
	}
}

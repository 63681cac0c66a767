package gmanagers_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
)

// TestTheWallIsSet: the clock of the wall jumps by an hour, forth and back, at all managers and at the one that will lead next. Nobody is
// silent for it, who waits for room goes on waiting, and a short deadline is over in its time.
func TestTheWallIsSet(t *testing.T) {
	t.Parallel()
	var off [3]atomic.Int64
	c, cl, _ := tight(t, func(o *gmanagers.Options) {
		i := int(o.ID[1] - '1')
		o.Wall = func() time.Time { return time.Now().Add(time.Duration(off[i].Load())) }
	})
	hold, err := cl.Admit(within(t), vnode("hold", 100, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	late := admit(t, cl, waiting(vnode("late", 100, 1, 0), admission.Queue, 5))
	until(t, "it waits", func() bool { q, err := cl.Queue(within(t)); return err == nil && len(q) == 1 })
	set := func(hours ...int) {
		t.Helper()
		for i, h := range hours {
			off[i].Store(int64(time.Duration(h) * time.Hour))
		}
		for range 3 {
			if err := cl.LookAtQueue(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-late.done:
			t.Fatalf("at %v hours: %+v, %v", hours, late.p, late.err)
		default:
		}
		for _, m := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
			for _, st := range must(cl.Members(within(t), m))(t) {
				if !st.Alive {
					t.Errorf("at %v hours %s is silent", hours, st.Member.ID)
				}
			}
		}
	}
	set(1, 1, 1)
	set(-1, -1, -1)
	leader := c.leader(wire.GPM)
	for i := range off {
		if i != leader {
			off[i].Store(int64(time.Hour)) // of whoever leads next
		}
	}
	c.stop(leader)
	set(1, 1, 1)
	set(-1, 1, -1)
	short := waiting(vnode("short", 100, 1, 0), admission.Queue, 5)
	short.DeadlineMS = 200
	if _, err := cl.Admit(within(t), short); !errors.Is(err, wire.ErrNoRoom) || !has(err, "its deadline") {
		t.Errorf("a short deadline: %v", err)
	}
	if err := cl.Release(within(t), hold.PID); err != nil {
		t.Fatal(err)
	}
	<-late.done
	if late.err != nil {
		t.Error(late.err)
	}
}

// must takes an answer that comes without an error.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

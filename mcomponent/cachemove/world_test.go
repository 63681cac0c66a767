package cachemove

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// world is a giver, a taker, an sComponent that fences by epochs, and a pComponent, over a network that loses, doubles and delays.
// What is written is one number; the giver may hold it unflushed, and the sComponent knows whether somebody does.
type world struct {
	t    *testing.T
	seed uint64
	r    *rand.Rand
	now  time.Duration
	calm bool
	req  wire.MoveReq
	g    *Giver
	late []Effect // requests that come once more

	epoch  wire.Epoch // the sComponent's
	disk   int
	marked bool

	frozen, left bool
	giver        wire.Epoch // under which its storage operations go
	dirty        int        // 0: nothing; else the number that is not on the disk

	taker      wire.Epoch // attached under; 0 is not
	takerUp    bool
	takerDirty int

	user    wire.Epoch
	at      wire.NodeID
	userUp  bool
	refuses bool
	acked   int
}

func (w *world) failf(f string, a ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s", w.seed, w.now, fmt.Sprintf(f, a...))
}

// attach is an attach at the sComponent.
func (w *world) attach(e wire.Epoch) error {
	switch {
	case e < w.epoch:
		return wire.ErrStale
	case w.marked:
		w.failf("an attach under epoch %d finds writes that are lost", e)
	}
	w.epoch = e
	return nil
}

// reach performs a request of the giver where it goes.
func (w *world) reach(e Effect) error {
	switch e.Step {
	case Attach:
		if !w.takerUp {
			return wire.ErrUnavailable
		}
		if w.taker == w.req.Epoch {
			return nil
		}
		if err := w.attach(w.req.Epoch); err != nil {
			return err
		}
		w.taker = w.req.Epoch
	case Tell:
		if !w.userUp {
			return wire.ErrUnavailable
		}
		if w.refuses {
			return wire.ErrBadRequest
		}
		if w.req.Epoch > w.user {
			w.user, w.at = w.req.Epoch, "m2"
		}
	case Detach:
		if !w.takerUp {
			return wire.ErrUnavailable
		}
		w.taker = 0
	}
	return nil
}

func (w *world) perform(e Effect) error {
	lost := func() bool { return !w.calm && w.r.IntN(4) == 0 }
	switch e.Step {
	case Clean:
		w.flush()
		w.g.Cleaned(w.r.IntN(4))
		return nil
	case Freeze:
		w.frozen = true
		w.flush()
	case Thaw:
		w.frozen = false
		if e.Epoch == w.req.UndoEpoch {
			w.giver = e.Epoch
		}
	case Leave:
		w.left = true
	case Reattach:
		if lost() {
			return wire.ErrUnavailable
		}
		if err := w.attach(w.req.UndoEpoch); err != nil {
			return err
		}
		if lost() {
			return wire.ErrTimeout
		}
	case Attach, Tell, Detach:
		if lost() {
			if w.r.IntN(2) == 0 {
				w.late = append(w.late, e)
			}
			return wire.ErrTimeout
		}
		err := w.reach(e)
		if lost() {
			return wire.ErrTimeout
		}
		return err
	}
	return nil
}

func (w *world) flush() {
	if w.dirty != 0 && w.giver >= w.epoch {
		w.disk, w.dirty, w.marked = w.dirty, 0, false
	}
}

// use writes where the pComponent thinks that the buffer cache is, after it has read what it wrote last.
func (w *world) use() {
	if !w.userUp {
		return
	}
	dirty, epoch := &w.dirty, w.giver
	if w.at == "m2" {
		if dirty, epoch = &w.takerDirty, w.taker; !w.takerUp || w.taker == 0 {
			return
		}
	} else if w.frozen || w.left {
		return
	}
	if epoch < w.epoch {
		w.failf("%s serves under epoch %d, the sComponent is at %d", w.at, epoch, w.epoch)
	}
	got := w.disk
	if *dirty != 0 {
		got = *dirty
	}
	if got != w.acked {
		w.failf("%s holds %d, %d was acknowledged", w.at, got, w.acked)
	}
	w.acked++
	*dirty, w.marked = w.acked, true
}

func (w *world) trouble() {
	if w.calm {
		return
	}
	switch w.r.IntN(12) {
	case 0:
		w.takerUp = !w.takerUp
		if !w.takerUp && w.takerDirty == 0 { // it dies; with unflushed writes that is another story
			w.taker = 0
		}
	case 1:
		w.userUp = !w.userUp
	case 2:
		w.refuses = !w.refuses && w.user == 1
	case 3:
		w.now += time.Duration(w.r.IntN(6)) * time.Second
	}
	if len(w.late) > 0 && w.r.IntN(3) == 0 {
		e := w.late[0]
		w.late = w.late[1:]
		if e.Step != Detach || w.taker != 0 {
			w.reach(e)
		}
	}
}

func runWorld(t *testing.T, seed uint64) wire.MoveState {
	w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 3)), epoch: 1, giver: 1, user: 1, at: "m1", userUp: true, takerUp: true,
		req: wire.MoveReq{Kind: wire.MoveCache, Volume: 1, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "m2", TimeoutMS: 60_000}}
	o := DefaultOptions()
	o.SwitchBlocks, o.BackPatience = 1, time.Hour
	w.g = New(o, w.req, w.r.IntN(5))
	out := w.g.Start(0, nil)
	for i := 0; ; i++ {
		w.calm = w.calm || i > 60
		if w.calm {
			w.takerUp, w.userUp, w.refuses = true, true, false
		}
		w.use()
		w.trouble()
		w.use()
		if i > 1000 {
			w.failf("the move does not end: %+v", w.g.Status(w.now))
		}
		e := out[0]
		if e.Step == Ended {
			break
		}
		w.now += e.After + time.Duration(w.r.IntN(20))*time.Millisecond
		out = w.g.Done(w.now, e.ID, w.perform(e), nil)
		if err := w.g.CheckInvariants(); err != nil {
			w.failf("%v", err)
		}
	}
	s := w.g.Status(w.now)
	switch s.State {
	case wire.MoveDone:
		if !w.left || w.epoch != 2 {
			w.failf("done, the giver has left: %v, the sComponent is at epoch %d", w.left, w.epoch)
		}
	case wire.MoveUndone:
		if w.frozen || w.left || w.giver != s.Epoch || w.at != "m1" {
			w.failf("undone under epoch %d: frozen %v, left %v, serves under %d, the pComponent looks at %s", s.Epoch, w.frozen, w.left, w.giver, w.at)
		}
	default:
		w.failf("the move is %v: %s", s.State, s.Text)
	}
	w.use()
	return s.State
}

// TestWorldsWithLosses moves a buffer cache in random worlds: what was acknowledged is never lost, whoever serves is the one
// that the sComponent serves, and a move ends.
func TestWorldsWithLosses(t *testing.T) {
	ends := map[wire.MoveState]int{}
	for seed := range uint64(5000) {
		ends[runWorld(t, seed)]++
	}
	if ends[wire.MoveDone] < 500 || ends[wire.MoveUndone] < 100 {
		t.Errorf("ends %v: the worlds try too little", ends)
	}
}

func TestOptions(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Options{SwitchBlocks: -1}).Validate(); err == nil {
		t.Error("no options are accepted")
	}
}

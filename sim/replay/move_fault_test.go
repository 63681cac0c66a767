package replay

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
)

// few is a process that runs for about a second, unless it is stopped.
func few(s *Spec) {
	s.MaxRefs, s.Repeat, s.ExCache.Lines = 20_000, 1000, 128
}

// begin starts a process and waits until it makes accesses.
func (w *world) begin(p *pnode, change func(*Spec)) Spec {
	w.t.Helper()
	s, _ := w.spec("sort", change)
	if err := w.control(string(p.addr), wire.OpProcessStart, &wire.ProcessStartReq{PID: s.PID, Spec: wire.Marshal(&s)}, nil); err != nil {
		w.t.Fatal(err)
	}
	w.runs(p, s.PID)
	return s
}

// runs waits until a process makes accesses at p.
func (w *world) runs(p *pnode, pid wire.PID) {
	w.t.Helper()
	first, _ := w.status(string(p.addr), pid)
	w.until("accesses", func() bool {
		st, at := w.status(string(p.addr), pid)
		if st.Result != nil || at != string(p.addr) {
			w.t.Fatalf("process %d: %+v at %s", pid, st.Result, at)
		}
		return st.Done > first.Done+100
	})
}

// stopAt ends a process and wants that it did no wrong.
func (w *world) stopAt(p *pnode, pid wire.PID) {
	w.t.Helper()
	if err := w.control(string(p.addr), wire.OpProcessStop, &wire.ProcessStopReq{PID: pid}, nil); err != nil {
		w.t.Fatal(err)
	}
	if r := w.result(string(p.addr), pid); r.Counters.IntegrityErrors != 0 || r.Error == "" {
		w.t.Errorf("%s: %v", r.Error, r.Integrity)
	}
}

// TestMoveThroughBadNetwork loses and doubles messages of the moves on both sides. Every move gets through: each message is sent again, and
// no patience of the harness is shorter than what a starved machine takes for that.
func TestMoveThroughBadNetwork(t *testing.T) {
	w := newWorld(t)
	nodes := []*pnode{w.node("p1", ""), w.node("p2", "")}
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(8)
	}
	for _, n := range nodes {
		n.intercept(func(req *netlayer.Request, serve func() error) error {
			switch req.Op {
			case wire.OpProcessCopy, wire.OpProcessResume, wire.OpProcessDrop, wire.OpMoveStart, wire.OpMoveForget:
			default:
				return serve()
			}
			switch draw() {
			case 0:
				return wire.Errorf(wire.KindUnavailable, "the request was lost")
			case 1:
				_ = serve() // its answer is lost
				return wire.Errorf(wire.KindTimeout, "the answer was lost")
			}
			return serve()
		})
	}
	s := w.begin(nodes[0], few)
	epoch := s.Epoch
	moves := 12
	if raceEnabled {
		moves = 6
	}
	for i := range moves {
		from, to := nodes[i%2], nodes[(i+1)%2]
		w.runs(from, s.PID)
		r := w.order(s.PID, epoch, to)
		st := w.moved(from, r)
		if st.State != wire.MoveDone {
			t.Fatalf("move %d: %+v", i, st)
		}
		epoch = st.Epoch
		if err := w.control(string(from.addr), wire.OpMoveForget, &wire.MoveRef{Move: r.Move}, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.control(string(from.addr), wire.OpMoveStart, &r, nil); wire.KindOf(err) != wire.KindStale {
			t.Errorf("a forgotten order came again: %v", err)
		}
	}
	w.stopAt(nodes[moves%2], s.PID)
}

// TestTakerStartsAgain has the taker lose everything at each step of a move: the process goes on at the giver unless the
// taker had begun it, and moves at the next try.
func TestTakerStartsAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		op    wire.Op
		plan  bool
		after bool // the request is served before
		want  wire.MoveState
		epoch wire.Epoch
	}{
		{"plan", wire.OpProcessCopy, true, true, wire.MoveDone, 2}, // the next plan makes it ready again
		{"chunk", wire.OpProcessCopy, false, false, wire.MoveUndone, 1},
		{"last chunk", wire.OpProcessCopy, false, true, wire.MoveUndone, 3},
		{"resume", wire.OpProcessResume, false, false, wire.MoveUndone, 3},
		{"resumed", wire.OpProcessResume, false, true, wire.MoveLost, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			p1, p2 := w.node("p1", ""), w.node("p2", "")
			var died atomic.Bool
			p2.intercept(func(req *netlayer.Request, serve func() error) error {
				var r wire.ProcessCopyReq
				if req.Op != c.op || req.Op == wire.OpProcessCopy && (wire.Unmarshal(req.Body, &r) != nil || (r.Plan != nil) != c.plan) || died.Swap(true) {
					return serve()
				}
				if !c.after {
					p2.restart()
					return serve()
				}
				err := serve()
				p2.restart()
				if c.name == "resumed" {
					return wire.Errorf(wire.KindUnavailable, "the connection was lost")
				}
				return err
			})
			s := w.begin(p1, few)
			st := w.moved(p1, w.order(s.PID, s.Epoch, p2))
			if st.State != c.want || st.State != wire.MoveLost && st.Epoch != c.epoch || st.State != wire.MoveDone && st.Text == "" {
				t.Fatalf("%+v, want %v under epoch %d", st, c.want, c.epoch)
			}
			switch c.want {
			case wire.MoveUndone:
				w.runs(p1, s.PID)
				if st = w.moved(p1, w.order(s.PID, st.Epoch, p2)); st.State != wire.MoveDone {
					t.Fatalf("the next try: %+v", st)
				}
				fallthrough
			case wire.MoveDone:
				w.runs(p2, s.PID)
				w.stopAt(p2, s.PID)
			case wire.MoveLost:
				if r := w.result(string(p1.addr), s.PID); r.ErrorKind != wire.KindFailed || !strings.Contains(r.Error, "p2") {
					t.Errorf("%v %s", r.ErrorKind, r.Error)
				}
			}
		})
	}
}

// TestTakerIsGone orders moves to whom nobody can go: one that does not exist, one without room, one without the trace.
func TestTakerIsGone(t *testing.T) {
	w := newWorld(t)
	p1, p2, p3 := w.node("p1", ""), w.node("p2", ""), w.node("p3", "")
	s := w.begin(p1, few)
	full := pcomponent.ProcessOptions{PID: 999, Name: "full", ExCache: s.ExCache}
	full.ExCache.Lines = 1 << 16 // all of it
	if err := p3.comp.Reserve(full); err != nil {
		t.Fatal(err)
	}
	defer p3.comp.Unreserve(full)
	p2.stop()
	for _, c := range []struct {
		to   *pnode
		want string
	}{{p2, "timeout"}, {p3, "no room"}} {
		r := w.order(s.PID, s.Epoch, c.to)
		r.TimeoutMS = 300
		st := w.moved(p1, r)
		if st.State != wire.MoveUndone || st.Epoch != s.Epoch || st.PauseUS != 0 || !strings.Contains(st.Text, c.want) {
			t.Errorf("to %s: %+v, want it undone for %q", c.to.id, st, c.want)
		}
	}
	w.stopAt(p1, s.PID)
}

// TestOrders gives orders that cannot be, twice, or against each other.
func TestOrders(t *testing.T) {
	w := newWorld(t)
	p1, p2, p3 := w.node("p1", ""), w.node("p2", ""), w.node("p3", "")
	hold := make(chan struct{})
	var once sync.Once
	release := func() { once.Do(func() { close(hold) }) }
	defer release()
	p2.intercept(func(req *netlayer.Request, serve func() error) error {
		if req.Op == wire.OpProcessResume {
			<-hold
		}
		return serve()
	})
	s := w.begin(p1, few)
	give := func(r wire.MoveReq) wire.Kind { return wire.KindOf(p1.host.MoveStart(r)) }
	good := w.order(s.PID, s.Epoch, p2)
	for what, c := range map[string]struct {
		change func(*wire.MoveReq)
		want   wire.Kind
	}{
		"another kind":  {func(r *wire.MoveReq) { r.Kind = wire.MoveRegion }, wire.KindBadRequest},
		"to itself":     {func(r *wire.MoveReq) { r.To = "p1" }, wire.KindBadRequest},
		"to nobody":     {func(r *wire.MoveReq) { r.ToAddr = "" }, wire.KindBadRequest},
		"epochs":        {func(r *wire.MoveReq) { r.UndoEpoch = r.Epoch }, wire.KindBadRequest},
		"an old epoch":  {func(r *wire.MoveReq) { r.OldEpoch, r.Epoch, r.UndoEpoch = 8, 9, 10 }, wire.KindStale},
		"a strange pid": {func(r *wire.MoveReq) { r.PID = 4711 }, wire.KindNotFound},
	} {
		r := good
		if c.change(&r); give(r) != c.want {
			t.Errorf("%s: %v, want %v", what, give(r), c.want)
		}
	}
	if k := give(good); k != wire.KindNone {
		t.Fatalf("a good order: %v", k)
	}
	if k := give(good); k != wire.KindNone {
		t.Errorf("the same again: %v", k)
	}
	if k := give(w.order(s.PID, s.Epoch, p3)); k != wire.KindBusy {
		t.Errorf("another move of the same process: %v", k)
	}
	other := good
	other.To = "p3"
	if k := give(other); k != wire.KindExists {
		t.Errorf("another order under the same name: %v", k)
	}
	w.until("the switch-over", func() bool { st, _ := p1.host.MoveStatus(good.Move); return st.State == wire.MoveSwitching })
	if k := wire.KindOf(p1.host.Stop(t.Context(), wire.ProcessStopReq{PID: s.PID})); k != wire.KindBusy {
		t.Errorf("a stop in the pause: %v", k)
	}
	if k := wire.KindOf(p1.host.MoveForget(good.Move)); k != wire.KindBusy {
		t.Errorf("forgotten while it is under way: %v", k)
	}
	release()
	if st := w.ended(p1, good.Move); st.State != wire.MoveDone {
		t.Fatalf("%+v", st)
	}
	if k := wire.KindOf(p1.host.Stop(t.Context(), wire.ProcessStopReq{PID: s.PID})); k != wire.KindNotOwner {
		t.Errorf("a stop where it was: %v", k)
	}
	if k := give(w.order(s.PID, 2, p3)); k != wire.KindNotOwner {
		t.Errorf("an order where it was: %v", k)
	}
	if st, at := w.status(string(p1.addr), s.PID); at != string(p2.addr) || st.State != StateRunning {
		t.Errorf("%+v at %s", st, at)
	}
	// A stop while lines are written back ends the process, and with it the move.
	r := w.order(s.PID, 2, p3)
	p3.intercept(func(req *netlayer.Request, serve func() error) error {
		if req.Op == wire.OpProcessCopy {
			return wire.Errorf(wire.KindBusy, "later")
		}
		return serve()
	})
	if err := p2.host.MoveStart(r); err != nil {
		t.Fatal(err)
	}
	w.stopAt(p2, s.PID)
	if st := w.ended(p2, r.Move); st.State != wire.MoveUndone || !strings.Contains(st.Text, "has ended") {
		t.Errorf("%+v", st)
	}
	if k := wire.KindOf(p2.host.MoveStart(w.order(s.PID, 2, p3))); k != wire.KindNotFound {
		t.Errorf("an order after the end: %v", k)
	}
}

// TestGiverDies closes the giver in the pause: the taker gives the copy up as soon as the giver, started again, knows nothing.
func TestGiverDies(t *testing.T) {
	w := newWorld(t)
	p1, p2 := w.node("p1", ""), w.node("p2", "")
	reached := make(chan struct{})
	var once sync.Once
	p2.intercept(func(req *netlayer.Request, serve func() error) error {
		switch req.Op {
		case wire.OpProcessResume, wire.OpProcessDrop: // never come
			once.Do(func() { close(reached) })
			return wire.Errorf(wire.KindTimeout, "lost")
		}
		return serve()
	})
	s := w.begin(p1, few)
	r := w.order(s.PID, s.Epoch, p2)
	if err := p1.host.MoveStart(r); err != nil {
		t.Fatal(err)
	}
	<-reached
	p1.restart()
	w.until("the taker to give up", func() bool { return p2.comp.Load().ReservedBytes == 0 })
	if k := wire.KindOf(func() error { _, err := p1.host.MoveStatus(r.Move); return err }()); k != wire.KindNotFound {
		t.Errorf("%v", k)
	}
}

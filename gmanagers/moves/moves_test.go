package moves

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TestEveryMoveEndsOnce with the giver's own outcome wherever the giver lives, under loss, delay, repetition, restarts and
// changes of leader; and once the faults end, everything is taken down and forgotten within a bound.
func TestEveryMoveEndsOnce(t *testing.T) {
	begun, ended, adopted, states := 0, 0, 0, map[wire.MoveState]int{}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		w := &world{rng: rand.New(rand.NewPCG(seed, 3)), faults: rapid.Bool().Draw(t, "faults"), ended: map[wire.MoveID]End{}, over: map[wire.PID]bool{}}
		restarts, deaths := rapid.Bool().Draw(t, "restarts"), rapid.Bool().Draw(t, "deaths")
		for i := range rapid.IntRange(2, 5).Draw(t, "nodes") {
			n := &node{w: w, id: wire.NodeID(fmt.Sprint("m", i)), epoch: 1, member: 1, keeps: w.rng.IntN(3) == 0, serves: map[wire.PID]wire.Epoch{},
				knows: map[wire.MoveID]*running{}, copies: map[wire.MoveID]bool{}, outcomes: map[wire.MoveID]wire.MoveStatusRep{}}
			for j := range 6 {
				n.serves[wire.PID(10*i+j)] = 1
			}
			w.nodes = append(w.nodes, n)
		}
		w.elect()
		n := rapid.IntRange(1, 12).Draw(t, "moves")
		for i := range n {
			w.after(time.Duration(w.rng.IntN(20_000))*time.Millisecond, func() { w.record(uint64(i + 1)) })
		}
		const troubled = 30 * time.Second
		for range rapid.IntRange(0, 12).Draw(t, "ends") {
			w.after(time.Duration(w.rng.IntN(int(troubled))), w.end)
		}
		for range rapid.IntRange(0, 6).Draw(t, "elections") {
			w.after(time.Duration(w.rng.IntN(int(troubled))), w.elect)
		}
		for range w.rng.IntN(4) {
			w.after(time.Duration(w.rng.IntN(int(troubled))), func() {
				n := w.nodes[w.rng.IntN(len(w.nodes))]
				switch {
				case n.gone || n.down:
				case deaths && w.rng.IntN(3) == 0:
					n.down, n.gone = true, true
					n.life++
					n.restarts++
					n.serves = map[wire.PID]wire.Epoch{}
					w.sync()
				case restarts:
					n.restart()
				}
			})
		}
		w.run(troubled)
		w.faults = false
		w.run(troubled + 90*time.Second)
		if w.err != nil {
			t.Fatal(w.err)
		}
		if len(w.list) != 0 {
			l := w.leader()
			t.Fatalf("%d of %d moves are left, the first %+v; %d calls under way", len(w.list), n, w.list[0], l.m.Calls())
		}
		// Restarts change the order of numbers at a giver, so all that is left of a move is looked for.
		for _, c := range w.nodes {
			for id, r := range c.knows {
				if !c.down && !r.status.State.Ended() {
					t.Fatalf("%s still moves %v", c.id, id)
				}
			}
		}
		// One call per pause and move at most, and a few for the phases and first questions of each leader and restart.
		if most := n*int(2*(troubled+90*time.Second)/PollPause) + n*50; w.calls > most {
			t.Fatalf("%d calls for %d moves, want at most %d", w.calls, n, most)
		}
		w.tapes.Again(t, w.rng, func(string, []byte) (taped.Core, error) { return New(), nil })
		begun, ended, adopted = begun+w.begun, ended+len(w.ended), adopted+w.adopted
		for _, e := range w.ended {
			states[e.State]++
		}
	})
	t.Logf("%d begun, %d ended, %d adopted: %v", begun, ended, adopted, states)
	if states[wire.MoveDone] == 0 || states[wire.MoveUndone] == 0 || states[wire.MoveLost] == 0 {
		t.Errorf("ends %v, want every kind", states)
	}
}

func req(no uint64) wire.MoveReq {
	return wire.MoveReq{Move: wire.MoveID{Manager: wire.GMM, No: no}, Kind: wire.MoveRegion, PID: 7, OldEpoch: 4, Epoch: 5, UndoEpoch: 6, To: "m2", ToAddr: "inproc:m2"}
}

func listed(no uint64) Listed {
	return Listed{Req: req(no), Giver: Party{Node: "m1", Addr: "inproc:m1", Epoch: 1}, Taker: Party{Node: "m2", Addr: "inproc:m2", Epoch: 1}}
}

// only returns the one effect of its kind.
func only(t *testing.T, out []Effect, kind EffectKind, node wire.NodeID) Effect {
	t.Helper()
	if len(out) != 1 || out[0].Kind != kind || out[0].Node != node {
		t.Fatalf("effects %+v, want one %v to %q", out, kind, node)
	}
	return out[0]
}

var refused = wire.Errorf(wire.KindNotOwner, "not here")

// TestTheWayOfAMove from the order to the end of its entry.
func TestTheWayOfAMove(t *testing.T) {
	m, l := New(), listed(1)
	e := only(t, m.Sync(0, []Listed{l}, nil), Start, "m1")
	if e.Req != l.Req || e.Addr != "inproc:m1" {
		t.Errorf("%+v", e)
	}
	if out := m.Answered(10, e.Move, e.Call, wire.MoveStatusRep{}, nil, nil); len(out) != 0 {
		t.Fatalf("%+v, want a pause", out)
	}
	if out := m.Answered(11, e.Move, e.Call, wire.MoveStatusRep{}, refused, nil); len(out) != 0 || m.Stats().Late != 1 {
		t.Errorf("the same answer again: %+v, %+v", out, m.Stats())
	}
	now := time.Duration(10)
	for _, pause := range []time.Duration{FirstPoll, 2 * FirstPoll, 4 * FirstPoll, 8 * FirstPoll, 16 * FirstPoll, 32 * FirstPoll, PollPause, PollPause} {
		if next, ok := m.Next(); !ok || next != now+pause {
			t.Fatalf("next after %v, want %v", next-now, pause)
		}
		now += pause
		e = only(t, m.Tick(now, nil), Poll, "m1")
		if out := m.Answered(now, e.Move, e.Call, wire.MoveStatusRep{Move: e.Move, State: wire.MoveSwitching}, nil, nil); len(out) != 0 {
			t.Fatal(out)
		}
	}
	now += PollPause
	e = only(t, m.Tick(now, nil), Poll, "m1")
	rep := wire.MoveStatusRep{Move: e.Move, State: wire.MoveDone, Epoch: 5, Bytes: 9, DurationUS: 8, PauseUS: 7}
	e = only(t, m.Answered(now, e.Move, e.Call, rep, nil, nil), Propose, "")
	if want := (End{Move: e.Move, State: wire.MoveDone, Epoch: 5, Bytes: 9, DurationUS: 8, PauseUS: 7}); e.End != want {
		t.Errorf("%+v, want %+v", e.End, want)
	}
	m.Answered(now, e.Move, e.Call, wire.MoveStatusRep{}, nil, nil)
	e = only(t, m.Tick(now+ProposePause, nil), Propose, "") // the list does not show it: again
	l.Ended = true
	e2 := only(t, m.Sync(now+ProposePause, []Listed{l}, nil), Forget, "m1")
	m.Answered(now+ProposePause, e.Move, e.Call, wire.MoveStatusRep{}, refused, nil) // late
	e = only(t, m.Answered(now+ProposePause, e2.Move, e2.Call, wire.MoveStatusRep{}, nil, nil), Drop, "")
	if out := m.Sync(now+ProposePause, nil, nil); len(out) != 0 || m.Calls() != 0 {
		t.Errorf("%+v, %d calls", out, m.Calls())
	}
	m.Answered(now+ProposePause, e.Move, e.Call, wire.MoveStatusRep{}, nil, nil)
	if _, ok := m.Next(); ok {
		t.Error("something is due of nothing")
	}
}

// refuse brings a move to where its giver was asked whether it serves.
func refuse(t *testing.T, m *Mover) Effect {
	t.Helper()
	e := only(t, m.Sync(0, []Listed{listed(1)}, nil), Start, "m1")
	e = only(t, m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, refused, nil), Forget, "m1")
	return only(t, m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, nil, nil), Look, "m1")
}

// TestWhoServesSaysHowItEnded when the giver refuses the order.
func TestWhoServesSaysHowItEnded(t *testing.T) {
	for _, tc := range []struct {
		giver, taker Held
		want         End
	}{
		{Held{Serves: true, Epoch: 6}, Held{}, End{State: wire.MoveUndone, Epoch: 6}},
		{Held{Serves: true, Epoch: 0}, Held{}, End{State: wire.MoveUndone, Epoch: 4}},
		{Held{}, Held{Serves: true, Epoch: 5}, End{State: wire.MoveDone, Epoch: 5}},
		{Held{}, Held{Serves: true, Epoch: 0}, End{State: wire.MoveDone, Epoch: 5}},
		{Held{}, Held{Serves: true, Epoch: 3}, End{State: wire.MoveLost}}, // an old copy
		{Held{}, Held{}, End{State: wire.MoveLost}},
	} {
		m := New()
		e := refuse(t, m)
		out := m.Seen(0, e.Move, e.Call, tc.giver, nil, nil)
		if !tc.giver.Serves {
			e = only(t, out, Look, "m2")
			out = m.Seen(0, e.Move, e.Call, tc.taker, wire.ErrUnavailable, nil) // asked again
			if len(out) != 0 {
				t.Fatal(out)
			}
			e = only(t, m.Tick(PollPause, nil), Look, "m2")
			out = m.Seen(PollPause, e.Move, e.Call, tc.taker, nil, nil)
		}
		e = only(t, out, Propose, "")
		if e.End.State != tc.want.State || e.End.Epoch != tc.want.Epoch || !strings.Contains(e.End.Text, "m1 refused the order: not owner: not here") {
			t.Errorf("giver %+v, taker %+v: %+v", tc.giver, tc.taker, e.End)
		}
	}
}

// TestWhatEndedIsNotLost if neither end lost anything since the move was recorded.
func TestWhatEndedIsNotLost(t *testing.T) {
	for _, tc := range []struct {
		what         string
		edit         func(*Listed)
		giver, taker wire.Epoch
		want         wire.MoveState
	}{
		{"both lived", func(*Listed) {}, 1, 1, wire.MoveUndone},
		{"the giver started again", func(*Listed) {}, 0, 1, wire.MoveLost},
		{"the taker started again", func(*Listed) {}, 1, 0, wire.MoveLost},
		{"the giver registered again", func(l *Listed) { l.Giver.Epoch = 2 }, 2, 1, wire.MoveLost},
		{"the taker registered again", func(l *Listed) { l.Taker.Epoch = 2 }, 1, 2, wire.MoveLost},
		{"nobody knows the giver's epoch", func(l *Listed) { l.Giver.Then = 0 }, 1, 1, wire.MoveLost},
		{"the giver was declared dead", nil, 1, 1, wire.MoveLost},
	} {
		m, l := New(), listed(1)
		l.Giver.Then, l.Taker.Then = 1, 1
		if tc.edit != nil {
			tc.edit(&l)
		}
		e := only(t, m.Sync(0, []Listed{l}, nil), Start, "m1")
		e = only(t, m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, refused, nil), Forget, "m1")
		e = only(t, m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, nil, nil), Look, "m1")
		e = only(t, m.Seen(0, e.Move, e.Call, Held{Member: tc.giver}, nil, nil), Look, "m2")
		if tc.edit == nil {
			l.Giver.Gone = true
			m.Sync(0, []Listed{l}, nil)
		}
		out := m.Seen(0, e.Move, e.Call, Held{Member: tc.taker}, nil, nil)
		if l.Giver.over() { // the taker may have it all
			e = only(t, out, Adopt, "m2")
			if out = m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, wire.ErrUnavailable, nil); len(out) != 0 {
				t.Fatal(out)
			}
			e = only(t, m.Tick(PollPause, nil), Adopt, "m2")
			out = m.Answered(PollPause, e.Move, e.Call, wire.MoveStatusRep{Move: e.Move, State: wire.MoveLost, Text: "it is not complete"}, nil, nil)
		}
		e = only(t, out, Propose, "")
		ended := tc.want == wire.MoveUndone
		if e.End.State != tc.want || strings.Contains(e.End.Text, notThere) != ended || ended != (e.End.Epoch == 4) {
			t.Errorf("%s: %+v, want %v", tc.what, e.End, tc.want)
		}
	}
}

// TestTheTakerAdopts what its giver, which is gone, had handed over: a vRegion, and nothing else.
func TestTheTakerAdopts(t *testing.T) {
	for _, kind := range []wire.MoveKind{wire.MoveRegion, wire.MoveHome, wire.MoveVolume} {
		m, l := New(), listed(1)
		l.Giver.Then, l.Taker.Then, l.Giver.Gone, l.Req.Kind = 1, 1, true, kind
		e := only(t, m.Sync(0, []Listed{l}, nil), Look, "m2")
		out := m.Seen(0, e.Move, e.Call, Held{Member: 1}, nil, nil)
		want := End{Move: e.Move, State: wire.MoveLost, Text: "the giver m1 is gone; m2 does not serve it either"}
		if kind == wire.MoveRegion {
			e = only(t, out, Adopt, "m2")
			if e.Req != l.Req {
				t.Errorf("%+v", e.Req)
			}
			want = End{Move: e.Move, State: wire.MoveDone, Epoch: 7, Text: "the giver m1 is gone; it was handed over"}
			out = m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{Move: e.Move, State: wire.MoveDone, Epoch: 7, Text: "it was handed over"}, nil, nil)
		}
		if e = only(t, out, Propose, ""); e.End != want {
			t.Errorf("%v: %+v, want %+v", kind, e.End, want)
		}
		m, l = New(), listed(2)
		l.Giver.Then, l.Giver.Gone = 1, true
		e = only(t, m.Sync(0, []Listed{l}, nil), Look, "m2")
		only(t, m.Seen(0, e.Move, e.Call, Held{}, nil, nil), Adopt, "m2")
		l.Taker.Gone = true
		if e = only(t, m.Sync(0, []Listed{l}, nil), Propose, ""); e.End.State != wire.MoveLost {
			t.Errorf("with both gone: %+v", e.End)
		}
	}
}

// TestACopyOfTheOrderCameThrough: a giver that refused the order and then does not forget it has begun.
func TestACopyOfTheOrderCameThrough(t *testing.T) {
	m := New()
	e := only(t, m.Sync(0, []Listed{listed(1)}, nil), Start, "m1")
	e = only(t, m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, refused, nil), Forget, "m1")
	m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, wire.ErrBusy, nil)
	only(t, m.Tick(PollPause, nil), Poll, "m1")
}

// TestANewIncarnationIsOrderedAgain, and what the one before still answers is void.
func TestANewIncarnationIsOrderedAgain(t *testing.T) {
	m, l := New(), listed(1)
	e := only(t, m.Sync(0, []Listed{l}, nil), Start, "m1")
	m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, nil, nil)
	old := only(t, m.Tick(PollPause, nil), Poll, "m1")
	l.Giver.Epoch, l.Giver.Addr = 2, "inproc:again"
	e = only(t, m.Sync(PollPause, []Listed{l}, nil), Start, "m1")
	if e.Addr != "inproc:again" {
		t.Errorf("%+v", e)
	}
	rep := wire.MoveStatusRep{Move: e.Move, State: wire.MoveUndone, Epoch: 4}
	if out := m.Answered(PollPause, old.Move, old.Call, rep, nil, nil); len(out) != 0 {
		t.Errorf("an answer of the incarnation before: %+v", out)
	}
}

// TestGoneForGood: nobody asks who is gone.
func TestGoneForGood(t *testing.T) {
	m, l := New(), listed(1)
	l.Giver.Gone = true
	e := only(t, m.Sync(0, []Listed{l}, nil), Look, "m2")
	l.Taker.Gone = true
	old := e
	e = only(t, m.Sync(0, []Listed{l}, nil), Propose, "")
	if e.End.State != wire.MoveLost || e.End.Text != "the giver m1 is gone; the taker m2 is gone" {
		t.Errorf("%+v", e.End)
	}
	m.Seen(0, old.Move, old.Call, Held{Serves: true, Epoch: 5}, nil, nil)
	l.Ended = true
	only(t, m.Sync(0, []Listed{l}, nil), Drop, "")
	// An end that is in the list, whose giver goes before it forgets.
	m, l = New(), listed(2)
	l.Ended = true
	only(t, m.Sync(0, []Listed{l}, nil), Forget, "m1")
	l.Giver.Gone = true
	only(t, m.Sync(0, []Listed{l}, nil), Drop, "")
}

// TestCallsAreBounded in number and in time, and given up if nobody answers.
func TestCallsAreBounded(t *testing.T) {
	m := New()
	var list []Listed
	for i := range uint64(3 * MaxCalls) {
		list = append(list, listed(i+1))
	}
	out := m.Sync(0, list, nil)
	if len(out) != MaxCalls || m.Calls() != MaxCalls {
		t.Fatalf("%d effects, %d calls", len(out), m.Calls())
	}
	if next, ok := m.Next(); !ok || next != CallPatience {
		t.Errorf("next %v, %v, want when the calls are given up", next, ok)
	}
	e := only(t, m.Answered(1, out[5].Move, out[5].Call, wire.MoveStatusRep{}, nil, nil), Start, "m1")
	if e.Move.No != MaxCalls+1 {
		t.Errorf("%+v, want the next in turn", e.Move)
	}
	out = m.Tick(CallPatience, nil)
	if len(out) != MaxCalls-1 || m.Stats().Lost != MaxCalls-1 || out[0].Move.No != MaxCalls+2 {
		t.Errorf("%d effects, %+v, first %v; want those that wait longest", len(out), m.Stats(), out[0].Move)
	}
	// A giver that cannot be reached is asked ever more slowly.
	m = New()
	e = only(t, m.Sync(0, []Listed{listed(1)}, nil), Start, "m1")
	now, calls := time.Duration(0), 0
	for now < 100*time.Second {
		if out := m.Answered(now, e.Move, e.Call, wire.MoveStatusRep{}, wire.ErrUnavailable, nil); len(out) != 0 {
			t.Fatal(out)
		}
		now, _ = m.Next()
		e = only(t, m.Tick(now, nil), Start, "m1")
		calls++
	}
	if calls < 20 || calls > 30 {
		t.Errorf("%d calls in 100 s, want one every %v at last", calls, MaxPause)
	}
}

// TestWhatIsLostHasNoEpoch: a giver tells of a move that is lost the epoch at which it stopped to serve; as nobody serves the thing, the end
// that is proposed has none. A list refuses any other, and then the move would be listed for ever.
func TestWhatIsLostHasNoEpoch(t *testing.T) {
	m := New()
	e := only(t, m.Sync(0, []Listed{listed(1)}, nil), Start, "m1")
	if out := m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, nil, nil); len(out) != 0 {
		t.Fatal(out)
	}
	e = only(t, m.Tick(FirstPoll, nil), Poll, "m1")
	e = only(t, m.Answered(FirstPoll, e.Move, e.Call, wire.MoveStatusRep{Move: e.Move, State: wire.MoveLost, Epoch: 5, Bytes: 72, Text: "m2 is silent"}, nil, nil), Propose, "")
	if want := (End{Move: e.End.Move, State: wire.MoveLost, Bytes: 72, Text: "m2 is silent"}); e.End != want {
		t.Errorf("%+v, want %+v", e.End, want)
	}
}

// TestAnotherMustHearOfIt: a giver is ordered again, whatever it was asked meanwhile, and tells the home of now.
func TestAnotherMustHearOfIt(t *testing.T) {
	newer := func(m *Mover, now time.Duration, l *Listed) []Effect {
		l.Req.Via, l.Req.ViaEpoch = "m3", l.Req.ViaEpoch+1
		return m.Sync(now, []Listed{*l}, nil)
	}
	m, l := New(), listed(1)
	l.Req.Via, l.Req.ViaEpoch = "m4", 1
	old := only(t, m.Sync(0, []Listed{l}, nil), Start, "m1")
	e := only(t, newer(m, 0, &l), Start, "m1") // the order of before is under way
	if e.Req != l.Req {
		t.Errorf("%+v, want %+v", e.Req, l.Req)
	}
	if m.Answered(0, old.Move, old.Call, wire.MoveStatusRep{}, nil, nil); m.Stats().Late != 1 {
		t.Error("the answer to the order of before counts")
	}
	m.Answered(0, e.Move, e.Call, wire.MoveStatusRep{}, nil, nil)
	only(t, m.Tick(PollPause, nil), Poll, "m1")
	e = only(t, newer(m, PollPause, &l), Start, "m1") // the giver is asked how far it is
	// It refuses that order, and then has begun: by the one of before.
	e = only(t, m.Answered(PollPause, e.Move, e.Call, wire.MoveStatusRep{}, refused, nil), Forget, "m1")
	if out := newer(m, PollPause, &l); len(out) != 0 {
		t.Fatalf("%+v, want no other call beside", out)
	}
	only(t, m.Answered(PollPause, e.Move, e.Call, wire.MoveStatusRep{}, wire.ErrBusy, nil), Start, "m1")
	if err := m.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

package movelist_test

import (
	"errors"
	"reflect"
	"testing"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

func begin(t *testing.T, l *movelist.List, region wire.RegionNo) wire.MoveID {
	t.Helper()
	o := movelist.Order{Thing: movelist.Thing{Kind: wire.MoveRegion, PID: 1, Region: region}, Cause: movelist.ByHand, TimeoutMS: 1}
	begun, err := l.Begins([]movelist.Order{o}, func(o movelist.Order) (*movelist.Move, error) {
		return l.Begin(movelist.Move{Req: wire.MoveReq{OldEpoch: 4, To: "m2"}, From: "m1", FromEpoch: 1, ToEpoch: 1}, o), nil
	})
	if err != nil || begun[0].Err() != nil {
		t.Fatal(begun, err)
	}
	return wire.MoveID{Manager: wire.GMM, No: begun[0].No}
}

// TestList: a move ends once, is dropped when it has ended, and is remembered; more than are listed or remembered are refused
// or forgotten.
func TestList(t *testing.T) {
	l, log := movelist.New(wire.GMM), &events.Log{}
	id := begin(t, l, 1)
	again, err := l.Begins([]movelist.Order{{Thing: movelist.Thing{Kind: wire.MoveRegion, PID: 1, Region: 1}, Cause: movelist.ByHand, TimeoutMS: 1}}, nil)
	if err != nil || !errors.Is(again[0].Err(), wire.ErrBusy) {
		t.Errorf("the same thing again: %+v, %v", again, err)
	}
	if err := l.Drop(id.No); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("dropped while it is under way: %v", err)
	}
	ended := 0
	end := func(e moves.End) error {
		return l.Ends(7, []moves.End{e}, nil, log, func(*movelist.Move) { ended++ })
	}
	if err := end(moves.End{Move: id, State: wire.MoveDone, Epoch: 4}); !errors.Is(err, wire.ErrStale) {
		t.Errorf("done under the old epoch: %v", err)
	}
	for range 2 {
		if err := end(moves.End{Move: id, State: wire.MoveDone, Epoch: 5, Bytes: 9, PauseUS: 8}); err != nil || ended != 1 {
			t.Fatalf("%v, ended %d times", err, ended)
		}
	}
	if m := l.All()[0]; m.EndedMS != 7 || m.PauseUS != 8 || l.Ended()[wire.MoveRegion][wire.MoveDone] != 1 || log.Last() != 1 {
		t.Errorf("%+v", m)
	}
	for range 2 {
		if err := l.Drop(id.No); err != nil || len(l.Moves()) != 0 || len(l.All()) != 1 {
			t.Errorf("%v, %+v", err, l.All())
		}
	}
	for i := range wire.RegionNo(movelist.MaxMoves) {
		begin(t, l, i)
	}
	if err := l.Room(); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("room for more than are listed: %v", err)
	}
	for i := range l.Moves() {
		if _, err := l.End(8, moves.End{Move: l.Moves()[i].Req.Move, State: wire.MoveLost}); err != nil {
			t.Fatal(err)
		}
	}
	for len(l.Moves()) > 0 {
		if err := l.Drop(l.Moves()[0].Req.Move.No); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.All()); n != movelist.MaxHistory || l.All()[0].Req.Move.No != 2 {
		t.Errorf("%d are remembered from %d on", n, l.All()[0].Req.Move.No)
	}
	if err := l.CheckInvariants(); err != nil {
		t.Error(err)
	}
	back, err := movelist.Load(wire.GMM, l.Save())
	if err != nil || !reflect.DeepEqual(back.Save(), l.Save()) {
		t.Errorf("restored: %v", err)
	}
}

// TestTakeDown: of a component that drains each thing is said once, and nothing of one that does not.
func TestTakeDown(t *testing.T) {
	log := &events.Log{}
	drains := func(id wire.NodeID) bool { return id == "m1" }
	for _, c := range []struct {
		n    movelist.Note
		last uint64
	}{
		{movelist.Note{Kind: events.Stuck, Node: "m1", Text: "a"}, 1}, {movelist.Note{Kind: events.Stuck, Node: "m1", Text: "a"}, 1},
		{movelist.Note{Kind: events.Stuck, Node: "m1", Text: "b"}, 2}, {movelist.Note{Kind: events.Drained, Node: "m1"}, 3},
		{movelist.Note{Kind: events.Drained, Node: "m1"}, 3}, {movelist.Note{Kind: events.Drained, Node: "m2"}, 3}, {movelist.Note{Kind: events.Rebalanced}, 4},
	} {
		if err := movelist.TakeDown([]movelist.Note{c.n}, 1, log, drains); err != nil || log.Last() != c.last {
			t.Errorf("%+v: event %d, %v; want %d", c.n, log.Last(), err, c.last)
		}
	}
	if err := movelist.TakeDown([]movelist.Note{{Kind: events.Lost}}, 1, log, drains); !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("a note of another kind: %v", err)
	}
}

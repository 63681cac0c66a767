package given

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

type move struct {
	id    wire.MoveID
	state wire.MoveState
}

func (m *move) Status() wire.MoveStatusRep { return wire.MoveStatusRep{Move: m.id, State: m.state} }

// TestEachOrderBeginsOnce: whatever comes again or late, a move is begun once, is not forgotten before it has ended, and after that
// begins no more.
func TestEachOrderBeginsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Book[*move]
		begun, forgotten := map[wire.MoveID]int{}, map[wire.MoveID]bool{}
		moves := map[wire.MoveID]*move{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := wire.MoveID{Manager: wire.Manager(rapid.IntRange(1, 3).Draw(t, "manager")), No: rapid.Uint64Range(1, 6).Draw(t, "no")}
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				err := b.Start(wire.MoveReq{Move: id}, func() (*move, error) {
					begun[id]++
					moves[id] = &move{id, wire.MoveCopying}
					return moves[id], nil
				})
				if forgotten[id] != (err != nil) {
					t.Fatalf("start of %v, forgotten %v: %v", id, forgotten[id], err)
				}
			case 1:
				s, err := b.Status(wire.MoveRef{Move: id})
				if here := begun[id] == 1 && !forgotten[id]; here != (err == nil) || here && s.Move != id {
					t.Fatalf("status of %v: %+v, %v", id, s, err)
				}
			case 2:
				if m := moves[id]; m != nil {
					m.state = wire.MoveDone
				}
			default:
				m := moves[id]
				err := b.Forget(wire.MoveRef{Move: id})
				if busy := m != nil && !m.state.Ended() && !forgotten[id]; busy != (err != nil) {
					t.Fatalf("forget of %v, which is %+v: %v", id, m, err)
				}
				forgotten[id] = forgotten[id] || err == nil
			}
			if begun[id] > 1 {
				t.Fatalf("%v was begun %d times", id, begun[id])
			}
			if err := b.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestTheOldestThatEndedMakesRoom and nothing that is under way does.
func TestTheOldestThatEndedMakesRoom(t *testing.T) {
	var b Book[*move]
	all := []*move{}
	start := func(no uint64) error {
		return b.Start(wire.MoveReq{Move: wire.MoveID{Manager: wire.GMM, No: no}}, func() (*move, error) {
			all = append(all, &move{wire.MoveID{Manager: wire.GMM, No: no}, wire.MoveCopying})
			return all[len(all)-1], nil
		})
	}
	for no := uint64(1); no <= MaxMoves; no++ {
		if err := start(no); err != nil {
			t.Fatal(err)
		}
	}
	if err := start(MaxMoves + 1); wire.KindOf(err) != wire.KindBusy {
		t.Errorf("%v, want busy", err)
	}
	all[7].state = wire.MoveUndone
	if err := start(MaxMoves + 1); err != nil {
		t.Error(err)
	}
	if _, err := b.Find(all[7].id); wire.KindOf(err) != wire.KindNotFound || len(b.All()) != MaxMoves {
		t.Errorf("%v, %d moves are remembered", err, len(b.All()))
	}
}

type renewed struct {
	move
	got []wire.MoveReq
}

func (r *renewed) Renew(req wire.MoveReq) error { r.got = append(r.got, req); return nil }

// TestAnOrderThatComesAgainReachesItsMove if that can take it.
func TestAnOrderThatComesAgainReachesItsMove(t *testing.T) {
	var b Book[Move]
	m := &renewed{}
	for epoch := wire.Epoch(1); epoch <= 3; epoch++ {
		if err := b.Start(wire.MoveReq{Move: wire.MoveID{Manager: wire.GMM, No: 1}, ViaEpoch: epoch}, func() (Move, error) { return m, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.got) != 2 || m.got[0].ViaEpoch != 2 || m.got[1].ViaEpoch != 3 {
		t.Errorf("%+v, want the second and the third order", m.got)
	}
}

package movelist

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

// List is the moves of one manager. Make one with New or Load.
type List struct {
	manager wire.Manager
	last    uint64 // the number given last
	moves   []Move // ascending by number
	history []Move // dropped ones, the one dropped first before the others
	ended   Totals
	changes uint64 // since New or Load; not replicated
}

// Totals counts the moves that have ended, by kind and state.
type Totals [wire.MoveCache + 1][wire.MoveLost + 1]uint64

// Ended returns the totals since the manager's first command.
func (l *List) Ended() Totals { return l.ended }

// New returns an empty list.
func New(g wire.Manager) *List { return &List{manager: g, moves: []Move{}, history: []Move{}} }

// Saved is a list in a snapshot. It shares no slice with the list.
type Saved struct {
	Last    uint64
	Moves   []Move
	History []Move
	Ended   []uint64 // Totals, row by row
}

// Save returns the list for a snapshot; equal lists give equal ones.
func (l *List) Save() Saved {
	v := Saved{Last: l.last, Moves: append([]Move{}, l.moves...), History: append([]Move{}, l.history...), Ended: []uint64{}}
	for _, row := range l.ended {
		v.Ended = append(v.Ended, row[:]...)
	}
	return v
}

// Load makes the list of a snapshot and checks it. It keeps the slices.
func Load(g wire.Manager, v Saved) (*List, error) {
	l := &List{manager: g, last: v.Last, moves: v.Moves, history: v.History}
	const columns = len(l.ended[0])
	if len(v.Ended) != len(l.ended)*columns {
		return nil, fmt.Errorf("movelist: %d totals, want %d", len(v.Ended), len(l.ended)*columns)
	}
	for i, n := range v.Ended {
		l.ended[i/columns][i%columns] = n
	}
	return l, l.CheckInvariants()
}

// Changes counts what changed the list, so that who reads it can tell whether he must read it again.
func (l *List) Changes() uint64 { return l.changes }

// Moves returns the moves that are listed, ascending by number. The caller changes nothing and keeps nothing.
func (l *List) Moves() []Move { return l.moves }

// All returns the moves that are remembered, those of the history before those that are listed. It shares nothing.
func (l *List) All() []Move {
	return append(append(make([]Move, 0, len(l.history)+len(l.moves)), l.history...), l.moves...)
}

// Room says why no move can begin, as an error of wire.KindBusy.
func (l *List) Room() error {
	if len(l.moves) >= MaxMoves || l.last == math.MaxUint64 {
		return wire.Errorf(wire.KindBusy, "%d moves are under way or not forgotten yet, at most %d", len(l.moves), MaxMoves)
	}
	return nil
}

func (l *List) find(no uint64) (int, bool) {
	return slices.BinarySearchFunc(l.moves, no, func(m Move, no uint64) int { return cmp.Compare(m.Req.Move.No, no) })
}

// Moving returns the move under way of a thing, nil if there is none. The caller changes nothing.
func (l *List) Moving(t Thing) *Move {
	return l.first(func(m *Move) bool { return m.Thing() == t })
}

// first returns the first move under way that passes.
func (l *List) first(pass func(*Move) bool) *Move {
	for i := range l.moves {
		if m := &l.moves[i]; !m.Ended() && pass(m) {
			return m
		}
	}
	return nil
}

// MovingOf returns a move under way of a kind of a process or volume, whichever vRegion; nil if there is none.
func (l *List) MovingOf(k wire.MoveKind, pid wire.PID, v wire.VolumeID) *Move {
	return l.first(func(m *Move) bool { return m.Req.Kind == k && m.Req.PID == pid && m.Req.Volume == v })
}

// To returns how many moves to id are under way.
func (l *List) To(id wire.NodeID) (n uint64) {
	for i := range l.moves {
		if m := &l.moves[i]; !m.Ended() && m.Req.To == id {
			n++
		}
	}
	return n
}

// Begin lists a move and gives it a number and the epochs after m.Req.OldEpoch. The caller has asked Room.
func (l *List) Begin(m Move, o Order) *Move {
	l.last++
	l.changes++
	m.Req.Move = wire.MoveID{Manager: l.manager, No: l.last}
	m.Req.Kind, m.Req.PID, m.Req.Region, m.Req.Volume = o.Thing.Kind, o.Thing.PID, o.Thing.Region, o.Thing.Volume
	m.Req.FromMember, m.Req.ToMember = m.FromEpoch, m.ToEpoch
	m.Req.Epoch, m.Req.UndoEpoch, m.Req.TimeoutMS = m.Req.OldEpoch+1, m.Req.OldEpoch+2, o.TimeoutMS
	m.Cause, m.Reason = o.Cause, cut(o.Reason)
	l.moves = append(l.moves, m) // numbers only grow
	return &l.moves[len(l.moves)-1]
}

// Redirect names another home to the moves under way of vRegions of a process. Those of before may be told nothing any more.
func (l *List) Redirect(pid wire.PID, home wire.NodeID, addr string, epoch wire.Epoch) {
	for i := range l.moves {
		if m := &l.moves[i]; !m.Ended() && m.Req.Kind == wire.MoveRegion && m.Req.PID == pid {
			m.Req.Via, m.Req.ViaAddr, m.Req.ViaEpoch = home, addr, epoch
			l.changes++
		}
	}
}

// cut shortens s to MaxReasonBytes, between characters.
func cut(s string) string {
	if len(s) <= MaxReasonBytes {
		return s
	}
	n := MaxReasonBytes
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// End takes down how a move ended. It returns nil if that is known already, or if the move is not listed any more.
func (l *List) End(nowMS int64, e moves.End) (*Move, error) {
	i, ok := l.find(e.Move.No)
	switch {
	case e.Move.Manager != l.manager || e.Move.No > l.last:
		return nil, wire.Errorf(wire.KindNotFound, "move %d of %v, this is %v and the last move was %d", e.Move.No, e.Move.Manager, l.manager, l.last)
	case !e.State.Ended() || e.State > wire.MoveLost || (e.State == wire.MoveLost) != (e.Epoch == 0):
		return nil, wire.Errorf(wire.KindBadRequest, "move %d ends as %v under epoch %d", e.Move.No, e.State, e.Epoch)
	case !ok || l.moves[i].Ended():
		return nil, nil
	}
	m := &l.moves[i]
	r := m.Req
	if e.State == wire.MoveUndone {
		e.Epoch = max(e.Epoch, r.OldEpoch) // a giver that was only looked at may not have heard of it yet
	}
	if e.State == wire.MoveDone && e.Epoch < r.Epoch {
		return nil, wire.Errorf(wire.KindStale, "move %d ends as %v under epoch %d, it began under %d", e.Move.No, e.State, e.Epoch, r.OldEpoch)
	}
	l.changes++
	l.ended[m.Req.Kind][e.State]++
	m.EndedMS, m.State, m.Epoch = nowMS, e.State, e.Epoch
	m.Bytes, m.DurationUS, m.PauseUS, m.Text = e.Bytes, e.DurationUS, e.PauseUS, cut(e.Text)
	return m, nil
}

// Drop puts a move that has ended into the history. One that is not listed is there already, or forgotten.
func (l *List) Drop(no uint64) error {
	i, ok := l.find(no)
	switch {
	case !ok && no <= l.last:
		return nil
	case !ok:
		return wire.Errorf(wire.KindNotFound, "move %d, the last was %d", no, l.last)
	case !l.moves[i].Ended():
		return wire.Errorf(wire.KindBusy, "move %d is under way", no)
	}
	l.changes++
	l.history = append(l.history, l.moves[i])
	if len(l.history) > MaxHistory {
		l.history = slices.Delete(l.history, 0, 1)
	}
	l.moves = slices.Delete(l.moves, i, i+1)
	return nil
}

// CheckInvariants returns the first broken rule of the list.
func (l *List) CheckInvariants() error {
	if len(l.moves) > MaxMoves || len(l.history) > MaxHistory {
		return fmt.Errorf("movelist: %d moves and %d of before, at most %d and %d", len(l.moves), len(l.history), MaxMoves, MaxHistory)
	}
	moving, numbers := map[Thing]bool{}, map[uint64]bool{}
	for _, part := range [][]Move{l.history, l.moves} {
		for i := range part {
			m := &part[i]
			if err := m.check(l.manager); err != nil {
				return fmt.Errorf("movelist: %w", err)
			}
			no := m.Req.Move.No
			if no > l.last || numbers[no] {
				return fmt.Errorf("movelist: move %d is there twice, or above %d, the last", no, l.last)
			}
			numbers[no] = true
		}
	}
	for i := range l.history {
		if !l.history[i].Ended() {
			return fmt.Errorf("movelist: move %d was dropped while it is under way", l.history[i].Req.Move.No)
		}
	}
	for i := range l.moves {
		m := &l.moves[i]
		switch {
		case i > 0 && l.moves[i-1].Req.Move.No >= m.Req.Move.No:
			return fmt.Errorf("movelist: move %d is out of order", m.Req.Move.No)
		case !m.Ended() && moving[m.Thing()]:
			return fmt.Errorf("movelist: %v moves twice at a time", m.Thing())
		case !m.Ended():
			moving[m.Thing()] = true
		}
	}
	return nil
}

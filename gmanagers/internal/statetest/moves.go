package statetest

import (
	"pgregory.net/rapid"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

// Orders draws orders to move things that are there, or nearly, to members that are there, or nearly.
func Orders(t *rapid.T, things []movelist.Thing, members []wire.Member) (out []movelist.Order) {
	for range rapid.IntRange(0, 3).Draw(t, "orders") {
		o := movelist.Order{Cause: movelist.Cause(rapid.Uint8Range(0, 4).Draw(t, "cause")), TimeoutMS: rapid.SampledFrom([]uint32{0, 1, 1, 1, 1000}).Draw(t, "timeout")}
		if n := len(things); n > 0 && rapid.IntRange(0, 9).Draw(t, "a thing") > 0 {
			o.Thing = things[rapid.IntRange(0, n-1).Draw(t, "thing")]
		} else {
			o.Thing = movelist.Thing{Kind: wire.MoveKind(rapid.Uint8Range(0, 6).Draw(t, "kind")), PID: 1, Volume: wire.VolumeID(rapid.Uint32Range(0, 1).Draw(t, "volume"))}
		}
		if rapid.Bool().Draw(t, "to") {
			o.To = Known(t, members).ID
		}
		if rapid.IntRange(0, 3).Draw(t, "from") == 0 {
			o.From = Known(t, members).ID
		}
		out = append(out, o)
	}
	return out
}

// Notes draws what a leader saw of members.
func Notes(t *rapid.T, members []wire.Member) (out []movelist.Note) {
	for range rapid.IntRange(0, 2).Draw(t, "notes") {
		kind := rapid.SampledFrom([]events.Kind{events.Rebalanced, events.Drained, events.Stuck, events.Stuck, events.Lost}).Draw(t, "note")
		out = append(out, movelist.Note{Kind: kind, Node: Known(t, members).ID, Text: rapid.SampledFrom([]string{"this", "that"}).Draw(t, "text")})
	}
	return out
}

// Ends draws how moves of the list ended, and which were forgotten.
func Ends(t *rapid.T, g wire.Manager, list *movelist.List) (ends []moves.End, drops []uint64) {
	all := list.Moves()
	for range rapid.IntRange(0, 3).Draw(t, "ends") {
		e := moves.End{Move: wire.MoveID{Manager: g, No: rapid.Uint64Range(0, 9).Draw(t, "number")}, State: wire.MoveState(rapid.Uint8Range(1, 6).Draw(t, "state")), Epoch: 1}
		if n := len(all); n > 0 && rapid.IntRange(0, 9).Draw(t, "listed") > 0 {
			m := &all[rapid.IntRange(0, n-1).Draw(t, "move")]
			e.Move, e.State = m.Req.Move, rapid.SampledFrom([]wire.MoveState{wire.MoveDone, wire.MoveDone, wire.MoveUndone, wire.MoveLost}).Draw(t, "state")
			e.Epoch = map[wire.MoveState]wire.Epoch{wire.MoveDone: m.Req.Epoch, wire.MoveUndone: m.Req.OldEpoch + wire.Epoch(rapid.SampledFrom([]uint8{0, 2}).Draw(t, "undo"))}[e.State]
			if m.Ended() && rapid.Bool().Draw(t, "drop") {
				drops = append(drops, m.Req.Move.No)
			}
		}
		ends = append(ends, e)
	}
	if rapid.IntRange(0, 3).Draw(t, "any drop") == 0 {
		drops = append(drops, rapid.Uint64Range(0, 9).Draw(t, "drop"))
	}
	return ends, drops
}

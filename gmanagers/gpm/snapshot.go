package gpm

import (
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/codec"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// saved is a snapshot: everything that is replicated, in sorted slices. Its format version is FormatVersion.
type saved struct {
	NextPID   wire.PID
	Members   membership.Saved
	Processes []Process // ascending by PID
	Refused   []Refusal // oldest first
	Sessions  dedup.Saved[Result]
	Turn      wire.NodeID
	Events    []byte // of events.Log.Encode
	Moves     movelist.Saved
	Queue     []Waiting // in the order of their turns
	Settled   []Settled // oldest first
	Settings  admission.Settings
	Room      uint64
	Counts    Counts
	ClockMS   int64
}

// Snapshot returns the state as bytes; equal states give equal bytes.
func (s *State) Snapshot() []byte { return s.Freeze()() }

// Freeze returns what encodes the state as it is now, for a Snapshot while commands go on. What saved shares with the state,
// the slices of processes and of results, is replaced by commands, never changed.
func (s *State) Freeze() (encode func() []byte) {
	v := saved{
		NextPID: s.nextPID, Members: s.members.Save(), Processes: s.Processes(0), Refused: append([]Refusal{}, s.refused...),
		Sessions: s.sessions.Save(), Turn: s.turn, Events: s.events.Encode(), Moves: s.moves.Save(),
		Queue: s.Queue(0), Settled: append([]Settled{}, s.settled...), Settings: s.settings.Sorted(), Room: s.room, Counts: s.counts, ClockMS: s.clockMS,
	}
	return func() []byte { return codec.Encode(FormatVersion, v) }
}

// Restore replaces the state by that of a snapshot. After an error the state is as it was.
func (s *State) Restore(b []byte) error {
	var v saved
	if err := codec.Decode(b, FormatVersion, "gpm snapshot", &v); err != nil {
		return err
	}
	members, err := membership.Load(wire.RoleCompute, v.Members)
	if err != nil {
		return fmt.Errorf("gpm snapshot: %w", err)
	}
	sessions, err := dedup.Load(v.Sessions)
	if err != nil {
		return fmt.Errorf("gpm snapshot: %w", err)
	}
	log, err := events.Decode(v.Events)
	if err != nil {
		return fmt.Errorf("gpm snapshot: %w", err)
	}
	list, err := movelist.Load(wire.GPM, v.Moves)
	if err != nil {
		return fmt.Errorf("gpm snapshot: %w", err)
	}
	n := &State{members: members, nextPID: v.NextPID, processes: v.Processes, refused: v.Refused, used: map[wire.NodeID]used{}, sessions: sessions, events: log, moves: list, turn: v.Turn,
		queue: v.Queue, settled: v.Settled, settings: v.Settings, usage: map[string]admission.Amount{}, room: v.Room, counts: v.Counts, clockMS: v.ClockMS, apart: apart.New()}
	for _, p := range n.processes {
		if p.Phase != admission.Running {
			n.open++
		}
		n.charge(&p)
	}
	n.derive()
	n.set.Index()
	if err := n.CheckInvariants(); err != nil {
		return fmt.Errorf("gpm snapshot: %w", err)
	}
	*s = *n
	return nil
}

// ApplyBytes applies an encoded command and returns the encoded result. It never panics on bytes of others.
func (s *State) ApplyBytes(b []byte) []byte {
	cmd, err := DecodeCommand(b)
	if err != nil {
		return failed(err).Encode()
	}
	return s.Apply(cmd).Encode()
}

// Query answers with the processes, or with events.
func (s *State) Query(q membership.Query) ([]byte, error) {
	switch q.Kind {
	case membership.QueryListing:
		return membership.EncodeAnswer(s.processPage(q)), nil
	case QueryQueue:
		return membership.EncodeAnswer(s.queuePage(q)), nil
	case QueryTicket:
		return membership.EncodeAnswer(s.Ticket(wire.PID(q.ID))), nil
	case membership.QueryEvents:
		return membership.EncodeAnswer(s.events.Page(q.ID, q.Limit)), nil
	case membership.QueryHolds:
		return membership.EncodeAnswer(s.holds(q.Node)), nil
	case membership.QueryMoves:
		return membership.EncodeAnswer(s.moves.Page(q)), nil
	}
	return nil, wire.Errorf(wire.KindBadRequest, "gpm query %d, want %d, %d or %d to %d", q.Kind, membership.QueryEvents, membership.QueryMoves, membership.QueryListing, QueryTicket)
}

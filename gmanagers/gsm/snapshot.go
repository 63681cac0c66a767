package gsm

import (
	"fmt"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/codec"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// saved is a snapshot: everything that is replicated, in sorted slices. Its format version is FormatVersion.
type saved struct {
	Next        uint64
	Members     membership.Saved
	Volumes     []Volume   // ascending by Volume
	Files       []File     // the same
	Asked       []Asked    // ascending by Holder
	Closed      []wire.PID // freed last, oldest first
	Sessions    dedup.Saved[Result]
	StorageTurn wire.NodeID
	CacheTurn   wire.NodeID
	Events      []byte         // of events.Log.Encode
	Untold      []events.Event // of what is prepared, ascending by PID
	Moves       movelist.Saved
	Gates       []Gate            // ascending by ID
	Caches      []membership.Live // ascending by ID
}

// Snapshot returns the state as bytes; equal states give equal bytes.
func (s *State) Snapshot() []byte { return s.Freeze()() }

// Freeze returns what encodes the state as it is now, for a Snapshot while commands go on. What saved shares with the state,
// the slices of volumes and of results, is replaced by commands, never changed.
func (s *State) Freeze() (encode func() []byte) {
	v := saved{
		Next: s.next, Members: s.members.Save(), Volumes: s.Volumes(0), Files: s.Files(), Asked: append([]Asked{}, s.asked...), Closed: append([]wire.PID{}, s.closed...),
		Sessions: s.sessions.Save(), StorageTurn: s.storageTurn, CacheTurn: s.cacheTurn, Events: s.events.Encode(), Untold: s.untold.Save(), Moves: s.moves.Save(), Gates: append([]Gate{}, s.gates...),
		Caches: append([]membership.Live{}, s.caches...),
	}
	return func() []byte { return codec.Encode(FormatVersion, v) }
}

// Restore replaces the state by that of a snapshot. After an error the state is as it was.
func (s *State) Restore(b []byte) error {
	var v saved
	if err := codec.Decode(b, FormatVersion, "gsm snapshot", &v); err != nil {
		return err
	}
	members, err := membership.Load(wire.RoleStorage, v.Members)
	if err != nil {
		return fmt.Errorf("gsm snapshot: %w", err)
	}
	sessions, err := dedup.Load(v.Sessions)
	if err != nil {
		return fmt.Errorf("gsm snapshot: %w", err)
	}
	log, err := events.Decode(v.Events)
	if err != nil {
		return fmt.Errorf("gsm snapshot: %w", err)
	}
	list, err := movelist.Load(wire.GSM, v.Moves)
	if err != nil {
		return fmt.Errorf("gsm snapshot: %w", err)
	}
	n := &State{
		members: members, next: v.Next, volumes: v.Volumes, files: v.Files, asked: v.Asked, closed: v.Closed, sessions: sessions, events: log, untold: events.LoadPending(v.Untold), moves: list, storageTurn: v.StorageTurn, cacheTurn: v.CacheTurn,
		gates: v.Gates, caches: v.Caches,
	}
	n.derive()
	if err := n.CheckInvariants(); err != nil {
		return fmt.Errorf("gsm snapshot: %w", err)
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

// Query answers with the volumes, or with events.
func (s *State) Query(q membership.Query) ([]byte, error) {
	switch q.Kind {
	case membership.QueryListing:
		return membership.EncodeAnswer(s.page(q)), nil
	case membership.QueryEvents:
		return membership.EncodeAnswer(s.events.Page(q.ID, q.Limit)), nil
	case QueryFiles:
		return membership.EncodeAnswer(s.Files()), nil
	case membership.QueryHolds:
		return membership.EncodeAnswer(s.holds(q.Node)), nil
	case membership.QueryMoves:
		return membership.EncodeAnswer(s.moves.Page(q)), nil
	}
	return nil, wire.Errorf(wire.KindBadRequest, "gsm query %d, want %d, %d or %d", q.Kind, membership.QueryEvents, membership.QueryMoves, membership.QueryListing)
}

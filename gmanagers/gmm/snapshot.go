package gmm

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
	RegionBytes uint64
	Members     membership.Saved
	Processes   []Process  // ascending by PID
	Closed      []wire.PID // freed last, oldest first
	Sessions    dedup.Saved[Result]
	HomeTurn    wire.NodeID
	OwnerTurn   wire.NodeID
	Events      []byte         // of events.Log.Encode
	Untold      []events.Event // of what is prepared, ascending by PID
	Moves       movelist.Saved
	Ratio       uint64
	HolderTurn  wire.NodeID
	Failures    []Failure // the last ones, ascending by number
	LastFailure uint64
}

// Snapshot returns the state as bytes; equal states give equal bytes.
func (s *State) Snapshot() []byte { return s.Freeze()() }

// Freeze returns what encodes the state as it is now, for a Snapshot while commands go on. What saved shares with the state,
// the slices of results, is replaced by commands, never changed. 2^20 vRegions are copied in about 30 ms.
func (s *State) Freeze() (encode func() []byte) {
	v := saved{
		RegionBytes: s.regionBytes, Members: s.members.Save(), Processes: s.Processes(0), Closed: append([]wire.PID{}, s.closed...),
		Sessions: s.sessions.Save(), HomeTurn: s.homeTurn, OwnerTurn: s.ownerTurn, Events: s.events.Encode(), Untold: s.untold.Save(), Moves: s.moves.Save(), Ratio: s.ratio,
		HolderTurn: s.holderTurn, Failures: s.Failures(), LastFailure: s.failures.last,
	}
	return func() []byte { return codec.Encode(FormatVersion, v) }
}

// Restore replaces the state by that of a snapshot. After an error the state is as it was.
func (s *State) Restore(b []byte) error {
	var v saved
	if err := codec.Decode(b, FormatVersion, "gmm snapshot", &v); err != nil {
		return err
	}
	members, err := membership.Load(wire.RoleMemory, v.Members)
	if err != nil {
		return fmt.Errorf("gmm snapshot: %w", err)
	}
	sessions, err := dedup.Load(v.Sessions)
	if err != nil {
		return fmt.Errorf("gmm snapshot: %w", err)
	}
	log, err := events.Decode(v.Events)
	if err != nil {
		return fmt.Errorf("gmm snapshot: %w", err)
	}
	list, err := movelist.Load(wire.GMM, v.Moves)
	if err != nil {
		return fmt.Errorf("gmm snapshot: %w", err)
	}
	n := &State{
		members: members, regionBytes: v.RegionBytes, closed: v.Closed, sessions: sessions, events: log, untold: events.LoadPending(v.Untold), moves: list,
		homeTurn: v.HomeTurn, ownerTurn: v.OwnerTurn, ratio: v.Ratio,
		holderTurn: v.HolderTurn, failures: failures{v.LastFailure, v.Failures},
	}
	for i := range v.Processes {
		p := &v.Processes[i]
		n.processes = append(n.processes, p)
		n.regions += p.taken()
		if p.Prepared {
			n.prepared++
		}
	}
	n.derive()
	if err := n.CheckInvariants(); err != nil {
		return fmt.Errorf("gmm snapshot: %w", err)
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

// Query answers with the processes, their homes and vRegions, or with events.
func (s *State) Query(q membership.Query) ([]byte, error) {
	switch q.Kind {
	case membership.QueryListing:
		return membership.EncodeAnswer(s.page(q)), nil
	case membership.QueryEvents:
		return membership.EncodeAnswer(s.events.Page(q.ID, q.Limit)), nil
	case membership.QueryHolds:
		return membership.EncodeAnswer(s.holds(q.Node)), nil
	case membership.QueryMoves:
		return membership.EncodeAnswer(s.moves.Page(q)), nil
	case QueryRatio:
		return membership.EncodeAnswer(Ratio{Overcommit: s.ratio}), nil
	}
	return nil, wire.Errorf(wire.KindBadRequest, "gmm query %d, want %d, %d, %d or %d", q.Kind, membership.QueryEvents, membership.QueryMoves, membership.QueryListing, QueryRatio)
}

package gpm

import (
	"fmt"

	"splitkernel/gmanagers/internal/codec"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// SnapshotVersion is the format version of snapshots. 2 added the turns of round_robin; 1 is still read: nobody had a
// turn then.
const SnapshotVersion uint8 = 2

// saved is a snapshot: everything that is replicated, in sorted slices.
type saved struct {
	NextPID   wire.PID
	Members   []wire.Member // ascending by ID
	Processes []Process     // ascending by PID
	Sessions  dedup.Saved[Result]
	Turn      wire.NodeID
}

// savedV1 is a snapshot of format version 1.
type savedV1 struct {
	NextPID   wire.PID
	Members   []wire.Member
	Processes []Process
	Sessions  dedup.Saved[Result]
}

// Snapshot returns the state as bytes; equal states give equal bytes.
func (s *State) Snapshot() []byte {
	return codec.Encode(SnapshotVersion, saved{
		NextPID: s.nextPID, Members: s.members.Members(), Processes: s.Processes(0), Sessions: s.sessions.Save(),
		Turn: s.turn,
	})
}

func decodeSaved(b []byte) (v saved, err error) {
	if len(b) > 0 && b[0] == 1 {
		var old savedV1
		err = codec.Decode(b, 1, "gpm snapshot", &old)
		return saved{NextPID: old.NextPID, Members: old.Members, Processes: old.Processes, Sessions: old.Sessions}, err
	}
	err = codec.Decode(b, SnapshotVersion, "gpm snapshot", &v)
	return v, err
}

// Restore replaces the state by that of a snapshot. After an error the state is as it was.
func (s *State) Restore(b []byte) error {
	v, err := decodeSaved(b)
	if err != nil {
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
	n := &State{members: members, nextPID: v.NextPID, processes: v.Processes, used: map[wire.NodeID]used{}, sessions: sessions, turn: v.Turn}
	for _, p := range n.processes {
		if members.Current(p.Node, p.NodeEpoch) {
			u := n.used[p.Node]
			n.used[p.Node] = used{u.threads + uint64(p.Threads), u.lines + p.ExCacheLines}
		}
	}
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

// Query answers with the processes.
func (s *State) Query(q membership.Query) ([]byte, error) {
	if q.Kind != membership.QueryListing {
		return nil, wire.Errorf(wire.KindBadRequest, "gpm query %d, want %d", q.Kind, membership.QueryListing)
	}
	return membership.EncodeAnswer(s.Processes(wire.PID(q.ID))), nil
}

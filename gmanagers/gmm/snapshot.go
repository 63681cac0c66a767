package gmm

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
	RegionBytes uint64
	Members     []wire.Member // ascending by ID
	Processes   []Process     // ascending by PID
	Sessions    dedup.Saved[Result]
	HomeTurn    wire.NodeID
	OwnerTurn   wire.NodeID
}

// savedV1 is a snapshot of format version 1.
type savedV1 struct {
	RegionBytes uint64
	Members     []wire.Member
	Processes   []Process
	Sessions    dedup.Saved[Result]
}

// Snapshot returns the state as bytes; equal states give equal bytes.
func (s *State) Snapshot() []byte {
	return codec.Encode(SnapshotVersion, saved{
		RegionBytes: s.regionBytes, Members: s.members.Members(), Processes: s.Processes(0), Sessions: s.sessions.Save(),
		HomeTurn: s.homeTurn, OwnerTurn: s.ownerTurn,
	})
}

func decodeSaved(b []byte) (v saved, err error) {
	if len(b) > 0 && b[0] == 1 {
		var old savedV1
		err = codec.Decode(b, 1, "gmm snapshot", &old)
		return saved{RegionBytes: old.RegionBytes, Members: old.Members, Processes: old.Processes, Sessions: old.Sessions}, err
	}
	err = codec.Decode(b, SnapshotVersion, "gmm snapshot", &v)
	return v, err
}

// Restore replaces the state by that of a snapshot. After an error the state is as it was.
func (s *State) Restore(b []byte) error {
	v, err := decodeSaved(b)
	if err != nil {
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
	n := &State{members: members, regionBytes: v.RegionBytes, owned: map[wire.NodeID]uint64{}, homes: map[wire.NodeID]uint64{}, sessions: sessions, homeTurn: v.HomeTurn, ownerTurn: v.OwnerTurn}
	for i := range v.Processes {
		p := &v.Processes[i]
		n.processes = append(n.processes, p)
		n.regions += len(p.Regions)
		if members.Current(p.Home, p.NodeEpoch) {
			n.homes[p.Home]++
		}
		for _, r := range p.Regions {
			if members.Current(r.Node, r.NodeEpoch) {
				n.owned[r.Node]++
			}
		}
	}
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

// Query answers with the processes, their homes and vRegions.
func (s *State) Query(q membership.Query) ([]byte, error) {
	if q.Kind != membership.QueryListing {
		return nil, wire.Errorf(wire.KindBadRequest, "gmm query %d, want %d", q.Kind, membership.QueryListing)
	}
	return membership.EncodeAnswer(s.Processes(wire.PID(q.ID))), nil
}

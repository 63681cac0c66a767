package gmm

import (
	"fmt"

	"splitkernel/gmanagers/internal/codec"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
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
}

// Snapshot returns the state as bytes; equal states give equal bytes.
func (s *State) Snapshot() []byte {
	return codec.Encode(FormatVersion, saved{
		RegionBytes: s.regionBytes, Members: s.members.Save(), Processes: s.Processes(0), Closed: append([]wire.PID{}, s.closed...),
		Sessions: s.sessions.Save(), HomeTurn: s.homeTurn, OwnerTurn: s.ownerTurn,
	})
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
	n := &State{
		members: members, regionBytes: v.RegionBytes, owned: map[wire.NodeID]uint64{}, homes: map[wire.NodeID]uint64{}, closed: v.Closed, sessions: sessions,
		homeTurn: v.HomeTurn, ownerTurn: v.OwnerTurn,
	}
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
		for _, r := range p.Reserved {
			n.regions += int(r.Regions)
			if members.Current(r.Node, r.NodeEpoch) {
				n.owned[r.Node] += r.Regions
			}
		}
		if p.Prepared {
			n.prepared++
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

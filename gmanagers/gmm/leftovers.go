package gmm

import (
	"fmt"
	"math"
	"slices"

	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// Leftovers returns what an mComponent holds and no vNode has there: homes and vRegions of processes that have none any more, and
// those that are elsewhere under a newer epoch. What moves is left alone. The holdings were told before this state was read, and
// process ids are not used again, so what is unknown here is over.
func (s *State) Leftovers(h wire.HoldingsRep) (out []wire.DropReq) {
	for _, r := range h.Holds.Homes {
		i, ok := s.find(r.PID)
		switch {
		case s.moves.Moving(movelist.Thing{Kind: wire.MoveHome, PID: r.PID}) != nil:
		case !ok:
			out = append(out, wire.DropReq{Kind: wire.MoveHome, PID: r.PID, UpTo: r.Epoch, Member: h.Epoch, Text: "its vNode is gone"})
		case s.processes[i].Home != h.Node && r.Epoch != 0 && r.Epoch < s.processes[i].HomeEpoch:
			out = append(out, wire.DropReq{Kind: wire.MoveHome, PID: r.PID, UpTo: r.Epoch, Member: h.Epoch, Text: "the home is " + string(s.processes[i].Home)})
		}
	}
	for _, r := range h.Holds.Regions {
		i, ok := s.find(r.PID)
		if s.moves.Moving(movelist.Thing{Kind: wire.MoveRegion, PID: r.PID, Region: r.Region}) != nil {
			continue
		}
		q := wire.DropReq{Kind: wire.MoveRegion, PID: r.PID, Region: r.Region, UpTo: r.Epoch, Member: h.Epoch, Text: "its vNode is gone"}
		if !ok {
			out = append(out, q)
			continue
		}
		p := s.processes[i]
		switch j, ok := p.findRegion(r.Region); {
		case !ok:
		case p.Regions[j].Node != h.Node && r.Epoch < p.Regions[j].Epoch:
			q.Text = "its owner is " + string(p.Regions[j].Node)
			out = append(out, q)
		case p.Regions[j].Node == h.Node && p.Regions[j].NodeEpoch == lostInMove && r.Epoch <= p.Regions[j].Epoch && p.Regions[j].Copies == nil && p.Memory.Kind != wire.MemoryNone:
			q.Text, q.Lost = fmt.Sprintf("it is lost, for too few copies of it are left, with replication %v", p.Memory.Kind), true
			out = append(out, q)
		}
	}
	return out
}

// StaleCopies returns what an mComponent holds for others and should not: copies of vRegions, and backups of homes, of vNodes that are gone,
// or of which others are the holders now. While something recovers everything stays where it is.
func (s *State) StaleCopies(h wire.HoldingsRep) (copies []wire.ReplicaRef, backups []wire.HomeBackupReq) {
	for _, r := range h.Holds.Replicas {
		config, stale := s.stale(redundancy.Part{PID: r.PID, Region: r.Region}, h.Node, r.Epoch)
		if stale && r.Config <= config {
			copies = append(copies, wire.ReplicaRef(r))
		}
	}
	for _, r := range h.Holds.Backups {
		if config, stale := s.stale(redundancy.Part{PID: r.PID, Home: true}, h.Node, r.Epoch); stale {
			backups = append(backups, wire.HomeBackupReq{HomeEpoch: r.Epoch, Config: config, Seq: math.MaxUint64, Member: h.Epoch, Gone: true, Copy: wire.HomeCopyReq{PID: r.PID}})
		}
	}
	return copies, backups
}

// stale reports whether a component is no holder of a part any more, under which configuration.
func (s *State) stale(of redundancy.Part, node wire.NodeID, epoch wire.Epoch) (config uint64, is bool) {
	i, ok := s.find(of.PID)
	if !ok {
		return math.MaxUint64, true
	}
	t, ok := s.processes[i].seatOf(of)
	if !ok || epoch > *t.epoch {
		return 0, false // it is lost, or on its way
	}
	c := *t.copies
	holds := slices.ContainsFunc(c.Holders, func(h Holder) bool { return h.Node == node })
	return c.Config, !c.Recovering && c.Known && *t.node != node && !holds && s.moves.Moving(t.thing()) == nil
}

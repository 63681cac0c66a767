package gmm

import (
	"splitkernel/gmanagers/movelist"
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
		if j, ok := p.findRegion(r.Region); ok && p.Regions[j].Node != h.Node && r.Epoch < p.Regions[j].Epoch {
			q.Text = "its owner is " + string(p.Regions[j].Node)
			out = append(out, q)
		}
	}
	return out
}

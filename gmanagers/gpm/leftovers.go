package gpm

import (
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// Leftovers returns the processes that a pComponent runs and that no vNode has there: those of vNodes that are gone, and those
// that are elsewhere under a newer epoch. What moves is left alone. The holdings were told before this state was read, and
// process ids are not used again, so what is unknown here is over.
func (s *State) Leftovers(h wire.HoldingsRep) (out []wire.DropReq) {
	for _, r := range h.Holds.Processes {
		i, ok := s.find(r.PID)
		q := wire.DropReq{Kind: wire.MoveProcess, PID: r.PID, UpTo: r.Epoch, Member: h.Epoch, Text: "its vNode is gone"}
		switch {
		case s.moves.Moving(movelist.Thing{Kind: wire.MoveProcess, PID: r.PID}) != nil:
		case !ok && r.PID < s.nextPID:
			out = append(out, q)
		case ok && s.processes[i].Node != h.Node && r.Epoch < s.processes[i].Epoch:
			q.Text = "it runs at " + string(s.processes[i].Node)
			out = append(out, q)
		}
	}
	return out
}

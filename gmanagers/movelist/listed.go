package movelist

import (
	"slices"

	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

// Cached reports whether moves of buffer caches are listed, whose ends another manager registers.
func Cached(list []Move) bool {
	return slices.ContainsFunc(list, func(m Move) bool { return m.Req.Kind == wire.MoveCache })
}

// Unknown reports whether an end of the move of a buffer cache is not among the mComponents.
func Unknown(list []Move, mcomponents []membership.Entry) bool {
	known := index(mcomponents)
	return slices.ContainsFunc(list, func(m Move) bool {
		_, from := known[m.From]
		_, to := known[m.Req.To]
		return m.Req.Kind == wire.MoveCache && (!from || !to)
	})
}

// Listed gives moves as a moves.Mover wants them: with what the members are now. Of buffer caches the mComponents count.
func Listed(list []Move, members, mcomponents []membership.Entry) (out []moves.Listed) {
	own, caches := index(members), index(mcomponents)
	for i := range list {
		m, known := &list[i], own
		if m.Req.Kind == wire.MoveCache {
			known = caches
		}
		out = append(out, moves.Listed{
			Req: m.Req, Giver: m.party(known, m.From, m.FromAddr, m.FromEpoch), Taker: m.party(known, m.Req.To, m.Req.ToAddr, m.ToEpoch), Ended: m.Ended(),
		})
	}
	return out
}

func index(entries []membership.Entry) map[wire.NodeID]membership.Entry {
	out := make(map[wire.NodeID]membership.Entry, len(entries))
	for _, e := range entries {
		out[e.Member.ID] = e
	}
	return out
}

// party gives one end of a move as it is now. What an sComponent stores outlives it, so only its removal is for good.
func (m *Move) party(known map[wire.NodeID]membership.Entry, id wire.NodeID, addr string, epoch wire.Epoch) moves.Party {
	e, ok := known[id]
	if !ok {
		return moves.Party{Node: id, Addr: addr, Epoch: epoch, Then: epoch, Gone: true}
	}
	return moves.Party{Node: id, Addr: e.Member.Addr, Epoch: e.Member.Epoch, Then: epoch, Gone: e.Dead && m.Req.Kind != wire.MoveVolume}
}

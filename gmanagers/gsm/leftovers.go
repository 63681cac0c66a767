package gsm

import (
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// Leftovers returns the volumes and buffer caches that a component has and no vNode: those of volumes that are gone, and copies of
// volumes that are elsewhere under a newer epoch. What moves or was lost is left alone, as are volumes of ids that this manager has
// not given yet, which are not its own. The holdings were told before this state was read, and ids are not used again, so what is
// unknown here is over.
func (s *State) Leftovers(h wire.HoldingsRep) (out []wire.DropReq) {
	moves := func(id wire.VolumeID) bool {
		return s.moves.Moving(movelist.Thing{Kind: wire.MoveVolume, Volume: id}) != nil || s.moves.Moving(movelist.Thing{Kind: wire.MoveCache, Volume: id}) != nil
	}
	for _, r := range h.Holds.Caches {
		if _, ok := s.find(r.Volume); !ok && uint64(r.Volume) < s.next && !moves(r.Volume) {
			out = append(out, wire.DropReq{Kind: wire.MoveCache, Volume: r.Volume, UpTo: r.Epoch, Member: h.Epoch, Text: "its volume is gone"})
		}
	}
	for _, r := range h.Holds.Volumes {
		i, ok := s.find(r.Volume)
		q := wire.DropReq{Kind: wire.MoveVolume, Volume: r.Volume, UpTo: r.Epoch, Member: h.Epoch, Text: "its vNode is gone"}
		switch {
		case uint64(r.Volume) >= s.next || moves(r.Volume):
		case s.filedAt(r.Volume, h.Node):
		case !ok:
			out = append(out, q)
		case s.volumes[i].Copies.Replicated():
			// A copy that has left keeps what it had: it is dropped whatever its epoch, for it is not in the books under any.
			if s.volumes[i].Lost == 0 && !s.volumes[i].StoredAt(h.Node) {
				q.Text = "its copies are elsewhere"
				out = append(out, q)
			}
		case s.volumes[i].Lost == 0 && s.volumes[i].Storage != h.Node && r.Epoch < s.volumes[i].Epoch:
			q.Text = "it is stored at " + string(s.volumes[i].Storage)
			out = append(out, q)
		}
	}
	return out
}

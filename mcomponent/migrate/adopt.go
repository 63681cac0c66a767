package migrate

import "splitkernel/netlayer/wire"

// AdoptEpoch is the epoch under which a taker serves what a giver left that is gone: newer than those that the giver may use,
// should it live on where the managers do not see it.
func AdoptEpoch(req wire.MoveReq) wire.Epoch { return req.UndoEpoch + 1 }

// Adopting begins the adoption of what came by a move whose giver is gone: in is what came, if it is complete, and is kept until Adopted
// or Drop. If it is not, or nothing came, in is what is to be dropped, or nil, and err says so.
//
// The home decides then, by RegionSwitchReq.If: only a giver that had everything acknowledged as complete told the home of Epoch, and
// after that it cannot serve again but under UndoEpoch, of which the home hears first.
func (t *Taker) Adopting(id wire.MoveID) (in *Incoming, err error) {
	if in = t.find(id); in != nil && in.Complete {
		in.adopted = true
		return in, nil
	}
	err = t.unknown(id)
	if in != nil {
		err = wire.Errorf(wire.KindFailed, "what came to %s by move %d of %v is not complete", t.self, id.No, id.Manager)
	}
	return t.Drop(id), err
}

// Adopted says that the home and the client know that this taker serves. in is nil if it was served or dropped since.
func (t *Taker) Adopted(id wire.MoveID) (in *Incoming) {
	if in = t.find(id); in != nil {
		t.remove(in, served)
	}
	return in
}

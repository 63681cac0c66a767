package replay

import (
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/handover"
)

// The cores of moves have a tape if the pComponent is recorded. Records are made under the lock of the core: outgoing.mu,
// incoming.mu.

func (h *Host) giverCore(r wire.MoveReq) *handover.TapedGiver {
	head := handover.GiverHead{Node: h.comp.ID(), Options: h.o, Req: r, Now: h.clock()}
	t := &handover.TapedGiver{Giver: head.New()}
	t.Record(h.comp.Recorder(), t.Giver, handover.GiverTapeKind, &head)
	return t
}

func (h *Host) takerCore(r *wire.ProcessCopyReq) *handover.TapedTaker {
	head := handover.TakerHead{Node: h.comp.ID(), Options: h.o, Move: r.Move, PID: r.PID, Epoch: r.Epoch, Now: h.clock()}
	t := &handover.TapedTaker{Taker: head.New()}
	t.Record(h.comp.Recorder(), t.Taker, handover.TakerTapeKind, &head)
	return t
}

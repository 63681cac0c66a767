package replay

import (
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/handover"
)

// The cores of moves have a tape if the pComponent is recorded. Records are made under the lock of the core: outgoing.mu,
// incoming.mu.

func (h *Host) record(t interface{ Record(tape.Tape) }, kind string, head any) {
	if r := h.comp.Recorder(); r != nil {
		t.Record(r.Open(kind, wire.Marshal(head)))
	}
}

func (h *Host) giverCore(r wire.MoveReq) *handover.TapedGiver {
	head := handover.GiverHead{Node: h.comp.ID(), Options: h.o, Req: r, Now: h.clock()}
	t := &handover.TapedGiver{Giver: head.New()}
	h.record(t, handover.GiverTapeKind, &head)
	return t
}

func (h *Host) takerCore(r *wire.ProcessCopyReq) *handover.TapedTaker {
	head := handover.TakerHead{Node: h.comp.ID(), Options: h.o, Move: r.Move, PID: r.PID, Epoch: r.Epoch, Now: h.clock()}
	t := &handover.TapedTaker{Taker: head.New()}
	h.record(t, handover.TakerTapeKind, &head)
	return t
}

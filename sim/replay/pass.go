package replay

import (
	"slices"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/handover"
)

// passing is where the place of a process went that was not running here: whoever starts it here under an older epoch is told.
type passing struct {
	pid   wire.PID
	to    wire.NodeID
	epoch wire.Epoch
}

// Registered says under which epoch the managers have the pComponent now.
func (h *Host) Registered(epoch wire.Epoch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.member = epoch
}

// Fence fails every process here, because the managers gave up what the pComponent held under its epoch.
func (h *Host) Fence(why string) {
	h.Registered(0)
	h.comp.Fence(why)
}

// pass gives the place of a process away that has not begun here, or has ended, and ends the move with it: there is nothing to
// send. The result of one that has ended is still told here. h.mu is held.
func (h *Host) pass(r wire.MoveReq) error {
	for _, in := range h.in { // the order does not show
		if in.pid() == r.PID && !in.over() {
			return wire.Errorf(wire.KindBusy, "process %d is on its way here: retry", r.PID)
		}
	}
	switch {
	case r.FromMember == 0 || h.member > r.FromMember:
		return wire.Errorf(wire.KindNotFound, "process %d does not run at %s, and may have been lost", r.PID, h.comp.ID())
	case h.member != r.FromMember:
		return wire.Errorf(wire.KindBusy, "%s has not heard of epoch %d of its membership: retry", h.comp.ID(), r.FromMember)
	}
	h.passed = slices.DeleteFunc(h.passed, func(p passing) bool { return p.pid == r.PID })
	if len(h.passed) >= MaxJobs {
		h.passed = slices.Delete(h.passed, 0, 1)
	}
	h.passed = append(h.passed, passing{r.PID, r.To, r.Epoch})
	h.out[r.Move] = &outgoing{h: h, req: r, g: &handover.TapedGiver{Giver: handover.Passed(h.o, r, h.clock())}}
	h.outEnded(r.Move)
	h.log.Info("the place of a process that does not run has moved", "pid", r.PID, "to", r.To, "epoch", r.Epoch)
	return nil
}

// elsewhere says where the place of a process went that is to be started under epoch; nil if nobody took it away. h.mu is held.
func (h *Host) elsewhere(pid wire.PID, epoch wire.Epoch) error {
	if i := slices.IndexFunc(h.passed, func(p passing) bool { return p.pid == pid && epoch < p.epoch }); i >= 0 {
		return wire.Errorf(wire.KindNotOwner, "the place of process %d moved to %s under epoch %d before it was started", pid, h.passed[i].to, h.passed[i].epoch)
	}
	return nil
}

// outEnded remembers a move away from here that has ended, and forgets the oldest if they are too many. h.mu is held.
func (h *Host) outEnded(id wire.MoveID) {
	h.outDone = append(h.outDone, id)
	if len(h.outDone) > MaxMoves {
		delete(h.out, h.outDone[0])
		h.outDone = h.outDone[1:]
	}
}

package replay

import "splitkernel/netlayer/wire"

// discard ends a process that no vNode has here by the books of GPM, if it runs under an epoch up to that of the request.
func (h *Host) discard(q wire.DropReq) error {
	if q.Kind != wire.MoveProcess {
		return wire.Errorf(wire.KindBadRequest, "%s is a pComponent and has no %v", h.comp.ID(), q.Kind)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	j := h.jobs[q.PID]
	switch {
	case j == nil || j.gone():
		return nil
	case j.epoch > q.UpTo:
		return wire.Errorf(wire.KindStale, "process %d runs under epoch %d, newer than %d", q.PID, j.epoch, q.UpTo)
	case h.moving(q.PID) != nil:
		return wire.Errorf(wire.KindBusy, "process %d is moving", q.PID)
	}
	j.stop(wire.Errorf(wire.KindFailed, "%s", q.Text))
	return nil
}

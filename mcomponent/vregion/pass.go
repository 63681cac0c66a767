package vregion

import "splitkernel/netlayer/wire"

// registration is the epoch under which the managers have this mComponent. What they granted under an older one is lost to it,
// whether it heard of the grant before or hears of it now; what they grant under a newer one waits until it knows of that.
type registration struct {
	now  wire.Epoch // 0: none that counts
	past wire.Epoch // the newest that is over
}

func (r *registration) begin(e wire.Epoch) {
	if e > r.past {
		r.now, r.past = e, e-1
	}
}

func (r *registration) end() {
	r.now, r.past = 0, max(r.past, r.now)
}

// over reports whether what was granted under an epoch is lost to this mComponent.
func (r *registration) over(epoch wire.Epoch) bool { return epoch != 0 && epoch <= r.past }

// granted checks a grant under epoch; 0 is not known and passes.
func (r *registration) granted(what string, pid wire.PID, self wire.NodeID, epoch wire.Epoch) error {
	switch {
	case epoch == 0 || epoch == r.now:
		return nil
	case r.over(epoch):
		return wire.Errorf(wire.KindFailed, "%s of process %d was given to %s under epoch %d of its membership, which is over: it is lost", what, pid, self, epoch)
	}
	return wire.Errorf(wire.KindBusy, "%s of process %d was given to %s under epoch %d of its membership, of which it has not heard: retry", what, pid, self, epoch)
}

// absent reports what it means that something that the managers have here under epoch is not here: nil if it cannot have been lost.
func (r *registration) absent(what string, pid wire.PID, self wire.NodeID, epoch wire.Epoch) error {
	if epoch == 0 || epoch <= r.past {
		return wire.Errorf(wire.KindNotOwner, "%s of process %d is not at %s, and may have been lost", what, pid, self)
	}
	return r.granted(what, pid, self, epoch)
}

// Registered says under which epoch the managers have this mComponent now.
func (o *Owners) Registered(e wire.Epoch) { o.member.begin(e) }

// Registered says under which epoch the managers have this mComponent now.
func (h *Home) Registered(e wire.Epoch) { h.member.begin(e) }

// Pass gives a vRegion away of which nothing is here, because no process uses it yet, or any more: whoever comes for it under
// an epoch below that of the move is turned away from now on. It is an error if it is here, or may have been lost.
func (o *Owners) Pass(req wire.MoveReq) error {
	if _, ok := o.index.Get(uint64(req.PID), uint64(req.Region)); ok {
		return wire.Errorf(wire.KindBusy, "%s has vRegion %d of process %d: retry", o.self, req.Region, req.PID)
	}
	if err := o.fenced(req.PID, req.Region); err != nil {
		return err
	}
	if err := o.gone(req.PID, req.Region, req.Epoch); err != nil {
		return err
	}
	if err := o.member.absent("a vRegion", req.PID, o.self, req.FromMember); err != nil {
		return err
	}
	o.away.bury(awayKey{req.PID, req.Region}, away{to: req.To, epoch: req.Epoch})
	return nil
}

// Absent reports whether nothing of a vRegion is here, not even on its way.
func (o *Owners) Absent(pid wire.PID, region wire.RegionNo) bool {
	_, ok := o.index.Get(uint64(pid), uint64(region))
	return !ok
}

// Pass gives the home of a process away that does not live here yet, or any more: whoever opens it as the home under an epoch below
// that of the move is turned away from now on. It is an error if the process is here, or may have been lost.
func (h *Home) Pass(self wire.NodeID, req wire.MoveReq) error {
	if !h.Absent(req.PID) {
		return wire.Errorf(wire.KindBusy, "process %d is at home at %s, or on its way: retry", req.PID, self)
	}
	if a, ok := h.away.stones[req.PID]; ok && req.Epoch < a.epoch {
		return h.elsewhere(req.PID)
	}
	if err := h.member.absent("the home", req.PID, self, req.FromMember); err != nil {
		return err
	}
	h.away.bury(req.PID, awayHome{to: req.To, epoch: req.Epoch, empty: true})
	return nil
}

// Absent reports whether no process of this id lives here or is on its way.
func (h *Home) Absent(pid wire.PID) bool {
	_, arriving := h.arriving[pid]
	return h.procs[pid] == nil && !arriving
}

// awayHome says where the home of a process went.
type awayHome struct {
	to    wire.NodeID
	epoch wire.Epoch // under which it is the home
	empty bool       // nothing was here that could go along
}

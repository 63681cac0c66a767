package vregion

import "splitkernel/netlayer/wire"

// Drop forgets the home of a process that is elsewhere or gone, if it is known here under an epoch up to upTo. Its owners are not
// told: what they hold is theirs to drop. Whoever opens it here under such an epoch is turned away from now on, as are those whose answers wait for the backup.
func (h *Home) Drop(pid wire.PID, upTo wire.Epoch, out []Effect) ([]Effect, error) {
	p := h.procs[pid]
	switch {
	case p == nil:
		return out, nil
	case p.homeEpoch > upTo:
		return out, wire.Errorf(wire.KindStale, "this is the home of process %d under epoch %d, newer than %d", pid, p.homeEpoch, upTo)
	case p.frozen && !p.lost || len(p.ops) > 0:
		return out, wire.Errorf(wire.KindBusy, "the home of process %d moves, or its memory map is being changed: retry", pid)
	}
	h.drop(p)
	for _, r := range p.replies {
		out = h.refuse(r.e.Call, wire.Errorf(wire.KindNotOwner, "the home of process %d is another mComponent, or is gone", pid), out)
	}
	p.replies = nil
	h.away.bury(pid, awayHome{to: "another mComponent, or is gone", epoch: upTo + 1, empty: true})
	return out, nil
}

// Drop stops serving a vRegion that is elsewhere or gone, if it is known here under an epoch up to upTo, and gives its slot, whose
// pages must be freed before Release; ok is false if it is not here. Late requests under such an epoch are turned away.
func (o *Owners) Drop(pid wire.PID, region wire.RegionNo, upTo wire.Epoch) (slot uint32, ok bool, err error) {
	slot, ok = o.index.Get(uint64(pid), uint64(region))
	if !ok || o.slots[slot].life == holding {
		return 0, false, nil
	}
	r := &o.slots[slot]
	switch {
	case r.epoch > upTo:
		return 0, false, wire.Errorf(wire.KindStale, "%s owns vRegion %d of process %d under epoch %d, newer than %d", o.self, region, pid, r.epoch, upTo)
	case r.life != serving && r.life != lost && r.life != reviving:
		return 0, false, wire.Errorf(wire.KindBusy, "vRegion %d of process %d is on its way at %s: retry", region, pid, o.self)
	}
	o.index.Delete(uint64(pid), uint64(region))
	o.mapped -= r.tree.Bytes()
	r.tree, r.used = Tree{}, false
	o.away.bury(awayKey{pid, region}, away{to: "another mComponent, or is gone", epoch: upTo + 1})
	return slot, true, nil
}

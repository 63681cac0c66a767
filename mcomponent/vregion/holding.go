package vregion

import "splitkernel/netlayer/wire"

// Hold takes a slot for what this mComponent holds of a vRegion that owner serves under epoch (package replica). Nobody is served from it.
func (o *Owners) Hold(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, owner wire.NodeID) (uint32, error) {
	slot, err := o.Arrive(pid, region, epoch, owner)
	if err == nil {
		o.slots[slot].life = holding
	}
	return slot, err
}

// Recover takes a vRegion in whose owner is lost, to be served under epoch. What is held of it is its begin. Until Serve it is refused as busy.
func (o *Owners) Recover(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, from wire.NodeID) (uint32, error) {
	slot, ok := o.index.Get(uint64(pid), uint64(region))
	if !ok || o.slots[slot].life != holding {
		slot, err := o.Arrive(pid, region, epoch, from)
		if err == nil {
			o.slots[slot].life = reviving
		}
		return slot, err
	}
	r := &o.slots[slot]
	if epoch < r.epoch {
		return 0, wire.Errorf(wire.KindStale, "%s holds vRegion %d of process %d of an owner under epoch %d, newer than %d", o.self, region, pid, r.epoch, epoch)
	}
	r.life, r.epoch, r.other = reviving, epoch, from
	return slot, nil
}

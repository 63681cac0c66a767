package volume

import "splitkernel/netlayer/wire"

// rebooted is the boot id of no machine: a buffer cache that was attached under it must attach again.
var rebooted = BootID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Leave puts into end what must move with the blocks: the mark above all, so that writes which a buffer cache loses later are
// missed at the new place as they would have been here.
func (v *Volume) Leave(end *wire.VolumeCopyEndReq) {
	end.Open, end.Synced, end.Failure, end.Rebooted = v.meta.Open, v.synced, v.meta.Failure, v.meta.Boot != v.boot
}

// Arrive makes the core of a volume that came from another sComponent with all its blocks, which are durable here.
func Arrive(open wire.VolumeCopyOpenReq, end wire.VolumeCopyEndReq, boot BootID) *Volume {
	m := Meta{ID: open.Volume, Name: open.Name, SizeBytes: open.SizeBytes, Epoch: open.Epoch, Open: end.Open, Failure: end.Failure[:min(len(end.Failure), maxFailure)], Boot: boot}
	if end.Rebooted {
		m.Boot = rebooted
	}
	v := New(m, boot)
	v.synced = end.Synced
	return v
}

// Arrived says that a volume that came begins to serve. If the machine was restarted since it came, nothing is lost by that:
// what came was durable, and nothing was written.
func (v *Volume) Arrived() Persist {
	if v.meta.Boot == v.boot || v.meta.Boot == rebooted {
		return Nothing
	}
	v.meta.Boot = v.boot
	return Synced
}

// Raise sets the epoch after a move that was undone. The buffer cache is the same, and so are its marks and versions.
func (v *Volume) Raise(e wire.Epoch) Persist {
	if e <= v.meta.Epoch {
		return Nothing
	}
	v.meta.Epoch = e
	return Synced
}

// CheckSize checks name and size of a volume that comes.
func CheckSize(req wire.VolumeCopyOpenReq) error {
	if err := checkName(req.Name); err != nil {
		return err
	}
	if req.SizeBytes == 0 || req.SizeBytes > MaxSize || req.SizeBytes%wire.PageSize != 0 {
		return wire.Errorf(wire.KindBadRequest, "volume %d: size of %d bytes, want a multiple of %d up to %d", req.Volume, req.SizeBytes, wire.PageSize, uint64(MaxSize))
	}
	return nil
}

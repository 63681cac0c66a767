package volume

import "splitkernel/netlayer/wire"

// A volume that is one of several copies is used by a buffer cache that knows them all (package replica). It begins with a
// CopyAttach, which fences older buffer caches; versions of blocks are durable, so nothing about them is kept here. Marks and
// flushes come as to any volume, but are made durable, and what a mark means is for the buffer cache to say, which asks several copies.

// IsCopy reports whether the volume is one of several copies.
func (v *Volume) IsCopy() bool { return v.meta.Config > 0 }

// one refuses a request of a volume that has one copy.
func (v *Volume) one() error {
	if v.meta.Config == 0 {
		return nil
	}
	return wire.Errorf(wire.KindBadRequest, "volume %d (%s) here is one of several copies: it is used by storage_attach and replica_block_read and _write", v.meta.ID, v.meta.Name)
}

// CopyAttach begins the service of a buffer cache, or goes on with it after a restart. The answer holds even if err is nil because
// nothing changed.
func (v *Volume) CopyAttach(req wire.StorageAttachReq) (rep wire.StorageAttachRep, p Persist, err error) {
	m := &v.meta
	switch {
	case req.Config == 0 || req.Instance == 0:
		return rep, Nothing, wire.Errorf(wire.KindBadRequest, "volume %d (%s): storage_attach under configuration %d by instance %d, want both above 0", m.ID, m.Name, req.Config, req.Instance)
	case req.Epoch < m.Epoch:
		return rep, Nothing, wire.Errorf(wire.KindStale, "volume %d (%s): epoch %d, want at least %d", m.ID, m.Name, req.Epoch, m.Epoch)
	case req.Epoch == m.Epoch && m.Instance > 0 && m.Instance != req.Instance:
		return rep, Nothing, wire.Errorf(wire.KindStale, "volume %d (%s): another buffer cache has it under epoch %d: a new one needs a new epoch", m.ID, m.Name, m.Epoch)
	case req.Config < m.Config: // configurations only grow, whatever the epoch
		return rep, Nothing, wire.Errorf(wire.KindStale, "volume %d (%s): configuration %d, want at least %d", m.ID, m.Name, req.Config, m.Config)
	case req.SizeBytes > m.SizeBytes:
		return rep, Nothing, wire.Errorf(wire.KindBadRequest, "volume %d (%s): attached as %d bytes, its size is %d", m.ID, m.Name, req.SizeBytes, m.SizeBytes)
	}
	was := *m
	if m.Config == 0 {
		m.OpenEpoch = m.Epoch // its marks were those of the only copy
	}
	if m.Boot != v.boot {
		m.Lossy, m.Boot = true, v.boot
	}
	m.Epoch, m.Config, m.Instance = req.Epoch, req.Config, req.Instance
	if *m != was {
		p = Synced
	}
	rep = wire.StorageAttachRep{Open: m.Open, SyncedEpoch: m.SyncedEpoch, Synced: m.Synced, Rebooted: m.Lossy, Failure: m.Failure}
	if m.Open > 0 {
		rep.OpenEpoch = m.OpenEpoch
	}
	return rep, p, nil
}

// enterCopy checks the epoch of a request. Only an attach brings a new one.
func (v *Volume) enterCopy(e wire.Epoch) error {
	m := &v.meta
	switch {
	case m.Instance == 0 || e > m.Epoch:
		return wire.Errorf(wire.KindNotOwner, "volume %d (%s): a request under epoch %d, it was attached under %d: attach first", m.ID, m.Name, e, m.Epoch)
	case e < m.Epoch:
		return wire.Errorf(wire.KindStale, "volume %d (%s): epoch %d, want at least %d", m.ID, m.Name, e, m.Epoch)
	case m.Failure != "":
		return v.failed()
	case m.Boot != v.boot:
		return wire.Errorf(wire.KindNotOwner, "volume %d (%s): the machine of its sComponent was restarted: attach again", m.ID, m.Name)
	}
	return nil
}

// CopyRead admits the reading of a block, or of versions of Count blocks; n is how many there are.
func (v *Volume) CopyRead(k wire.ReplicaBlock) (n uint64, err error) {
	if err := v.enterCopy(k.Epoch); err != nil {
		return 0, err
	}
	blocks := v.meta.SizeBytes / wire.PageSize
	if k.Block >= blocks {
		return 0, wire.Errorf(wire.KindBadRequest, "volume %d (%s): block %d, it has %d", v.meta.ID, v.meta.Name, k.Block, blocks)
	}
	return min(uint64(k.Count), blocks-k.Block), nil
}

// CopyWrite admits a write over what is there: known says that its version is. It is not applied if what is there is newer, or
// has the same version and is not to be repaired.
func (v *Volume) CopyWrite(k wire.ReplicaBlock, there wire.BlockVersion, known bool) (apply bool, err error) {
	if _, err := v.CopyRead(k); err != nil {
		return false, err
	}
	if k.Version.Epoch > k.Epoch {
		return false, wire.Errorf(wire.KindBadRequest, "volume %d (%s): a version of epoch %d written under epoch %d", v.meta.ID, v.meta.Name, k.Version.Epoch, k.Epoch)
	}
	return !known || there.Less(k.Version) || there == k.Version && k.Flags&wire.ReplicaRepair != 0, nil
}

// markCopy notes a generation of unflushed writes. It is made durable: those who attach ask only some of the copies, whose machines
// may have been restarted.
func (v *Volume) markCopy(k wire.Block) (Persist, error) {
	if err := v.enterCopy(k.VolumeEpoch); err != nil {
		return Nothing, err
	}
	m := &v.meta
	mark := wire.BlockVersion{Epoch: k.VolumeEpoch, No: k.Version}
	if m.Open > 0 && !(wire.BlockVersion{Epoch: m.OpenEpoch, No: m.Open}).Less(mark) || !(wire.BlockVersion{Epoch: m.SyncedEpoch, No: m.Synced}).Less(mark) {
		return Nothing, nil
	}
	m.Open, m.OpenEpoch = k.Version, k.VolumeEpoch
	return Synced, nil
}

// flushedCopy notes that a generation is complete. The buffer cache sends flushes only to copies that have everything.
func (v *Volume) flushedCopy(k wire.Block) Persist {
	m := &v.meta
	was := *m
	done := wire.BlockVersion{Epoch: k.VolumeEpoch, No: k.Version}
	if (wire.BlockVersion{Epoch: m.SyncedEpoch, No: m.Synced}).Less(done) {
		m.Synced, m.SyncedEpoch = k.Version, k.VolumeEpoch
	}
	if m.Open > 0 && !done.Less(wire.BlockVersion{Epoch: m.OpenEpoch, No: m.Open}) {
		m.Open, m.OpenEpoch = 0, 0
	}
	if m.Lossy = false; *m == was {
		return Nothing
	}
	return Synced
}

package scomponent

import (
	"fmt"
	"sync"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/volume"
)

// copyAttach has a copy of a volume serve a buffer cache.
func (v *vol) copyAttach(req wire.StorageAttachReq) (rep wire.StorageAttachRep, err error) {
	v.gate.Lock()
	defer v.gate.Unlock()
	if err := v.usable(); err != nil {
		return rep, err
	}
	v.st.Lock()
	defer v.st.Unlock()
	if v.give != nil {
		return rep, v.moving(v.give.req.To)
	}
	rep, p, err := v.core.CopyAttach(req)
	return rep, v.persist(p, err)
}

// copyEnter takes the gate for a request to a copy; n is how many blocks it may look at from its first one on.
func (v *vol) copyEnter(k wire.ReplicaBlock) (n uint64, err error) {
	v.gate.RLock()
	if err = v.usable(); err == nil {
		v.st.Lock()
		v.count(wire.Block{Length: wire.PageSize})
		n, err = v.core.CopyRead(k)
		v.st.Unlock()
	}
	if err != nil {
		v.gate.RUnlock()
	}
	return n, err
}

// blockRoom is room for a block and its entry.
type blockRoom struct {
	entry [volume.EntryLen]byte
	page  [wire.PageSize]byte
	got   [wire.SectorsPerPage]uint32
}

var blockRooms = sync.Pool{New: func() any { return new(blockRoom) }}

// look reads what is stored of a block, with its bytes if they are to be verified. The lock of the block is held.
func (v *vol) look(block uint64, verify bool, r *blockRoom) (c wire.BlockCopy, err error) {
	if _, err := v.sums.ReadAt(r.entry[:], volume.EntryOffset(block)); err != nil {
		return c, v.ioError(fmt.Sprintf("read of the entry of block %d", block), err)
	}
	e, ok := volume.ParseEntry(r.entry[:])
	if !ok {
		return wire.BlockCopy{State: wire.CopyUnknown}, nil
	}
	c = wire.BlockCopy{Version: e.Version, Sum: wire.JoinSectors(e.Sums[:]), State: wire.CopyGood}
	if !verify {
		return c, nil
	}
	if _, err := v.img.ReadAt(r.page[:], int64(block*wire.PageSize)); err != nil {
		return c, v.ioError(fmt.Sprintf("read of block %d", block), err)
	}
	if wire.SectorChecksums(r.got[:], r.page[:]); r.got != e.Sums {
		c.State = wire.CopyCorrupt
	}
	return c, nil
}

// copyRead tells what is here of a block, and brings it if that is asked for and its bytes fit their checksums.
func (c *Component) copyRead(v *vol, k wire.ReplicaBlock, rep *netlayer.Reply) error {
	if _, err := v.copyEnter(k); err != nil {
		return err
	}
	defer v.gate.RUnlock()
	r := blockRooms.Get().(*blockRoom)
	defer blockRooms.Put(r)
	whole := k.Flags&wire.ReplicaNoPage == 0
	lock := &v.blocks[k.Block%stripes]
	lock.RLock()
	b, err := v.look(k.Block, whole || k.Flags&wire.ReplicaVerify != 0, r)
	lock.RUnlock()
	if err != nil {
		return err
	}
	c.counts.copied(b)
	var body [wire.BlockCopyLen]byte
	rep.AppendBody(b.Append(body[:0]))
	if whole && b.State == wire.CopyGood {
		copy(rep.Page(wire.PageSize), r.page[:])
		rep.SetPageCRC(b.Sum)
	}
	return nil
}

// copyVersions tells what is here of some blocks.
func (c *Component) copyVersions(v *vol, k wire.ReplicaBlock, rep *netlayer.Reply) error {
	n, err := v.copyEnter(k)
	if err != nil {
		return err
	}
	defer v.gate.RUnlock()
	r := blockRooms.Get().(*blockRoom)
	defer blockRooms.Put(r)
	verify := k.Flags&wire.ReplicaVerify != 0
	body := make([]byte, 0, n*wire.BlockCopyLen)
	all := make([]byte, n*volume.EntryLen)
	if _, err := v.sums.ReadAt(all, volume.EntryOffset(k.Block)); err != nil {
		return v.ioError("read of entries", err)
	}
	hole := wire.BlockCopy{Sum: wire.ZeroPageChecksum, State: wire.CopyGood}
	for i := range n {
		b := all[i*volume.EntryLen : (i+1)*volume.EntryLen]
		if [volume.EntryLen]byte(b) == [volume.EntryLen]byte{} { // never written: a volume is mostly holes, and costs nothing there
			body = hole.Append(body)
			continue
		}
		if e, ok := volume.ParseEntry(b); ok && !verify { // one that was being written may have been read in part: again, under its lock
			body = wire.BlockCopy{Version: e.Version, Sum: wire.JoinSectors(e.Sums[:]), State: wire.CopyGood}.Append(body)
			continue
		}
		if c.ctx.Err() != nil {
			return wire.Errorf(wire.KindUnavailable, "%s stops", c.o.Node)
		}
		lock := &v.blocks[(k.Block+i)%stripes]
		lock.RLock()
		found, err := v.look(k.Block+i, verify, r)
		lock.RUnlock()
		if err != nil {
			return err
		}
		c.counts.copied(found)
		body = found.Append(body)
	}
	rep.AppendBody(body)
	return nil
}

// copyWrite stores a block, unless what is here is newer. Its bytes come before its entry: after the death of the process between the
// two they do not fit, and nobody takes them for the newer version, or for the older.
func (v *vol) copyWrite(k wire.ReplicaBlock, page []byte) error {
	if len(page) != wire.PageSize {
		return wire.Errorf(wire.KindBadRequest, "volume %d: a block of %d bytes, want %d", v.id, len(page), wire.PageSize)
	}
	if _, err := v.copyEnter(k); err != nil {
		return err
	}
	defer v.gate.RUnlock()
	r := blockRooms.Get().(*blockRoom)
	defer blockRooms.Put(r)
	lock := &v.blocks[k.Block%stripes]
	lock.Lock()
	defer lock.Unlock()
	there, err := v.look(k.Block, false, r)
	if err != nil {
		return err
	}
	v.st.Lock()
	apply, err := v.core.CopyWrite(k, there.Version, there.State == wire.CopyGood)
	v.st.Unlock()
	if err != nil || !apply {
		return err
	}
	e := volume.Entry{Version: k.Version}
	wire.SectorChecksums(e.Sums[:], page)
	e.Put(r.entry[:])
	if _, err = v.img.WriteAt(page, int64(k.Block*wire.PageSize)); err == nil {
		_, err = v.sums.WriteAt(r.entry[:], volume.EntryOffset(k.Block))
	}
	if err != nil {
		return v.ioError(fmt.Sprintf("write of block %d", k.Block), err)
	}
	return nil
}

// copyOp serves a request of one that coordinates the copies of a volume.
func (c *Component) copyOp(req *netlayer.Request, rep *netlayer.Reply) error {
	k, ok := wire.ParseReplicaBlock(req.Body)
	if !ok {
		return wire.Errorf(wire.KindBadRequest, "%v: a body that names no block of a copy", req.Op)
	}
	v, err := c.find(k.Volume)
	if err != nil {
		return err
	}
	switch req.Op {
	case wire.OpReplicaBlockRead:
		return c.copyRead(v, k, rep)
	case wire.OpReplicaBlockWrite:
		return v.copyWrite(k, req.Page)
	}
	return c.copyVersions(v, k, rep)
}

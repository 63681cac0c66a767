package vcluster

import (
	"fmt"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
)

// What an sComponent does for a volume of which it has one of several copies. Marks and flushes come as to any volume.

// entryBytes is what lies beside a block on the device: its version and its checksums.
const entryBytes = 64

// sum stands for the checksum of a block.
func (b *sectors) sum() uint32 {
	if b == nil {
		b = new(sectors)
	}
	all := make([]byte, 0, len(b)*len(b[0]))
	for i := range b {
		all = append(all, b[i][:]...)
	}
	return wire.Checksum(all)
}

// copied is what is there of a block.
func (v *vol) copied(n uint64, looked bool) wire.BlockCopy {
	c := wire.BlockCopy{Version: v.versions[n], Sum: v.blocks[n].sum(), State: wire.CopyGood}
	if looked && v.bad[n] != 0 {
		c.State = wire.CopyCorrupt
	}
	return c
}

// copyAttach begins the service of a buffer cache.
func (s *storage) copyAttach(q wire.StorageAttachReq, done func(wire.StorageAttachRep, error)) {
	v, err := s.find(q.Volume)
	if err != nil {
		done(wire.StorageAttachRep{}, err)
		return
	}
	rep, p, err := v.core.CopyAttach(q)
	v.running++
	s.persist(v, p, func() {
		v.ended()
		done(rep, err)
	})
}

// copyRead reads a block, or its version alone.
func (s *storage) copyRead(k wire.ReplicaBlock, done func(wire.BlockCopy, sectors, error)) {
	v, err := s.copyOf(k)
	if err != nil {
		done(wire.BlockCopy{}, sectors{}, err)
		return
	}
	looked := k.Flags&wire.ReplicaNoPage == 0
	give := func() {
		c, data := v.copied(k.Block, looked), sectors{}
		if b := v.blocks[k.Block]; b != nil && looked {
			data = *b
		}
		done(c, data, nil)
	}
	s.reads++
	bytes := entryBytes
	if looked {
		bytes = wire.PageSize
		s.bytes += wire.PageSize
	}
	if v.dirty[k.Block] { // it lies in memory
		give()
		return
	}
	s.io(device.Read, v.base+k.Block*wire.PageSize, bytes, give)
}

// copyOf finds the copy that a request is for, and admits it.
func (s *storage) copyOf(k wire.ReplicaBlock) (*vol, error) {
	v, err := s.find(k.Volume)
	if err == nil {
		_, err = v.core.CopyRead(k)
	}
	return v, err
}

// copyWrite writes a block, into memory until a flush takes it to the device.
func (s *storage) copyWrite(k wire.ReplicaBlock, data sectors, done func(error)) {
	v, err := s.find(k.Volume)
	if err != nil {
		done(err)
		return
	}
	s.writes++
	s.bytes += wire.PageSize
	apply, err := v.core.CopyWrite(k, v.versions[k.Block], true)
	if err == nil && apply {
		err = s.noSpace(fmt.Sprintf("volume %d: write of block %d", k.Volume, k.Block))
	}
	if err == nil && apply {
		v.rewritten(wire.Block{Offset: k.Block * wire.PageSize}, uint8(buffercache.All))
		v.blocks[k.Block], v.dirty[k.Block] = &data, true
		if v.versions == nil {
			v.versions = map[uint64]wire.BlockVersion{}
		}
		v.versions[k.Block] = k.Version
	}
	done(err)
}

// copyVersions tells the versions of blocks, having read and checked them if that is asked for.
func (s *storage) copyVersions(k wire.ReplicaBlock, done func([]wire.BlockCopy, error)) {
	v, err := s.find(k.Volume)
	n := uint64(0)
	if err == nil {
		n, err = v.core.CopyRead(k)
	}
	if err != nil {
		done(nil, err)
		return
	}
	verify := k.Flags&wire.ReplicaVerify != 0
	bytes := int(n) * entryBytes
	if verify {
		bytes += int(n) * wire.PageSize
	}
	s.io(device.Read, v.base+k.Block*wire.PageSize, bytes, func() {
		list := make([]wire.BlockCopy, 0, n)
		for b := range n {
			list = append(list, v.copied(k.Block+b, verify))
		}
		done(list, nil)
	})
}

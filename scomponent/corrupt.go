package scomponent

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"splitkernel/netlayer/wire"
)

// maxCorruptScan bounds the blocks that are looked at for one that was written.
const maxCorruptScan = 1 << 16

// corrupt changes a byte of a block on the disk, on purpose; its checksum stays. The next read of the block must notice.
func (c *Component) corrupt(req wire.CorruptReq) (rep wire.CorruptRep, err error) {
	chance := rand.New(rand.NewPCG(req.Seed, uint64(wire.OpCorruptBlock)))
	v, err := c.toCorrupt(req, chance)
	if err != nil {
		return rep, err
	}
	v.gate.RLock()
	defer v.gate.RUnlock()
	if err := v.usable(); err != nil {
		return rep, err
	}
	v.st.Lock()
	blocks := v.core.Meta().SizeBytes / wire.PageSize
	v.st.Unlock()
	block := req.Block
	switch {
	case req.Volume == 0:
		if block, err = v.written(chance.Uint64N(blocks), blocks); err != nil {
			return rep, err
		}
	case block >= blocks:
		return rep, wire.Errorf(wire.KindBadRequest, "volume %d at %s: block %d, it has %d", v.id, c.o.Node, block, blocks)
	}
	lock := &v.blocks[block%stripes]
	lock.Lock()
	defer lock.Unlock()
	b, at := make([]byte, 1), int64(block*wire.PageSize+chance.Uint64N(wire.PageSize))
	if _, err := v.img.ReadAt(b, at); err != nil {
		return rep, v.ioError("read of a byte to change", err)
	}
	b[0] ^= 1 << chance.IntN(8)
	if _, err := v.img.WriteAt(b, at); err != nil {
		return rep, v.ioError("change of a byte", err)
	}
	c.log.Warn("a block was corrupted on purpose", "volume", v.id, "block", block, "offset", at)
	return wire.CorruptRep{Volume: v.id, Block: block}, nil
}

// toCorrupt is the volume that is meant.
func (c *Component) toCorrupt(req wire.CorruptReq, chance *rand.Rand) (*vol, error) {
	if req.Volume != 0 {
		return c.find(req.Volume)
	}
	vols := slices.DeleteFunc(c.served(), func(v *vol) bool { return v.broken != nil })
	if len(vols) == 0 {
		return nil, wire.Errorf(wire.KindNotFound, "%s has no volume whose block could be corrupted", c.o.Node)
	}
	slices.SortFunc(vols, func(a, b *vol) int { return cmp.Compare(a.id, b.id) })
	return vols[chance.IntN(len(vols))], nil
}

// written gives the first block from one on that is not all zero, or that one if none of the next maxCorruptScan is.
func (v *vol) written(from, blocks uint64) (uint64, error) {
	b := make([]byte, wire.PageSize)
	for i := range min(blocks, maxCorruptScan) {
		no := (from + i) % blocks
		if _, err := v.img.ReadAt(b, int64(no*wire.PageSize)); err != nil {
			return 0, v.ioError("look for a block that was written", err)
		}
		if slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) {
			return no, nil
		}
	}
	return from, nil
}

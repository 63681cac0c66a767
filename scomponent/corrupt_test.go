package scomponent

import (
	"context"
	"errors"
	"testing"

	"splitkernel/netlayer/wire"
)

// TestABlockIsCorruptedOnPurpose: the next read of that block notices, all others are well; a random block is one that was written.
func TestABlockIsCorruptedOnPurpose(t *testing.T) {
	n := start(t, dirOptions(t.TempDir()))
	defer n.stop()
	n.create(7, 1<<20)
	for block := range uint64(8) {
		for s := range uint64(wire.SectorsPerPage) {
			n.must(n.write(wire.Block{Volume: 7, VolumeEpoch: 1, Version: 1, Offset: block*wire.PageSize + s*wire.SectorSize}, sector(byte(block+1))))
		}
	}
	corrupt := func(req wire.CorruptReq) (rep wire.CorruptRep, err error) {
		err = n.peer.Control(context.Background(), wire.OpCorruptBlock, 0, &req, &rep)
		return rep, err
	}
	damaged := map[uint64]bool{}
	check := func() {
		t.Helper()
		for block := range uint64(8) {
			_, err := n.read(wire.Block{Volume: 7, VolumeEpoch: 1, Offset: block * wire.PageSize, Length: wire.PageSize})
			if damaged[block] != errors.Is(err, wire.ErrCorrupt) || !damaged[block] && err != nil {
				t.Errorf("block %d, damaged %t: %v", block, damaged[block], err)
			}
		}
	}
	check()
	rep, err := corrupt(wire.CorruptReq{Volume: 7, Block: 3, Seed: 1})
	if err != nil || rep != (wire.CorruptRep{Volume: 7, Block: 3}) {
		t.Fatalf("%+v, %v", rep, err)
	}
	damaged[3] = true
	check()
	if rep, err = corrupt(wire.CorruptReq{Seed: 5}); err != nil || rep.Volume != 7 || rep.Block > 7 {
		t.Fatalf("a random block that was written: %+v, %v", rep, err)
	}
	damaged[rep.Block] = true
	check()
	if _, err := corrupt(wire.CorruptReq{Volume: 7, Block: 1 << 20}); !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("a block behind the end: %v", err)
	}
	if _, err := corrupt(wire.CorruptReq{Volume: 8}); !errors.Is(err, wire.ErrNotFound) {
		t.Errorf("a volume that is not there: %v", err)
	}
}

package mcomponent

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

const volumeBytes = 64 * wire.PageSize

func newVolumeCluster(t testing.TB, change func(*Options)) (*cluster, *member, wire.Block) {
	cl := newCluster(t, 1, change)
	cl.disk.create(1, volumeBytes)
	cl.must(cl.attach(cl.m[0], 1, 1, volumeBytes))
	return cl, cl.m[0], wire.Block{Volume: 1, VolumeEpoch: 1, Length: wire.PageSize}
}

func TestBlocksThroughTheCache(t *testing.T) {
	cl, m, k := newVolumeCluster(t, nil)
	k.Offset, k.Version = 512, 1
	cl.must(m.write(k, bytes.Repeat([]byte{1}, 1024)))
	if cl.disk.reads != 0 {
		t.Error("a write of two sectors read from the disk first")
	}
	k.Offset, k.Length = 0, wire.PageSize
	got, err := m.read(k)
	cl.must(err)
	want := append(append(make([]byte, 512), bytes.Repeat([]byte{1}, 1024)...), make([]byte, wire.PageSize-1536)...)
	if !bytes.Equal(got, want) {
		t.Error("the block is not the disk's with the written sectors over it")
	}
	cl.disk.mu.Lock()
	if !bytes.Equal(cl.disk.vols[1].safe, make([]byte, volumeBytes)) {
		t.Error("something was durable before the flush")
	}
	cl.disk.mu.Unlock()
	cl.must(m.flush(k))
	cl.disk.mu.Lock()
	if !bytes.Equal(cl.disk.vols[1].safe[:wire.PageSize], want) {
		t.Error("the flush was acknowledged and the block is not durable")
	}
	cl.disk.mu.Unlock()
	k.Offset = volumeBytes
	if _, err := m.read(k); !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("a read behind the end: %v", err)
	}
	k.Offset, k.VolumeEpoch = 0, 0
	if _, err := m.read(k); !errors.Is(err, wire.ErrStale) {
		t.Errorf("a read under an old epoch: %v", err)
	}
	k.Volume = 9
	if _, err := m.read(k); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("a read of a volume that is elsewhere: %v", err)
	}
}

func TestConcurrentReadsOfOneBlockMakeOne(t *testing.T) {
	cl, m, k := newVolumeCluster(t, nil)
	cl.disk.hold = make(chan struct{})
	const n = 8
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := m.read(k); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "eight reads", func() bool { return m.Stats().Blocks.Coalesced == n-1 })
	close(cl.disk.hold)
	wg.Wait()
	if cl.disk.reads != 1 {
		t.Errorf("%d reads at the disk, want 1", cl.disk.reads)
	}
}

func TestMoreIsWrittenThanTheCacheHolds(t *testing.T) {
	cl, m, k := newVolumeCluster(t, func(o *Options) { o.BufferCacheBytes = 8 * wire.PageSize })
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < 64; i += 4 {
				k := k
				k.Offset, k.Version = uint64(i)*wire.PageSize, uint64(i+1)
				if err := m.write(k, filled(byte(i+1))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	cl.must(m.flush(k))
	for i := range 64 {
		k.Offset = uint64(i) * wire.PageSize
		if got, err := m.read(k); err != nil || !bytes.Equal(got, filled(byte(i+1))) {
			t.Fatalf("block %d: %v", i, err)
		}
	}
	if s := m.Stats().Blocks; s.Evictions == 0 || s.Used > 8 {
		t.Errorf("stats: %+v", s)
	}
}

func TestALostCacheFailsTheVolumeOnlyIfItHeldWrites(t *testing.T) {
	for _, flushed := range []bool{true, false} {
		cl, m, k := newVolumeCluster(t, nil)
		cl.must(m.write(k, filled(3)))
		if flushed {
			cl.must(m.flush(k))
		}
		other := cl.start("m2", inproc(), nil) // m1 is gone without a word; GSM names another
		err := cl.attach(other, 1, 2, volumeBytes)
		if flushed {
			cl.must(err)
			k.VolumeEpoch = 2
			if got, err := other.read(k); err != nil || got[0] != 3 {
				t.Errorf("what was flushed: %v", err)
			}
		} else if !errors.Is(err, wire.ErrFailed) {
			t.Errorf("attach after a lost write: %v, want failed", err)
		}
		k.VolumeEpoch = 1
		k.Offset = wire.PageSize
		if _, err := m.read(k); err == nil {
			t.Error("the old cache still reads from the disk")
		}
	}
}

func TestDetachAndCloseFlush(t *testing.T) {
	cl, m, k := newVolumeCluster(t, nil)
	cl.must(m.write(k, filled(1)))
	cl.must(m.control(wire.OpVolumeDetach, wire.VolumeRef{Volume: 1, Epoch: 1}, nil))
	if _, err := m.read(k); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("a read after the detach: %v", err)
	}
	if cl.disk.vols[1].safe[0] != 1 {
		t.Error("the detach did not flush")
	}
	cl.must(cl.attach(m, 1, 2, volumeBytes))
	k.VolumeEpoch, k.Version = 2, 1
	cl.must(m.write(k, filled(2)))
	m.stop()
	if cl.disk.vols[1].safe[0] != 2 {
		t.Error("the end of the component did not flush")
	}
}

func TestAFullDiskIsToldAtTheFlush(t *testing.T) {
	cl, m, k := newVolumeCluster(t, nil)
	cl.must(m.write(k, filled(1)))
	cl.disk.mu.Lock()
	cl.disk.refuse = wire.Errorf(wire.KindNoSpace, "disk full")
	cl.disk.mu.Unlock()
	if err := m.flush(k); !errors.Is(err, wire.ErrNoSpace) {
		t.Errorf("flush to a full disk: %v", err)
	}
	k.Offset = wire.PageSize
	if err := m.write(k, filled(1)); !errors.Is(err, wire.ErrNoSpace) {
		t.Errorf("the next write: %v", err)
	}
	cl.disk.mu.Lock()
	cl.disk.refuse = nil
	cl.disk.mu.Unlock()
	cl.must(m.flush(k))
	cl.must(m.write(k, filled(1)))
}

// TestAByteThatChangesInTheCacheIsFound: by the reader, and by the sComponent when the block is written back.
func TestAByteThatChangesInTheCacheIsFound(t *testing.T) {
	cl, m, k := newVolumeCluster(t, nil)
	cl.must(m.write(k, filled(1)))
	m.cacheMu.Lock()
	m.blocks.Page(0)[700] ^= 1
	m.cacheMu.Unlock()
	if _, err := m.read(k); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("read: %v, want corrupt", err)
	}
	if err := m.flush(k); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("flush: %v, want corrupt", err)
	}
	m.cacheMu.Lock()
	m.blocks.Page(0)[700] ^= 1
	m.cacheMu.Unlock()
	cl.must(m.flush(k)) // the block stayed dirty
}

func TestAStorageThatIsGoneIsAnError(t *testing.T) {
	_, m, k := newVolumeCluster(t, func(o *Options) { o.StorageTimeoutMS = 200 })
	err := m.control(wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: 2, Epoch: 1, SizeBytes: 4096, Storage: "s9", StorageAddr: "inproc:nobody"}, nil)
	if err == nil {
		t.Error("attach at nobody succeeded")
	}
	if _, err := m.read(k); err != nil {
		t.Errorf("another volume: %v", err)
	}
}

// TestBlockRequestsThatWaitForNobodyAllocateNothing counts both sides of a connection together, and requires that none
// of them went to a worker. A read of a block that is not here costs its caller, the mComponent and the sComponent nothing
// either, but goes through a worker of each.
func TestBlockRequestsThatWaitForNobodyAllocateNothing(t *testing.T) {
	cl, m, k := newVolumeCluster(t, func(o *Options) { o.BufferCacheBytes = 32 * wire.PageSize })
	cl.must(m.write(k, filled(1))) // with the mark
	cl.must(m.flush(k))
	read := &netlayer.Call{Op: wire.OpBlockRead, Into: make([]byte, wire.PageSize)}
	write := &netlayer.Call{Op: wire.OpBlockWrite, Page: filled(2)}
	do := func(c *netlayer.Call, block uint64) error {
		k.Version++
		k.Offset = block * wire.PageSize
		c.Body = k.Append(c.Body[:0])
		return m.peer.Do(c)
	}
	for b := range uint64(16) { // a mark, and then blocks that are here
		cl.must(do(write, b))
	}
	for _, tc := range []struct {
		name   string
		op     func(i uint64) error
		worker bool
	}{
		{"a read of a cached block", func(i uint64) error { return do(read, i%16) }, false},
		{"a write to a cached block", func(i uint64) error { return do(write, i%16) }, false},
		{"a read of another block", func(i uint64) error { return do(read, 16+i%48) }, true},
	} {
		var err error
		var i uint64
		run := func() {
			if e := tc.op(i); e != nil {
				err = e
			}
			i++
		}
		for range 200 {
			run()
		}
		before := m.server.Stats().HandedOver
		n := testing.AllocsPerRun(500, run)
		most := 0.0
		if raceEnabled && tc.worker {
			most = 6
		}
		if n > most || err != nil {
			t.Errorf("%s: %v allocations, want at most %v; %v", tc.name, n, most, err)
		}
		if over := m.server.Stats().HandedOver - before; (over > 0) != tc.worker {
			t.Errorf("%s: %d of 500 went to a worker", tc.name, over)
		}
	}
}

// TestNewBlocksAreWrittenInline: the first writes of blocks, up to half the cache, need no worker once the mark is set.
func TestNewBlocksAreWrittenInline(t *testing.T) {
	cl, m, k := newVolumeCluster(t, nil)
	for i := range uint64(64) {
		k.Version, k.Offset = i+1, i*wire.PageSize
		cl.must(m.write(k, filled(byte(i))))
	}
	if n := m.server.Stats().HandedOver; n != 1 {
		t.Errorf("%d writes went to a worker, want the first", n)
	}
	for i := range uint64(64) {
		k.Offset = i * wire.PageSize
		got, err := m.read(k)
		cl.must(err)
		if !bytes.Equal(got, filled(byte(i))) {
			t.Errorf("block %d has other bytes", i)
		}
	}
	if n := m.server.Stats().HandedOver; n != 1 {
		t.Errorf("%d reads of cached blocks went to a worker", n-1)
	}
}

package mcomponent

import (
	"bytes"
	"errors"
	"sync"
	"testing"

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

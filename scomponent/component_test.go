package scomponent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
	"splitkernel/scomponent/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fataler is what *testing.T, *testing.B and *rapid.T share.
type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

var names atomic.Uint64

// node is a running sComponent and a peer that talks to it.
type node struct {
	t    fataler
	c    *Component
	peer *netlayer.Peer
	stop func()
}

func start(t fataler, o Options) *node {
	t.Helper()
	o.Node = "s1"
	c, err := New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	l, err := netlayer.Listen(netlayer.Addr(fmt.Sprintf("inproc:scomponent-test-%d", names.Add(1))))
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node, so.Workers = "test", wire.RoleStorage, "s1", 32
	po := netlayer.DefaultOptions()
	po.Cluster, po.Role, po.Node, po.CallTimeoutMS = "test", wire.RoleMemory, "m1", 60_000
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(c.Handler(), so).Serve(ctx, l) }()
	n := &node{t: t, c: c, peer: netlayer.NewPeer(netlayer.AddrOf(l), po)}
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			n.peer.Close()
			cancel()
			if err := <-done; err != nil {
				t.Fatalf("serve: %v", err)
			}
			if err := c.Close(context.Background()); err != nil {
				t.Fatalf("close: %v", err)
			}
		})
	}
	return n
}

func (n *node) control(op wire.Op, req any) error {
	return n.peer.Control(context.Background(), op, 0, req, nil)
}

func (n *node) create(id wire.VolumeID, size uint64) {
	n.t.Helper()
	n.must(n.control(wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: id, Epoch: 1, Name: fmt.Sprintf("v%d", id), SizeBytes: size}))
}

func (n *node) attach(id wire.VolumeID, e wire.Epoch) error {
	return n.control(wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: id, Epoch: e, SizeBytes: wire.PageSize})
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("%v", err)
	}
}

func (n *node) read(k wire.Block) ([]byte, error) {
	c := netlayer.Call{Op: wire.OpBlockRead, Body: k.Append(nil), Into: make([]byte, k.Length)}
	err := n.peer.Do(&c)
	return c.Into[:c.N], err
}

func (n *node) write(k wire.Block, b []byte) error {
	k.Length = uint32(len(b))
	return n.peer.Do(&netlayer.Call{Op: wire.OpBlockWrite, Body: k.Append(nil), Page: b})
}

func (n *node) flush(k wire.Block) error {
	k.Length = 0
	return n.peer.Do(&netlayer.Call{Op: wire.OpBlockFlush, Body: k.Append(nil)})
}

func dirOptions(dir string) Options {
	o := DefaultOptions()
	o.DataDir = dir
	return o
}

func sector(b byte) []byte { return bytes.Repeat([]byte{b}, wire.SectorSize) }

// TestAddressesComeAndGo: there may be more peers in time than at once.
func TestAddressesComeAndGo(t *testing.T) {
	o := dirOptions(t.TempDir())
	o.Net = moveNet(wire.RoleStorage, "s1")
	o.Net.Slots = 1
	n := start(t, o)
	defer n.stop()
	for i := range maxPeers + 10 {
		if _, err := n.c.peer(fmt.Sprintf("inproc:gone-%d", i)); err != nil {
			t.Fatalf("peer %d: %v", i, err)
		}
	}
}

func TestBlocksSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	n := start(t, dirOptions(dir))
	n.create(7, 1<<20)
	k := wire.Block{Volume: 7, VolumeEpoch: 3, Version: 1, Offset: 4096 + 512}
	n.must(n.write(k, sector('x')))
	n.must(n.flush(k))
	n.stop()

	n = start(t, dirOptions(dir))
	defer n.stop()
	k.Offset, k.Length = 4096, 4096
	got, err := n.read(k)
	n.must(err)
	want := append(append(make([]byte, 512), sector('x')...), make([]byte, 4096-1024)...)
	if !bytes.Equal(got, want) {
		t.Errorf("the block after a restart differs")
	}
	k.VolumeEpoch = 2
	if _, err := n.read(k); !errors.Is(err, wire.ErrStale) {
		t.Errorf("a read under epoch 2 after a restart that had seen 3: %v, want stale", err)
	}
	s := n.c.Stats()
	if s.Volumes != 1 || s.ReservedBytes != 1<<20 || s.ResidentBytes >= 1<<20 {
		t.Errorf("stats of a sparse volume of 1 MiB: %+v", s)
	}
}

func TestAChangedByteOnTheDiskIsFound(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dirOptions(dir))
	defer n.stop()
	n.create(1, 1<<16)
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: 4096}
	n.must(n.write(k, bytes.Repeat([]byte{5}, 4096)))
	n.must(n.flush(k))
	f, err := os.OpenFile(filepath.Join(dir, volume.ImageName(1)), os.O_RDWR, 0)
	n.must(err)
	defer f.Close()
	_, err = f.WriteAt([]byte{6}, 1030)
	n.must(err)
	_, err = n.read(k)
	if !errors.Is(err, wire.ErrCorrupt) || !bytes.Contains([]byte(err.Error()), []byte("volume 1 at s1: the sector at offset 1024")) {
		t.Errorf("read of a changed block: %v", err)
	}
	k.Length = 1024
	if _, err := n.read(k); err != nil {
		t.Errorf("the sectors before the changed one: %v", err)
	}
	// A byte that appears in a hole is found too.
	_, err = f.WriteAt([]byte{1}, 8192)
	n.must(err)
	k.Offset = 8192
	if _, err := n.read(k); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("a byte in a hole: %v", err)
	}
	if got := n.c.Stats().Corrupt; got != 2 {
		t.Errorf("%d corrupt reads counted, want 2", got)
	}
}

func TestAFullDiskIsToldToItsWriterOnly(t *testing.T) {
	fd := blockdev.NewFaulty(blockdev.NewMemory())
	o := DefaultOptions()
	o.Devices = fd
	n := start(t, o)
	defer n.stop()
	n.create(1, 1<<16)
	n.create(2, 1<<16)
	fd.Inject(blockdev.Fault{Op: "write", Suffix: "vol-1.img", Err: unix.ENOSPC})
	if err := n.write(wire.Block{Volume: 1, VolumeEpoch: 1}, sector(1)); !errors.Is(err, wire.ErrNoSpace) {
		t.Errorf("write to a full disk: %v", err)
	}
	n.must(n.write(wire.Block{Volume: 2, VolumeEpoch: 1}, sector(2)))
	n.must(n.flush(wire.Block{Volume: 2, VolumeEpoch: 1}))
	fd.Heal()
	n.must(n.write(wire.Block{Volume: 1, VolumeEpoch: 1}, sector(3)))
	got, err := n.read(wire.Block{Volume: 1, VolumeEpoch: 1, Length: 512})
	if err != nil || got[0] != 3 {
		t.Errorf("after room was made: %v", err)
	}
}

func TestAFailedSyncFailsTheVolumeForGood(t *testing.T) {
	mem := blockdev.NewMemory()
	fd := blockdev.NewFaulty(mem)
	o := DefaultOptions()
	o.Devices = fd
	n := start(t, o)
	n.create(1, 1<<16)
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: 512}
	n.must(n.write(k, sector(1)))
	fd.Inject(blockdev.Fault{Op: "sync", Suffix: ".img", Err: unix.EIO, Times: 1})
	if err := n.flush(k); wire.KindOf(err) != wire.KindInternal {
		t.Errorf("flush whose sync fails: %v", err)
	}
	if err := n.flush(k); !errors.Is(err, wire.ErrFailed) {
		t.Errorf("the next flush: %v, want failed, since the kernel may have dropped the pages", err)
	}
	n.stop()
	o.Devices = mem
	n = start(t, o)
	defer n.stop()
	if _, err := n.read(k); !errors.Is(err, wire.ErrFailed) {
		t.Errorf("read after a restart: %v, want failed", err)
	}
}

func TestUnflushedWritesOfALostCacheFailTheVolume(t *testing.T) {
	mem := blockdev.NewMemory()
	o := DefaultOptions()
	o.Devices = mem
	n := start(t, o)
	n.create(1, 1<<16)
	n.must(n.attach(1, 1))
	mark := func(gen uint64) { n.must(n.write(wire.Block{Volume: 1, VolumeEpoch: 1, Version: gen}, nil)) }
	mark(1)
	n.must(n.flush(wire.Block{Volume: 1, VolumeEpoch: 1, Version: 1}))
	n.must(n.attach(1, 2)) // everything was flushed: nothing is lost
	n.must(n.write(wire.Block{Volume: 1, VolumeEpoch: 2, Version: 1}, nil))
	n.stop()
	n = start(t, o) // the sComponent's own restart loses nothing
	if _, err := n.read(wire.Block{Volume: 1, VolumeEpoch: 2, Length: 512}); err != nil {
		t.Errorf("read by the same cache: %v", err)
	}
	if err := n.attach(1, 2); !errors.Is(err, wire.ErrFailed) {
		t.Errorf("attach by an empty cache: %v, want failed", err)
	}
	n.stop()
	n = start(t, o)
	defer n.stop()
	if _, err := n.read(wire.Block{Volume: 1, VolumeEpoch: 3, Length: 512}); !errors.Is(err, wire.ErrFailed) {
		t.Errorf("read after that: %v, want failed", err)
	}
	n.must(n.control(wire.OpVolumeDelete, wire.VolumeRef{Volume: 1, Epoch: 3}))
	n.create(1, 1<<16)
	if got, err := n.read(wire.Block{Volume: 1, VolumeEpoch: 4, Length: 512}); err != nil || !bytes.Equal(got, sector(0)) {
		t.Errorf("a new volume of the same id: %v", err)
	}
}

func TestARestartedMachineEndsAttachments(t *testing.T) {
	mem := blockdev.NewMemory()
	o := DefaultOptions()
	o.Devices, o.BootID = mem, "monday"
	n := start(t, o)
	n.create(1, 1<<16)
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: 512}
	n.must(n.write(k, sector(1)))
	n.must(n.flush(k))
	n.must(n.write(k, sector(2)))
	n.stop()
	mem.PowerCut()
	o.BootID = "tuesday"
	n = start(t, o)
	defer n.stop()
	if err := n.flush(k); !errors.Is(err, wire.ErrFailed) {
		t.Errorf("a flush that would acknowledge a lost write: %v", err)
	}
	n.must(n.attach(1, 2))
	k.VolumeEpoch = 2
	if got, err := n.read(k); err != nil || got[0] != 1 {
		t.Errorf("what was flushed: %v", err)
	}
}

// TestAFlushSurvivesAPowerCut has a canary: with a disk that lies about its syncs the same steps must lose the write, so
// the test can fail.
func TestAFlushSurvivesAPowerCut(t *testing.T) {
	for _, lying := range []bool{false, true} {
		mem := blockdev.NewMemory()
		fd := blockdev.NewFaulty(mem)
		o := DefaultOptions()
		o.Devices = fd
		n := start(t, o)
		n.create(1, 1<<16)
		if lying {
			fd.Inject(blockdev.Fault{Op: "sync"})
		}
		k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: 512}
		n.must(n.write(k, sector(9)))
		n.must(n.flush(k))
		k.Offset = 512
		n.must(n.write(k, sector(8))) // never flushed
		n.stop()
		mem.PowerCut()
		n = start(t, o)
		k.Offset = 0
		got, err := n.read(k)
		if kept := err == nil && got[0] == 9; kept == lying {
			t.Errorf("disk lies %v: flushed sector %v, %v", lying, kept, err)
		}
		n.stop()
	}
}

func TestConcurrentFlushesShareSyncs(t *testing.T) {
	n := start(t, dirOptions(t.TempDir()))
	defer n.stop()
	n.create(1, 1<<20)
	const writers, rounds = 16, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for r := range rounds {
				k := wire.Block{Volume: 1, VolumeEpoch: 1, Version: uint64(r + 1), Offset: uint64(w) * wire.PageSize}
				if err := errors.Join(n.write(k, sector(byte(w))), n.flush(k)); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		}()
	}
	wg.Wait()
	s := n.c.Stats()
	if s.BlockFlushes != writers*rounds || s.Syncs > s.BlockFlushes || s.Syncs == 0 || s.FlushWaiting != 0 {
		t.Errorf("%d flushes by %d syncs, %d waiting", s.BlockFlushes, s.Syncs, s.FlushWaiting)
	}
	if err := n.control(wire.OpVolumeDelete, wire.VolumeRef{Volume: 1, Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	if after := n.c.Stats(); after.Syncs != s.Syncs {
		t.Errorf("%d syncs are counted after the volume was deleted, %d before", after.Syncs, s.Syncs)
	}
}

func TestBadFoldersAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := dirOptions(filepath.Join(file, "sub"))
	o.Node = "s1"
	if _, err := New(o); err == nil || !bytes.Contains([]byte(err.Error()), []byte("data_dir: data folder "+o.DataDir)) {
		t.Errorf("a folder below a file: %v", err)
	}
	dir := t.TempDir()
	n := start(t, dirOptions(dir))
	defer n.stop()
	if _, err := New(dirOptions(dir)); err == nil || !bytes.Contains([]byte(err.Error()), []byte("in use by another process")) {
		t.Errorf("a folder in use: %v", err)
	}
}

func TestLeftoversAndBrokenVolumes(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dirOptions(dir))
	n.create(1, 1<<16)
	n.create(2, 1<<16)
	n.stop()
	for name, b := range map[string]string{"vol-8.img": "x", "vol-9.new": "x", "notes.txt": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, volume.SumsName(2)), make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	n = start(t, dirOptions(dir))
	defer n.stop()
	if _, err := n.read(wire.Block{Volume: 1, VolumeEpoch: 1, Length: 512}); err != nil {
		t.Errorf("the whole volume: %v", err)
	}
	if _, err := n.read(wire.Block{Volume: 2, VolumeEpoch: 1, Length: 512}); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("the volume without a header: %v", err)
	}
	for name, want := range map[string]bool{"vol-8.img": false, "vol-9.new": false, "notes.txt": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	n.must(n.control(wire.OpVolumeDelete, wire.VolumeRef{Volume: 2, Epoch: 1}))
}

func TestCreateAndDeleteAreBounded(t *testing.T) {
	o := DefaultOptions()
	o.Devices, o.CapacityBytes = blockdev.NewMemory(), 1<<20
	n := start(t, o)
	defer n.stop()
	n.create(1, 1<<19)
	n.create(1, 1<<19) // again: the same
	for _, c := range []struct {
		req  wire.VolumeCreateReq
		want wire.Kind
	}{
		{wire.VolumeCreateReq{Volume: 1, Name: "other", SizeBytes: 1 << 19}, wire.KindExists},
		{wire.VolumeCreateReq{Volume: 2, Name: "v2", SizeBytes: 1<<19 + 1}, wire.KindNoRoom},
		{wire.VolumeCreateReq{Volume: 2, Name: "../v2", SizeBytes: 1}, wire.KindBadRequest},
	} {
		if err := n.control(wire.OpVolumeCreate, c.req); wire.KindOf(err) != c.want {
			t.Errorf("create %+v: %v, want %v", c.req, err, c.want)
		}
	}
	if err := n.control(wire.OpVolumeDelete, wire.VolumeRef{Volume: 1}); !errors.Is(err, wire.ErrStale) {
		t.Errorf("delete under an old epoch: %v", err)
	}
	n.must(n.control(wire.OpVolumeDelete, wire.VolumeRef{Volume: 1, Epoch: 1}))
	if _, err := n.read(wire.Block{Volume: 1, VolumeEpoch: 1, Length: 512}); !errors.Is(err, wire.ErrNotFound) {
		t.Errorf("read of a deleted volume: %v", err)
	}
	n.create(2, 1<<20)
}

// TestAgreesWithBytes runs random sector writes, reads, flushes, restarts and power cuts against an array of bytes.
func TestAgreesWithBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const sectors = 32
		mem := blockdev.NewMemory()
		o := DefaultOptions()
		o.Devices = mem
		n := start(t, o)
		defer func() { n.stop() }()
		n.create(1, sectors*wire.SectorSize)
		var now, durable [sectors]byte
		version := uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			first := rapid.IntRange(0, sectors-1).Draw(t, "sector")
			count := rapid.IntRange(1, 8-first%8).Draw(t, "sectors")
			k := wire.Block{Volume: 1, VolumeEpoch: 1, Offset: uint64(first) * wire.SectorSize, Length: uint32(count) * wire.SectorSize}
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0, 1:
				version++
				k.Version = version
				b := byte(rapid.IntRange(0, 255).Draw(t, "byte"))
				n.must(n.write(k, bytes.Repeat([]byte{b}, int(k.Length))))
				for i := first; i < first+count; i++ {
					now[i] = b
				}
			case 2:
				got, err := n.read(k)
				n.must(err)
				for i := range got {
					if got[i] != now[first+i/wire.SectorSize] {
						t.Fatalf("byte %d of sector %d is %d, want %d", i, first, got[i], now[first+i/wire.SectorSize])
					}
				}
			case 3:
				n.must(n.flush(k))
				durable = now
			case 4:
				n.stop()
				n = start(t, o)
				version = 0
			case 5:
				n.stop()
				mem.PowerCut()
				n = start(t, o)
				now, version = durable, 0
			}
		}
	})
}

func BenchmarkFlush(b *testing.B) {
	n := start(b, dirOptions(b.TempDir()))
	defer n.stop()
	n.create(1, 1<<20)
	k := wire.Block{Volume: 1, VolumeEpoch: 1}
	page := make([]byte, wire.PageSize)
	for b.Loop() {
		if err := errors.Join(n.write(k, page), n.flush(k)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	n := start(b, dirOptions(b.TempDir()))
	defer n.stop()
	n.create(1, 1<<20)
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: wire.PageSize}
	c := netlayer.Call{Op: wire.OpBlockRead, Body: k.Append(nil), Into: make([]byte, k.Length)}
	b.ReportAllocs()
	for b.Loop() {
		if err := n.peer.Do(&c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	n := start(b, dirOptions(b.TempDir()))
	defer n.stop()
	n.create(1, 1<<20)
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: wire.PageSize}
	c := netlayer.Call{Op: wire.OpBlockWrite, Page: make([]byte, wire.PageSize)}
	b.ReportAllocs()
	for b.Loop() {
		k.Version++
		c.Body = k.Append(c.Body[:0])
		if err := n.peer.Do(&c); err != nil {
			b.Fatal(err)
		}
	}
}

// TestReadsAndWritesAllocateNothing counts both sides of a connection together, with real files.
func TestReadsAndWritesAllocateNothing(t *testing.T) {
	n := start(t, dirOptions(t.TempDir()))
	defer n.stop()
	n.create(1, 1<<20)
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Length: wire.PageSize}
	most := 0.0
	if raceEnabled {
		most = 3
	}
	for _, c := range []*netlayer.Call{
		{Op: wire.OpBlockWrite, Page: bytes.Repeat([]byte{7}, wire.PageSize)},
		{Op: wire.OpBlockRead, Into: make([]byte, wire.PageSize)},
	} {
		var err error
		run := func() {
			k.Version++
			k.Offset = k.Version % 16 * wire.PageSize
			c.Body = k.Append(c.Body[:0])
			if e := n.peer.Do(c); e != nil {
				err = e
			}
		}
		for range 100 {
			run()
		}
		if got := testing.AllocsPerRun(500, run); got > most || err != nil {
			t.Errorf("%v: %v allocations, want at most %v; %v", c.Op, got, most, err)
		}
	}
	for _, c := range n.c.Counters() {
		if (c.Name == "block_read_p99_us" || c.Name == "block_write_p50_us") && c.Value <= 0 {
			t.Errorf("%s is %v after 600 operations", c.Name, c.Value)
		}
	}
}

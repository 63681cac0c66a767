package replay

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/mcomponent"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/cachemove"
	"splitkernel/netlayer"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
	"splitkernel/scomponent"
	"splitkernel/scomponent/blockdev"
	"splitkernel/scomponent/iosched"
	volumemove "splitkernel/scomponent/migrate"
	volumecore "splitkernel/scomponent/volume"
	"splitkernel/sim/record"
)

var volumeSerial atomic.Uint64

// moveCluster is one pComponent, two mComponents and two sComponents on inproc, and a client in the place of the managers.
type moveCluster struct {
	t     *testing.T
	comp  *pcomponent.Component
	addr  map[wire.NodeID]string
	peers map[wire.NodeID]*netlayer.Peer
	m     map[wire.NodeID]*mcomponent.Component
	s     map[wire.NodeID]*scomponent.Component
	tapes map[wire.NodeID]func() *record.Result // of sComponents: ends the tape and re-executes it
}

func moveNet(role wire.Role, id wire.NodeID) netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster, o.Role, o.Node = "test", role, id
	return o
}

func (c *moveCluster) serve(id wire.NodeID, role wire.Role, h netlayer.Handler) {
	l, err := netlayer.Listen(netlayer.Addr(c.addr[id]))
	if err != nil {
		c.t.Fatal(err)
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node, so.Workers = "test", role, id, mcomponent.MinServerWorkers
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(h, so).Serve(ctx, l) }()
	p := netlayer.NewPeer(netlayer.AddrOf(l), moveNet(wire.RoleManager, "g1"))
	c.peers[id] = p
	c.t.Cleanup(func() {
		p.Close()
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
	})
}

func newMoveCluster(t *testing.T, recorder tape.Recorder) *moveCluster {
	c := &moveCluster{t: t, addr: map[wire.NodeID]string{}, peers: map[wire.NodeID]*netlayer.Peer{}, m: map[wire.NodeID]*mcomponent.Component{}, s: map[wire.NodeID]*scomponent.Component{}, tapes: map[wire.NodeID]func() *record.Result{}}
	for _, id := range []wire.NodeID{"p1", "m1", "m2", "s1", "s2"} {
		c.addr[id] = fmt.Sprintf("inproc:replay-moves-%d", volumeSerial.Add(1))
	}
	closing := func(f func(context.Context) error) {
		t.Cleanup(func() {
			if err := f(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	for _, id := range []wire.NodeID{"s1", "s2"} {
		o := scomponent.DefaultOptions()
		o.Node, o.Addr, o.Net, o.Devices = id, c.addr[id], moveNet(wire.RoleStorage, id), blockdev.NewMemory()
		o.Recorder, c.tapes[id] = tapeOf(t)
		s, err := scomponent.New(o)
		if err != nil {
			t.Fatal(err)
		}
		closing(s.Close)
		c.serve(id, wire.RoleStorage, s.Handler())
		c.s[id] = s
	}
	for _, id := range []wire.NodeID{"m1", "m2"} {
		o := mcomponent.DefaultOptions()
		o.Node, o.Net, o.BufferCacheBytes, o.Recorder = id, moveNet(wire.RoleMemory, id), 64*wire.PageSize, recorder
		m, err := mcomponent.New(o)
		if err != nil {
			t.Fatal(err)
		}
		closing(m.Close)
		c.serve(id, wire.RoleMemory, m.Handler())
		t.Cleanup(m.Stop)
		c.m[id] = m
	}
	o := pcomponent.DefaultOptions()
	o.ID, o.Addr, o.Net = "p1", netlayer.Addr(c.addr["p1"]), moveNet(wire.RoleCompute, "p1")
	comp, err := pcomponent.New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.comp = comp
	h := NewHost(comp, slog.New(slog.DiscardHandler))
	closing(comp.Close)
	closing(func(context.Context) error { return h.Close() })
	c.serve("p1", wire.RoleCompute, h)
	return c
}

// tapeOf makes a tape. again ends it and re-executes it; until then it is ended with the test.
func tapeOf(t *testing.T) (r tape.Recorder, again func() *record.Result) {
	path := filepath.Join(t.TempDir(), "s.tape")
	w, err := record.Create(path, record.Head{}, record.DefaultMaxBytes)
	if err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		if _, err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return w, func() *record.Result {
		end()
		res, err := record.Execute(context.Background(), path, record.ExecuteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
}

// move orders a move and waits for its end.
func (c *moveCluster) move(kind wire.MoveKind, from, to, via wire.NodeID, e wire.Epoch, no uint64) {
	c.t.Helper()
	req := wire.MoveReq{Move: wire.MoveID{Manager: wire.GSM, No: no}, Kind: kind, Volume: 1, OldEpoch: e, Epoch: e + 1, UndoEpoch: e + 2, To: to, ToAddr: c.addr[to], Via: via, ViaAddr: c.addr[via], TimeoutMS: 20_000}
	ctx := context.Background()
	if err := c.peers[from].Control(ctx, wire.OpMoveStart, 0, req, nil); err != nil {
		c.t.Fatal(err)
	}
	var s wire.MoveStatusRep
	for deadline := time.Now().Add(20 * time.Second); !s.State.Ended(); time.Sleep(time.Millisecond) {
		if err := c.peers[from].Control(ctx, wire.OpMoveStatus, 0, wire.MoveRef{Move: req.Move}, &s); err != nil {
			c.t.Fatal(err)
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the move of a %v from %s to %s is still %v", kind, from, to, s.State)
		}
	}
	if s.State != wire.MoveDone || s.Epoch != e+1 {
		c.t.Fatalf("the move of a %v from %s to %s: %+v", kind, from, to, s)
	}
}

// TestVolumesAndBufferCachesMoveUnderAProcess moves a volume and its buffer cache back and forth, while the process checks every
// sector that it reads: none is lost, torn or old. All of it was recorded, and the buffer caches and their moves do the same again.
func TestVolumesAndBufferCachesMoveUnderAProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "all.tape")
	wr, err := record.Create(path, record.Head{}, record.DefaultMaxBytes)
	if err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceFunc(func() {
		if _, err := wr.Close(); err != nil {
			t.Error(err)
		}
	})
	defer ended()
	c := newMoveCluster(t, wr)
	const blocks = 128 // twice what the buffer cache holds
	ctx := context.Background()
	if err := c.peers["s1"].Control(ctx, wire.OpVolumeCreate, 0, wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: blocks * wire.PageSize}, nil); err != nil {
		t.Fatal(err)
	}
	p, err := c.comp.Open(ctx, pcomponent.ProcessOptions{PID: 1, Epoch: 1, Name: "w", Home: wire.Owner{Node: "m1", Addr: c.addr["m1"]}, Threads: 1, ExCache: excache.DefaultOptions(), RegionBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Attach(ctx, pcomponent.VolumeOptions{ID: 1, Epoch: 1, SizeBytes: blocks * wire.PageSize, Storage: "s1", StorageAddr: c.addr["s1"], Cache: "m1", CacheAddr: c.addr["m1"]})
	if err != nil {
		t.Fatal(err)
	}
	var ops atomic.Uint64
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var versions [blocks * wire.SectorsPerPage]uint64
		b := make([]byte, 5*wire.PageSize)
		check := func(first, n int) bool {
			if err := v.Read(ctx, uint64(first)*wire.SectorSize, b[:n*wire.SectorSize]); err != nil {
				t.Errorf("read: %v", err)
				return false
			}
			for i := range n {
				s := b[i*wire.SectorSize:][:wire.SectorSize]
				want := make([]byte, wire.SectorSize)
				if ver := versions[first+i]; ver > 0 {
					stampSector(want, uint64(first+i), ver)
				}
				if !bytes.Equal(s, want) {
					t.Errorf("sector %d holds version %d, want %d", first+i, binary.LittleEndian.Uint64(s[8:]), versions[first+i])
					return false
				}
			}
			return true
		}
		for i := uint64(1); ; i++ {
			select {
			case <-quit:
				check(0, 40)
				return
			default:
			}
			n := int(1 + i*13%39)
			first := int(i * 7919 % uint64(len(versions)-n))
			if !check(first, n) {
				return
			}
			for s := range n {
				versions[first+s] = i
				stampSector(b[s*wire.SectorSize:][:wire.SectorSize], uint64(first+s), i)
			}
			if err := v.Write(ctx, uint64(first)*wire.SectorSize, b[:n*wire.SectorSize]); err != nil {
				t.Errorf("write: %v", err)
				return
			}
			if i%16 == 0 {
				if err := v.Flush(ctx); err != nil {
					t.Errorf("flush: %v", err)
					return
				}
			}
			ops.Add(1)
		}
	})
	ms, ss := []wire.NodeID{"m1", "m2"}, []wire.NodeID{"s1", "s2"}
	e, no := wire.Epoch(1), uint64(0)
	for i := range 4 {
		for kind := range 2 {
			for before := ops.Load(); ops.Load() < before+10 && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
			no++
			if kind == 0 {
				c.move(wire.MoveVolume, ss[i%2], ss[1-i%2], ms[i%2], e, no)
			} else {
				c.move(wire.MoveCache, ms[i%2], ms[1-i%2], "", e, no)
			}
			e++
		}
	}
	close(quit)
	wg.Wait()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	ended()
	res := again(t, path)
	counted := map[string]uint64{}
	for _, x := range res.Cores {
		counted[x.Kind] += x.Events
		if x.Kind == cachemove.TapeKind && !strings.HasPrefix(x.State, "done under epoch ") {
			t.Errorf("%s: %s", x.Name, x.State)
		}
	}
	if counted[buffercache.TapeKind] < 2*ops.Load() || counted[cachemove.TapeKind] < 4*4 {
		t.Errorf("%d operations of the process, again %v", ops.Load(), counted)
	}
	if n := c.s["s1"].Stats().Volumes + c.s["s2"].Stats().Volumes; n != 1 {
		t.Errorf("%d copies of the volume are there, want 1", n)
	}
	for _, id := range ss {
		r := c.tapes[id]()
		for kind, want := range map[string][2]int{volumecore.TapeKind: {3, 100}, iosched.TapeKind: {2, 8}, volumemove.GiverTapeKind: {2, 16}, volumemove.TakerTapeKind: {2, 8}} {
			if cores, events := coresOfKind(r, kind); cores < want[0] || events < want[1] {
				t.Errorf("%s: %d cores %s with %d events, want at least %v", id, cores, kind, events, want)
			}
		}
	}
	if a, b := c.m["m1"].Stats(), c.m["m2"].Stats(); a.Blocks.LostBlocks+b.Blocks.LostBlocks > 0 || a.CacheMovesDone+b.CacheMovesDone != 4 {
		t.Errorf("stats: %+v, %+v", a, b)
	}
}

func stampSector(b []byte, n, version uint64) {
	for i := 0; i < len(b); i += 16 {
		binary.LittleEndian.PutUint64(b[i:], n)
		binary.LittleEndian.PutUint64(b[i+8:], version)
	}
}

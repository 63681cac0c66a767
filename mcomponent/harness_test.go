package mcomponent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/volume"
)

func TestMain(m *testing.M) {
	if env := os.Getenv(childEnv); env != "" {
		if err := runChild(env); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var serial atomic.Uint64

const testRegion = 16 * wire.PageSize

// cluster is mComponents, one sComponent in memory, managers in a function, and a client.
type cluster struct {
	t     testing.TB
	m     []*member
	disk  *disk
	asks  atomic.Int64
	hold  chan struct{} // not nil: asks wait until it is closed
	fails atomic.Bool   // asks are refused
	files atomic.Int64  // backup files that are given
}

type member struct {
	*Component
	addr   netlayer.Addr
	server *netlayer.Server
	peer   *netlayer.Peer
	stop   func()
}

// ActivateRegion gives region r to component r mod n.
func (cl *cluster) ActivateRegion(ctx context.Context, _ wire.PID, r wire.RegionNo) (wire.Activated, error) {
	cl.asks.Add(1)
	if cl.hold != nil {
		select {
		case <-cl.hold:
		case <-ctx.Done():
			return wire.Activated{}, wire.Errorf(wire.KindTimeout, "%v", context.Cause(ctx))
		}
	}
	if cl.fails.Load() {
		return wire.Activated{}, wire.Errorf(wire.KindNoRoom, "no mComponent has room")
	}
	m := cl.m[uint64(r)%uint64(len(cl.m))]
	return wire.Activated{Owner: wire.Owner{Region: r, Node: m.o.Node, Addr: string(m.addr), Epoch: 1}}, nil
}

// BackupFile gives each mComponent one file at the disk.
func (cl *cluster) BackupFile(_ context.Context, q wire.FileReq) (f wire.ReplicaFile, err error) {
	if cl.fails.Load() {
		return f, wire.Errorf(wire.KindNoRoom, "no sComponent has room")
	}
	if q.Drop != 0 {
		cl.files.Add(-1)
		return f, nil
	}
	id := wire.VolumeID(0)
	fmt.Sscanf(string(q.Holder), "m%d", &id)
	if cl.disk.volume(id+1000) == nil {
		cl.files.Add(1)
	}
	return wire.ReplicaFile{Volume: id + 1000, Epoch: 1, SizeBytes: q.SizeBytes, Storage: "s1", Addr: string(cl.disk.addr)}, nil
}

func (d *disk) volume(id wire.VolumeID) *diskVolume {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.vols[id]
}

func testOptions() Options {
	o := DefaultOptions()
	o.MemoryBytes, o.RegionBytes, o.BufferCacheBytes = 4<<20, testRegion, 1<<20
	return o
}

func peerOptions(role wire.Role, id wire.NodeID) netlayer.Options {
	po := netlayer.DefaultOptions()
	po.Cluster, po.Role, po.Node, po.CallTimeoutMS = "test", role, id, 60_000
	return po
}

// serve runs a handler and returns its server and address and what ends it.
func serve(t testing.TB, h netlayer.Handler, role wire.Role, id wire.NodeID, addr netlayer.Addr) (*netlayer.Server, netlayer.Addr, func()) {
	l, err := netlayer.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node, so.Workers = "test", role, id, MinServerWorkers
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := netlayer.NewServer(h, so)
	go func() { done <- s.Serve(ctx, l) }()
	return s, netlayer.AddrOf(l), func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func inproc() netlayer.Addr {
	return netlayer.Addr(fmt.Sprintf("inproc:mcomponent-test-%d", serial.Add(1)))
}

func newCluster(t testing.TB, n int, change func(*Options)) *cluster {
	cl := &cluster{t: t, disk: newDisk()}
	_, addr, stop := serve(t, cl.disk, wire.RoleStorage, "s1", inproc())
	cl.disk.addr = addr
	t.Cleanup(stop)
	for i := range n {
		cl.m = append(cl.m, cl.start(wire.NodeID(fmt.Sprintf("m%d", i+1)), inproc(), change))
	}
	return cl
}

func (cl *cluster) start(id wire.NodeID, at netlayer.Addr, change func(*Options)) *member {
	o := testOptions()
	if change != nil {
		change(&o)
	}
	o.Node, o.Managers, o.Net = id, cl, peerOptions(wire.RoleMemory, id)
	o.Addr = at
	c, err := New(o)
	if err != nil {
		cl.t.Fatal(err)
	}
	server, addr, stop := serve(cl.t, c.Handler(), wire.RoleMemory, id, at)
	m := &member{Component: c, addr: addr, server: server, peer: netlayer.NewPeer(addr, peerOptions(wire.RoleCompute, "p1"))}
	var once sync.Once
	m.stop = func() {
		once.Do(func() {
			c.Stop()
			m.peer.Close()
			stop()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := c.Close(ctx); err != nil && !errors.Is(err, wire.ErrFailed) && !errors.Is(err, wire.ErrNotOwner) {
				cl.t.Errorf("close of %s: %v", id, err)
			}
		})
	}
	cl.t.Cleanup(m.stop)
	return m
}

func (m *member) control(op wire.Op, req, rep any) error {
	return m.peer.Control(context.Background(), op, 1, req, rep)
}

func (cl *cluster) must(err error) {
	cl.t.Helper()
	if err != nil {
		cl.t.Fatal(err)
	}
}

func (cl *cluster) open(m *member, pid wire.PID) {
	cl.t.Helper()
	cl.must(m.control(wire.OpProcessOpen, wire.ProcessOpenReq{PID: pid, Epoch: 1}, nil))
}

func (cl *cluster) mmap(m *member, pid wire.PID, addr, length uint64) wire.MmapRep {
	cl.t.Helper()
	var rep wire.MmapRep
	cl.must(m.control(wire.OpMmap, wire.MmapReq{PID: pid, Epoch: 1, Addr: addr, Length: length, Writable: true}, &rep))
	return rep
}

// owner gives the component that owns a page by the rule of ActivateRegion.
func (cl *cluster) owner(page wire.PageNo) *member {
	return cl.m[uint64(page)*wire.PageSize/testRegion%uint64(len(cl.m))]
}

func (m *member) miss(pid wire.PID, page wire.PageNo) ([]byte, error) {
	c := netlayer.Call{Op: wire.OpMiss, Epoch: 1, Body: wire.Miss{PID: pid, Page: page, OwnerEpoch: 1}.Append(nil), Into: make([]byte, wire.PageSize)}
	err := m.peer.Do(&c)
	return c.Into[:c.N], err
}

func (m *member) flushPage(pid wire.PID, page wire.PageNo, epoch wire.Epoch, version uint64, b []byte) error {
	f := wire.Flush{PID: pid, Page: page, OwnerEpoch: 1, ProcessEpoch: epoch, Version: version}
	return m.peer.Do(&netlayer.Call{Op: wire.OpFlush, Body: f.Append(nil), Page: b})
}

func filled(b byte) []byte { return bytes.Repeat([]byte{b}, wire.PageSize) }

// disk is an sComponent in memory: the core of a volume, and bytes that are durable at a flush.
type disk struct {
	addr netlayer.Addr

	mu      sync.Mutex
	vols    map[wire.VolumeID]*diskVolume
	reads   int
	refuse  error // of writes
	hold    chan struct{}
	flushes int
}

type diskVolume struct {
	core *volume.Volume
	now  []byte
	safe []byte
}

func newDisk() *disk { return &disk{vols: map[wire.VolumeID]*diskVolume{}} }

func (d *disk) create(id wire.VolumeID, size int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.vols[id] = newDiskVolume(id, size)
}

func newDiskVolume(id wire.VolumeID, size int) *diskVolume {
	return &diskVolume{volume.New(volume.Meta{ID: id, Name: "v", SizeBytes: uint64(size)}, volume.BootID{}), make([]byte, size), make([]byte, size)}
}

func (d *disk) Inline(wire.Op) bool { return false }

func (d *disk) Serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if req.Op == wire.OpVolumeAttach {
		var m wire.VolumeAttachReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		_, err := d.vols[m.Volume].core.Attach(m)
		return err
	}
	switch req.Op {
	case wire.OpVolumeCreate:
		return decoded(req, func(m wire.VolumeCreateReq) error {
			if d.vols[m.Volume] == nil {
				d.vols[m.Volume] = newDiskVolume(m.Volume, int(m.SizeBytes))
			}
			return nil
		})
	case wire.OpVolumeDelete:
		return decoded(req, func(m wire.VolumeRef) error {
			delete(d.vols, m.Volume)
			return nil
		})
	}
	k, ok := wire.ParseBlock(req.Body)
	if !ok {
		return wire.ErrBadRequest
	}
	v := d.vols[k.Volume]
	if v == nil {
		return wire.Errorf(wire.KindNotFound, "volume %d is not here", k.Volume)
	}
	switch req.Op {
	case wire.OpBlockRead:
		d.reads++
		if d.hold != nil {
			hold := d.hold
			d.mu.Unlock()
			<-hold
			d.mu.Lock()
		}
		if _, err := v.core.Read(k); err != nil {
			return err
		}
		copy(rep.Page(int(k.Length)), v.now[k.Offset:])
	case wire.OpBlockWrite:
		if d.refuse != nil && k.Length > 0 {
			return d.refuse
		}
		apply, _, err := v.core.Write(k)
		if apply {
			copy(v.now[k.Offset:], req.Page)
		}
		return err
	case wire.OpBlockFlush:
		if _, err := v.core.Flush(k); err != nil {
			return err
		}
		d.flushes++
		copy(v.safe, v.now)
		v.core.Flushed(k)
	}
	return nil
}

func (cl *cluster) attach(m *member, id wire.VolumeID, e wire.Epoch, size int) error {
	return m.control(wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: id, Epoch: e, SizeBytes: uint64(size), Storage: "s1", StorageAddr: string(cl.disk.addr)}, nil)
}

func (m *member) read(k wire.Block) ([]byte, error) {
	c := netlayer.Call{Op: wire.OpBlockRead, Body: k.Append(nil), Into: make([]byte, k.Length)}
	err := m.peer.Do(&c)
	return c.Into[:c.N], err
}

func (m *member) write(k wire.Block, b []byte) error {
	k.Length = uint32(len(b))
	return m.peer.Do(&netlayer.Call{Op: wire.OpBlockWrite, Body: k.Append(nil), Page: b})
}

func (m *member) flush(k wire.Block) error {
	k.Length = 0
	return m.peer.Do(&netlayer.Call{Op: wire.OpBlockFlush, Body: k.Append(nil)})
}

// eventually polls a condition that another goroutine makes true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about in 20 s", what)
		}
	}
}

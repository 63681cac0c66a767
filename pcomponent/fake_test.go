package pcomponent

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var serial atomic.Int64

// owner is a memory component in a map: what tests need of one without importing it.
type owner struct {
	addr netlayer.Addr
	id   wire.NodeID

	mu      sync.Mutex
	pages   map[wire.PageNo]*arena.Page
	version map[wire.PageNo]uint64
	misses  int
	flushes int
	refuse  func(op wire.Op, page wire.PageNo) error // asked first, with the lock held
	others  []*owner                                 // vRegion r belongs to others[r % len]
	blocks  map[uint64][]byte
	durable int
	frozen  map[wire.PageNo]bool // pages that it does not serve: they are moving or moved
	gone    func() error         // asked first by memory maps; with the lock held
	attach  func(wire.VolumeAttachReq) error
	open    func(wire.ProcessOpenReq) error
	exits   atomic.Int64
	silent  chan struct{} // while it is open, misses, flushes and memory maps are not answered
}

func (o *owner) Inline(op wire.Op) bool {
	return op == wire.OpMiss || op == wire.OpFlush || op == wire.OpMissFlush
}

func (o *owner) Serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	o.mu.Lock()
	silent := o.silent
	o.mu.Unlock()
	if silent != nil {
		<-silent
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if req.Op >= wire.OpMmap && req.Op <= wire.OpOwners && o.gone != nil {
		if err := o.gone(); err != nil {
			return err
		}
	}
	switch req.Op {
	case wire.OpMiss:
		m, ok := wire.ParseMiss(req.Body)
		if !ok {
			return wire.ErrBadRequest
		}
		if o.frozen[m.Page] {
			return wire.ErrBusy
		}
		if o.refuse != nil {
			if err := o.refuse(req.Op, m.Page); err != nil {
				return err
			}
		}
		o.misses++
		b := rep.Page(wire.PageSize)
		if p := o.pages[m.Page]; p != nil {
			copy(b, p[:])
		} else {
			clear(b)
		}
	case wire.OpFlush:
		f, ok := wire.ParseFlush(req.Body)
		if !ok {
			return wire.ErrBadRequest
		}
		if o.frozen[f.Page] {
			return wire.ErrBusy
		}
		if o.refuse != nil {
			if err := o.refuse(req.Op, f.Page); err != nil {
				return err
			}
		}
		o.flushes++
		if f.Version > o.version[f.Page] {
			o.version[f.Page] = f.Version
			o.pages[f.Page] = (*arena.Page)(append([]byte(nil), req.Page...))
		}
	case wire.OpMmap, wire.OpOwners, wire.OpBrk:
		var addr, length uint64
		switch req.Op {
		case wire.OpMmap:
			var q wire.MmapReq
			if err := wire.Unmarshal(req.Body, &q); err != nil {
				return err
			}
			addr, length = q.Addr, q.Length
			if addr == 0 && !q.Fixed {
				addr = chosen
			}
			o.drop(pageRange(addr, length))
		case wire.OpOwners:
			var q wire.OwnersReq
			if err := wire.Unmarshal(req.Body, &q); err != nil {
				return err
			}
			addr, length = q.Addr, q.Length
		default:
			var q wire.BrkReq
			if err := wire.Unmarshal(req.Body, &q); err != nil {
				return err
			}
			addr, length = 0, q.End
		}
		r := wire.MmapRep{Addr: addr}
		for k := addr / testRegion; k <= (addr+length-1)/testRegion; k++ {
			to := o.others[k%uint64(len(o.others))]
			r.Owners = append(r.Owners, wire.Owner{Region: wire.RegionNo(k), Node: to.id, Addr: string(to.addr), Epoch: 1})
		}
		rep.SetControl(r)
	case wire.OpMunmap:
		var q wire.MunmapReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		o.drop(pageRange(q.Addr, q.Length))
		rep.SetControl(wire.MunmapRep{})
	case wire.OpBlockWrite:
		k, ok := wire.ParseBlock(req.Body)
		if !ok || len(req.Page) != int(k.Length) {
			return wire.ErrBadRequest
		}
		if o.refuse != nil {
			if err := o.refuse(req.Op, 0); err != nil {
				return err
			}
		}
		for i := 0; i < len(req.Page); i += wire.SectorSize {
			o.blocks[k.Offset+uint64(i)] = append([]byte(nil), req.Page[i:i+wire.SectorSize]...)
		}
	case wire.OpBlockRead:
		k, ok := wire.ParseBlock(req.Body)
		if !ok {
			return wire.ErrBadRequest
		}
		b := rep.Page(int(k.Length))
		clear(b)
		for i := 0; i < len(b); i += wire.SectorSize {
			copy(b[i:], o.blocks[k.Offset+uint64(i)])
		}
	case wire.OpBlockFlush:
		o.durable++
	case wire.OpVolumeAttach:
		var q wire.VolumeAttachReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		if o.attach != nil {
			return o.attach(q)
		}
	case wire.OpProcessOpen:
		var q wire.ProcessOpenReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		if o.open != nil {
			return o.open(q)
		}
	case wire.OpProcessExit:
		o.exits.Add(1)
	case wire.OpVolumeDetach:
	default:
		return wire.ErrBadRequest
	}
	return nil
}

// drop forgets pages at all owners. The lock of o is held.
func (o *owner) drop(first, last wire.PageNo) {
	for _, to := range o.others {
		if to != o {
			to.mu.Lock()
		}
		for p := first; p <= last; p++ {
			delete(to.pages, p)
		}
		if to != o {
			to.mu.Unlock()
		}
	}
}

// chosen is the address that an owner chooses.
const chosen = 1 << 30

const testRegion = 64 * wire.PageSize

// startOwners runs n owners until the test ends.
func startOwners(t testing.TB, n int) []*owner {
	t.Helper()
	var os []*owner
	for range n {
		k := serial.Add(1)
		os = append(os, &owner{
			addr: netlayer.Addr(fmt.Sprintf("inproc:owner%d", k)), id: wire.NodeID(fmt.Sprintf("m%d", k)), pages: map[wire.PageNo]*arena.Page{},
			version: map[wire.PageNo]uint64{}, blocks: map[uint64][]byte{},
		})
	}
	for _, o := range os {
		o.others = os
		o.start(t)
	}
	return os
}

func (o *owner) start(t testing.TB) (stop func()) {
	t.Helper()
	l, err := netlayer.Listen(o.addr)
	if err != nil {
		t.Fatal(err)
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node = "test", wire.RoleMemory, o.id
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(o, so).Serve(ctx, l) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("server: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// open makes a component with one process.
func open(t testing.TB, home *owner, x excache.Options, threads int, change func(*ProcessOptions)) *Process {
	t.Helper()
	o := DefaultOptions()
	o.ID = "p1"
	o.Net.Cluster, o.Net.Role, o.Net.Node = "test", wire.RoleCompute, "p1"
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	po := ProcessOptions{PID: 7, Epoch: 1, Name: "test", Home: wire.Owner{Node: home.id, Addr: string(home.addr)}, Threads: threads, ExCache: x, RegionBytes: testRegion}
	if change != nil {
		change(&po)
	}
	p, err := c.Open(context.Background(), po)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := c.Close(ctx); err != nil {
			t.Errorf("close the component: %v", err)
		}
	})
	return p
}

func small(lines int, mechanism string) excache.Options {
	x := excache.DefaultOptions()
	x.Lines, x.Ways, x.Mechanism, x.FlushFrames = lines, 0, mechanism, 4
	return x
}

// counts holds the expected version of each page; guarded by the process's lock.
type counts map[uint64]uint64

// touch makes one access and checks and raises the page's version, kept in its first bytes.
func (w counts) touch(t testing.TB, th *Thread, page uint64, write bool) bool {
	b, err := th.Access(page, write)
	if err != nil {
		t.Errorf("access to page %d: %v", page, err)
		return false
	}
	if got := binary.LittleEndian.Uint64(b[:]); got != w[page] {
		t.Errorf("page %d holds version %d, want %d", page, got, w[page])
		return false
	}
	if write {
		w[page]++
		binary.LittleEndian.PutUint64(b[:], w[page])
	}
	return true
}

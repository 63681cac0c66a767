package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/mcomponent"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/record"
)

const moveRegion = 64 * wire.PageSize

// movers is a pComponent and mComponents in this process, on inproc, without managers: the test orders the moves.
type movers struct {
	t    *testing.T
	p    *pcomponent.Component
	m    []*mcomponent.Component
	addr []netlayer.Addr
	peer []*netlayer.Peer
	no   uint64
}

var moversSerial atomic.Uint64

// ActivateRegion gives vRegion r to component r mod n.
func (c *movers) ActivateRegion(_ context.Context, _ wire.PID, r wire.RegionNo) (wire.Activated, error) {
	i := int(r) % len(c.m)
	return wire.Activated{Owner: wire.Owner{Region: r, Node: memoryID(i), Addr: string(c.addr[i]), Epoch: 1}}, nil
}

// BackupFile gives none.
func (*movers) BackupFile(context.Context, wire.FileReq) (f wire.ReplicaFile, err error) {
	return f, wire.Errorf(wire.KindNoRoom, "there are no sComponents")
}

func memoryID(i int) wire.NodeID { return wire.NodeID(fmt.Sprintf("m%d", i+1)) }

// switched is the handler of a pComponent that replays nothing.
type switched struct{ c *pcomponent.Component }

func (switched) Inline(wire.Op) bool { return false }
func (s switched) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	return s.c.Switched(req)
}

func newMovers(t *testing.T, n int, recorder tape.Recorder) *movers {
	c := &movers{t: t}
	net := func(role wire.Role, id wire.NodeID) netlayer.Options {
		o := netlayer.DefaultOptions()
		o.Cluster, o.Role, o.Node, o.CallTimeoutMS = "movers", role, id, 60_000
		return o
	}
	serve := func(h netlayer.Handler, role wire.Role, id wire.NodeID, addr netlayer.Addr, workers int) {
		l, err := netlayer.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		o := netlayer.DefaultServerOptions()
		o.Cluster, o.Role, o.Node, o.Workers = "movers", role, id, max(workers, o.Workers)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- netlayer.NewServer(h, o).Serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	serial := moversSerial.Add(1)
	for i := range n {
		c.addr = append(c.addr, netlayer.Addr(fmt.Sprintf("inproc:movers-%d-m%d", serial, i)))
	}
	for i := range n {
		o := mcomponent.DefaultOptions()
		o.Node, o.Addr, o.Net, o.Managers, o.RegionBytes, o.MemoryBytes = memoryID(i), c.addr[i], net(wire.RoleMemory, memoryID(i)), c, moveRegion, 8<<20
		o.Migrate.BatchPages, o.Migrate.FreezePages, o.Recorder = 8, 4, recorder
		m, err := mcomponent.New(o)
		if err != nil {
			t.Fatal(err)
		}
		c.m = append(c.m, m)
		t.Cleanup(func() {
			if err := m.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		serve(m.Handler(), wire.RoleMemory, memoryID(i), c.addr[i], mcomponent.MinServerWorkers)
		t.Cleanup(m.Stop)
		peer := netlayer.NewPeer(c.addr[i], net(wire.RoleManager, "g1"))
		t.Cleanup(func() { peer.Close() })
		c.peer = append(c.peer, peer)
	}
	po := pcomponent.DefaultOptions()
	po.ID, po.Net, po.Addr = "p1", net(wire.RoleCompute, "p1"), netlayer.Addr(fmt.Sprintf("inproc:movers-%d-p", serial))
	po.Recorder = recorder
	var err error
	if c.p, err = pcomponent.New(po); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	serve(switched{c.p}, wire.RoleCompute, "p1", po.Addr, 0)
	return c
}

// move moves a vRegion or a home from component i to j and waits for the end.
func (c *movers) move(req wire.MoveReq, i, j int, old wire.Epoch) wire.Epoch {
	c.t.Helper()
	c.no++
	req.Move, req.To, req.ToAddr, req.TimeoutMS = wire.MoveID{Manager: wire.GMM, No: c.no}, memoryID(j), string(c.addr[j]), 60_000
	req.OldEpoch, req.Epoch, req.UndoEpoch = old, old+1, old+2
	ctx := context.Background()
	if err := c.peer[i].Control(ctx, wire.OpMoveStart, 0, req, nil); err != nil {
		c.t.Fatal(err)
	}
	var s wire.MoveStatusRep
	for deadline := time.Now().Add(20 * time.Second); !s.State.Ended(); time.Sleep(time.Millisecond) {
		if err := c.peer[i].Control(ctx, wire.OpMoveStatus, 0, wire.MoveRef{Move: req.Move}, &s); err != nil {
			c.t.Fatal(err)
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the move does not end: %+v", s)
		}
	}
	if s.State != wire.MoveDone {
		c.t.Fatalf("%+v", s)
	}
	return s.Epoch
}

// madeAccess is one that a thread made, madeAccesses all of them.
type (
	madeAccess struct {
		page  uint64
		write bool
	}
	madeAccesses []madeAccess
)

// programOf gives the accesses of threads again.
type programOf []madeAccesses

func (p programOf) Next(thread int) (page uint64, write bool, err error) {
	if len(p[thread]) == 0 {
		return 0, false, io.EOF
	}
	a := p[thread][0]
	p[thread] = p[thread][1:]
	return a.page, a.write, nil
}

func (p programOf) Skip(made []uint64) error {
	for t, n := range made {
		p[t] = p[t][n:]
	}
	return nil
}

func (p programOf) Close() error { return nil }

// coresOf counts the cores of a re-execution and their events, by kind.
func coresOf(res *record.Result) (cores map[string]int, events map[string]uint64) {
	cores, events = map[string]int{}, map[string]uint64{}
	for _, c := range res.Cores {
		cores[c.Kind]++
		events[c.Kind] += c.Events
	}
	return cores, events
}

// TestAProcessRunsWhileItsMemoryMoves: threads read and write stamped pages over a small ExCache and map memory, while their
// vRegions go round the mComponents and their home does too. Every access finds the last write. All of it was recorded, and
// the cores of the process and of the mComponents do the same again.
func TestAProcessRunsWhileItsMemoryMoves(t *testing.T) {
	t.Parallel()
	tapePath := filepath.Join(t.TempDir(), "all.tape")
	w, err := record.Create(tapePath, record.Head{}, record.DefaultMaxBytes)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			w.Close()
		}
	}()
	c := newMovers(t, 3, w)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	x := excache.DefaultOptions()
	x.Lines, x.Ways = 24, 0
	const pid, threads, first, pages, regions = 7, 3, 64, 150, 3
	p, err := c.p.Open(ctx, pcomponent.ProcessOptions{PID: pid, Epoch: 1, Name: "moved", Home: wire.Owner{Node: "m1", Addr: string(c.addr[0])}, Threads: threads, ExCache: x, RegionBytes: moveRegion})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Map(ctx, first*wire.PageSize, pages*wire.PageSize, true, true, "test"); err != nil {
		t.Fatal(err)
	}
	want := map[uint64]uint64{}    // by page; with the process's lock
	var made [threads]madeAccesses // likewise
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(i)))
			th := p.Thread(i)
			for {
				select {
				case <-stop:
					return
				default:
				}
				th.Begin()
				for range 8 {
					page, write := first+uint64(rng.IntN(pages)), rng.IntN(2) == 0
					made[i] = append(made[i], madeAccess{page, write})
					b, err := th.Access(page, write)
					if err != nil {
						t.Errorf("page %d: %v", page, err)
						th.End()
						return
					}
					if got := binary.LittleEndian.Uint64(b[:]); got != want[page] {
						t.Errorf("page %d holds version %d, want %d", page, got, want[page])
					}
					if write {
						want[page]++
						binary.LittleEndian.PutUint64(b[:], want[page])
					}
				}
				th.End()
			}
		})
	}
	wg.Go(func() { // memory maps ask the home and the owners, whoever they are now
		for n := uint64(0); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := p.Map(ctx, (first+pages+n%40)*wire.PageSize, wire.PageSize, true, true, "more"); err != nil {
				t.Errorf("mmap %d: %v", n, err)
				return
			}
		}
	})
	at, epoch := [regions]int{}, [regions]wire.Epoch{}
	for r := range regions {
		at[r], epoch[r] = (r+1)%3, 1
	}
	home, homeEpoch := 0, wire.Epoch(0)
	for n := range 45 {
		if n%5 == 4 {
			homeEpoch = c.move(wire.MoveReq{Kind: wire.MoveHome, PID: pid}, home, (home+1)%3, homeEpoch)
			home = (home + 1) % 3
			continue
		}
		r := n % regions
		to := (at[r] + 1 + n/7%2) % 3
		epoch[r] = c.move(wire.MoveReq{Kind: wire.MoveRegion, PID: pid, Region: wire.RegionNo(1 + r), Via: memoryID(home), ViaAddr: string(c.addr[home])}, at[r], to, epoch[r])
		at[r] = to
	}
	close(stop)
	wg.Wait()
	if err := p.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	s := p.Counters()
	if s.Accesses != s.Hits+s.Misses || s.Misses != s.PLocal+s.Fetches+s.Coalesced+s.VictimHits {
		t.Errorf("law 1: %+v", s)
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	closed = true
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	res, err := record.Execute(ctx, tapePath, record.ExecuteOptions{Accesses: func([]byte) (record.Accesses, error) { return programOf(made[:]), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if res.Hits != s.Hits || res.Ended == nil {
		t.Errorf("%d hits live, again %d, end %+v", s.Hits, res.Hits, res.Ended)
	}
	cores, events := coresOf(res)
	for kind, n := range map[string]int{fault.TapeKind: 1, pagestore.TapeKind: 3, vregion.HomeTapeKind: 3, vregion.OwnersTapeKind: 3, migrate.TakerTapeKind: 6, migrate.GiverTapeKind: 45, buffercache.TapeKind: 3,
		replica.PrimaryTapeKind: 3, replica.HolderTapeKind: 3, erasure.TapeKind: 3} {
		if idle := kind == buffercache.TapeKind || kind == replica.PrimaryTapeKind || kind == replica.HolderTapeKind || kind == erasure.TapeKind; cores[kind] != n || events[kind] == 0 && !idle {
			t.Errorf("%d cores of %s with %d events, want %d", cores[kind], kind, events[kind], n)
		}
	}
	if len(res.Cores) != 73 || events[migrate.GiverTapeKind] < 45*8 {
		t.Errorf("%d cores, %d events of givers", len(res.Cores), events[migrate.GiverTapeKind])
	}
	for i, m := range c.m {
		if s := m.Stats(); s.Pages.Used != 0 || s.OwnedRegions != 0 || s.Home.Processes != 0 {
			t.Errorf("%s keeps %d pages, %d vRegions, %d homes", memoryID(i), s.Pages.Used, s.OwnedRegions, s.Home.Processes)
		}
	}
}

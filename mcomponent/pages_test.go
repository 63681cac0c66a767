package mcomponent

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

func TestPagesLiveAtTheirOwners(t *testing.T) {
	cl := newCluster(t, 3, nil)
	home := cl.m[0]
	cl.open(home, 7)
	const first, pages = 16, 4 * 16 // four vRegions
	rep := cl.mmap(home, 7, first*wire.PageSize, pages*wire.PageSize)
	if len(rep.Owners) != 4 || cl.asks.Load() != 4 {
		t.Fatalf("%d owners by %d asks, want 4 by 4: %+v", len(rep.Owners), cl.asks.Load(), rep)
	}
	for p := wire.PageNo(first); p < first+pages; p++ {
		cl.must(cl.owner(p).flushPage(7, p, 1, 1, filled(byte(p))))
	}
	for p := wire.PageNo(first); p < first+pages; p++ {
		got, err := cl.owner(p).miss(7, p)
		if err != nil || !bytes.Equal(got, filled(byte(p))) {
			t.Fatalf("page %d: %v", p, err)
		}
	}
	used := 0
	for _, m := range cl.m {
		s := m.Stats()
		used += s.Pages.Used
		if s.Fetches() == 0 || s.Pages.Flushes == 0 {
			t.Errorf("%s served nothing: %+v", m.o.Node, s.Pages)
		}
	}
	if used != pages {
		t.Errorf("%d pages used, want %d", used, pages)
	}
	var freed wire.MunmapRep
	cl.must(home.control(wire.OpMunmap, wire.MunmapReq{PID: 7, Epoch: 1, Addr: (first + 10) * wire.PageSize, Length: 20 * wire.PageSize}, &freed))
	if freed.Freed != 20 {
		t.Errorf("munmap of 20 pages over three vRegions freed %d", freed.Freed)
	}
	if _, err := cl.owner(first+12).miss(7, first+12); !errors.Is(err, wire.ErrUnmapped) {
		t.Errorf("a page after munmap: %v", err)
	}
	cl.must(home.control(wire.OpProcessExit, wire.ProcessExitReq{PID: 7, Epoch: 1}, nil))
	for _, m := range cl.m {
		if s := m.Stats(); s.Pages.Used != 0 || s.OwnedRegions != 0 || s.MappedBytes != 0 {
			t.Errorf("%s after the exit: %d pages, %d vRegions", m.o.Node, s.Pages.Used, s.OwnedRegions)
		}
	}
	cl.must(home.control(wire.OpProcessExit, wire.ProcessExitReq{PID: 7, Epoch: 1}, nil)) // a retry
}

func TestRefusals(t *testing.T) {
	cl := newCluster(t, 2, nil)
	cl.open(cl.m[0], 1)
	cl.mmap(cl.m[0], 1, 16*wire.PageSize, wire.PageSize) // vRegion 1: owner m2
	m1, m2 := cl.m[0], cl.m[1]
	if _, err := m1.miss(1, 16); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("a miss at another: %v", err)
	}
	if _, err := m2.miss(1, 17); !errors.Is(err, wire.ErrUnmapped) {
		t.Errorf("a miss beside the mapping: %v", err)
	}
	if err := m2.flushPage(2, 16, 1, 1, filled(1)); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("a flush of another process: %v", err)
	}
	old := netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{PID: 1, Page: 16}.Append(nil), Into: make([]byte, wire.PageSize)}
	if err := m2.peer.Do(&old); !errors.Is(err, wire.ErrStale) {
		t.Errorf("a miss under owner epoch 0: %v", err)
	}
	if got, err := m2.miss(1, 16); err != nil || !bytes.Equal(got, filled(0)) {
		t.Errorf("a first fault is not zeros: %v", err)
	}
	cl.must(m2.flushPage(1, 16, 2, 5, filled(5)))
	cl.must(m2.flushPage(1, 16, 2, 5, filled(6))) // equal: a retry
	cl.must(m2.flushPage(1, 16, 1, 9, filled(7))) // an older process epoch
	if got, err := m2.miss(1, 16); err != nil || got[0] != 5 {
		t.Errorf("an old flush was applied: %v, %d", err, got[0])
	}
	cl.fails.Store(true)
	if err := m1.control(wire.OpMmap, wire.MmapReq{PID: 1, Epoch: 1, Addr: 32 * testRegion, Length: 1}, nil); !errors.Is(err, wire.ErrNoRoom) {
		t.Errorf("mmap without room: %v", err)
	}
	s := m2.Stats()
	if s.Pages.OldFlushes != 2 || s.Unmapped != 1 || s.Stale != 1 || s.NotOwner != 1 {
		t.Errorf("counts: %+v", s)
	}
}

func TestOutOfMemoryNamesTheRemedy(t *testing.T) {
	cl := newCluster(t, 1, func(o *Options) { o.MemoryBytes = 2 << 20 })
	cl.open(cl.m[0], 1)
	cl.mmap(cl.m[0], 1, wire.PageSize, 600*wire.PageSize)
	var err error
	n := 0
	for p := wire.PageNo(1); p <= 600 && err == nil; p++ {
		if _, err = cl.m[0].miss(1, p); err == nil {
			n++
		}
	}
	want := "m1: out of memory: capacity 2 MiB, all 512 pages in use; give the component more memory_bytes or the process fewer pages"
	if n != 512 || !errors.Is(err, wire.ErrNoMemory) || !strings.Contains(err.Error(), want) {
		t.Errorf("after %d pages: %v\nwant %s", n, err, want)
	}
	if got, err := cl.m[0].miss(1, 1); err != nil || got[0] != 0 {
		t.Errorf("a page that is there: %v", err)
	}
}

// TestTheDoorsOfLaw3 shows that a byte that changes in memory is found by the receiver, and that a dropped flush leaves an
// old page behind: the page check of a run has something to find.
func TestTheDoorsOfLaw3(t *testing.T) {
	cl := newCluster(t, 1, func(o *Options) { o.Inject = Inject{FlipByteAtMiss: 2, DropFlushAt: 3} })
	m := cl.m[0]
	cl.open(m, 1)
	cl.mmap(m, 1, wire.PageSize, 8*wire.PageSize)
	cl.must(m.flushPage(1, 1, 1, 1, filled(1)))
	if _, err := m.miss(1, 2); err != nil { // never flushed: not counted
		t.Fatal(err)
	}
	if _, err := m.miss(1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := m.miss(1, 1); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("the second miss of a flushed page: %v, want corrupt", err)
	}
	cl.must(m.flushPage(1, 3, 1, 1, filled(1)))
	cl.must(m.flushPage(1, 3, 1, 2, filled(2))) // the third
	if got, err := m.miss(1, 3); err != nil || got[0] != 1 {
		t.Errorf("after a dropped flush: %v, %d, want the older page", err, got[0])
	}
}

func TestConcurrentMmapsShareOneAsk(t *testing.T) {
	cl := newCluster(t, 2, nil)
	home := cl.m[0]
	cl.open(home, 1)
	cl.hold = make(chan struct{})
	const n = 6
	var wg sync.WaitGroup
	for i := range uint64(n) {
		wg.Go(func() {
			if err := home.control(wire.OpMmap, wire.MmapReq{PID: 1, Epoch: 1, Addr: (16 + i) * wire.PageSize, Length: wire.PageSize}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "six mmaps in one vRegion", func() bool { return home.Stats().Home.SharedAsks == n-1 })
	close(cl.hold)
	wg.Wait()
	if cl.asks.Load() != 1 {
		t.Errorf("%d asks, want 1", cl.asks.Load())
	}
}

// TestExitsOfManyHomesDoNotStarveEachOther: every component is home of processes with vRegions at every other, and all
// exit at once.
func TestExitsOfManyHomesDoNotStarveEachOther(t *testing.T) {
	cl := newCluster(t, 3, nil)
	const each = 2 * maxHomeExits
	for i, m := range cl.m {
		for p := range each {
			pid := wire.PID(100*i + p + 1)
			cl.open(m, pid)
			cl.mmap(m, pid, testRegion, 3*testRegion)
		}
	}
	var wg sync.WaitGroup
	for i, m := range cl.m {
		for p := range each {
			wg.Go(func() {
				for {
					err := m.control(wire.OpProcessExit, wire.ProcessExitReq{PID: wire.PID(100*i + p + 1), Epoch: 1}, nil)
					if !errors.Is(err, wire.ErrBusy) {
						if err != nil {
							t.Error(err)
						}
						return
					}
				}
			})
		}
	}
	wg.Wait()
	for _, m := range cl.m {
		if s := m.Stats(); s.OwnedRegions != 0 || s.Home.Processes != 0 {
			t.Errorf("%s: %d vRegions and %d processes are left", m.o.Node, s.OwnedRegions, s.Home.Processes)
		}
	}
}

// TestPagesAreNeverTorn: misses, flushes, unmaps and maps of the same pages at once. Every page that comes is whole: all
// its bytes are of one version, and its checksum, which the peer verifies, is that version's.
func TestPagesAreNeverTorn(t *testing.T) {
	cl := newCluster(t, 1, func(o *Options) { o.Workers = 2 })
	m := cl.m[0]
	cl.open(m, 1)
	cl.mmap(m, 1, wire.PageSize, 8*wire.PageSize)
	rounds := 400
	if testing.Short() {
		rounds = 100
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			peer := netlayer.NewPeer(m.addr, peerOptions(wire.RoleCompute, "p2"))
			defer peer.Close()
			own := &member{peer: peer}
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range rounds {
				page := wire.PageNo(1 + rng.IntN(8))
				if rng.IntN(2) == 0 {
					v := uint64(i*4 + w)
					if err := own.flushPage(1, page, 1, v, filled(byte(v))); err != nil && !errors.Is(err, wire.ErrUnmapped) {
						t.Errorf("flush: %v", err)
					}
				} else if got, err := own.miss(1, page); err == nil {
					if !bytes.Equal(got, filled(got[0])) {
						t.Errorf("page %d is torn", page)
					}
				} else if !errors.Is(err, wire.ErrUnmapped) {
					t.Errorf("miss: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for range rounds / 10 {
			req := wire.MunmapReq{PID: 1, Epoch: 1, Addr: 3 * wire.PageSize, Length: 2 * wire.PageSize}
			if err := m.control(wire.OpMunmap, req, nil); err != nil {
				t.Error(err)
			}
			if err := m.control(wire.OpMmap, wire.MmapReq{PID: 1, Epoch: 1, Addr: req.Addr, Length: req.Length}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.store.CheckInvariants(), m.owners.CheckInvariants()); err != nil {
		t.Error(err)
	}
}

// TestDeadManagersStopOnlyPlacement: law 4. While many mappings wait for owners, pages and blocks are served, and mappings
// in vRegions that are active are made. However many come, they do not take all workers of the server.
func TestDeadManagersStopOnlyPlacement(t *testing.T) {
	cl, m, k := newVolumeCluster(t, func(o *Options) { o.ActivateTimeoutMS = 60_000 })
	cl.open(m, 1)
	cl.mmap(m, 1, testRegion, wire.PageSize)
	cl.hold = make(chan struct{})
	const few, n = 100, MinServerWorkers + 1
	calls := make([]netlayer.Call, n)
	other := netlayer.NewPeer(m.addr, peerOptions(wire.RoleCompute, "p2")) // one has fewer slots
	defer other.Close()
	peer := func(i int) *netlayer.Peer {
		if i < few {
			return m.peer
		}
		return other
	}
	start := func(from, to int) {
		for i := from; i < to; i++ {
			calls[i] = netlayer.Call{Op: wire.OpMmap, Body: wire.Marshal(wire.MmapReq{PID: 1, Epoch: 1, Addr: uint64(i+10) * testRegion, Length: 1})}
			cl.must(peer(i).Start(&calls[i]))
		}
	}
	start(0, few)
	eventually(t, "the asks", func() bool { return m.Stats().Home.Asks == few+1 && cl.asks.Load() == int64(m.o.MaxOutstanding)+1 })
	cl.mmap(m, 1, testRegion+wire.PageSize, wire.PageSize)
	start(few, n)
	eventually(t, "all memory maps wait or are refused", func() bool {
		s := m.Stats()
		return s.Home.Asks == maxHomeWaits+1 && s.HomeRefused == n-maxHomeWaits
	})
	if _, err := m.miss(1, testRegion/wire.PageSize); err != nil {
		t.Errorf("a miss: %v", err)
	}
	if _, err := m.read(k); err != nil { // not cached: served by a worker
		t.Errorf("a block read: %v", err)
	}
	if err := m.write(k, filled(1)); err != nil {
		t.Errorf("a block write: %v", err)
	}
	if err := m.flush(k); err != nil {
		t.Errorf("a block flush: %v", err)
	}
	close(cl.hold)
	refused := 0
	for i := range calls {
		if err := peer(i).Wait(&calls[i]); errors.Is(err, wire.ErrBusy) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != n-maxHomeWaits {
		t.Errorf("%d memory maps refused as busy, want %d", refused, n-maxHomeWaits)
	}
}

// TestManagersThatDoNotAnswerAreNamed: the caller hears why, and its retry is executed.
func TestManagersThatDoNotAnswerAreNamed(t *testing.T) {
	cl := newCluster(t, 1, func(o *Options) { o.ActivateTimeoutMS = 50 })
	m := cl.m[0]
	cl.open(m, 1)
	cl.hold = make(chan struct{})
	req := wire.MmapReq{PID: 1, Epoch: 1, Addr: 5 * testRegion, Length: 1}
	err := m.peer.Do(&netlayer.Call{Op: wire.OpMmap, Body: wire.Marshal(req)})
	want := "GMM gave no owner for vRegion 5 of process 1 within 50ms: timeout: context deadline exceeded"
	if !errors.Is(err, wire.ErrUnavailable) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want unavailable: %s", err, want)
	}
	done := make(chan error, 1)
	go func() { done <- m.control(wire.OpMmap, req, nil) }()
	eventually(t, "a retry", func() bool { return cl.asks.Load() >= 3 })
	close(cl.hold)
	if err := <-done; err != nil {
		t.Errorf("after the managers are back: %v", err)
	}
	if _, err := m.miss(1, 5*testRegion/wire.PageSize); err != nil {
		t.Errorf("a page of it: %v", err)
	}
}

func TestStopEndsWhatWaitsForManagers(t *testing.T) {
	cl := newCluster(t, 1, nil)
	cl.open(cl.m[0], 1)
	cl.hold = make(chan struct{})
	done := make(chan error, 1)
	c := netlayer.Call{Op: wire.OpMmap, Body: wire.Marshal(wire.MmapReq{PID: 1, Epoch: 1, Addr: testRegion, Length: 1})}
	go func() { done <- cl.m[0].peer.Do(&c) }()
	eventually(t, "the ask", func() bool { return cl.asks.Load() == 1 })
	cl.m[0].Stop()
	if err := <-done; !errors.Is(err, wire.ErrUnavailable) || !strings.Contains(err.Error(), "m1 stops") {
		t.Errorf("mmap while stopping: %v", err)
	}
}

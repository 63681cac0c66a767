package mcomponent

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// gmm is GMM as far as the redundancy of one vRegion concerns it.
type gmm struct {
	t      testing.TB
	cl     *cluster
	client *client
	pid    wire.PID
	region wire.RegionNo
	home   *member
	cfg    wire.RegionConfig
}

func holderOf(m *member, filling bool) wire.Holder {
	return wire.Holder{Node: m.o.Node, Addr: string(m.addr), Filling: filling}
}

// owner tells the owner who makes the vRegion redundant, and waits until all of them have everything.
func (g *gmm) protect(owner *member, holders ...wire.Holder) {
	g.t.Helper()
	g.cfg.Config++
	g.cfg.Holders = holders
	eventually(g.t, fmt.Sprintf("configuration %d of %s", g.cfg.Config, owner.o.Node), func() bool {
		var rep wire.RegionConfigRep
		err := owner.control(wire.OpRegionConfig, g.cfg, &rep)
		return err == nil && rep.Config == g.cfg.Config && len(rep.InSync) == len(holders)
	})
}

// recover makes to the owner, out of what sources have, and waits until it serves; with done until everything is there.
func (g *gmm) recover(to *member, sources, holders []wire.Holder, done bool) {
	g.t.Helper()
	q := wire.RegionRecoverReq{OldEpoch: g.cfg.Epoch, Sources: sources, Self: to.o.Node, Via: g.home.o.Node, ViaAddr: string(g.home.addr)}
	g.cfg.Epoch, g.cfg.Config, g.cfg.Holders = g.cfg.Epoch+3, g.cfg.Config+1, holders
	q.Config = g.cfg
	var rep wire.RegionRecoverRep
	eventually(g.t, fmt.Sprintf("recovery at %s", to.o.Node), func() bool {
		if err := to.control(wire.OpRegionRecover, q, &rep); err != nil && !passing(err) {
			g.t.Fatal(err)
		}
		return rep.State == wire.RecoverDone || !done && rep.State == wire.RecoverServing
	})
}

// writers flush and fetch pages of a vRegion at random, each page by one of them, and check what they read.
type writers struct {
	stop atomic.Bool
	wg   sync.WaitGroup
	n    atomic.Int64
}

func (g *gmm) write(threads int, pages uint64) *writers {
	w := &writers{}
	first := wire.PageNo(uint64(g.region) * g.home.o.RegionBytes / wire.PageSize)
	var version atomic.Uint64
	for i := range threads {
		w.wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(i)))
			last := map[wire.PageNo]byte{}
			for !w.stop.Load() {
				page := first + wire.PageNo(uint64(i)+uint64(threads)*(rng.Uint64N(pages/uint64(threads))))
				if rng.IntN(3) > 0 {
					b := byte(rng.IntN(255) + 1)
					g.client.flush(g.t, g.pid, page, version.Add(1), filled(b))
					last[page] = b
				} else if b := g.client.miss(g.t, g.pid, page); !bytes.Equal(b, filled(last[page])) {
					g.t.Errorf("page %#x holds %d…, want %d", uint64(page), b[0], last[page])
					return
				}
				w.n.Add(1)
			}
			for page, b := range last {
				if got := g.client.miss(g.t, g.pid, page); !bytes.Equal(got, filled(b)) {
					g.t.Errorf("at the end page %#x holds %d…, want %d", uint64(page), got[0], b)
				}
			}
		})
	}
	return w
}

// some lets that many operations pass.
func (w *writers) some(t testing.TB, n int64) {
	t.Helper()
	end := w.n.Load() + n
	eventually(t, "writers go on", func() bool { return w.n.Load() >= end })
}

func (w *writers) end() {
	w.stop.Store(true)
	w.wg.Wait()
}

// gone takes a member out of the cluster, as if it were killed, and has the others lose their connections to it.
func (m *member) gone() { m.stop() }

// TestACopySurvivesItsOwner: while clients flush and fetch, a vRegion moves, its new owner goes, then the next one, after the copies were restored at a third, then a
// holder. No acknowledged flush is lost, and nobody reads anything older.
func TestACopySurvivesItsOwner(t *testing.T) {
	cl := newCluster(t, 6, func(o *Options) { o.RegionBytes = 256 * wire.PageSize })
	p := newClient(cl)
	home := cl.m[0]
	g := &gmm{t: t, cl: cl, client: p, pid: 7, region: 1, home: home, cfg: wire.RegionConfig{PID: 7, Region: 1, Epoch: 1, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}}
	p.open(home, 7, 1, 256) // owned by m2
	g.protect(cl.m[1], holderOf(cl.m[2], false))
	w := g.write(3, 240)
	w.some(t, 400)
	if n := cl.m[2].Stats().Holder.Pages; n == 0 {
		t.Error("the holder has no pages")
	}

	req, from := p.order(7, 1, cl.m[5], home)
	if s := cl.move(from, req); s.State != wire.MoveDone {
		t.Fatalf("%+v", s)
	}
	w.some(t, 200)
	g.cfg.Epoch = req.Epoch

	cl.m[5].gone()
	m2, m3 := holderOf(cl.m[2], false), holderOf(cl.m[3], true)
	g.recover(cl.m[2], []wire.Holder{m2}, []wire.Holder{m3}, true)
	w.some(t, 200)
	g.protect(cl.m[2], m3) // waits until it is filled
	m3.Filling = false
	g.protect(cl.m[2], m3)

	cl.m[2].gone()
	g.recover(cl.m[3], []wire.Holder{m3}, []wire.Holder{holderOf(cl.m[4], true)}, true)
	w.some(t, 200)
	g.protect(cl.m[3], holderOf(cl.m[4], false))

	cl.m[4].gone()
	n := w.n.Load()
	g.protect(cl.m[3]) // nobody is left: it goes on alone
	w.some(t, 200)
	t.Logf("%d operations, %d of them while the last holder was known to be gone", w.n.Load(), w.n.Load()-n)
	w.end()
	if s := cl.m[3].Stats(); s.Primary.Filled == 0 || s.Primary.Sent == 0 {
		t.Errorf("%+v, want pages that were sent and filled", s.Primary)
	}
}

// TestAHolderThatIsSilentHoldsUpFlushesOnly: while a holder does not answer flushes wait, and misses of the same connection do not. When it is taken out they are answered.
func TestAHolderThatIsSilentHoldsUpFlushesOnly(t *testing.T) {
	cl := newCluster(t, 3, func(o *Options) { o.RegionBytes = 256 * wire.PageSize })
	p := newClient(cl)
	g := &gmm{t: t, cl: cl, client: p, pid: 7, region: 1, home: cl.m[0], cfg: wire.RegionConfig{PID: 7, Region: 1, Epoch: 1, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}}
	p.open(cl.m[0], 7, 1, 256)
	owner := cl.m[1]
	g.protect(owner, holderOf(cl.m[2], false))
	p.flush(t, 7, 256, 1, filled(1))
	cl.m[2].mu.Lock() // nothing is served there
	var flushes [8]netlayer.Call
	for i := range flushes {
		f := wire.Flush{PID: 7, Page: 256 + wire.PageNo(i), OwnerEpoch: 1, ProcessEpoch: 1, Version: uint64(10 + i)}
		flushes[i] = netlayer.Call{Op: wire.OpFlush, Body: f.Append(nil), Page: filled(byte(10 + i))}
		cl.must(owner.peer.Start(&flushes[i]))
	}
	for i := range flushes { // applied, though not acknowledged
		if b, err := owner.miss(7, 256+wire.PageNo(i)); err != nil || b[0] != byte(10+i) {
			t.Errorf("page %d: %v, %d…", i, err, b[0])
		}
	}
	if n := owner.server.Stats().Deferred; n != len(flushes) {
		t.Errorf("%d flushes wait, want %d", n, len(flushes))
	}
	for i := range flushes {
		if owner.peer.Done(&flushes[i]) {
			t.Errorf("flush %d was acknowledged although its holder has not got it", i)
		}
	}
	g.protect(owner)
	for i := range flushes {
		if err := owner.peer.Wait(&flushes[i]); err != nil {
			t.Errorf("flush %d: %v", i, err)
		}
	}
	cl.m[2].mu.Unlock()
}

// TestUnmapsReachHolders: what is unmapped is gone at the holder when the unmap is answered, so it does not come back with a recovery, and is zeros when it
// is mapped again.
func TestUnmapsReachHolders(t *testing.T) {
	cl := newCluster(t, 3, func(o *Options) { o.RegionBytes = 256 * wire.PageSize })
	p := newClient(cl)
	g := &gmm{t: t, cl: cl, client: p, pid: 7, region: 1, home: cl.m[0], cfg: wire.RegionConfig{PID: 7, Region: 1, Epoch: 1, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}}
	p.open(cl.m[0], 7, 1, 256)
	g.protect(cl.m[1], holderOf(cl.m[2], false))
	for i := range 64 {
		p.flush(t, 7, 256+wire.PageNo(i), uint64(i+1), filled(byte(i+1)))
	}
	var freed wire.MunmapRep
	cl.must(cl.m[0].control(wire.OpMunmap, wire.MunmapReq{PID: 7, Epoch: 1, Addr: 256 * wire.PageSize, Length: 32 * wire.PageSize}, &freed))
	if n := cl.m[2].Stats().Holder.Pages; freed.Freed != 32 || n != 32 {
		t.Errorf("%d pages were freed, and %d are at the holder, want 32 each", freed.Freed, n)
	}
	cl.mmap(cl.m[0], 7, 256*wire.PageSize, 16*wire.PageSize)
	p.flush(t, 7, 256, 100, filled(200))
	cl.m[1].gone()
	g.recover(cl.m[2], []wire.Holder{holderOf(cl.m[2], false)}, nil, true)
	for i, want := range map[wire.PageNo]byte{0: 200, 1: 0, 15: 0, 32: 33, 63: 64} {
		if b := p.miss(t, 7, 256+i); b[0] != want {
			t.Errorf("page %d holds %d…, want %d", i, b[0], want)
		}
	}
	if err := cl.m[2].missUnder(7, 256+20, g.cfg.Epoch); wire.KindOf(err) != wire.KindUnmapped {
		t.Error("a page that is not mapped was served")
	}
	// The end of the process frees everything.
	cl.must(cl.m[0].control(wire.OpProcessExit, wire.ProcessExitReq{PID: 7, Epoch: 1}, nil))
	eventually(t, "nothing is left", func() bool { s := cl.m[2].Stats(); return s.Pages.Used == 0 && s.Holder.Regions == 0 })
}

// TestAnUnmapThatWaitsForAHolderDoesNotHoldUpTheEnd: the home owns the vRegion itself, and its holder is gone for good.
func TestAnUnmapThatWaitsForAHolderDoesNotHoldUpTheEnd(t *testing.T) {
	cl := newCluster(t, 2, func(o *Options) { o.RegionBytes = 256 * wire.PageSize })
	p := newClient(cl)
	home := cl.m[1]
	g := &gmm{t: t, cl: cl, client: p, pid: 7, region: 1, home: home, cfg: wire.RegionConfig{PID: 7, Region: 1, Epoch: 1, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}}
	p.open(home, 7, 1, 256)
	g.protect(home, holderOf(cl.m[0], false))
	cl.m[0].gone()
	asked := make(chan error, 1)
	go func() {
		asked <- home.control(wire.OpMunmap, wire.MunmapReq{PID: 7, Epoch: 1, Addr: 256 * wire.PageSize, Length: 32 * wire.PageSize}, nil)
	}()
	eventually(t, "an unmap waits", func() bool { return len(home.waits) > 0 })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		home.stop()
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the component does not end")
		home.mu.Lock() // so that the test does
		home.unprotect(0, false, wire.Errorf(wire.KindUnavailable, "the test has failed"))
		home.mu.Unlock()
		<-ended
	}
	if err := <-asked; err == nil {
		t.Error("the unmap was answered as done, though the holder has not heard of it")
	}
}

// TestAddressesComeAndGo: of very many holders and peers that there ever were, no more are kept than have names, and who is needed again is found again.
func TestAddressesComeAndGo(t *testing.T) {
	cl := newCluster(t, 3, func(o *Options) { o.RegionBytes = 256 * wire.PageSize })
	p := newClient(cl)
	g := &gmm{t: t, cl: cl, client: p, pid: 7, region: 1, home: cl.m[0], cfg: wire.RegionConfig{PID: 7, Region: 1, Epoch: 1, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}}
	p.open(cl.m[0], 7, 1, 256)
	owner := cl.m[1]
	g.protect(owner, holderOf(cl.m[2], false))
	w := g.write(2, 64)
	w.some(t, 20)
	links := func() int {
		owner.mu.Lock()
		defer owner.mu.Unlock()
		return len(owner.replicas.links)
	}
	for i := range 3 * maxReplicaLinks {
		owner.mu.Lock()
		owner.link(fmt.Sprintf("inproc:gone-%d", i))
		owner.mu.Unlock()
	}
	if n := links(); n > maxReplicaLinks+1 { // the one that works may be there beside those
		t.Errorf("%d links, want at most %d", n, maxReplicaLinks+1)
	}
	w.some(t, 20)
	w.end()

	owner.peersMu.Lock()
	owner.o.Net.Slots = 1 // of peers that are made from now on
	owner.peersMu.Unlock()
	for i := range maxPeers + 10 {
		if _, err := owner.Component.peer(fmt.Sprintf("inproc:gone-%d", i)); err != nil {
			t.Fatalf("peer %d: %v", i, err)
		}
	}
	p.flush(t, 7, 256, 1<<40, filled(9))
	g.protect(owner)
	g.protect(owner, holderOf(cl.m[2], true))
}

func (m *member) missUnder(pid wire.PID, page wire.PageNo, epoch wire.Epoch) error {
	return m.peer.Do(&netlayer.Call{Op: wire.OpMiss, Epoch: 1, Body: wire.Miss{PID: pid, Page: page, OwnerEpoch: epoch}.Append(nil), Into: make([]byte, wire.PageSize)})
}

// TestABackupTakesOverAHome: what a home has answered its backup knows. When the home goes the backup becomes the home, tells the pComponent, and serves memory maps; then
// the vRegions of the process that were owned there are recovered with its help.
func TestABackupTakesOverAHome(t *testing.T) {
	cl := newCluster(t, 3, func(o *Options) { o.RegionBytes = 256 * wire.PageSize })
	p := newClient(cl)
	home, backup := cl.m[0], cl.m[1]
	p.open(home, 7, 3, 64) // vRegion 3 is home's own, 1 is the backup's
	hc := wire.HomeConfig{PID: 7, Epoch: 0, Config: 1, Backup: wire.Holder{Node: backup.o.Node, Addr: string(backup.addr)}}
	eventually(t, "the backup has the memory map", func() bool {
		var rep wire.HomeConfigRep
		cl.must(home.control(wire.OpHomeConfig, hc, &rep))
		return rep.InSync
	})
	g := &gmm{t: t, cl: cl, client: p, pid: 7, region: 3, home: home, cfg: wire.RegionConfig{PID: 7, Region: 3, Epoch: 1, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}}
	g.protect(home, holderOf(cl.m[2], false))
	p.flush(t, 7, 768+3, 1, filled(3))
	cl.mmap(home, 7, 256*wire.PageSize, 32*wire.PageSize) // the last that it answers
	home.gone()
	hc.Epoch, hc.Config, hc.Backup = 3, 2, wire.Holder{}
	over := wire.HomeRecoverReq{Config: hc, Self: backup.o.Node, Process: 1}
	eventually(t, "the backup is the home", func() bool {
		var rep wire.HomeRecoverRep
		cl.must(backup.control(wire.OpHomeRecover, over, &rep))
		return rep.State == wire.RecoverDone
	})
	p.mu.Lock()
	if p.home.Node != backup.o.Node || p.home.Epoch != 3 {
		t.Errorf("the pComponent takes %+v for the home", p.home)
	}
	p.mu.Unlock()
	g.home = backup
	g.recover(cl.m[2], []wire.Holder{holderOf(cl.m[2], false)}, nil, true)
	if b := p.miss(t, 7, 768+3); b[0] != 3 {
		t.Errorf("page 3 holds %d…, want 3", b[0])
	}
	var rep wire.MmapRep
	cl.must(backup.control(wire.OpOwners, wire.OwnersReq{PID: 7, Addr: 0, Length: 1024 * wire.PageSize}, &rep))
	if len(rep.Owners) != 2 || rep.Owners[0].Node != backup.o.Node || rep.Owners[1].Node != cl.m[2].o.Node {
		t.Errorf("owners by the new home: %+v", rep.Owners)
	}
	cl.must(backup.control(wire.OpMunmap, wire.MunmapReq{PID: 7, Epoch: 1, Addr: 256 * wire.PageSize, Length: 32 * wire.PageSize}, nil))
	cl.must(backup.control(wire.OpProcessExit, wire.ProcessExitReq{PID: 7, Epoch: 1}, nil))
}

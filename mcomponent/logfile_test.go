package mcomponent

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// logPages is the room in the memory of a log in these tests, in pages; their vRegion has 256.
const logPages = 8

// newLogged is a cluster with a vRegion at m2 whose log is at m3.
func newLogged(t *testing.T, members int, block bool) (*cluster, *gmm) {
	cl := newCluster(t, members, func(o *Options) {
		o.RegionBytes, o.ReplicaLogBytes, o.ReplicaFileBytes = 256*wire.PageSize, logPages*wire.PageSize, 512*wire.PageSize
	})
	p := newClient(cl)
	g := &gmm{t: t, cl: cl, client: p, pid: 7, region: 1, home: cl.m[0], cfg: wire.RegionConfig{PID: 7, Region: 1, Epoch: 1,
		Policy: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1, LogBlock: block}}}
	p.open(cl.m[0], 7, 1, 256)
	g.protect(cl.m[1], holderOf(cl.m[2], false))
	return cl, g
}

// flushAll flushes pages of the vRegion by several at a time; the version of a page is its number plus add.
func (g *gmm) flushAll(n, add int) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				g.client.flush(g.t, g.pid, wire.PageNo(256+i), uint64(i+add), filled(byte(i+add)))
			}
		})
	}
	wg.Wait()
}

// expect compares n pages of the vRegion.
func (g *gmm) expect(n, add int) {
	g.t.Helper()
	for i := range n {
		if b := g.client.miss(g.t, g.pid, wire.PageNo(256+i)); !bytes.Equal(b, filled(byte(i+add))) {
			g.t.Fatalf("page %d is not what was flushed", i)
		}
	}
}

// TestALogIsLargerThanItsMemory: a log takes many times the pages for which it has memory, by its backup file, without skipping any; when the
// owner is lost each comes back, from memory or from the file, as it was flushed last, at another mComponent or at the one that has the log. With the last log the file goes.
func TestALogIsLargerThanItsMemory(t *testing.T) {
	cl, g := newLogged(t, 5, true)
	g.flushAll(200, 1)
	g.flushAll(100, 7)
	s := cl.m[2].Stats().Holder
	if s.Skipped != 0 || s.Pages != 200 || s.LoggedPages > logPages || s.Saved < 200-logPages || s.FilePages < 200-logPages || s.Unread != 0 {
		t.Fatalf("%+v", s)
	}
	cl.m[1].gone()
	m3 := holderOf(cl.m[2], false)
	g.recover(cl.m[3], []wire.Holder{m3}, []wire.Holder{m3}, false)
	for i := range 100 {
		if b := g.client.miss(t, 7, wire.PageNo(256+i)); !bytes.Equal(b, filled(byte(i+7))) {
			t.Fatalf("page %d", i)
		}
	}
	eventually(t, "everything is recovered", func() bool { return cl.m[3].Stats().Recoveries == 0 })
	g.protect(cl.m[3], m3)
	g.flushAll(120, 9)
	// Nobody else has room: the one that has the log becomes the owner.
	cl.m[3].gone()
	g.recover(cl.m[2], []wire.Holder{m3}, []wire.Holder{holderOf(cl.m[4], true)}, true)
	g.expect(120, 9)
	for i := 120; i < 200; i++ {
		if b := g.client.miss(t, 7, wire.PageNo(256+i)); !bytes.Equal(b, filled(byte(i+1))) {
			t.Fatalf("page %d", i)
		}
	}
	if s := cl.m[2].Stats().Holder; s.Pages != 0 {
		t.Errorf("%+v is held of what is owned", s)
	}
	eventually(t, "what was on its way to the file has given its blocks back", func() bool { return cl.m[2].Stats().Holder.FilePages == 0 })
	cl.must(cl.m[0].control(wire.OpProcessExit, wire.ProcessExitReq{PID: 7, Epoch: 1}, nil))
	eventually(t, "the backup files go with the logs", func() bool { return cl.files.Load() == 0 && cl.disk.volume(1003) == nil && cl.disk.volume(1005) == nil })
}

// TestALogIsPulledFromHereAfterOthers: who has pulled pages from another, beside the entries that name them, then recovers from its own log, whose pages are
// in no reserved frames. The memory of a message that is used again still says how many bytes came with it.
func TestALogIsPulledFromHereAfterOthers(t *testing.T) {
	renew := func(bytes int) {
		pullCalls = sync.Pool{New: func() any { return &netlayer.Call{N: bytes} }}
	}
	renew(wire.PageSize)
	t.Cleanup(func() { renew(0) })
	cl, g := newLogged(t, 4, true)
	g.flushAll(32, 1)
	cl.m[1].gone()
	m3 := holderOf(cl.m[2], false)
	m3.Addr = "unix:/of/m3" // as in a cluster of processes: nobody calls himself
	g.recover(cl.m[2], []wire.Holder{m3}, []wire.Holder{holderOf(cl.m[3], true)}, true)
	g.expect(32, 1)
}

// TestABackupFileThatCannotBeWritten: while the sComponent refuses, a log goes on in memory and says why, and what has no room there waits; when it is back everything is
// saved. A page whose bytes in the file are not those that were written is named as lost, and no other.
func TestABackupFileThatCannotBeWritten(t *testing.T) {
	cl, g := newLogged(t, 4, true)
	g.flushAll(64, 1)
	eventually(t, "everything is saved", func() bool { return cl.m[2].Stats().Holder.LoggedPages == 0 })
	cl.disk.mu.Lock()
	cl.disk.refuse = wire.Errorf(wire.KindNoSpace, "the disk is full")
	cl.disk.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.flushAll(64, 3)
	}()
	eventually(t, "the log is full and says why", func() bool {
		s := cl.m[2].Stats()
		return s.Holder.LoggedPages == logPages && s.Holder.SaveErrors > 0 && s.LogBehind != ""
	})
	if d := cl.m[2].server.Stats().Deferred; d == 0 {
		t.Error("nobody waits for room in the log")
	}
	cl.disk.mu.Lock()
	cl.disk.refuse = nil
	cl.disk.mu.Unlock()
	<-done
	eventually(t, "everything is saved, and nothing is said", func() bool {
		s := cl.m[2].Stats()
		return s.Holder.LoggedPages == 0 && s.LogBehind == "" && s.Holder.Skipped == 0
	})
	b := wire.ReplicaRead{PID: 7, Region: 1, Page: 256 + 5, OwnerEpoch: 1, Config: g.cfg.Config, Count: 1, Flags: wire.ReplicaExact}
	cl.m[2].mu.Lock()
	items, _, err := cl.m[2].replicas.holder.Read(b, nil)
	cl.m[2].mu.Unlock()
	if err != nil || len(items) != 1 || !items[0].Saved {
		t.Fatalf("%+v, %v", items, err)
	}
	cl.disk.mu.Lock()
	cl.disk.vols[1003].now[int(items[0].Block)*wire.PageSize+77] ^= 1
	cl.disk.mu.Unlock()
	cl.m[1].gone()
	m3 := holderOf(cl.m[2], false)
	g.recover(cl.m[3], []wire.Holder{m3}, []wire.Holder{m3}, true)
	for i := range 64 {
		c := netlayer.Call{Op: wire.OpMiss, Epoch: 1, Body: wire.Miss{PID: 7, Page: wire.PageNo(256 + i), OwnerEpoch: g.cfg.Epoch}.Append(nil), Into: make([]byte, wire.PageSize)}
		err := cl.m[3].peer.Do(&c)
		if i == 5 && wire.KindOf(err) != wire.KindFailed {
			t.Errorf("the page that is lost: %v, want it named", err)
		} else if i != 5 && (err != nil || !bytes.Equal(c.Into, filled(byte(i+3)))) {
			t.Errorf("page %d: %v", i, err)
		}
	}
	if n := cl.m[2].Stats().Holder.Unread; n != 1 {
		t.Errorf("%d pages could not be read, want 1", n)
	}
}

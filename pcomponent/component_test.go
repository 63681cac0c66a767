package pcomponent

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/blockio"
	"splitkernel/pcomponent/excache"
)

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func mapPages(t testing.TB, p *Process, first, n uint64, anon bool) {
	t.Helper()
	if err := p.Map(background(t), first*wire.PageSize, n*wire.PageSize, anon, true, "test"); err != nil {
		t.Fatal(err)
	}
}

// TestThreadsSeeEachOthersWrites runs threads over few lines and two owners, for each mechanism; every access must find
// the last write and the owners must hold all of it in the end.
func TestThreadsSeeEachOthersWrites(t *testing.T) {
	for _, mech := range excache.Mechanisms() {
		t.Run(mech, func(t *testing.T) {
			os := startOwners(t, 2)
			const threads, pages, accesses = 4, 300, 3000
			p := open(t, os[0], small(16, mech), threads, nil)
			mapPages(t, p, 1000, pages/2, true)
			mapPages(t, p, 1000+pages/2, pages/2, false)
			w := counts{}
			var wg sync.WaitGroup
			for i := range threads {
				wg.Add(1)
				go func() {
					defer wg.Done()
					rng := rand.New(rand.NewPCG(1, uint64(i)))
					th := p.Thread(i)
					for n := 0; n < accesses; {
						th.Begin()
						for range 8 {
							// A few hot pages, so that threads meet on them.
							page := 1000 + uint64(rng.IntN(pages))
							if rng.IntN(3) == 0 {
								page = 1000 + uint64(rng.IntN(8))*32
							}
							if n++; !w.touch(t, th, page, rng.IntN(2) == 0) {
								th.End()
								return
							}
						}
						th.End()
					}
				}()
			}
			wg.Wait()
			if err := p.Drain(background(t)); err != nil {
				t.Fatal(err)
			}
			if err := p.core.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			s := p.Counters()
			if s.Accesses != threads*accesses || s.Accesses != s.Hits+s.Misses || s.Misses != s.PLocal+s.Fetches+s.Coalesced+s.VictimHits {
				t.Fatalf("counters do not add up: %+v", s)
			}
			for page, v := range w {
				o := os[page*wire.PageSize/testRegion%2]
				o.mu.Lock()
				b := o.pages[wire.PageNo(page)]
				if b == nil || binary.LittleEndian.Uint64(b[:]) != v {
					t.Errorf("page %d: its owner %s does not hold version %d", page, o.id, v)
				}
				o.mu.Unlock()
			}
			if r := p.Report(); len(r.Owners) < 2 {
				t.Errorf("owners %v", r.Owners)
			}
		})
	}
}

// TestOwnerGoesAndComes restarts the owner's server in the middle of a run: nothing is lost and nobody is told.
func TestOwnerGoesAndComes(t *testing.T) {
	os := startOwners(t, 1)
	// The first server is replaced by one that this test stops.
	p := open(t, os[0], small(8, "list"), 1, nil)
	mapPages(t, p, 0, 200, false)
	w := counts{}
	fail := 0
	os[0].mu.Lock()
	os[0].refuse = func(op wire.Op, page wire.PageNo) error {
		if fail++; fail%7 == 0 {
			return wire.Errorf(wire.KindUnavailable, "test")
		}
		if fail%11 == 0 {
			return wire.Errorf(wire.KindNotOwner, "test")
		}
		return nil
	}
	os[0].mu.Unlock()
	rng := rand.New(rand.NewPCG(3, 3))
	th := p.Thread(0)
	th.Begin()
	for range 300 {
		if !w.touch(t, th, uint64(rng.IntN(200)), rng.IntN(2) == 0) {
			break
		}
	}
	th.End()
	if err := p.Drain(background(t)); err != nil {
		t.Fatal(err)
	}
	if r := p.Report(); r.Faults.Retries == 0 || r.Faults.Redirects == 0 {
		t.Fatalf("nothing was retried or redirected: %+v", r.Faults)
	}
}

func TestErrorsOfTheOwnerEndTheProcess(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(8, "list"), 1, nil)
	mapPages(t, p, 0, 10, false)
	os[0].refuse = func(op wire.Op, page wire.PageNo) error {
		return wire.Errorf(wire.KindNoMemory, "m1: out of memory: capacity 1 MiB")
	}
	th := p.Thread(0)
	th.Begin()
	_, err := th.Access(3, false)
	_, err2 := th.Access(4, false)
	th.End()
	if !errors.Is(err, wire.ErrNoMemory) || !strings.Contains(err.Error(), "capacity 1 MiB") || err2 == nil {
		t.Fatalf("%v, then %v", err, err2)
	}
}

// TestStopFreesWaitingThreads: a process whose owner never answers can be stopped.
func TestStopFreesWaitingThreads(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(8, "list"), 2, nil)
	mapPages(t, p, 0, 10, false)
	asked := make(chan struct{}, 100)
	os[0].refuse = func(wire.Op, wire.PageNo) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		return wire.ErrBusy
	}
	errs := make(chan error, 2)
	for i := range 2 {
		go func() {
			th := p.Thread(i)
			th.Begin()
			_, err := th.Access(5, false)
			th.End()
			errs <- err
		}()
	}
	<-asked
	p.Stop(wire.Errorf(wire.KindFailed, "stopped"))
	for range 2 {
		if err := <-errs; !errors.Is(err, wire.ErrFailed) {
			t.Fatalf("%v", err)
		}
	}
}

func TestUnmapAndBrk(t *testing.T) {
	os := startOwners(t, 2)
	p := open(t, os[0], small(4, "list"), 1, nil)
	ctx := background(t)
	mapPages(t, p, 0, 100, true)
	w := counts{}
	th := p.Thread(0)
	all := func(first, n uint64, write bool) {
		th.Begin()
		defer th.End()
		for k := first; k < first+n; k++ {
			w.touch(t, th, k, write)
		}
	}
	all(0, 100, true)
	if err := p.Unmap(ctx, 10*wire.PageSize, 80*wire.PageSize); err != nil {
		t.Fatal(err)
	}
	for k := uint64(10); k < 90; k++ {
		delete(w, k)
	}
	mapPages(t, p, 20, 20, true)
	all(20, 20, false) // new memory is zero
	all(0, 10, false)  // what stayed is there
	// A mapping over an old one is new memory too.
	mapPages(t, p, 0, 5, true)
	for k := uint64(0); k < 5; k++ {
		delete(w, k)
	}
	all(0, 10, false)

	heap := uint64(1000) * wire.PageSize
	for _, end := range []uint64{heap, heap + 100, heap + 6*wire.PageSize} {
		if err := p.Brk(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	all(1000, 6, true)
	if err := p.Brk(ctx, heap+2*wire.PageSize); err != nil {
		t.Fatal(err)
	}
	all(1000, 2, false)
	th.Begin()
	_, err := th.Access(1003, false)
	th.End()
	if !errors.Is(err, wire.ErrUnmapped) {
		t.Fatalf("beyond the heap: %v", err)
	}
}

func TestMapAnywhere(t *testing.T) {
	os := startOwners(t, 2)
	p := open(t, os[0], small(4, "list"), 1, nil)
	addr, err := p.MapAnywhere(background(t), 3*wire.PageSize, true, true, "test")
	if err != nil || addr != chosen {
		t.Fatalf("%#x, %v", addr, err)
	}
	th, w := p.Thread(0), counts{}
	th.Begin()
	w.touch(t, th, addr/wire.PageSize+2, true)
	th.End()
	mapPages(t, p, 0, 2, true) // page 0 is a page like any other
	th.Begin()
	w.touch(t, th, 0, true)
	th.End()
}

func TestBlocks(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(4, "list"), 1, nil)
	ctx := background(t)
	v, err := p.Attach(ctx, VolumeOptions{ID: 3, Epoch: 1, SizeBytes: 1 << 20, Cache: os[0].id, CacheAddr: string(os[0].addr)})
	if err != nil {
		t.Fatal(err)
	}
	model := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(5, 5))
	buf := make([]byte, 1<<18)
	for range 60 {
		off := uint64(rng.IntN(len(model)/512-1)) * 512
		n := min(1+rng.IntN(200), (len(model)-int(off))/512) * 512
		b := buf[:n]
		if rng.IntN(2) == 0 {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			copy(model[off:], b)
			err = v.Write(ctx, off, b)
		} else if err = v.Read(ctx, off, b); err == nil && !bytes.Equal(b, model[off:int(off)+n]) {
			t.Fatalf("read of %d bytes at %d differs", n, off)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Flush(ctx); err != nil || os[0].durable != 1 {
		t.Fatalf("flush: %v, %d flushes arrived", err, os[0].durable)
	}
	for _, bad := range []struct {
		off uint64
		n   int
	}{{1, 512}, {0, 100}, {0, 0}, {1 << 20, 512}} {
		if err := v.Read(ctx, bad.off, buf[:bad.n]); err == nil {
			t.Errorf("a read of %d bytes at %d was allowed", bad.n, bad.off)
		}
	}
}

// TestAFailedBlockRequestEndsAtOnce: when a part of a request has failed for good no more parts are started.
func TestAFailedBlockRequestEndsAtOnce(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(4, "list"), 1, nil)
	p.c.o.BlockPatienceMS = 1
	ctx := background(t)
	v, err := p.Attach(ctx, VolumeOptions{ID: 3, Epoch: 1, SizeBytes: 1 << 20, Cache: os[0].id, CacheAddr: string(os[0].addr)})
	if err != nil {
		t.Fatal(err)
	}
	os[0].mu.Lock()
	os[0].refuse = func(op wire.Op, _ wire.PageNo) error { return wire.ErrBusy }
	os[0].mu.Unlock()
	if err := v.Write(ctx, 0, make([]byte, 1<<20)); !errors.Is(err, wire.ErrBusy) {
		t.Fatalf("%v", err)
	}
	if v.version > blockio.Window {
		t.Errorf("%d parts were started, %d may be under way when the first has failed", v.version, blockio.Window)
	}
	os[0].mu.Lock()
	os[0].refuse = nil
	os[0].mu.Unlock()
}

func TestExCacheIsBounded(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(64, "list"), 1, nil)
	po := p.o
	po.PID, po.Name = 8, "greedy"
	po.ExCache.Lines = int(p.c.o.ExCacheBytes / wire.PageSize)
	if _, err := p.c.Open(background(t), po); !errors.Is(err, wire.ErrNoRoom) || !strings.Contains(err.Error(), "greedy") {
		t.Fatalf("%v", err)
	}
	po = p.o
	if _, err := p.c.Open(background(t), po); !errors.Is(err, wire.ErrExists) {
		t.Fatalf("%v", err)
	}
}

// TestAProcessThatIsOpenedAtTheEnd: the component closes while a process waits for its home. Nobody would close it, nor the connections that it asks for.
func TestAProcessThatIsOpenedAtTheEnd(t *testing.T) {
	os := startOwners(t, 1)
	asked, answer := make(chan struct{}, 4), make(chan struct{})
	p := open(t, os[0], small(8, "list"), 1, nil)
	os[0].mu.Lock()
	os[0].open = func(wire.ProcessOpenReq) error {
		asked <- struct{}{}
		<-answer
		return nil
	}
	os[0].mu.Unlock()
	po := p.o
	po.PID++
	done := make(chan error, 1)
	go func() {
		_, err := p.c.Open(background(t), po)
		done <- err
	}()
	<-asked
	p.c.mu.Lock()
	p.c.dead = true // as Close does first
	p.c.mu.Unlock()
	close(answer)
	if err := <-done; !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("a process that is opened while the component closes: %v, want it refused", err)
	}
	if err := p.c.Close(background(t)); err != nil {
		t.Fatal(err)
	}
	p.disowned.Store(true) // it has ended, and ends again with the test
	if err := p.c.Control(background(t), string(os[0].addr), wire.OpProcessOpen, 0, wire.ProcessOpenReq{PID: 9, Epoch: 1}, nil); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("a component that has closed asks others: %v", err)
	}
}

// TestMissAllocatesNothing counts allocations of both ends over many misses with dirty victims.
func TestMissAllocatesNothing(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(4, "list"), 1, nil)
	const pages = 32
	mapPages(t, p, 0, pages, true)
	w := counts{}
	th := p.Thread(0)
	k := uint64(0)
	round := func() {
		th.Begin()
		for range pages {
			w.touch(t, th, k%pages, true)
			k++
		}
		th.End()
	}
	for range 10 {
		round()
	}
	// The fake owner allocates once per flush to keep the page; the component itself nothing.
	if n := testing.AllocsPerRun(20, round) / pages; n > 1.1 {
		t.Fatalf("%.2f allocations per miss with a flush, want at most the fake owner's own", n)
	}
}

func BenchmarkHit(b *testing.B) {
	os := startOwners(b, 1)
	p := open(b, os[0], excache.DefaultOptions(), 1, nil)
	const pages = 4096
	mapPages(b, p, 0, pages, true)
	w := counts{}
	th := p.Thread(0)
	th.Begin()
	defer th.End()
	for k := range uint64(pages) {
		w.touch(b, th, k, true)
	}
	b.ResetTimer()
	for i := range b.N {
		if _, err := th.Access(uint64(i*7)%pages, false); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkMissInproc(b *testing.B) {
	os := startOwners(b, 1)
	p := open(b, os[0], small(4, "list"), 1, nil)
	const pages = 32
	mapPages(b, p, 0, pages, true)
	w := counts{}
	th := p.Thread(0)
	th.Begin()
	defer th.End()
	b.ReportAllocs()
	for i := range b.N {
		w.touch(b, th, uint64(i)%pages, true)
	}
}

package pcomponent

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
)

// TestAHomeThatMovedIsFollowed: while the home moves it is busy; after it has moved the old one turns requests away, and they go
// to the new one, of which the process was told.
func TestAHomeThatMovedIsFollowed(t *testing.T) {
	os := startOwners(t, 2)
	p := open(t, os[0], small(8, "list"), 1, nil)
	mapPages(t, p, 0, 8, false)
	to := wire.Owner{Node: os[1].id, Addr: string(os[1].addr), Epoch: 1}
	asked := 0
	os[0].gone = func() error {
		asked++
		switch {
		case asked < 3:
			return wire.Errorf(wire.KindBusy, "the home is moving")
		case asked == 3: // it tells the process, then forgets
			if err := p.c.Switched(&netlayer.Request{Op: wire.OpHomeSwitch, Body: wire.Marshal(wire.HomeSwitchReq{PID: 7, Home: to})}); err != nil {
				t.Error(err)
			}
		}
		return wire.Errorf(wire.KindNotOwner, "the home moved")
	}
	if err := p.Map(background(t), 64*wire.PageSize, wire.PageSize, true, true, "test"); err != nil {
		t.Fatal(err)
	}
	if asked != 3 {
		t.Errorf("the old home was asked %d times", asked)
	}
	// A home that was taken for dead, or was started again, turns the process away before its backup has told of itself: that is waited for.
	for i, kind := range []wire.Kind{wire.KindNotOwner, wire.KindNotFound} {
		from, at := os[1-i], os[i]
		back := wire.Owner{Node: at.id, Addr: string(at.addr), Epoch: to.Epoch + 1}
		asked, at.gone = 0, nil
		from.gone = func() error {
			if asked++; asked == 1 {
				time.AfterFunc(10*time.Millisecond, func() {
					if err := p.c.Switched(&netlayer.Request{Op: wire.OpHomeSwitch, Body: wire.Marshal(wire.HomeSwitchReq{PID: 7, Home: back})}); err != nil {
						t.Error(err)
					}
				})
			}
			return wire.Errorf(kind, "the home is elsewhere, or will be")
		}
		if err := p.Map(background(t), uint64(80+i)*wire.PageSize, wire.PageSize, true, true, "test"); err != nil || asked != 1 {
			t.Fatalf("%v: %v, asked %d times", kind, err, asked)
		}
		to = back
	}
	os[0].gone, os[1].gone = nil, nil

	// Older news changes nothing; a home that turns a process away without news fails the request, in time.
	old := wire.Owner{Node: os[0].id, Addr: string(os[0].addr), Epoch: 1}
	if err := p.c.Switched(&netlayer.Request{Op: wire.OpHomeSwitch, Body: wire.Marshal(wire.HomeSwitchReq{PID: 7, Home: old})}); err != nil {
		t.Fatal(err)
	}
	if at := p.Home(); at != to {
		t.Errorf("the home is %+v", at)
	}
	os[1].gone = func() error { return wire.Errorf(wire.KindNotOwner, "moved again") }
	brief, cancel := context.WithTimeout(background(t), 50*time.Millisecond)
	defer cancel()
	if err := p.Unmap(brief, 64*wire.PageSize, wire.PageSize); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("munmap at a home that is none: %v", err)
	}
	os[1].gone = nil
	for _, op := range []wire.Op{wire.OpHomeSwitch, wire.OpRegionSwitch} {
		body := wire.Marshal(wire.HomeSwitchReq{PID: 8, Home: to})
		if op == wire.OpRegionSwitch {
			body = wire.Marshal(wire.RegionSwitchReq{PID: 8, Owner: to})
		}
		if err := p.c.Switched(&netlayer.Request{Op: op, Body: body}); !errors.Is(err, wire.ErrNotFound) {
			t.Errorf("%v of a process that does not run here: %v", op, err)
		}
	}
}

// TestASilentOwnerIsLeft: misses, flushes and a memory map are on their way to a component that does not answer, as one that was cut off.
// As soon as the process hears that another has taken its place they go there, without waiting for a deadline.
func TestASilentOwnerIsLeft(t *testing.T) {
	os := startOwners(t, 2)
	os[0].others = os[:1]
	const pages = 16
	p := open(t, os[0], small(8, "list"), 2, nil)
	mapPages(t, p, 0, pages, false)
	w := counts{}
	th := p.Thread(0)
	th.Begin()
	for page := range uint64(8) {
		w.touch(t, th, page, true)
	}
	th.End()
	silent := make(chan struct{})
	defer close(silent)
	os[0].mu.Lock()
	os[0].silent = silent
	os[0].mu.Unlock()
	done := make(chan error, 3)
	for i := range 2 { // each evicts dirty lines, so a miss and a flush are sent in one message
		go func() {
			th := p.Thread(i)
			th.Begin()
			defer th.End()
			for page := 8 + uint64(i); page < pages; page += 2 {
				w.touch(t, th, page, true)
			}
			done <- nil
		}()
	}
	mapped := background(t)
	go func() { done <- p.Map(mapped, 64*wire.PageSize, wire.PageSize, true, true, "test") }()
	peer := p.c.peer(p.Home().Addr)
	for end := time.Now().Add(10 * time.Second); peer.Stats().InFlight < 5; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v, want two misses, two flushes and a memory map under way", peer.Stats())
		}
	}
	began := time.Now()
	to := wire.Owner{Node: os[1].id, Addr: string(os[1].addr), Epoch: 4}
	if err := p.c.Switched(&netlayer.Request{Op: wire.OpRegionSwitch, Body: wire.Marshal(wire.RegionSwitchReq{PID: 7, Owner: to})}); err != nil {
		t.Fatal(err)
	}
	if err := p.c.Switched(&netlayer.Request{Op: wire.OpHomeSwitch, Body: wire.Marshal(wire.HomeSwitchReq{PID: 7, Home: to})}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := p.Drain(background(t)); err != nil {
		t.Error(err)
	}
	if n := p.Report().Faults; n.Redirects != 0 {
		t.Errorf("%+v: nobody had to ask for the owner", n)
	}
	if n := peer.Stats().Timeouts; n != 0 {
		t.Errorf("%d requests waited for their deadline", n)
	}
	t.Logf("all went on %v after the news", time.Since(began))
}

// TestAnOwnerChangesWhileAProcessEnds: several flushes are on their way to an owner that does not answer when the process ends, which waits for them one
// by one; the news of another owner answers all of them at once.
func TestAnOwnerChangesWhileAProcessEnds(t *testing.T) {
	os := startOwners(t, 2)
	os[0].others = os[1:]
	p := open(t, os[0], small(8, "list"), 1, nil)
	mapPages(t, p, 0, 8, false)
	w, th := counts{}, p.Thread(0)
	th.Begin()
	for page := range uint64(4) {
		w.touch(t, th, page, true)
	}
	th.End()
	silent := make(chan struct{})
	defer close(silent)
	os[1].mu.Lock()
	os[1].silent = silent
	os[1].mu.Unlock()
	p.mu.Lock()
	p.perform(fault.NoThread, p.core.Drain(p.now(), nil))
	under := len(p.active)
	p.mu.Unlock()
	if under < 3 {
		t.Fatalf("%d flushes are under way, want at least 3", under)
	}
	done := make(chan error, 1)
	go func() { done <- p.Close(background(t)) }()
	waits := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.active[0].waited
	}
	for end := time.Now().Add(10 * time.Second); !waits(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the end of the process waits for no flush")
		}
	}
	to := wire.Owner{Node: os[0].id, Addr: string(os[0].addr), Epoch: 4}
	if err := p.c.Switched(&netlayer.Request{Op: wire.OpRegionSwitch, Body: wire.Marshal(wire.RegionSwitchReq{PID: 7, Owner: to})}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestOwnersChangeUnderThreads: vRegions go from owner to owner with their pages while threads fault in them. Answers that were
// under way are asked for again, and every access finds the last write.
func TestOwnersChangeUnderThreads(t *testing.T) {
	os := startOwners(t, 3)
	const threads, pages, accesses = 3, 128, 2000
	p := open(t, os[0], small(12, "list"), threads, nil)
	mapPages(t, p, 0, pages, false)
	w := counts{}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := range threads {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(9, uint64(i)))
			th := p.Thread(i)
			for n := 0; n < accesses; n += 4 {
				th.Begin()
				for range 4 {
					if !w.touch(t, th, uint64(rng.IntN(pages)), rng.IntN(2) == 0) {
						th.End()
						return
					}
				}
				th.End()
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	moves := 0
	for running := true; running; moves++ {
		r := moves % 2
		from, to := os[(r+moves/2)%3], os[(r+moves/2+1)%3]
		handOver(from, to, wire.PageNo(r*64), 64)
		owner := wire.Owner{Region: wire.RegionNo(r), Node: to.id, Addr: string(to.addr), Epoch: wire.Epoch(2 + moves/2)}
		if err := p.c.Switched(&netlayer.Request{Op: wire.OpRegionSwitch, Body: wire.Marshal(wire.RegionSwitchReq{PID: 7, Owner: owner})}); err != nil {
			t.Fatal(err)
		}
		serveHere(to, wire.PageNo(r*64), 64)
		for before := p.Counters().Accesses; running && p.Counters().Accesses < before+100; { // it goes on between moves
			select {
			case <-done:
				running = false
			case <-time.After(time.Millisecond):
			}
		}
	}
	if err := p.Drain(background(t)); err != nil {
		t.Fatal(err)
	}
	if s := p.Counters(); s.Accesses != threads*accesses || s.Misses != s.PLocal+s.Fetches+s.Coalesced+s.VictimHits {
		t.Errorf("after %d moves: %+v", moves, s)
	}
}

// handOver moves the pages of a vRegion to another owner; neither serves them afterwards.
func handOver(from, to *owner, first, n wire.PageNo) {
	from.mu.Lock()
	defer from.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	for _, o := range []*owner{from, to} {
		if o.frozen == nil {
			o.frozen = map[wire.PageNo]bool{}
		}
	}
	for page := first; page < first+n; page++ {
		from.frozen[page], to.frozen[page] = true, true
		if b := from.pages[page]; b != nil {
			to.pages[page], to.version[page] = b, from.version[page]
		}
		delete(from.pages, page)
		delete(from.version, page)
	}
}

func serveHere(o *owner, first, n wire.PageNo) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for page := first; page < first+n; page++ {
		delete(o.frozen, page)
	}
}

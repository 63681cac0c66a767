package pcomponent

import (
	"context"
	"slices"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// deaf replaces an owner by one that accepts no connection until hear is called.
func deaf(t testing.TB, o *owner) (hear func()) {
	t.Helper()
	l, err := netlayer.Listen(o.addr)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		so := netlayer.DefaultServerOptions()
		so.Cluster, so.Role, so.Node = "test", wire.RoleMemory, o.id
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- netlayer.NewServer(o, so).Serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("server: %v", err)
			}
		})
	}
}

// TestHitsGoOnWhileAnOwnerDoesNotAccept: flushes to an owner that cannot be reached yet wait outside of the process's lock, and come to it in order.
func TestHitsGoOnWhileAnOwnerDoesNotAccept(t *testing.T) {
	os := startOwners(t, 1)
	lost := &owner{addr: os[0].addr + "deaf", id: "deaf", pages: os[0].pages, version: map[wire.PageNo]uint64{}}
	os[0].others = []*owner{os[0], lost}
	hear := deaf(t, lost)
	var came []wire.PageNo
	lost.refuse = func(op wire.Op, page wire.PageNo) error {
		if op == wire.OpFlush {
			came = append(came, page)
		}
		return nil
	}
	o := DefaultOptions()
	o.ID = "p1"
	o.Net.Cluster, o.Net.Role, o.Net.Node = "test", wire.RoleCompute, "p1"
	o.Net.HelloTimeoutMS, o.Net.CallTimeoutMS = 60_000, 60_000 // so that it is not given up before it hears
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	x := small(8, "list")
	x.Policy = "fifo"
	p, err := c.Open(background(t), ProcessOptions{PID: 7, Epoch: 1, Name: "test", Home: wire.Owner{Node: os[0].id, Addr: string(os[0].addr)}, Threads: 1, ExCache: x, RegionBytes: testRegion})
	if err != nil {
		t.Fatal(err)
	}
	const first = testRegion / wire.PageSize // of the vRegion of the one that is deaf
	mapPages(t, p, first, 32, true)
	done := make(chan bool)
	go func() {
		w, th, ok := counts{}, p.Thread(0), true
		th.Begin()
		for page := uint64(first); page < first+8+3; page++ { // three are evicted
			ok = ok && w.touch(t, th, page, true)
		}
		for range 100 {
			for page := uint64(first + 3); page < first+8+3; page++ {
				ok = ok && w.touch(t, th, page, true)
			}
		}
		th.End()
		done <- ok
	}()
	select {
	case ok := <-done:
		if !ok {
			t.Fatal("an access failed")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("hits stand still while an owner does not accept")
	}
	if n := p.Counters().Hits; n != 800 {
		t.Errorf("%d hits, want 800", n)
	}
	hear()
	if err := p.Drain(background(t)); err != nil {
		t.Fatal(err)
	}
	lost.mu.Lock()
	if want := []wire.PageNo{first, first + 1, first + 2}; len(came) < 3 || !slices.Equal(came[:3], want) {
		t.Errorf("flushes of pages %v came, want %v first", came, want)
	}
	lost.mu.Unlock()
	if err := p.Close(background(t)); err != nil {
		t.Error(err)
	}
	if err := c.Close(background(t)); err != nil {
		t.Error(err)
	}
}

// TestCloseWithAFullOutbox: a process whose flushes cannot be sent ends all the same.
func TestCloseWithAFullOutbox(t *testing.T) {
	os := startOwners(t, 1)
	lost := &owner{addr: os[0].addr + "deaf", id: "deaf"}
	os[0].others = []*owner{os[0], lost}
	deaf(t, lost)
	o := DefaultOptions()
	o.ID = "p1"
	o.Net.Cluster, o.Net.Role, o.Net.Node = "test", wire.RoleCompute, "p1"
	o.Net.HelloTimeoutMS = 100
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Open(background(t), ProcessOptions{PID: 7, Epoch: 1, Name: "test", Home: wire.Owner{Node: os[0].id, Addr: string(os[0].addr)}, Threads: 1, ExCache: small(8, "list"), RegionBytes: testRegion})
	if err != nil {
		t.Fatal(err)
	}
	const first = testRegion / wire.PageSize
	mapPages(t, p, first, 32, true)
	w, th := counts{}, p.Thread(0)
	th.Begin()
	for page := uint64(first); page < first+8+3; page++ {
		w.touch(t, th, page, true)
	}
	th.End()
	if err := p.Close(background(t)); err != nil {
		t.Error(err)
	}
	if err := c.Close(background(t)); err != nil {
		t.Error(err)
	}
}

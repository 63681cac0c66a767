package pcomponent

import (
	"fmt"
	"testing"

	"splitkernel/netlayer/wire"
)

// TestAddressesComeAndGo: of very many addresses that there ever were, no more connections are kept than have a name; who is needed again is found again: owners,
// the home and a buffer cache.
func TestAddressesComeAndGo(t *testing.T) {
	os := startOwners(t, 2)
	p := open(t, os[0], small(8, "list"), 1, nil)
	mapPages(t, p, 64, 64, false)
	v, err := p.Attach(background(t), VolumeOptions{ID: 1, Epoch: 1, SizeBytes: 1 << 16, Cache: os[1].id, CacheAddr: string(os[1].addr)})
	if err != nil {
		t.Fatal(err)
	}
	w, th := counts{}, p.Thread(0)
	work := func() {
		t.Helper()
		th.Begin()
		for page := uint64(64); page < 128; page++ {
			w.touch(t, th, page, true)
		}
		th.End()
		if err := v.Write(background(t), 0, make([]byte, wire.PageSize)); err != nil {
			t.Error(err)
		}
		if err := p.Drain(background(t)); err != nil {
			t.Error(err)
		}
		p.Undrain()
	}
	work()
	come := func(n int, name string) { // with little memory
		p.c.mu.Lock()
		was := p.c.o.Net.Slots
		p.c.o.Net.Slots = 1
		p.c.mu.Unlock()
		for i := range n {
			p.c.peer(fmt.Sprintf("inproc:%s-%d", name, i))
		}
		p.c.mu.Lock()
		p.c.o.Net.Slots = was
		p.c.mu.Unlock()
	}
	come(maxPeers+10, "gone")
	p.c.mu.Lock()
	for addr, peer := range p.c.peers { // as if nobody had used it for a while
		delete(p.c.peers, addr)
		peer.Close()
	}
	p.c.peersGone.Add(1)
	p.c.mu.Unlock()
	work()
	mapPages(t, p, 256, 8, true) // asks the home
	come(maxPeers+10, "gone-too")
	p.c.mu.Lock()
	n := len(p.c.peers)
	p.c.mu.Unlock()
	if n > maxPeers {
		t.Errorf("%d connections, at most %d", n, maxPeers)
	}
	work()
}

package gmanagers_test

import (
	"errors"
	"slices"
	"testing"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// TestCopiesAndBufferCachesAreKept: copies at an sComponent that dies or drains are made elsewhere, and the buffer cache of an mComponent that dies
// is given to another, of which the pComponent is told; if writes are lost with it the books say so.
func TestCopiesAndBufferCachesAreKept(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(o *gmanagers.Options) {
		quick(o)
		o.ReplaceAfterMS = 0
	})
	cl := c.client()
	w := newFakes(t, cl)
	w.add(pcomponent(1, 1<<20))
	for i := 1; i <= 3; i++ {
		w.add(mcomponent(i, 1<<30))
	}
	for i := 1; i <= 5; i++ {
		w.add(scomponent(i, 1<<30))
	}
	beating(t, w, func(*fake) wire.Load { return wire.Load{} })
	spec := fits
	spec.Volumes = []admission.VolumeSpec{{Name: "v", SizeBytes: 8192, Copies: admission.Copies{Replicas: 3, WriteQuorum: 2, ReadQuorum: 2}}}
	p, err := cl.Admit(within(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Volumes[0]
	if len(v.Replicas) != 3 || v.Config != 1 {
		t.Fatalf("admitted with %+v under configuration %d", v.Replicas, v.Config)
	}
	w.put(p.Node, movelist.Thing{Kind: wire.MoveProcess, PID: p.PID}, 1)
	for _, r := range v.Replicas {
		w.put(r.Node, movelist.Thing{Kind: wire.MoveVolume, Volume: v.Volume}, 1)
	}
	w.put(v.Cache, movelist.Thing{Kind: wire.MoveCache, Volume: v.Volume}, 1)
	now := func() (b gsm.Volume) {
		b, _, err := cl.Volume(within(t), v.Volume)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}

	dies := func(id wire.NodeID) {
		t.Helper()
		w.nodes[id].stop()
		if err := cl.DeclareDead(within(t), w.nodes[id].member, "the test has stopped it", 0); err != nil { // fakes are no witnesses
			t.Fatal(err)
		}
	}
	dies(v.Replicas[0].Node)
	until(t, "another copy is there", func() bool {
		b := now()
		return b.Whole() && !b.StoredAt(v.Replicas[0].Node) && b.Confirmed == b.Config
	})
	if err := cl.Drain(within(t), wire.RoleStorage, v.Replicas[1].Node); err != nil {
		t.Fatal(err)
	}
	until(t, "another copy is there again", func() bool {
		b := now()
		return b.Whole() && !b.StoredAt(v.Replicas[1].Node) && b.Confirmed == b.Config
	})
	if b := now(); b.Config != 5 || b.Epoch != 1 {
		t.Errorf("configuration %d, epoch %d; want 5 and 1", b.Config, b.Epoch)
	}

	for _, lost := range []bool{false, true} {
		before := now()
		w.mu.Lock()
		w.unflushed = lost
		w.mu.Unlock()
		dies(before.Cache)
		until(t, "the buffer cache is elsewhere", func() bool {
			b := now()
			return b.Cache != before.Cache && !b.Recached && (b.Lost == wire.MoveCache) == lost
		})
		b := now()
		w.mu.Lock()
		told := slices.Clone(w.nodes[p.Node].told)
		w.mu.Unlock()
		if n := len(told); n == 0 || told[n-1].To != b.Cache || told[n-1].Epoch != b.Epoch || b.Epoch != before.Epoch+3 {
			t.Errorf("the pComponent was told %+v; the books have %s under epoch %d, before it was %d", told, b.Cache, b.Epoch, before.Epoch)
		}
	}
	if _, err := cl.Move(within(t), movelist.Thing{Kind: wire.MoveVolume, Volume: v.Volume}, ""); !errors.Is(err, wire.ErrFailed) && !errors.Is(err, wire.ErrBadRequest) {
		t.Errorf("a move of a volume that is lost: %v", err)
	}
}

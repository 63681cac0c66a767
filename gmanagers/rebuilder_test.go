package gmanagers_test

import (
	"slices"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// redundant answers as an owner or a home whose copies are made at once. w.mu is held.
func (f *fake) redundant(req *netlayer.Request, rep *netlayer.Reply) error {
	inSync := func(hs []wire.Holder) (out []wire.NodeID) {
		for _, h := range hs {
			out = append(out, h.Node)
		}
		slices.Sort(out)
		return out
	}
	switch req.Op {
	case wire.OpRegionRecover:
		var q wire.RegionRecoverReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		if q.Self != f.member.ID || q.Member != f.member.Epoch {
			return wire.Errorf(wire.KindStale, "%s is under epoch %d", f.member.ID, f.member.Epoch)
		}
		f.holds[movelist.Thing{Kind: wire.MoveRegion, PID: q.Config.PID, Region: q.Config.Region}] = q.Config.Epoch
		rep.SetControl(wire.RegionRecoverRep{State: wire.RecoverDone, Done: 7, Known: 7})
	case wire.OpRegionConfig:
		var q wire.RegionConfig
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		if f.holds[movelist.Thing{Kind: wire.MoveRegion, PID: q.PID, Region: q.Region}] != q.Epoch {
			return wire.Errorf(wire.KindNotOwner, "not here")
		}
		rep.SetControl(wire.RegionConfigRep{Config: q.Config, InSync: inSync(q.Holders), Copied: 7, Known: 7})
	case wire.OpHomeRecover:
		var q wire.HomeRecoverReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		f.holds[movelist.Thing{Kind: wire.MoveHome, PID: q.Config.PID}] = q.Config.Epoch
		rep.SetControl(wire.HomeRecoverRep{State: wire.RecoverDone})
	case wire.OpHomeConfig:
		var q wire.HomeConfig
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		if f.holds[movelist.Thing{Kind: wire.MoveHome, PID: q.PID}] != q.Epoch {
			return wire.Errorf(wire.KindNotOwner, "not here")
		}
		rep.SetControl(wire.HomeConfigRep{Config: q.Config, InSync: true})
	}
	return nil
}

// TestCopiesOutliveAnMComponent: three managers have whatever a dead mComponent served served by who has a copy, also when their leader
// crashes meanwhile, and everything is as redundant as before in the end.
func TestCopiesOutliveAnMComponent(t *testing.T) {
	c := startCluster(t, nil)
	cl := c.client()
	w := newFakes(t, cl)
	for _, id := range []wire.NodeID{"m1", "m2", "m3", "m4"} {
		w.add(wire.Member{ID: id, Role: wire.RoleMemory, Capacity: wire.Capacity{MemoryBytes: 64 << 20, RegionBytes: 1 << 20}})
	}
	w.add(wire.Member{ID: "p1", Role: wire.RoleCompute, Capacity: wire.Capacity{Cores: 8, ExCacheLines: 1 << 20}})
	spec := admission.VNodeSpec{Name: "a", Threads: 1, ExCacheLines: 10, MemoryBytes: 2 << 20, Memory: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}
	p, err := cl.Admit(within(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	w.put(p.Node, movelist.Thing{Kind: wire.MoveProcess, PID: p.PID}, p.Epoch)
	w.put(p.Home.Node, movelist.Thing{Kind: wire.MoveHome, PID: p.PID}, p.Home.Epoch)
	for r := range wire.RegionNo(6) {
		a, err := cl.ActivateRegion(within(t), p.PID, r)
		if err != nil || a.Config.Config != 1 || len(a.Config.Holders) != 1 || a.Config.Holders[0].Node == a.Node || a.Home.Backup.Node == "" {
			t.Fatalf("vRegion %d: %+v, %v", r, a, err)
		}
		w.put(a.Node, movelist.Thing{Kind: wire.MoveRegion, PID: p.PID, Region: r}, a.Epoch)
	}
	books := func() gmm.Process {
		ps, err := cl.Regions(within(t), p.PID)
		if err != nil || len(ps) != 1 {
			t.Fatalf("%+v, %v", ps, err)
		}
		return ps[0]
	}
	whole := func() bool {
		b := books()
		ok := b.Survives(true, 0) && b.Copies.Known && !b.Copies.Recovering
		for _, r := range b.Regions {
			ok = ok && b.Survives(false, r.Region) && r.Copies.Known && !r.Copies.Recovering
		}
		return ok
	}
	until(t, "everything has its copies", whole)
	w.audit()
	dead := books().Home
	w.nodes[dead].stop()
	if err := cl.DeclareDead(within(t), w.nodes[dead].member, "a test", 0); err != nil {
		t.Fatal(err)
	}
	leader := c.leader(wire.GMM)
	c.crash(leader)
	until(t, "everything has its copies again, without "+string(dead), func() bool { return books().Home != dead && whole() })
	c.start(leader)
	for _, r := range books().Regions {
		if r.Node == dead || r.Copies.Holders[0].Node == dead {
			t.Errorf("%+v is at %s, which is dead", r, dead)
		}
	}
	told := map[events.Kind]bool{}
	page, err := cl.EventPage(within(t), wire.GMM, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		told[e.Kind] = true
	}
	for _, k := range []events.Kind{events.Recovering, events.FirstAccess, events.Recovered, events.Restored} {
		if !told[k] {
			t.Errorf("no event %v", k)
		}
	}
	w.audit()
}

package e2e

import (
	"sync"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/replay"
)

// twoOfEach is a cluster in which each role can give to another.
const twoOfEach = `name: two
transport: unix
region_bytes: 256KiB
manager:
  lease_ms: 1000
  sweep_ms: 500
  balance:
    gpm: {auto: false, interval_ms: 100}
    gmm: {auto: false, interval_ms: 100, max_moves: 16, max_component_moves: 16}
    gsm: {auto: false, interval_ms: 100}
nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: p2, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: m2, role: mcomponent}
  - {id: s1, role: scomponent}
  - {id: s2, role: scomponent}
`

// managersOf is a client of a cluster's managers.
func (c *cluster) managersOf() *client.Client {
	o := client.DefaultOptions()
	o.Net = c.net()
	for _, n := range c.Nodes() {
		if n.Role == wire.RoleManager.String() {
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		}
	}
	cl, err := client.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cl.Close() })
	return cl
}

// TestDrainUnderLoad: while a process runs, the mComponent that is its home drains: its vRegions, the home and the process itself
// move away, the component is removed, and no page is wrong.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	c := start(t, twoOfEach)
	cl := c.managersOf()
	ctx := background(t)
	w := workload(t, one(t, synthetic(t, "drained", 1, 40*64, 0, 200_000, true), 256, ""))
	var wg sync.WaitGroup
	defer wg.Wait()
	var home wire.NodeID
	quick := c.slow(500 * time.Microsecond)
	s := c.run(w, func(o *replay.RunOptions) {
		o.OnPlaced = func() {
			wg.Go(func() {
				defer quick()
				eventually(t, "the process has vRegions at both mComponents", func() bool {
					homes, err := cl.Regions(ctx, 0)
					if err != nil || len(homes) != 1 {
						return false
					}
					home = homes[0].Home
					at := map[wire.NodeID]int{}
					for _, r := range homes[0].Regions {
						at[r.Node]++
					}
					return at["m1"] > 2 && at["m2"] > 2
				})
				if err := cl.Drain(ctx, wire.RoleMemory, home); err != nil {
					t.Error(err)
					return
				}
				ps, err := cl.Processes(ctx)
				if err != nil || len(ps) != 1 {
					t.Errorf("%+v, %v", ps, err)
					return
				}
				if _, err := cl.Move(ctx, movelist.Thing{Kind: wire.MoveProcess, PID: ps[0].PID}, ""); err != nil {
					t.Error(err)
				}
				eventually(t, "nothing is left", func() bool {
					d, err := cl.DrainStatus(ctx, wire.RoleMemory, home)
					return err == nil && d.Left == 0
				})
			})
		}
	})
	wg.Wait()
	ok(t, s)
	eventually(t, "the drained component is removed", func() bool { return cl.Remove(ctx, wire.RoleMemory, home) == nil })
	kinds := map[wire.MoveKind]int{}
	for _, g := range []wire.Manager{wire.GPM, wire.GMM} {
		list, err := cl.Moves(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if t.Logf("%v from %s to %s: %s", m.Thing(), m.From, m.Req.To, m.Outcome()); m.State == wire.MoveDone {
				kinds[m.Req.Kind]++
			}
		}
	}
	if kinds[wire.MoveRegion] < 3 || kinds[wire.MoveHome] != 1 || kinds[wire.MoveProcess] != 1 {
		t.Errorf("moves that are done: %v", kinds)
	}
}

// TestDrainOfHeldVNodes: vNodes without a running process, one that never had one and one whose process has ended, leave the
// components that drain; these are removed, the books agree, and processes that are started then by who knows the old place only
// find the new one and see the right pages.
func TestDrainOfHeldVNodes(t *testing.T) {
	c := start(t, twoOfEach)
	cl := c.managersOf()
	ctx := background(t)
	peers := map[netlayer.Addr]*netlayer.Peer{}
	peer := func(a netlayer.Addr) *netlayer.Peer {
		if peers[a] == nil {
			peers[a] = netlayer.NewPeer(a, c.net())
		}
		return peers[a]
	}
	defer func() {
		for _, p := range peers {
			p.Close()
		}
	}()
	v := configs.DefaultVNode()
	v.Name, v.Trace, v.Threads, v.Repeat = "held", synthetic(t, "held", 1, 12*64, 0, 20_000, true), 1, 1
	v.Excache.Lines, v.Excache.Ways = 128, 0
	program, err := replay.NewProgram(ctx, &v)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	old := map[wire.Role]wire.NodeID{wire.RoleCompute: "p1", wire.RoleMemory: "m1", wire.RoleStorage: "s1"}
	others := map[wire.Role]wire.NodeID{wire.RoleCompute: "p2", wire.RoleMemory: "m2", wire.RoleStorage: "s2"}
	for role, id := range others { // so that all begins at the first of each
		must(cl.Drain(ctx, role, id))
	}
	var places []admission.Placement
	for range 2 {
		p, err := cl.Admit(ctx, admission.VNodeSpec{Name: "held", Threads: 1, ExCacheLines: 128, MemoryBytes: 1 << 20, Volumes: []admission.VolumeSpec{{Name: "disk", SizeBytes: 1 << 20}}}.Complete())
		must(err)
		if p.Node != "p1" || p.Home.Node != "m1" || p.Volumes[0].Storage != "s1" || p.Volumes[0].Cache != "m1" {
			t.Fatalf("%+v, want the first of each", p)
		}
		w := p.Volumes[0]
		must(peer(netlayer.Addr(w.StorageAddr)).Control(ctx, wire.OpVolumeCreate, w.Epoch, &wire.VolumeCreateReq{Volume: w.Volume, Epoch: w.Epoch, Name: "disk", SizeBytes: w.SizeBytes}, nil))
		places = append(places, p)
	}
	runs := func(place admission.Placement) admission.Placement {
		t.Helper()
		s := program.Spec
		s.PID, s.RegionBytes = place.PID, place.Home.RegionBytes
		s.Home = wire.Owner{Node: place.Home.Node, Addr: place.Home.Addr, Epoch: place.Home.Epoch}
		for _, w := range place.Volumes {
			s.Volumes = append(s.Volumes, replay.VolumeAt{ID: w.Volume, Epoch: w.Epoch, SizeBytes: w.SizeBytes, Storage: w.Storage, StorageAddr: w.StorageAddr, Cache: w.Cache, CacheAddr: w.CacheAddr})
		}
		at, err := replay.StartAt(ctx, cl, peer, s, place)
		must(err)
		var st replay.Status
		eventually(t, "the process ends", func() bool {
			var rep wire.ProcessStatusRep
			must(peer(netlayer.Addr(at.Addr)).Control(ctx, wire.OpProcessStatus, at.Epoch, &wire.ProcessRef{PID: place.PID}, &rep))
			must(wire.Unmarshal(rep.Status, &st))
			return st.Result != nil
		})
		if r := st.Result; r.Error != "" || len(r.Integrity) > 0 || r.Counters.PagesChecked == 0 {
			t.Fatalf("process %d at %s: %+v", place.PID, at.Node, r)
		}
		return at
	}
	runs(places[0])
	for role, id := range others {
		must(cl.Undrain(ctx, role, id))
	}
	for _, role := range []wire.Role{wire.RoleMemory, wire.RoleCompute, wire.RoleStorage} {
		id := old[role]
		must(cl.Drain(ctx, role, id))
		eventually(t, string(id)+" has nothing left", func() bool {
			d, err := cl.DrainStatus(ctx, role, id)
			if err == nil && len(d.Stuck) > 0 {
				t.Fatalf("%s is stuck: %+v", id, d)
			}
			return err == nil && d.Left == 0
		})
		eventually(t, string(id)+" is removed", func() bool { return cl.Remove(ctx, role, id) == nil })
	}
	agree := func() {
		t.Helper()
		rep, err := httpapi.Audit(ctx, cl, c.net())
		if err != nil || len(rep.Differences) > 0 || rep.VNodes != len(places) {
			t.Fatalf("%+v, %v", rep, err)
		}
	}
	agree()
	for _, p := range places { // by what was told when they were admitted
		if at := runs(p); at.Node != "p2" || at.Epoch != 2 {
			t.Errorf("process %d ran at %s under epoch %d, want p2 under 2", p.PID, at.Node, at.Epoch)
		}
	}
	agree()

	// What is left at components when a vNode is released is dropped: a home with vRegions, a process that runs, volumes.
	p, err := cl.Where(ctx, places[0].PID)
	must(err)
	home := peer(netlayer.Addr(p.Home.Addr))
	must(home.Control(ctx, wire.OpProcessOpen, p.Epoch, &wire.ProcessOpenReq{PID: p.PID, Epoch: p.Epoch, Home: p.Home.Epoch}, nil))
	var mapped wire.MmapRep
	must(home.Control(ctx, wire.OpMmap, p.Epoch, &wire.MmapReq{PID: p.PID, Epoch: p.Epoch, Length: 1 << 20, Anon: true, Writable: true}, &mapped))
	s := program.Spec
	if p, err = cl.Where(ctx, places[1].PID); err != nil {
		t.Fatal(err)
	}
	s.PID, s.Epoch, s.RegionBytes, s.Repeat = p.PID, p.Epoch+1, places[1].Home.RegionBytes, 1_000_000
	s.Home = wire.Owner{Node: p.Home.Node, Addr: p.Home.Addr, Epoch: p.Home.Epoch}
	must(peer(netlayer.Addr(p.Addr)).Control(ctx, wire.OpProcessStart, s.Epoch, &wire.ProcessStartReq{PID: s.PID, Spec: wire.Marshal(&s)}, nil))
	for _, p := range places {
		must(cl.Release(ctx, p.PID))
	}
	places = nil
	eventually(t, "the components hold what the books have", func() bool {
		rep, err := httpapi.Audit(ctx, cl, c.net())
		return err == nil && len(rep.Differences) == 0 && rep.VNodes == 0
	})
}

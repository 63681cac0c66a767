package e2e

import (
	"sync"
	"testing"

	"splitkernel/gmanagers/client"
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
	w := workload(t, one(t, synthetic(t, "drained", 1, 40*64, 0, 1_200_000, true), 256, ""))
	var wg sync.WaitGroup
	defer wg.Wait()
	var home wire.NodeID
	s := c.run(w, func(o *replay.RunOptions) {
		o.OnPlaced = func() {
			wg.Go(func() {
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

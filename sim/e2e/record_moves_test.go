package e2e

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/cachemove"
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/node"
	"splitkernel/sim/record"
	"splitkernel/sim/replay"
)

// TestRecordedMovesAndKill9 records a process that uses memory and volumes, while the mComponent that is its home drains: its memory map,
// its vRegions and buffer caches go to the other one, which is killed with SIGKILL then. What each mComponent decided is
// re-executed: who serves what, the blocks of volumes, and both sides of the moves.
func TestRecordedMovesAndKill9(t *testing.T) {
	t.Parallel()
	path, err := filepath.Abs("../../configs/traces/sqlite.skt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := startRecorded(t, program, &node.Record{Dir: dir, Commit: "c", ConfigDigest: "d"}, twoOfEach,
		"pcomponent.fault.patience_ms=500", "pcomponent.block_patience_ms=500", "pcomponent.map_patience_ms=500")
	cl, ctx := c.managersOf(), background(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	other := map[wire.NodeID]wire.NodeID{"m1": "m2", "m2": "m1"}
	var from wire.NodeID
	s := c.run(workload(t, one(t, path, 256, ""), "workload.vnodes.one.repeat=100000"), func(o *replay.RunOptions) {
		o.OnPlaced = func() {
			wg.Go(func() {
				defer func() {
					if err := c.Kill(string(other[from])); err != nil {
						t.Error(err)
					}
				}()
				from = "m1"
				eventually(t, "the process has vRegions where its home is", func() bool {
					homes, err := cl.Regions(ctx, 0)
					if err != nil || len(homes) != 1 {
						return false
					}
					from = homes[0].Home
					n := 0
					for _, r := range homes[0].Regions {
						if r.Node == from {
							n++
						}
					}
					return n > 2
				})
				if err := cl.Drain(ctx, wire.RoleMemory, from); err != nil {
					t.Error(err)
					return
				}
				eventually(t, "nothing is left", func() bool {
					d, err := cl.DrainStatus(ctx, wire.RoleMemory, from)
					return err == nil && d.Left == 0
				})
				eventually(t, "what came is on the tape", func() bool { // the last moments before a kill -9 are not
					res, err := record.Execute(ctx, filepath.Join(dir, string(other[from])+record.Suffix), record.ExecuteOptions{})
					if err != nil {
						return false // a block is being written
					}
					_, events := coresOf(res)
					return events[migrate.TakerTapeKind] > 9
				})
			})
		}
	})
	wg.Wait()
	if s.ExitCode() != 1 || len(s.Integrity) > 0 {
		t.Fatalf("exit code %d: %q, integrity %q", s.ExitCode(), s.Failed, s.Integrity)
	}
	moved := map[wire.MoveKind]int{}
	for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		list, err := cl.Moves(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if m.From == from && m.Ended() {
				moved[m.Req.Kind]++
			}
		}
	}
	if err := c.Stop(background(t)); err != nil {
		t.Fatal(err)
	}
	again := func(n wire.NodeID) *record.Result {
		t.Helper()
		res, err := record.Execute(background(t), filepath.Join(dir, string(n)+record.Suffix), record.ExecuteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if (res.Ended == nil) != (n == other[from]) {
			t.Errorf("the tape of %s ended with %+v", n, res.Ended)
		}
		return res
	}
	res := again(from)
	cores, gave := coresOf(res)
	_, took := coresOf(again(other[from]))
	t.Logf("moves from %s: %v\ncores %v, events %v\nevents of %s: %v", from, moved, cores, gave, other[from], took)
	if moved[wire.MoveRegion] < 3 || moved[wire.MoveHome] != 1 || moved[wire.MoveCache] == 0 {
		t.Errorf("moves: %v", moved)
	}
	if cores[migrate.GiverTapeKind] < 3 || cores[cachemove.TapeKind] != moved[wire.MoveCache] {
		t.Errorf("%v for moves %v", cores, moved)
	}
	for _, kind := range []string{pagestore.TapeKind, vregion.HomeTapeKind, vregion.OwnersTapeKind, buffercache.TapeKind, migrate.GiverTapeKind, cachemove.TapeKind} {
		if gave[kind] == 0 {
			t.Errorf("%s recorded nothing of %s", from, kind)
		}
	}
	for _, kind := range []string{pagestore.TapeKind, vregion.HomeTapeKind, vregion.OwnersTapeKind, buffercache.TapeKind, migrate.TakerTapeKind} {
		if took[kind] < 3 {
			t.Errorf("%s recorded %d events of %s", other[from], took[kind], kind)
		}
	}
	for _, x := range res.Cores {
		if x.Kind == migrate.GiverTapeKind && (!strings.Contains(x.Name, "from "+string(from)+" to "+string(other[from])) || !strings.HasPrefix(x.State, "ended, done under epoch ")) {
			t.Errorf("%s: %s", x.Name, x.State)
		}
	}
}

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/node"
	"splitkernel/sim/replay"
)

// TestMemorySurvivesKill9OfItsFile kills the sComponent that has backup files of logs while their process runs, and has the next one drain: each time what was in the
// files is sent again by its owners to files elsewhere, the one that drains is removed, and then an owner is killed, whose pages come from there. No page is lost
// or wrong, and what the mComponents decided is re-executed.
func TestMemorySurvivesKill9OfItsFile(t *testing.T) {
	if raceEnabled {
		t.Skip("real processes, which are built without the race detector anyway, and much that is executed again: make test runs this without -race")
	}
	t.Parallel()
	const refs, repeat = 25_000, 4
	path := synthetic(t, "logged", 11, 2048, 0, refs, false)
	dir := t.TempDir()
	c := startRecorded(t, program, &node.Record{Dir: dir, Commit: "c", ConfigDigest: "d"}, redundant+"  - {id: s2, role: scomponent}\n  - {id: s3, role: scomponent}\n")
	cl := c.managersOf()
	text := strings.Replace(one(t, path, 256, ""), "    excache", "    memory: {replication: log, log_full: block}\n    excache", 1)
	var done atomic.Uint64
	var all, reached atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	// where tells how many files there are at an sComponent, or, if that is empty, the sComponent that has most.
	where := func(at wire.NodeID) (wire.NodeID, int) {
		files, err := cl.Files(background(t))
		if err != nil {
			return at, -1
		}
		n := map[wire.NodeID]int{}
		for _, f := range files {
			n[f.Storage]++
		}
		if at == "" {
			for id, k := range n {
				if k > n[at] || k == n[at] && id < at {
					at = id
				}
			}
		}
		return at, n[at]
	}
	s := c.run(workload(t, text, fmt.Sprintf("workload.vnodes.one.repeat=%d", repeat)), func(o *replay.RunOptions) {
		o.Progress = func(p replay.Progress) { done.Store(p.Done) }
		o.OnPlaced = func() {
			wg.Go(func() {
				defer all.Store(true)
				var p gmm.Process
				whole := func() bool {
					ps, err := cl.Regions(background(t), 0)
					if err == nil && len(ps) == 1 {
						p = ps[0]
					}
					return err == nil && len(ps) == 1 && isWhole(&p, false)
				}
				eventually(t, "the process goes on, and its memory is redundant", func() bool { return done.Load() > refs && whole() })
				quick := sync.OnceFunc(c.slow(2 * time.Millisecond)) // it is not at its end before all this is done
				defer quick()
				lost, n := where("")
				if n <= 0 {
					t.Error("there are no backup files")
					return
				}
				if err := c.Kill(string(lost)); err != nil {
					t.Error(err)
				}
				eventually(t, "there are no files where they were lost", func() bool { _, n := where(lost); return n == 0 })
				leaves, _ := where("")
				if err := cl.Drain(background(t), wire.RoleStorage, leaves); err != nil {
					t.Error(err)
				}
				eventually(t, "there are no files where it drains", func() bool {
					d, err := cl.DrainStatus(background(t), wire.RoleStorage, leaves)
					return err == nil && d.Drains && d.Left == 0
				})
				if err := cl.Remove(background(t), wire.RoleStorage, leaves); err != nil {
					t.Error(err)
				}
				eventually(t, "its memory is redundant", whole)
				if done.Load() < repeat*refs {
					reached.Store(true)
				}
				quick()
				for _, r := range p.Regions {
					if r.Node != p.Home {
						if err := c.Kill(string(r.Node)); err != nil {
							t.Error(err)
						}
						return
					}
				}
				t.Error("no vRegion has another owner than the home")
			})
		}
	})
	wg.Wait()
	ok(t, s)
	if !all.Load() || !reached.Load() {
		t.Fatal("the run was over too soon")
	}
	list, _, err := cl.Events(background(t), wire.GMM, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	for _, e := range list {
		switch e.Kind {
		case events.FirstAccess:
			served++
		case events.Lost, events.Unprotected:
			t.Errorf("%+v", e)
		}
	}
	if served == 0 {
		t.Error("no failure of an owner was served")
	}
	if err := c.Stop(background(t)); err != nil {
		t.Fatal(err)
	}
	tapes := reexecuteAll(t, dir, path)
	tapes.has(t, replica.PrimaryTapeKind, 1000)
	tapes.has(t, replica.HolderTapeKind, 1000)
}

package e2e

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"splitkernel/gmanagers/gmm"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/replica"
	"splitkernel/sim/node"
	"splitkernel/sim/replay"
)

// TestKillMemoryAndProcess kills with SIGKILL who owns the memory of a program that makes checkpoints, and then, or at the same time, the pComponent that runs it: the program goes on
// from its last checkpoint at the other one, with the memory that the holder has, as it was then. No page is wrong, and all is re-executed from the tapes.
func TestKillMemoryAndProcess(t *testing.T) {
	if raceEnabled {
		t.Skip("real processes, which are built without the race detector anyway, and much that is executed again: make test runs this without -race")
	}
	t.Parallel()
	for _, how := range []string{"one after the other", "at once"} {
		t.Run(how, func(t *testing.T) {
			const refs = 50_000
			path := synthetic(t, "checkpointed", 11, 2048, 0, refs, false)
			dir := t.TempDir()
			c := startRecorded(t, program, &node.Record{Dir: dir, Commit: "c", ConfigDigest: "d"}, redundant+"  - {id: p2, role: pcomponent}\n")
			text := strings.Replace(one(t, path, 256, ""), "    excache", "    memory: {replication: sync}\n    checkpoint: {every: 10000}\n    excache", 1)
			var done atomic.Uint64
			var wg sync.WaitGroup
			defer wg.Wait()
			s := c.run(workload(t, text, "workload.vnodes.one.repeat=6"), func(o *replay.RunOptions) {
				o.Progress = func(p replay.Progress) { done.Store(p.Done) }
				o.OnPlaced = func() {
					wg.Go(func() {
						eventually(t, "the process has made a checkpoint", func() bool { return done.Load() > 4*refs/3 })
						var p gmm.Process
						whole := func() bool {
							ps, err := c.asks(t).Regions(background(t), 0)
							if err != nil || len(ps) != 1 || !isWhole(&ps[0], false) {
								return false
							}
							p = ps[0]
							return true
						}
						eventually(t, "its memory is redundant", whole)
						vs, err := c.asks(t).Volumes(background(t))
						if err != nil || len(vs) != 1 {
							t.Errorf("volumes %+v, %v", vs, err)
							return
						}
						victim := ""
						for _, r := range p.Regions {
							if r.Node != p.Home && r.Node != vs[0].Cache { // which keeps writes that have no copy
								victim = string(r.Node)
							}
						}
						if err := c.Kill(victim); err != nil {
							t.Error(err)
						}
						if how != "at once" {
							eventually(t, "its memory is redundant again", whole)
						}
						ran := "p1"
						if pr, err := c.asks(t).Processes(background(t)); err == nil && len(pr) == 1 {
							ran = string(pr[0].Node)
						}
						if err := c.Kill(ran); err != nil {
							t.Error(err)
						}
					})
				}
			})
			wg.Wait()
			ok(t, s)
			v := s.VNodes[0]
			if v.Accesses != 6*refs || v.PagesChecked != 6*refs || v.IntegrityErrors != 0 || len(v.Restarts) != 1 {
				t.Errorf("%d accesses, %d pages checked, %d wrong, restarts %+v", v.Accesses, v.PagesChecked, v.IntegrityErrors, v.Restarts)
			}
			if err := c.Stop(background(t)); err != nil {
				t.Fatal(err)
			}
			all := reexecuteAll(t, dir, path)
			all.has(t, pagestore.TapeKind, 1000)
			all.has(t, replica.PrimaryTapeKind, 1000)
			all.has(t, replica.HolderTapeKind, 1000)
		})
	}
}

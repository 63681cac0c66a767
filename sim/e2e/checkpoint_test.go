package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
)

// checkpointed is a workload of two programs, with volumes, that make checkpoints.
func checkpointed(t *testing.T, every string) string {
	t.Helper()
	traces, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("TRACES", traces, "EVERY", every).Replace(`name: checkpoints
vnodes:
  - {name: sort, trace: TRACES/sort.skt, max_refs: 300000, CHECKPOINT excache: {lines: 512, ways: 0}}
  - {name: sqlite, trace: TRACES/sqlite.skt, max_refs: 600000, CHECKPOINT excache: {lines: 512, ways: 0}}
`)
}

// TestKillACheckpointed kills a pComponent with SIGKILL in the midst of two programs with volumes, or stops it until it is declared dead and
// then lets it go on: its process goes on from its last checkpoint at the other one. The run ends with exit code 0, each access is counted once, no page and no block
// is wrong, the report and GPM's events say what was redone, and nothing is left at any component.
func TestKillACheckpointed(t *testing.T) {
	for _, how := range []string{"killed", "stopped"} {
		t.Run(how, func(t *testing.T) {
			c := start(t, "laptop", "manager.lease_ms=1000")
			text := strings.ReplaceAll(checkpointed(t, ""), "CHECKPOINT", "checkpoint: {every: 20000},")
			cl := c.managersOf()
			restarted := func() bool {
				list, _, err := cl.Events(background(t), wire.GPM, 0, 0)
				return err == nil && slices.ContainsFunc(list, func(e events.Event) bool { return e.Kind == events.Restarted && e.Node == "p2" })
			}
			var once sync.Once
			s := c.run(workload(t, text), func(o *replay.RunOptions) {
				o.Progress = func(p replay.Progress) {
					if p.Done < p.Total/5 {
						return
					}
					once.Do(func() {
						if how == "killed" {
							c.signal("p1", syscall.SIGKILL)
							return
						}
						c.signal("p1", syscall.SIGSTOP)
						go func() {
							eventually(t, "the restart of what p1 had", restarted)
							c.signal("p1", syscall.SIGCONT)
						}()
					})
				}
			})
			ok(t, s)
			var restarts []report.Restart
			for _, v := range s.VNodes {
				restarts = append(restarts, v.Restarts...)
				if want := map[string]uint64{"sort": 300_000, "sqlite": 600_000}[v.Name]; v.Accesses != want || v.PagesChecked != want || v.IntegrityErrors != 0 {
					t.Errorf("%s: %d accesses, %d pages checked, %d wrong, want %d of the first two", v.Name, v.Accesses, v.PagesChecked, v.IntegrityErrors, want)
				}
			}
			if !restarted() {
				t.Error("GPM does not tell that p2 goes on with it")
			}
			if len(restarts) != 1 || restarts[0].From != "p1" || restarts[0].To != "p2" || restarts[0].BackAtSeconds < restarts[0].LostAtSeconds {
				t.Errorf("restarts: %+v", restarts)
			}
		})
	}
}

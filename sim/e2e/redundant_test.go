package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/node"
	"splitkernel/sim/replay"
)

// redundant is a cluster in which mComponents may die one after the other.
const redundant = `name: redundant
transport: unix
region_bytes: 256KiB
mcomponent: {memory_bytes: 32MiB, replica_log_bytes: 128KiB} # of 2048 pages most are in backup files
manager: {balance: {gpm: {auto: false}, gmm: {auto: false}, gsm: {auto: false}}}
nodes:
  - {id: g1, role: manager}
  - {id: g2, role: manager}
  - {id: g3, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: m2, role: mcomponent}
  - {id: m3, role: mcomponent}
  - {id: m4, role: mcomponent}
  - {id: m5, role: mcomponent}
  - {id: s1, role: scomponent}
`

// TestMemorySurvivesKill9 kills mComponents of a running process one after the other, each when all that the ones before had is redundant again: its home, who
// owns a vRegion, who holds the copy of one. The process ends well, no page is wrong, and all that the nodes decided is re-executed from their tapes.
func TestMemorySurvivesKill9(t *testing.T) {
	if raceEnabled {
		t.Skip("real processes, which are built without the race detector anyway, and much that is executed again: make test runs this without -race")
	}
	t.Parallel()
	for _, tc := range []struct {
		memory   string
		accesses int
		victims  []string
	}{
		{"{replication: sync}", 300_000, []string{"home", "owner", "holder"}},
		{"{replication: log, log_full: block}", 100_000, []string{"owner"}},
		{"{replication: erasure, data: 2, parity: 1}", 150_000, []string{"owner", "holder"}},
	} {
		t.Run(tc.memory, func(t *testing.T) {
			const refs = 50_000
			path := synthetic(t, "redundant", 11, 2048, 0, refs, false)
			dir := t.TempDir()
			c := startRecorded(t, program, &node.Record{Dir: dir, Commit: "c", ConfigDigest: "d"}, redundant)
			text := strings.Replace(one(t, path, 256, ""), "    excache", "    memory: "+tc.memory+"\n    excache", 1)
			var done atomic.Uint64
			var killed []string
			var wg sync.WaitGroup
			defer wg.Wait()
			s := c.run(workload(t, text, fmt.Sprintf("workload.vnodes.one.repeat=%d", tc.accesses/refs)), func(o *replay.RunOptions) {
				o.Progress = func(p replay.Progress) { done.Store(p.Done) }
				o.OnPlaced = func() {
					wg.Go(func() {
						for _, what := range tc.victims {
							at := done.Load() + 1000 // it uses its memory
							eventually(t, "the process goes on", func() bool { return done.Load() > at })
							var p gmm.Process
							eventually(t, "its memory is redundant", func() bool {
								ps, err := c.asks(t).Regions(background(t), 0)
								if err != nil || len(ps) != 1 || !isWhole(&ps[0], strings.Contains(tc.memory, "erasure")) {
									return false
								}
								p = ps[0]
								return true
							})
							victim := string(p.Home)
							for _, r := range p.Regions {
								if what == "owner" && r.Node != p.Home {
									victim = string(r.Node)
								} else if what == "holder" && r.Copies.Holders[0].Node != p.Home {
									victim = string(r.Copies.Holders[0].Node)
								}
							}
							if err := c.Kill(victim); err != nil {
								t.Error(err)
							}
							killed = append(killed, victim)
						}
					})
				}
			})
			last := done.Load()
			wg.Wait()
			ok(t, s)
			if len(killed) != len(tc.victims) || last == 0 {
				t.Fatalf("killed %v during %d accesses", killed, last)
			}
			served, restored := 0, 0
			list, _, err := c.asks(t).Events(background(t), wire.GMM, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				switch e.Kind {
				case events.FirstAccess:
					served++
				case events.Restored:
					restored++
				case events.Lost:
					t.Errorf("%+v", e)
				}
			}
			if served < len(killed) {
				t.Errorf("%d of %d failures have an event that tells when all was served again", served, len(killed))
			}
			t.Logf("killed %v; all was served again %d times, and redundant again %d times", killed, served, restored)
			if err := c.Stop(background(t)); err != nil {
				t.Fatal(err)
			}
			all := reexecuteAll(t, dir, path)
			all.has(t, fault.TapeKind, 1000)
			all.has(t, pagestore.TapeKind, 1000)
			all.has(t, vregion.HomeTapeKind, 10)
			all.has(t, replica.PrimaryTapeKind, 1000)
			all.has(t, replica.HolderTapeKind, 1000)
			all.has(t, recovery.TapeKind, 4)
			if strings.Contains(tc.memory, "erasure") {
				all.has(t, erasure.TapeKind, 1000)
			}
			if all.killed != len(killed) {
				t.Errorf("%d tapes without an end, want those of %v", all.killed, killed)
			}
		})
	}
}

// isWhole reports whether all of a process has as many copies as it should, in sync.
func isWhole(p *gmm.Process, shares bool) bool {
	whole := func(c *gmm.Copies, want int) bool {
		return c != nil && !c.Recovering && !c.Short && len(c.Holders) == want && !slices.ContainsFunc(c.Holders, func(h gmm.Holder) bool { return h.Filling })
	}
	want := 1
	if shares {
		want = 3
	}
	for _, r := range p.Regions {
		if !whole(r.Copies, want) {
			return false
		}
	}
	return len(p.Regions) > 0 && whole(p.Copies, 1)
}

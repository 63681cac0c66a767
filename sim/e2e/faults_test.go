package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"splitkernel/sim/replay"
	"splitkernel/sim/report"
)

// one is a workload of one vNode over a trace.
func one(t *testing.T, path string, lines int, more string) string {
	t.Helper()
	return fmt.Sprintf("name: one\nseed: 1\nvnodes:\n  - name: one\n    trace: %s\n    excache: {lines: %d, ways: 0, policy: lru%s}\n", path, lines, more)
}

// managers are the managers of the laptop cluster.
var managers = []string{"g1", "g2", "g3"}

// TestManagerDiesWhileActivationsWait stops the managers, lets a process ask for 40 vRegions, kills one manager for good,
// lets the others go on, and wants every logical counter as in an undisturbed run. Each manager is killed once, so the leaders are.
func TestManagerDiesWhileActivationsWait(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "wide", 1, 40*256, 0, 60_000, true)
	text := one(t, path, 512, "")
	var want report.Counters
	for _, victim := range append([]string{""}, managers...) {
		t.Run("kill "+victim, func(t *testing.T) {
			c := start(t, "laptop")
			w := workload(t, text)
			var wg sync.WaitGroup
			defer wg.Wait()
			s := c.run(w, func(o *replay.RunOptions) {
				if victim == "" {
					return
				}
				o.OnPlaced = func() {
					for _, m := range managers {
						c.signal(m, syscall.SIGSTOP)
					}
					wg.Go(func() {
						ctx := background(t)
						eventually(t, "20 activations outstanding", func() bool {
							sum := 0.0
							for _, m := range []string{"m1", "m2", "m3"} {
								asks, err := c.counter(ctx, m, "asks")
								done, err2 := c.counter(ctx, m, "activations")
								if err != nil || err2 != nil {
									t.Error(err, err2)
									return true
								}
								sum += asks - done
							}
							return sum >= 20
						})
						if err := c.Kill(victim); err != nil {
							t.Error(err)
						}
						for _, m := range managers {
							if m != victim {
								c.signal(m, syscall.SIGCONT)
							}
						}
					})
				}
			})
			ok(t, s)
			if victim == "" {
				want = logical(s.Total)
				if want.Fetches == 0 || want.Flushes == 0 || s.VNodes[0].Activations != 40 {
					t.Fatalf("nothing is tested: %d activations, %+v", s.VNodes[0].Activations, want)
				}
				return
			}
			if got := logical(s.Total); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("counters differ from an undisturbed run:\n%+v\n%+v", got, want)
			}
		})
	}
}

// TestAllManagersDie kills every manager after the process has all its memory: it must finish, with nothing changed.
func TestAllManagersDie(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "long", 2, 4*256, 0, 100_000, false)
	text := one(t, path, 256, "")
	c := start(t, "laptop")
	undisturbed := c.run(workload(t, text), nil)
	ok(t, undisturbed)
	var once sync.Once
	var atKill atomic.Uint64
	end := c.slow(time.Millisecond)
	s := c.run(workload(t, text), func(o *replay.RunOptions) {
		o.Progress = func(p replay.Progress) {
			if p.Done > 0 {
				once.Do(func() {
					for _, m := range managers {
						if err := c.Kill(m); err != nil {
							t.Error(err)
						}
					}
					atKill.Store(p.Done)
					end()
				})
			}
		}
	})
	ok(t, s)
	if n := atKill.Load(); n == 0 || n >= s.Total.Accesses {
		t.Fatalf("the managers were killed after %d of %d accesses, want in the middle", n, s.Total.Accesses)
	}
	if got, want := logical(s.Total), logical(undisturbed.Total); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("counters differ from an undisturbed run:\n%+v\n%+v", got, want)
	}
	if len(s.Warnings) == 0 {
		t.Error("no warning says that the managers did not answer")
	}
}

// TestTheCheckCanFail: a byte flipped in an mComponent's memory and a flush that was acknowledged and dropped are each seen.
func TestTheCheckCanFail(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "check", 3, 1024, 0, 100_000, true)
	for _, set := range []string{"nodes.m1.inject.flip_byte_at_miss=10", "nodes.m1.inject.drop_flush_at=50"} {
		t.Run(set, func(t *testing.T) {
			c := start(t, onePonem, set)
			s := c.run(workload(t, one(t, path, 128, "")), nil)
			if s.ExitCode() != 3 || s.Total.IntegrityErrors == 0 || len(s.Integrity) == 0 {
				t.Fatalf("exit code %d, %d integrity errors: %q", s.ExitCode(), s.Total.IntegrityErrors, s.Integrity)
			}
			if !strings.Contains(s.Integrity[0], "history") || !strings.Contains(s.Integrity[0], "flush") {
				t.Errorf("the wrong page has no history: %q", s.Integrity[0])
			}
		})
	}
}

// TestOutOfMemoryEndsOnlyWhoAsked: a vNode larger than the memory fails by name, the other one ends well.
func TestOutOfMemoryEndsOnlyWhoAsked(t *testing.T) {
	t.Parallel()
	big := synthetic(t, "big", 4, 6000, 0, 200_000, true)
	little := synthetic(t, "little", 5, 200, 0, 100_000, true)
	c := start(t, onePonem, "nodes.m1.memory_bytes=8MiB")
	s := c.run(workload(t, fmt.Sprintf(`name: two
seed: 1
vnodes:
  - {name: big, trace: %s, excache: {lines: 64, ways: 0}}
  - {name: little, trace: %s, excache: {lines: 64, ways: 0}}
`, big, little)), nil)
	if s.ExitCode() != 1 || len(s.Failed) != 1 || !strings.Contains(s.Failed[0], "big: ") || !strings.Contains(s.Failed[0], "m1: out of memory") {
		t.Fatalf("exit code %d: %q", s.ExitCode(), s.Failed)
	}
	if s.VNodes[1].State != replay.StateDone || s.VNodes[1].Accesses != 100_000 {
		t.Errorf("the other vNode: %+v", s.VNodes[1])
	}
	// Its memory was given back: the little one fits again, and again.
	for range 3 {
		ok(t, c.run(workload(t, one(t, little, 64, "")), nil))
	}
}

// TestMechanismsAgree replays one trace with each mechanism and policy, in trace order and with threads: every page right.
func TestMechanismsAgree(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "mix", 6, 1500, 300, 20_000, true)
	c := start(t, "laptop")
	policies := []string{"lru", "fifo", "clock", "random", "lru-sweep"}
	for _, mech := range []string{"list", "write-protect", "victim"} {
		var text strings.Builder
		fmt.Fprintf(&text, "name: agree\nseed: 1\nvnodes:\n")
		for _, policy := range policies {
			fmt.Fprintf(&text, "  - name: %s\n    trace: %s\n    excache: {lines: 256, ways: 0, policy: %s, mechanism: %s, sweep_every_accesses: 500}\n", policy, path, policy, mech)
		}
		fmt.Fprintf(&text, "  - name: threads\n    trace: %s\n    order: threads\n    threads: 4\n    excache: {lines: 256, ways: 0, policy: lru, mechanism: %s}\n", path, mech)
		first := c.run(workload(t, text.String()), nil)
		ok(t, first)
		again := c.run(workload(t, text.String()), nil)
		ok(t, again)
		for i, policy := range policies {
			if a, b := logical(first.VNodes[i].Counters), logical(again.VNodes[i].Counters); fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
				t.Errorf("%s %s: two runs differ:\n%+v\n%+v", mech, policy, a, b)
			}
			if first.VNodes[i].Name != policy || first.VNodes[i].Late == 0 {
				t.Errorf("%s %s: no vRegion was activated during the run of %s", mech, policy, first.VNodes[i].Name)
			}
		}
		for _, s := range []*report.Summary{first, again} {
			if v := s.VNodes[len(policies)]; v.Threads != 4 || v.Accesses != 20_000 {
				t.Errorf("%s: %d threads, %d accesses", mech, v.Threads, v.Accesses)
			}
		}
	}
}

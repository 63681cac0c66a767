package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/movelist"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/node"
	"splitkernel/sim/record"
	"splitkernel/sim/replay"
)

// TestRecordedKill9 records runs of a threaded process in which a component is killed in the middle, and re-executes what
// the pComponent did: up to the failure of the process when the mComponent died, and as far as the tape goes when it
// died itself.
func TestRecordedKill9(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "killed", 7, 2048, 64, 100_000, false)
	for _, victim := range []string{"m1", "p1"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := startRecorded(t, program, &node.Record{Dir: dir, Commit: "c", ConfigDigest: "d"}, onePonem, "pcomponent.fault.patience_ms=500")
			text := strings.Replace(one(t, path, 128, ""), "    excache", "    order: threads\n    threads: 4\n    excache", 1)
			var once sync.Once
			s := c.run(workload(t, text, "workload.vnodes.one.repeat=100000"), func(o *replay.RunOptions) {
				o.Progress = func(p replay.Progress) {
					if p.Done > 20_000 {
						once.Do(func() {
							if err := c.Kill(victim); err != nil {
								t.Error(err)
							}
						})
					}
				}
			})
			if s.ExitCode() != 1 || len(s.Failed) != 1 {
				t.Fatalf("exit code %d: %q, integrity %q", s.ExitCode(), s.Failed, s.Integrity)
			}
			if err := c.Stop(background(t)); err != nil {
				t.Fatal(err)
			}
			res, err := record.Execute(background(t), filepath.Join(dir, "p1"+record.Suffix), record.ExecuteOptions{
				Accesses: func(program []byte) (record.Accesses, error) {
					return replay.NewReferences(program, func(s replay.Spec) (string, error) { return path, nil })
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			g, err := record.Execute(background(t), filepath.Join(dir, "g1"+record.Suffix), record.ExecuteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(g.Cores) != 3 || g.Effects < 5 || g.Ended == nil {
				t.Errorf("managers: %+v", g)
			}
			m, err := record.Execute(background(t), filepath.Join(dir, "m1"+record.Suffix), record.ExecuteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Cores) != 6 || m.Effects < 1000 || (m.Ended == nil) != (victim == "m1") {
				t.Errorf("mComponent: %+v", m)
			}
			if _, events := coresOf(m); events[pagestore.TapeKind] < 1000 || events[vregion.HomeTapeKind] == 0 || events[vregion.OwnersTapeKind] == 0 {
				t.Errorf("mComponent: %v", events)
			}
			if len(res.Cores) != 1 || res.Hits < 1000 || res.Head.Commit != "c" || res.Head.Node != "p1" {
				t.Fatalf("%+v", res)
			}
			if failed := strings.Contains(res.Cores[0].State, "failed: "); victim == "m1" && (res.Ended == nil || !failed || !res.Cores[0].Ended || res.Hits != s.Total.Hits) ||
				victim == "p1" && (res.Ended != nil || res.Cores[0].Ended) {
				t.Errorf("%s: end %+v, live hits %d\n%+v", victim, res.Ended, s.Total.Hits, res)
			}
		})
	}
}

// TestTailAfterMovesAndAKill9 records a threaded process on tapes that hold a small part of its run. It goes to and fro between two
// pComponents, so do its memory and its home between two mComponents, and in the end one of these is killed with SIGKILL. Each tape has
// lost its beginning several times over; what it has is re-executed, every effect the recorded one, up to the failure of the process.
func TestTailAfterMovesAndAKill9(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "tail", 9, 2048, 64, 200_000, false)
	dir := t.TempDir()
	rec := &node.Record{Dir: dir, MaxBytes: record.MinMaxBytes, Tail: true, Commit: "c", ConfigDigest: "d"}
	c := startRecorded(t, program, rec, twoOfEach, "pcomponent.fault.patience_ms=500")
	cl, ctx := c.managersOf(), background(t)
	text := strings.Replace(one(t, path, 128, ""), "    excache", "    order: threads\n    threads: 4\n    excache", 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	s := c.run(workload(t, text, "workload.vnodes.one.repeat=100000"), func(o *replay.RunOptions) {
		o.OnPlaced = func() {
			wg.Go(func() {
				// Whatever else fails, the run comes to an end.
				defer func() {
					if err := c.Kill("m1"); err != nil {
						t.Error(err)
					}
				}()
				var pid wire.PID
				eventually(t, "the process runs", func() bool {
					ps, err := cl.Processes(ctx)
					if err == nil && len(ps) == 1 {
						pid = ps[0].PID
					}
					return pid != 0
				})
				for range 3 {
					if !moveAndWait(t, cl, movelist.Thing{Kind: wire.MoveProcess, PID: pid}) || !moveAndWait(t, cl, movelist.Thing{Kind: wire.MoveHome, PID: pid}) ||
						!moveAndWait(t, cl, movelist.Thing{Kind: wire.MoveRegion, PID: pid, Region: firstRegion(t, cl)}) {
						return
					}
				}
				eventually(t, "every component has lost the beginning of its tape", func() bool {
					for n, segments := range map[string]uint64{"p1": 4, "p2": 4, "m1": 2, "m2": 2} {
						if r, err := record.Open(filepath.Join(dir, n+record.Suffix)); err != nil || r.Close() != nil || r.Head.Segment < segments {
							return false
						}
					}
					return true
				})
			})
		}
	})
	wg.Wait()
	if s.ExitCode() != 1 || len(s.Failed) != 1 {
		t.Fatalf("exit code %d: %q, integrity %q", s.ExitCode(), s.Failed, s.Integrity)
	}
	if err := c.Stop(background(t)); err != nil {
		t.Fatal(err)
	}
	o := record.ExecuteOptions{Accesses: func(program []byte) (record.Accesses, error) {
		return replay.NewReferences(program, func(replay.Spec) (string, error) { return path, nil })
	}}
	failed := 0
	for _, n := range []string{"g1", "p1", "p2", "m1", "m2"} {
		o.Until = 0
		res, err := record.Execute(background(t), filepath.Join(dir, n+record.Suffix), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: from event %d, %d passed over, up to %d; %d states, %d effects, %d hits; %+v", n, res.Before+1, res.Skipped, res.Events, res.States, res.Effects, res.Hits, res.Ended)
		if n == "g1" { // it has no tail to lose
			continue
		}
		if res.Before == 0 || res.States == 0 || res.Effects < 1000 || res.Skipped > res.Events/4 || (res.Ended == nil) != (n == "m1") {
			t.Errorf("%s: %+v", n, res)
		}
		if len(res.Cores) > 0 && strings.Contains(res.Cores[len(res.Cores)-1].State, "did not answer") {
			failed++
		}
		o.Until = res.Events - 500
		if res, err = record.Execute(background(t), filepath.Join(dir, n+record.Suffix), o); err != nil || !res.Stopped || res.Events != o.Until {
			t.Errorf("%s until event %d: %+v %v", n, o.Until, res, err)
		}
	}
	if failed != 1 {
		t.Errorf("in the re-execution %d processes missed an mComponent, want 1", failed)
	}
}

// moveAndWait moves something wherever the managers want, and waits until it has.
func moveAndWait(t *testing.T, cl *client.Client, thing movelist.Thing) bool {
	t.Helper()
	ctx := background(t)
	id, err := cl.Move(ctx, thing, "")
	if err != nil {
		t.Errorf("%v: %v", thing, err)
		return false
	}
	done := false
	eventually(t, thing.String()+" moves", func() bool {
		list, err := cl.Moves(ctx, id.Manager)
		i := slices.IndexFunc(list, func(m movelist.Move) bool { return m.Req.Move == id })
		if err != nil || i < 0 || !list[i].Ended() {
			return false
		}
		if done = list[i].State == wire.MoveDone; !done {
			t.Errorf("%v: %s", thing, list[i].Outcome())
		}
		return true
	})
	return done
}

// firstRegion is a vRegion of the only process.
func firstRegion(t *testing.T, cl *client.Client) wire.RegionNo {
	t.Helper()
	homes, err := cl.Regions(background(t), 0)
	if err != nil || len(homes) != 1 || len(homes[0].Regions) == 0 {
		t.Errorf("%+v, %v", homes, err)
		return 0
	}
	return homes[0].Regions[0].Region
}

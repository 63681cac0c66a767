package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
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
			of := wire.GMM
			if victim == "p1" {
				of = wire.GPM
			}
			eventually(t, victim+" is declared dead", func() bool {
				ms, err := c.asks(t).Members(background(t), of)
				if err != nil {
					t.Fatal(err)
				}
				return len(ms) == 1 && ms[0].State == membership.Dead
			})
			if err := c.Stop(background(t)); err != nil {
				t.Fatal(err)
			}
			all := reexecuteAll(t, dir, path)
			all.has(t, membership.ProberTapeKind, 4) // silent, asked, two answers
			all.has(t, session.TapeKind, 10)
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
			if len(g.Cores) < 3+len(beside) || g.Effects < 5 || g.Ended == nil {
				t.Errorf("managers: %+v", g)
			}
			m, err := record.Execute(background(t), filepath.Join(dir, "m1"+record.Suffix), record.ExecuteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(coresOfKind(m, pagestore.TapeKind)) != 1 || len(m.Cores) != 10 || m.Effects < 1000 || (m.Ended == nil) != (victim == "m1") {
				t.Errorf("mComponent: %+v", m)
			}
			if _, events := coresOf(m); events[pagestore.TapeKind] < 1000 || events[vregion.HomeTapeKind] == 0 || events[vregion.OwnersTapeKind] == 0 {
				t.Errorf("mComponent: %v", events)
			}
			ps := coresOfKind(res, fault.TapeKind)
			if len(ps) != 1 || res.Hits < 1000 || res.Head.Commit != "c" || res.Head.Node != "p1" {
				t.Fatalf("%+v", res)
			}
			if failed := strings.Contains(ps[0].State, "failed: "); victim == "m1" && (res.Ended == nil || !failed || !ps[0].Ended || res.Hits != s.Total.Hits) ||
				victim == "p1" && (res.Ended != nil || ps[0].Ended) {
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
				lost := func(n string, segments uint64) bool {
					r, err := record.Open(filepath.Join(dir, n+record.Suffix))
					return err == nil && r.Close() == nil && r.Head.Segment >= segments
				}
				// It is at one pComponent now and in the end at the other, which fills its tape then.
				eventually(t, "the first pComponent has lost the beginning of its tape", func() bool { return lost("p1", 4) || lost("p2", 4) })
				for range 3 {
					if !moveAndWait(t, cl, movelist.Thing{Kind: wire.MoveProcess, PID: pid}) || !moveAndWait(t, cl, movelist.Thing{Kind: wire.MoveHome, PID: pid}) ||
						!moveAndWait(t, cl, movelist.Thing{Kind: wire.MoveRegion, PID: pid, Region: firstRegion(t, cl)}) {
						return
					}
				}
				eventually(t, "every component has lost the beginning of its tape", func() bool {
					for n, segments := range map[string]uint64{"p1": 4, "p2": 4, "m1": 2, "m2": 2} {
						if !lost(n, segments) {
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
		for _, c := range coresOfKind(res, fault.TapeKind) {
			if strings.Contains(c.State, "did not answer") {
				failed++
			}
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

// beside are the cores of a manager that leads all groups, beside their states.
var beside = []string{
	admission.TapeKind, admission.InquirerTapeKind, admission.InquirerTapeKind, membership.ProberTapeKind, membership.ProberTapeKind, membership.ProberTapeKind,
	moves.TapeKind, moves.TapeKind, moves.TapeKind, session.TapeKind,
}

// coresOfKind are those of a kind.
func coresOfKind(r *record.Result, kind string) (cores []record.CoreResult) {
	for _, c := range r.Cores {
		if c.Kind == kind {
			cores = append(cores, c)
		}
	}
	return cores
}

// reexecution is what all tapes of a folder came to.
type reexecution struct {
	events map[string]uint64 // by kind of core
	cores  map[string]int
	killed int // tapes without an end
	tapes  int
}

// has wants so many events of cores of a kind.
func (r *reexecution) has(t *testing.T, kind string, events int) {
	t.Helper()
	if r.events[kind] < uint64(events) {
		t.Errorf("%d events of %d cores %s, want at least %d", r.events[kind], r.cores[kind], kind, events)
	}
}

// reexecuteAll re-executes every tape in dir, of processes that replayed one trace.
func reexecuteAll(t *testing.T, dir, trace string) *reexecution {
	t.Helper()
	r := &reexecution{events: map[string]uint64{}, cores: map[string]int{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+record.Suffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		res, err := record.Execute(background(t), path, record.ExecuteOptions{Accesses: func(program []byte) (record.Accesses, error) {
			return replay.NewReferences(program, func(replay.Spec) (string, error) { return trace, nil })
		}})
		if err != nil {
			t.Error(err)
			for _, c := range res.Cores {
				t.Logf("core %d: %s, %d events\n%s", c.Number, c.Name, c.Events, c.State)
			}
			continue
		}
		r.tapes++
		if res.Ended == nil {
			r.killed++
		} else if res.Ended.Full != "" {
			t.Errorf("%s: %s", path, res.Ended.Full)
		}
		for _, c := range res.Cores {
			r.cores[c.Kind]++
			r.events[c.Kind] += c.Events
		}
	}
	t.Logf("%d tapes, %d of nodes that were killed: %v", r.tapes, r.killed, r.events)
	return r
}

// reexecuted stops the cluster and re-executes all that its nodes did.
func (k *deathbed) reexecuted(trace string) *reexecution {
	k.t.Helper()
	if err := k.Stop(background(k.t)); err != nil {
		k.t.Fatal(err)
	}
	return reexecuteAll(k.t, k.tapes, trace)
}

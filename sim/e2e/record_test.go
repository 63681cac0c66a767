package e2e

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/moves"
	"splitkernel/mcomponent/pagestore"
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
			if len(coresOf(m, pagestore.TapeKind)) != 1 || m.Effects < 1000 || (m.Ended == nil) != (victim == "m1") {
				t.Errorf("mComponent: %+v", m)
			}
			ps := coresOf(res, fault.TapeKind)
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

// beside are the cores of a manager that leads all groups, beside their states.
var beside = []string{
	admission.TapeKind, admission.InquirerTapeKind, admission.InquirerTapeKind, membership.ProberTapeKind, membership.ProberTapeKind, membership.ProberTapeKind,
	moves.TapeKind, moves.TapeKind, moves.TapeKind, session.TapeKind,
}

// coresOf are those of a kind.
func coresOf(r *record.Result, kind string) (cores []record.CoreResult) {
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

package e2e

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
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

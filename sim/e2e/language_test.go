package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/faults"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
)

// strikes lets a run have things go wrong in the cluster.
func (c *cluster) strikes(o *replay.RunOptions) {
	o.Strike = func(ctx context.Context, f faults.Fault) (replay.Struck, error) {
		s, err := c.Strike(ctx, f)
		return replay.Struck{ID: s.ID, What: s.What, Lost: s.Lost, Lasts: s.Ended == nil}, err
	}
	o.Heal = func(ctx context.Context, ids []int) error {
		_, err := c.Heal(ctx, ids...)
		return err
	}
}

// simulated runs a workload on the same cluster in virtual time.
func (c *cluster) simulated(w *configs.Workload) *report.Summary {
	c.t.Helper()
	h, err := configs.LoadHardware("legoos-cx3")
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := replay.RunVirtual(background(c.t), replay.VirtualOptions{Workload: w, Cluster: c.config, Hardware: h.Hardware, HardwareName: h.Name, TempDir: c.t.TempDir()})
	if err != nil {
		c.t.Fatal(err)
	}
	identities(c.t, s)
	inTime(c.t, s)
	return s
}

// failing is a workload with faults.
func failing(t *testing.T, text string, sentences ...string) *configs.Workload {
	t.Helper()
	var list []string
	for _, s := range sentences {
		list = append(list, fmt.Sprintf("%q", s))
	}
	return workload(t, text, "workload.faults=["+strings.Join(list, ", ")+"]")
}

// happened fails the test unless every fault did.
func happened(t *testing.T, s *report.Summary, n int) {
	t.Helper()
	if len(s.Faults) != n {
		t.Fatalf("%s: %d faults are reported, want %d: %+v", s.Engine, len(s.Faults), n, s.Faults)
	}
	for _, f := range s.Faults {
		if f.State != report.FaultDone || f.What == "" {
			t.Errorf("%s: %+v", s.Engine, f)
		}
	}
}

// TestOneLanguageForBothWorlds: what passes by costs nothing but time, live and in virtual time: no vNode fails, no page is wrong, and the
// logical counters are those of an undisturbed run. Live, something did happen to messages and disks.
func TestOneLanguageForBothWorlds(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "language", 11, 512, 64, 20_000, true)
	text := one(t, path, 128, "")
	text = strings.Replace(text, "    excache", "    repeat: 5\n    excache", 1)
	c := start(t, onePonem, "netlayer.peer.call_timeout_ms=300", "netlayer.peer.hello_timeout_ms=300")
	calm := c.run(workload(t, text), nil)
	ok(t, calm)
	want := fmt.Sprintf("%+v", logical(calm.Total))
	for _, script := range []struct {
		counter   string // that must have grown, live
		sentences []string
	}{
		{"", []string{"at 10% pause m1 for 1s"}},
		{"fault_frames_lost", []string{"at 10% partition p1 | m1 for 1s"}},
		{"fault_frames_lost", []string{"at 10% lose 1% for 1s"}},
		{"fault_frames_duplicated", []string{"at 5% duplicate 5%"}},
		{"fault_frames_reordered", []string{"at 5% reorder 2% by 2ms for 1s"}},
		{"fault_frames_delayed", []string{"at 5% delay p1 | m1 200us jitter 100us for 300ms", "at 5% lose 1% between all -> p1 for 300ms", "at 10% pause p1 for 200ms"}},
	} {
		t.Run(strings.Join(script.sentences, "; "), func(t *testing.T) {
			live := c.run(failing(t, text, script.sentences...), c.strikes)
			for _, s := range []*report.Summary{live, c.simulated(failing(t, text, script.sentences...))} {
				ok(t, s)
				happened(t, s, len(script.sentences))
				if got := fmt.Sprintf("%+v", logical(s.Total)); got != want {
					t.Errorf("%s: counters differ from an undisturbed run:\n%s\n%s", s.Engine, got, want)
				}
				if len(s.Lost) > 0 {
					t.Errorf("%s: %q is lost", s.Engine, s.Lost)
				}
			}
			grown := 0.0
			for _, x := range live.Components {
				grown += x.Other[script.counter]
			}
			if script.counter != "" && grown == 0 {
				t.Errorf("nothing happened to messages: %s is 0", script.counter)
			}
		})
	}
	if struck := c.Faults(); len(struck) != 8 {
		t.Errorf("the cluster remembers %d faults", len(struck))
	} else {
		for _, s := range struck {
			if s.Ended == nil || s.Error != "" {
				t.Errorf("after the runs, %+v goes on", s)
			}
		}
	}
}

// TestWhatIsLostIsNamed: a killed mComponent loses memory, and the reports of both worlds say whose.
func TestWhatIsLostIsNamed(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "lost", 12, 2048, 0, 100_000, false)
	text := one(t, path, 128, "")
	text = strings.Replace(text, "    excache", "    repeat: 1000\n    excache", 1)
	c := start(t, onePonem, "pcomponent.fault.patience_ms=1000")
	sentences := []string{"at 0.01% kill m1", "at 99% kill g1"}
	for _, s := range []*report.Summary{c.run(failing(t, text, sentences...), c.strikes), c.simulated(failing(t, text, sentences...))} {
		if s.ExitCode() != 1 || len(s.Failed) != 1 || !strings.Contains(s.Failed[0], "m1 did not answer") {
			t.Errorf("%s: exit code %d: %q", s.Engine, s.ExitCode(), s.Failed)
		}
		if lost := strings.Join(s.Lost, "\n"); len(s.Lost) != 2 || !strings.Contains(lost, "the memory map of process 1 at m1, by \"at 0.01% kill m1\"") ||
			!strings.Contains(lost, "vRegions of process 1 at m1") {
			t.Errorf("%s: lost is %q", s.Engine, s.Lost)
		}
		if len(s.Faults) != 2 || s.Faults[0].State != report.FaultDone || s.Faults[1].State != report.FaultNever {
			t.Errorf("%s: %+v", s.Engine, s.Faults)
		}
		if !strings.Contains(strings.Join(s.Warnings, "\n"), `the fault "at 99% kill g1" never happened`) {
			t.Errorf("%s: nobody says that a fault never happened: %q", s.Engine, s.Warnings)
		}
	}
}

// TestAFullAndASlowDisk: a full disk is an error to whoever writes there, and nothing else; a slow one costs time.
func TestAFullAndASlowDisk(t *testing.T) {
	t.Parallel()
	sqlite, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", "sqlite.skt"))
	if err != nil {
		t.Fatal(err)
	}
	little := synthetic(t, "little", 13, 200, 0, 20_000, true)
	text := fmt.Sprintf(`name: disks
seed: 1
vnodes:
  - {name: writer, trace: %s, max_refs: 1000000, excache: {share_percent: 25}}
  - {name: other, trace: %s, repeat: 20, excache: {lines: 64, ways: 0}}
`, sqlite, little)
	c := start(t, onePonem)
	for _, s := range []*report.Summary{c.run(failing(t, text, "at 5% slow-disk s1 +1ms for 500ms"), c.strikes), c.simulated(failing(t, text, "at 5% slow-disk s1 +1ms for 500ms"))} {
		ok(t, s)
		happened(t, s, 1)
	}
	for _, s := range []*report.Summary{c.run(failing(t, text, "at 5% disk-full s1"), c.strikes), c.simulated(failing(t, text, "at 5% disk-full s1"))} {
		happened(t, s, 1)
		if s.ExitCode() != 1 || len(s.Failed) != 1 || !strings.Contains(s.Failed[0], "writer: ") || !strings.Contains(s.Failed[0], "no space") {
			t.Errorf("%s: exit code %d: %q", s.Engine, s.ExitCode(), s.Failed)
		}
		if s.VNodes[1].State != replay.StateDone {
			t.Errorf("%s: who does not write there: %+v", s.Engine, s.VNodes[1])
		}
	}
	again := c.run(workload(t, text), nil) // the disk is well again
	ok(t, again)
}

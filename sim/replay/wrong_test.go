package replay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
)

// wrongRun runs a little of the bundled programs in virtual time, with faults.
func wrongRun(t *testing.T, seed uint64, sentences ...string) *report.Summary {
	t.Helper()
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := configs.LoadWorkload("programs", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	w.Seed, w.Faults = seed, sentences
	for i := range w.Vnodes {
		w.Vnodes[i].MaxRefs = 20_000 // sort reads its file within so many
	}
	s, err := RunVirtual(t.Context(), VirtualOptions{Workload: w, Cluster: cluster, Hardware: hardware.DefaultOptions(), TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLaw2UnderFaults: a seed with faults is one run; another seed is another, of which any may mean another component.
func TestLaw2UnderFaults(t *testing.T) {
	if raceEnabled {
		t.Skip("virtual time is one goroutine, and TestVirtualRunOfPrograms has what is around it: make test runs this without -race")
	}
	list := []string{"at 1% lose 0.1%", "at 2% duplicate 1%", "at 3% reorder 1%", "at 4% pause any m for 20ms", "at 5% partition any p | any m for 10ms", "at 6% slow-disk any s 3x", "at 7% restart any s",
		"at 8% delay 5us jitter 5us", "at 50% kill gmm-leader for 1s", "at 99h kill m1"}
	first, again, other := wrongRun(t, 7, list...), wrongRun(t, 7, list...), wrongRun(t, 8, list...)
	if first.Modelled.Digest != again.Modelled.Digest || fmt.Sprint(first.Faults) != fmt.Sprint(again.Faults) {
		t.Errorf("one seed, two runs: %s and %s\n%+v\n%+v", first.Modelled.Digest, again.Modelled.Digest, first.Faults, again.Faults)
	}
	if first.Modelled.Digest == other.Modelled.Digest || fmt.Sprint(first.Faults) == fmt.Sprint(other.Faults) {
		t.Errorf("two seeds, one run: %s", first.Modelled.Digest)
	}
	for _, s := range []*report.Summary{first, other} {
		if len(s.Faults) != len(list) || s.Total.IntegrityErrors != 0 || len(s.Failed) > 0 {
			t.Errorf("%d wrong pages, failed %q, faults %+v", s.Total.IntegrityErrors, s.Failed, s.Faults)
		}
		for i, f := range s.Faults {
			if want := map[bool]string{true: report.FaultDone, false: report.FaultNever}[i < len(list)-1]; f.State != want {
				t.Errorf("%+v, want it %s", f, want)
			}
		}
	}
}

// TestAFaultComesAtItsPartOfTheRun: within a batch of accesses.
func TestAFaultComesAtItsPartOfTheRun(t *testing.T) {
	s := wrongRun(t, 1, "at 0% delay 1ns", "at 25% delay 1ns", "at 100% delay 1ns", "at 0s delay 1ns")
	for _, f := range s.Faults {
		at := strings.Fields(f.Fault)[1]
		want := map[string]float64{"0%": 0, "25%": 25, "0s": 0}[at]
		if at == "100%" {
			continue // of a trace that is cut nobody knows how many block requests are left out
		}
		if f.State != report.FaultDone || f.AtPercent < want || f.AtPercent > want+0.5 {
			t.Errorf("%+v, want it at %v %%", f, want)
		}
	}
}

// TestACorruptBlockIsNoticed: whoever reads it from the disk gets an error by name.
func TestACorruptBlockIsNoticed(t *testing.T) {
	var sentences []string
	for block := range 64 { // of every volume; those that are not there are refused
		for v := range 18 {
			sentences = append(sentences, fmt.Sprintf("at 0s corrupt-block s%d %d/%d", 1+v%2, v+1, block))
		}
	}
	s := wrongRun(t, 1, sentences...)
	if len(s.Lost) == 0 || s.Total.IntegrityErrors == 0 || len(s.Failed) == 0 || !strings.Contains(strings.Join(s.Failed, "\n"), "does not fit its checksum") {
		t.Errorf("%d blocks are lost, %d seen, failed: %q", len(s.Lost), s.Total.IntegrityErrors, s.Failed)
	}
}

// TestLiveFaultsComeInTheirOrder: by time and by part, those that fail and those that never come are told as such, and what goes on is
// ended with the run, but for the dead.
func TestLiveFaultsComeInTheirOrder(t *testing.T) {
	var mu sync.Mutex
	var struck []string
	var healed []int
	w := &configs.Workload{Seed: 1, Faults: []string{"at 50% pause m1", "at 0s kill any m", "at 10% kill p1", "at 0s lose 1%", "at 100% kill g1", "at 1h kill s1"}}
	o := &RunOptions{
		Workload: w, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Nodes: []Node{{ID: "m1", Role: wire.RoleMemory}},
		Strike: func(_ context.Context, f faults.Fault) (Struck, error) {
			mu.Lock()
			defer mu.Unlock()
			struck = append(struck, f.String())
			if f.Node.ID == "p1" {
				return Struck{}, fmt.Errorf("p1 does not run")
			}
			return Struck{ID: len(struck), What: "done to " + string(f.Node.ID), Lasts: true, Lost: []string{"it"}}, nil
		},
		Heal: func(_ context.Context, ids []int) error { healed = ids; return nil },
	}
	r := goWrong(t.Context(), o, time.Now())
	await := func(n int) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			got := len(struck)
			mu.Unlock()
			if got == n {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d faults happened, want %d", got, n)
			}
		}
	}
	await(2)
	if d := r.interval(49, 100); d != FaultPoll {
		t.Errorf("while faults wait for a part of the run it is asked every %v", d)
	}
	await(3)
	r.interval(50, 100)
	await(4)
	told := r.end(t.Context())
	want := []string{"at 0s kill m1", "at 0s lose 1%", "at 10% kill p1", "at 50% pause m1", "at 100% kill g1", "at 1h kill s1"}
	states := []string{report.FaultDone, report.FaultDone, report.FaultFailed, report.FaultDone, report.FaultNever, report.FaultNever}
	for i := range want {
		if i >= len(told) || told[i].Fault != want[i] || told[i].State != states[i] {
			t.Fatalf("told %+v, want %q %q", told, want, states)
		}
	}
	if fmt.Sprint(healed) != "[2 4]" {
		t.Errorf("%v were ended, want the loss and the pause", healed)
	}
	var s report.Summary
	s.AddFaults(told)
	if len(s.Lost) != 3 || s.Lost[0] != `it, by "at 0s kill m1"` || len(s.Warnings) != 3 {
		t.Errorf("lost %q, warnings %q", s.Lost, s.Warnings)
	}
}

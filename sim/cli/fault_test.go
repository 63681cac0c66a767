package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/launcher"
)

// TestFaultsAreRefusedBeforeTheStart: what is no sentence, names nobody or costs the only copy of something ends with 2, and nothing is started.
func TestFaultsAreRefusedBeforeTheStart(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	bad := write(t, dir, "bad.yaml", "name: bad\nfaults: [at 5s kill m9, at 5s pause m1]\nvnodes:\n  - {name: a, trace: 'generator:zipf?pages=10&refs=10'}\n")
	for _, command := range []string{"run", "simulate"} {
		for _, c := range []struct{ fault, want string }{
			{"kil m1", `--fault[0]: "kil m1": column 1: "kil", want at and a moment, or one of kill,`},
			{"kill m1", `--fault[0]: "kill m1": column 1: "kill", want at and a moment`},
			{"at 5s kill m9", `--fault[0]: "at 5s kill m9": "m9" is no component, want one of g1, g2, g3, p1, p2, m1, m2, m3, s1, s2`},
			{"at 5s slow-disk m1 2x", "slow-disk: m1 is no scomponent, want one of s1, s2"},
			{"at 5s kill m1", "--allow-loss:\n\"at 5s kill m1\": the memory of m1 is lost with it"},
			{"at 5s partition p1 | all", "no manager hears p1 for 1550ms"},
		} {
			call(command, "--out", filepath.Join(dir, "none"), "--fault", c.fault).want(t, exitUsage, c.want)
		}
		call(command, "--out", filepath.Join(dir, "none"), bad).want(t, exitUsage, `bad.yaml: faults[0]: "at 5s kill m9": "m9" is no component`)
	}
	call("run", "--out", filepath.Join(dir, "none"), "--fault", "at migrating 2 +1ms pause g1 for 1s").want(t, exitUsage, "when something is migrating is known in virtual time only")
	empty(t, temp)
}

// TestFaultsByHand: something goes wrong in a cluster that is up, is listed, and ends, by itself or by hand.
func TestFaultsByHand(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	execute(t, dir, "up", "--cluster", small(t), "--out", filepath.Join(dir, "up")).want(t, exitOK)
	t.Cleanup(func() { call("down", "--all") })
	strike := func(fault string) launcher.Struck {
		t.Helper()
		return printed[launcher.Struck](t, call("fault", fault, "-o", "json"))
	}
	list := func(args ...string) []launcher.Struck {
		t.Helper()
		return printed[[]launcher.Struck](t, call(append([]string{"fault", "-o", "json"}, args...)...))
	}
	if all := list("list"); len(all) != 0 {
		t.Errorf("at the beginning: %+v", all)
	}
	for _, c := range []struct{ fault, want string }{
		{"at 5s kill m1", "a fault by hand happens at once, want it without at"},
		{"kill", "column 5: the end, want a component"},
		{"kill m9", `"m9" is no component, want one of g1, p1, m1, s1`},
	} {
		call("fault", c.fault).want(t, exitUsage, c.want)
	}
	call("fault", "kill", "m1").want(t, exitUsage, "want one fault in quotes")
	call("fault", "corrupt-block s1").want(t, exitFailed, "s1 has no volume whose block could be corrupted")

	pause := strike("pause m1 for 100ms")
	if pause.Ended != nil || !strings.Contains(pause.What, "m1 (process ") {
		t.Errorf("%+v", pause)
	}
	partition, full := strike("partition p1 | gpm-leader"), strike("disk-full any s")
	if partition.Fault != "partition p1 | gpm-leader" || full.Fault != "disk-full s1" {
		t.Errorf("%+v, %+v", partition, full)
	}
	killed := call("fault", "kill m1", "-o", "json")
	killed.want(t, exitOK)
	if !strings.Contains(killed.stderr, "the memory of m1 is lost with it") {
		t.Errorf("nobody says what it costs: %s", killed.stderr)
	}
	call("fault", "pause m1").want(t, exitFailed, "m1 does not run")
	waitFor(t, "the pause is over", func() bool { return list("list")[0].Ended != nil })
	if healed := list("heal"); len(healed) != 3 || healed[0].Fault != "kill m1" || healed[2].ID != partition.ID {
		t.Errorf("healed: %+v", healed)
	}
	for _, s := range list("list") {
		if s.Ended == nil || s.Error != "" {
			t.Errorf("after heal: %+v", s)
		}
	}
	st, err := launcher.Find("")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range st.Nodes {
		if !n.Alive {
			t.Errorf("after heal %s does not run", n.ID)
		}
	}
	// A run in it has its own go wrong, and leaves nothing of that.
	trace := write(t, dir, "w.yaml", "name: w\nvnodes:\n  - {name: a, trace: 'generator:zipf?pages=1000&refs=100000', excache: {lines: 64, ways: 0}}\n")
	run := call("run", "--on", "small", "--out", filepath.Join(dir, "run"), "--fault", "at 1% delay p1 | m1 10us for 200ms", "--fault", "at 2% duplicate 1%", "-o", "json", trace)
	run.want(t, exitOK)
	if s := summary(t, run); len(s.Faults) != 2 || s.Faults[0].State != "done" || s.Faults[1].State != "done" {
		t.Errorf("faults of the run: %+v", s.Faults)
	}
	for _, s := range list("list") {
		if s.Ended == nil {
			t.Errorf("after the run: %+v", s)
		}
	}
	call("down", "--all").want(t, exitOK)
	empty(t, temp)
}

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/gmanagers/httpapi"
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
	loss := write(t, dir, "loss.yaml", "name: loss\nfaults: [at 50% kill m1]\nvnodes:\n  - {name: a, trace: 'generator:zipf?pages=10&refs=10'}\n")
	call("chaos", "--out", filepath.Join(dir, "none"), "programs", bad).want(t, exitUsage, `bad.yaml: faults[0]: "at 5s kill m9": "m9" is no component`) // before the round of the first
	call("chaos", "--out", filepath.Join(dir, "none"), loss).want(t, exitUsage, `--allow-loss:
"at 50% kill m1": the memory of m1 is lost with it`)
	for _, engine := range []string{"virtual", "live"} {
		for workload, want := range map[string]string{bad: `bad: faults[0]: "at 5s kill m9": "m9" is no component`, loss: `"at 50% kill m1": the memory of m1 is lost with it`} {
			sweep := write(t, dir, "s.yaml", "name: s\nengine: "+engine+"\nworkload: "+workload+"\n")
			call("sweep", "--out", filepath.Join(dir, "none"), sweep).want(t, exitUsage, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder was made for what was refused")
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
	v := printed[httpapi.VNode](t, call("vnode", "create", "--name", "web", "--volume", "disk=64KiB", "-o", "json"))
	for fault, want := range map[string]string{
		"kill m1":                     `memory is lost with m1, for no other mComponent has it: the home of vNode web (1); what was written to volumes and not flushed is lost with m1: volume 1 (disk) of vNode web (1)`,
		"kill s1":                     "volumes are out of reach without s1: volume 1 (disk) of vNode web (1)",
		"pause p1 for 3s":             "processes end with p1, for there is no checkpoint from which they could go on: web (1)",
		"partition p1 | gpm-leader":   "processes end with p1",
		"partition p1 | m1 for 30s":   "processes whose pages or blocks are on the other side give up after 20s",
		"corrupt-block s1 random":     "what the block of s1 held is lost, for too few other sComponents have it: volume 1 (disk)",
		"partition all | m1 for 1.6s": "memory is lost with m1",
	} {
		call("fault", fault).want(t, exitUsage, "the cluster cannot keep its promise through this fault", want, "--allow-loss")
	}
	if all := list("list"); len(all) != 1 {
		t.Errorf("after what was refused: %+v", all)
	}
	call("vnode", "delete", fmt.Sprint(v.PID)).want(t, exitOK)
	partition, full := strike("partition p1 | gpm-leader"), strike("disk-full any s")
	if partition.Fault != "partition p1 | gpm-leader" || full.Fault != "disk-full s1" {
		t.Errorf("%+v, %+v", partition, full)
	}
	strike("kill m1") // which has nothing
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

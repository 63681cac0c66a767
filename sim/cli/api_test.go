package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/sim/launcher"
)

// printed decodes what a command printed with -o json.
func printed[T any](t *testing.T, c called) (v T) {
	t.Helper()
	c.want(t, exitOK)
	if err := json.Unmarshal([]byte(c.stdout), &v); err != nil {
		t.Fatalf("%v: stdout %s\nstderr %s", err, c.stdout, c.stderr)
	}
	return v
}

// waitFor polls until ok.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// TestVNodesOfARunningCluster: the commands of vNodes, nodes, events and status against real processes, with a token.
func TestVNodesOfARunningCluster(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	execute(t, dir, "up", "--cluster", small(t), "--set", "token=secret", "--name", "blue", "--out", filepath.Join(dir, "up")).want(t, exitOK)
	t.Cleanup(func() { call("down", "--all") })

	v := printed[httpapi.VNode](t, call("vnode", "create", "--name", "one", "--threads", "2", "--excache", "64KiB", "--memory", "2MiB", "--volume", "disk=1MiB", "-o", "json"))
	if v.Name != "one" || v.Threads != 2 || v.ExCacheLines != 16 || len(v.Volumes) != 1 || v.Volumes[0].SizeBytes != 1<<20 {
		t.Errorf("created %+v", v)
	}
	trace := filepath.Join(filepath.Dir(sample(t)), "pages.txt")
	w := printed[httpapi.VNode](t, call("vnode", "create", "--trace", trace, "--repeat", "3", "--checkpoint-every", "64", "--on", "blue", "-o", "json"))
	if len(w.Volumes) != 1 || w.Volumes[0].Name != "pages-checkpoints" {
		t.Errorf("created %+v, want a volume for its checkpoints", w)
	}
	var d httpapi.VNodeDetail
	waitFor(t, "the process has ended", func() bool {
		d = printed[httpapi.VNodeDetail](t, call("vnode", "show", fmt.Sprint(w.PID), "-o", "json"))
		return d.Progress != nil && d.Progress.Ended
	})
	if d.Name != "pages" || d.Progress.State != "done" || d.Progress.References != 192 || d.Progress.Error != "" {
		t.Errorf("replayed %+v, %+v", d.VNode, d.Progress)
	}
	made := printed[httpapi.VNode](t, call("vnode", "create", "--trace", "generator:zipf?pages=50&refs=300", "-o", "json"))
	waitFor(t, "the process of a generator has ended", func() bool {
		d = printed[httpapi.VNodeDetail](t, call("vnode", "show", fmt.Sprint(made.PID), "-o", "json"))
		return d.Progress != nil && d.Progress.Ended
	})
	if d.Name != "zipf" || d.Progress.State != "done" || d.Progress.References != 300 {
		t.Errorf("replayed %+v, %+v", d.VNode, d.Progress)
	}
	call("vnode", "delete", fmt.Sprint(made.PID)).want(t, exitOK)
	endless := printed[httpapi.VNode](t, call("vnode", "create", "--trace", trace, "--repeat", "1000000000", "-o", "json"))
	waitFor(t, "the process runs", func() bool {
		d = printed[httpapi.VNodeDetail](t, call("vnode", "show", fmt.Sprint(endless.PID), "-o", "json"))
		return d.Progress != nil && d.Progress.References > 0 && len(d.Regions) > 0
	})
	waitFor(t, "p1 tells what its process does", func() bool {
		n := printed[httpapi.NodeDetail](t, call("node", "show", "p1", "-o", "json"))
		return n.Load != nil && len(n.Load.Hot) == 1 && n.Load.Hot[0].PID == endless.PID && n.Load.Hot[0].Ops > 0 && n.Load.Accesses > 0
	})
	if got := call("node", "show", "p1"); !strings.Contains(got.stdout, fmt.Sprintf("  process %d", endless.PID)) || !strings.Contains(got.stdout, " accesses/s") {
		t.Errorf("node show prints %q", got.stdout)
	}
	for _, args := range [][]string{{"vnode", "list"}, {"vnode", "show", "1"}, {"node", "list"}, {"node", "show", "m1"}, {"node", "show", "g1"}, {"events"}, {"status"}, {"audit"}} {
		got := call(args...)
		if got.want(t, exitOK); got.stdout == "" && args[0] != "audit" || strings.Contains(got.stdout, "%!") {
			t.Errorf("%v prints %q", args, got.stdout)
		}
	}
	if list := printed[httpapi.VNodes](t, call("vnode", "list", "-o", "json")); len(list.VNodes) != 3 {
		t.Errorf("%d vNodes, want 3", len(list.VNodes))
	}
	if n := printed[httpapi.NodeDetail](t, call("node", "show", "p1", "-o", "json")); len(n.Holds.Processes) != 3 || n.Epoch != 1 {
		t.Errorf("p1 %+v", n)
	}
	st := printed[[]clusterStatus](t, call("status", "-o", "json"))
	if len(st) != 1 || len(st[0].State.Nodes) != 4 || st[0].Managers == nil || st[0].Managers.Managers[0].Leader != "g1" || st[0].Managers.VNodes != 3 {
		t.Errorf("status %+v", st)
	}

	// A bad command changes nothing, and says what is wrong.
	for _, c := range []struct {
		code int
		args string
		want string
	}{
		{exitFailed, "vnode show 77", "no vNode 77, want one of: 1, 2, 4"},
		{exitUsage, "vnode show x", `"x" is no process id`},
		{exitFailed, "vnode delete 77", "no vNode 77"},
		{exitFailed, "vnode create --excache 1TiB", "no room: excache_lines"},
		{exitFailed, "vnode create --volume huge=1024TiB", "no room"},
		{exitUsage, "vnode create --excache 5", "want a whole number and a unit"},
		{exitUsage, "vnode create --excache 5B", "want a multiple of 4KiB"},
		{exitUsage, "vnode create --volume disk", "want NAME=SIZE"},
		{exitUsage, "vnode create --threads 5000", "want 1 to 1024"},
		{exitUsage, "vnode create --trace nowhere.skt", "nowhere.skt"},
		{exitUsage, "vnode create --trace generator:nothing", "nothing"},
		{exitUsage, "vnode create --repeat 2", "want --trace"},
		{exitUsage, "vnode create --trace x --volume a=1MiB", "its size is that of the trace"},
		{exitUsage, "vnode create --trace " + trace + " --volume a,replicas=3", "want none: the trace has no block requests"},
		{exitUsage, "vnode create --trace x --volume a,apart_from=b", "want replicas=N"},
		{exitUsage, "vnode create --checkpoint-every 5", "want --trace"},
		{exitUsage, "vnode create --replication perhaps", "want one of erasure, log, none, sync"},
		{exitUsage, "vnode create --replication sync,copies=0", "want a number above 0"},
		{exitUsage, "vnode create --replication sync,copies=9", "memory.copies: 9, want 1 to 7"},
		{exitUsage, "vnode create --replication none,copies=1", "memory.copies: 1 with replication none"},
		{exitUsage, "vnode create --replication log,log_full=never", "want block or skip"},
		{exitUsage, "vnode create --replication sync,size=3", "want copies=N"},
		{exitFailed, "vnode create --replication sync", "no room"},
		{exitUsage, "vnode nonsense", `unknown command "nonsense"`},
		{exitFailed, "node show m7", `no component "m7", want one of: p1, m1, s1`},
		{exitUsage, "node add", "--role is missing"},
		{exitUsage, "node add --role manager", `"manager", want one of mcomponent, pcomponent, scomponent`},
		{exitUsage, "node add --role mcomponent --id m1", "is there twice"},
		{exitUsage, "node add --role mcomponent --set colour=red", "--set: colour: "},
		{exitUsage, "node nonsense", `unknown command "nonsense"`},
		{exitUsage, "events --limit 5000", "want 1 to 1000"},
		{exitUsage, "events --kind surprise", "want one of registered"},
		{exitUsage, "events --since yesterday", "parameter since"},
		{exitFailed, "events --on red", `no cluster "red" is up, want one of: blue`},
	} {
		call(strings.Fields(c.args)...).want(t, c.code, c.want)
	}
	for _, pid := range []string{"1", fmt.Sprint(w.PID), fmt.Sprint(endless.PID)} {
		call("vnode", "delete", pid).want(t, exitOK, "vNode "+pid+" is gone")
	}
	call("audit").want(t, exitOK, "the books of blue agree: 0 vNodes, 0 vRegions, 0 volumes")

	call("node", "drain", "m1").want(t, exitFailed, "m1 is the last active mComponent: add another first")
	call("node", "add", "--role", "mcomponent", "--id", "m7").want(t, exitOK, "mcomponent m7 has joined cluster blue")
	call("node", "remove", "m7").want(t, exitFailed, "m7 is active: drain it first")
	if n := printed[httpapi.Node](t, call("node", "drain", "m7", "--wait", "30s", "-o", "json")); n.State != "draining" {
		t.Errorf("drained %+v", n)
	}
	call("node", "undrain", "m7").want(t, exitOK, "m7 is open again")
	call("node", "drain", "m7").want(t, exitOK)
	call("node", "remove", "m7").want(t, exitOK, "m7 is gone from cluster blue")
	call("node", "remove", "m7").want(t, exitFailed, `no component "m7", want one of: p1, m1, s1`)
	call("node", "remove", "g1").want(t, exitUsage, "g1 is a manager")
	call("node", "drain", "m1", "--wait", "-1s").want(t, exitUsage, "--wait")
	if nodesOf(t, temp) != 4 {
		t.Errorf("%d processes, want 4", nodesOf(t, temp))
	}
	es := printed[httpapi.Events](t, call("events", "--pid", fmt.Sprint(w.PID), "--manager", "gmm", "-o", "json"))
	if len(es.Events) < 2 || es.Events[0].Kind != "placed_home" {
		t.Errorf("events of vNode %d: %+v", w.PID, es)
	}
	call("down").want(t, exitOK)
	empty(t, temp)
	call("vnode", "list").want(t, exitFailed, "no cluster is up")
	call("node", "add", "--role", "mcomponent").want(t, exitFailed, "no cluster is up")
}

// TestNodesJoinARunningRun: a cluster of a run can be asked and grows; nothing of it is left, even if the run is killed.
func TestNodesJoinARunningRun(t *testing.T) {
	temp := ownTemp(t)
	cmd, _, _ := endless(t)
	st, err := launcher.Find("")
	if err != nil || st.Name != fmt.Sprintf("run-%d", cmd.Process.Pid) {
		t.Fatalf("found %+v, %v; want the run", st, err)
	}
	n := printed[launcher.NodeInfo](t, call("node", "add", "--role", "mcomponent", "--rack", "r2", "-o", "json"))
	if nodesOf(t, temp) != 5 {
		t.Errorf("%d processes, want 5", nodesOf(t, temp))
	}
	if d := printed[httpapi.NodeDetail](t, call("node", "show", n.ID, "-o", "json")); d.Rack != "r2" || d.Role != "mcomponent" {
		t.Errorf("joined %+v", d)
	}
	call("down").want(t, exitFailed, "it belongs to a run")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	waitFor(t, "nothing is left", func() bool { return len(entries(t, temp)) == 0 && nodesOf(t, temp) == 0 })
}

// TestWithoutAQuorum: every command ends within its time, in an error that says so; status still tells who is there.
func TestWithoutAQuorum(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	cluster := write(t, dir, "three.yaml", `name: three
region_bytes: 1MiB
nodes:
  - {id: g1, role: manager}
  - {id: g2, role: manager}
  - {id: g3, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: s1, role: scomponent}
`)
	up := printed[[]launcher.State](t, execute(t, dir, "up", "--cluster", cluster, "--out", filepath.Join(dir, "up"), "-o", "json"))
	t.Cleanup(func() { call("down", "--all") })
	follow := exec.Command(program, "events", "--follow", "--since", "0", "--kind", "registered", "-o", "json")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { follow.Process.Kill() })
	lines := json.NewDecoder(out)
	for range 3 {
		var e httpapi.Event
		if err := lines.Decode(&e); err != nil || e.Kind != "registered" {
			t.Errorf("event %+v, %v", e, err)
		}
	}
	if err := follow.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("an interrupted --follow: %v", err)
	}

	var goOn func()
	for _, n := range up[0].Nodes { // g1 hangs, g2 is dead: g3 must be found
		switch n.ID {
		case "g1":
			if err := syscall.Kill(n.PID, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			goOn = func() { syscall.Kill(n.PID, syscall.SIGCONT) }
			t.Cleanup(goOn)
		case "g2":
			if err := syscall.Kill(n.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	var asking sync.WaitGroup
	for _, args := range []string{"vnode create", "vnode list", "vnode show 1", "vnode delete 1", "node list", "node show m1", "events"} {
		asking.Go(func() { call(strings.Fields(args)...).want(t, exitFailed, "in time") })
	}
	asking.Wait()
	call("status").want(t, exitOK, "warning: three: manager g1 does not answer", "warning: three: manager g2 does not answer")
	goOn()
	call("down").want(t, exitOK)
	empty(t, temp)
}

package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"splitkernel/gmanagers/httpapi"
)

// TestThingsMoveByHand: a process, its home and a vRegion move while the process runs, and go on right.
func TestThingsMoveByHand(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	cluster := write(t, dir, "two.yaml", `name: two
region_bytes: 1MiB
manager: # nothing moves but by hand
  balance: {gpm: {auto: false}, gmm: {auto: false}, homes: {auto: false}, gsm: {auto: false}, caches: {auto: false}}
nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: p2, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: m2, role: mcomponent}
  - {id: s1, role: scomponent}
`)
	execute(t, dir, "up", "--cluster", cluster, "--out", filepath.Join(dir, "up")).want(t, exitOK)
	t.Cleanup(func() { call("down", "--all") })
	trace := filepath.Join("..", "..", "configs", "traces", "sort.skt")
	v := printed[httpapi.VNode](t, call("vnode", "create", "--trace", trace, "--repeat", "1000000000", "--excache", "256KiB", "-o", "json"))
	pid := fmt.Sprint(v.PID)
	show := func() httpapi.VNodeDetail {
		return printed[httpapi.VNodeDetail](t, call("vnode", "show", pid, "-o", "json"))
	}
	var d httpapi.VNodeDetail
	waitFor(t, "the process runs", func() bool {
		d = show()
		return d.Progress != nil && d.Progress.References > 0 && len(d.Regions) > 0
	})
	other := map[string]string{"p1": "p2", "p2": "p1", "m1": "m2", "m2": "m1"}
	region := fmt.Sprint(d.Regions[0].Region)
	for _, args := range [][]string{
		{"process", pid, "--to", other[d.Node]}, {"home", pid}, {"vregion", pid, region, "--to", other[d.Regions[0].Node]},
	} {
		m := printed[httpapi.Move](t, call(append(append([]string{"move"}, args...), "--wait", "30s", "-o", "json")...))
		if m.State != "done" || m.Cause != "by_hand" || m.PauseUS == 0 {
			t.Errorf("%v: %+v", args, m)
		}
	}
	now := show()
	at := slices.IndexFunc(now.Regions, func(r httpapi.Region) bool { return r.Region == d.Regions[0].Region }) // others came since
	if now.Node != other[d.Node] || now.Epoch != 2 || now.Home.Node != other[d.Home.Node] || at < 0 || now.Regions[at].Node != other[d.Regions[0].Node] || now.Regions[at].Epoch != 2 {
		t.Errorf("moved from %+v to %+v", d, now)
	}
	waitFor(t, "the process goes on", func() bool {
		p := show().Progress
		return p != nil && p.State == "running" && p.References > now.Progress.References
	})
	list := call("move", "list", "--pid", pid)
	if list.want(t, exitOK); strings.Count(list.stdout, "by_hand") != 3 {
		t.Errorf("moves:\n%s", list.stdout)
	}
	for _, c := range []struct {
		code int
		args string
		want string
	}{
		{exitFailed, "move process 99 --to p1", "process 99"},
		{exitFailed, "move process " + pid + " --to p9", `no component "p9", want one of: `},
		{exitFailed, "move process " + pid + " --to " + now.Node, "exists"},
		{exitFailed, "move vregion " + pid + " 999999", "not found"},
		{exitUsage, "move process x", "no id of a process"},
		{exitUsage, "move process 1 --wait -1s", "--wait"},
		{exitUsage, "move mountain 1", "unknown command"},
		{exitUsage, "move list --manager gum", "want one of gpm, gmm, gsm"},
	} {
		call(strings.Fields(c.args)...).want(t, c.code, c.want)
	}
	es := printed[httpapi.Events](t, call("events", "--pid", pid, "--kind", "move_ended", "-o", "json"))
	if len(es.Events) != 3 {
		t.Errorf("events %+v", es)
	}
	call("vnode", "delete", pid).want(t, exitOK)
	call("audit").want(t, exitOK)
	call("down").want(t, exitOK)
	empty(t, temp)
}

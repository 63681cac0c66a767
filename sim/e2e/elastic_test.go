package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/sim/launcher"
	"splitkernel/sim/report"
)

// elasticRepeats is how often the bundled workload is repeated at most, until it outlasts what is done under it.
const elasticRepeats = 16

// TestElasticExample does what docs/elastic.md shows, by the command line: under a workload two mComponents and a pComponent
// are added, the first mComponent drains and is removed, the leader of GPM is killed and a process moves. No page and no
// request is lost, the books balance, and events tell why each thing moved.
func TestElasticExample(t *testing.T) {
	t.Parallel()
	for repeat := 1; ; repeat *= 4 {
		if elasticExample(t, repeat) {
			return
		}
		if repeat >= elasticRepeats {
			t.Fatalf("a workload that is repeated %d times ends before the cluster has changed under it", repeat)
		}
		t.Logf("repeated %d times the workload was over too soon, it is repeated more often", repeat)
	}
}

// elastic is the running example.
type elastic struct {
	t        *testing.T
	dir, tmp string
}

// elasticExample reports whether the run lasted as long as the example; else nothing is proved.
func elasticExample(t *testing.T, repeat int) bool {
	x := &elastic{t, t.TempDir(), tmpdir(t)}
	// Looks more often than a user needs: drains take less time than a test should.
	set := []string{
		"manager.balance.gpm.auto=false", "manager.balance.gmm.interval_ms=100", "manager.balance.gmm.max_moves=16",
		"manager.balance.gmm.max_component_moves=16", "manager.balance.gsm.interval_ms=100", "manager.lease_ms=1000",
	}
	args := []string{"--cluster", "elastic"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	st := up(t, x.dir, x.tmp, args...)
	args = []string{"run", "elastic", "--on", "elastic", "--out", filepath.Join(x.dir, "out"), "-o", "json"}
	for _, v := range []string{"wordcount", "sort", "sqlite"} {
		args = append(args, "--set", fmt.Sprintf("workload.vnodes.%s.repeat=%d", v, repeat))
	}
	ended := make(chan outcome, 1)
	go func() {
		cmd := invoke(background(t), x.dir, x.tmp, args...)
		var out, talk strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &talk
		_ = cmd.Run() // its exit code tells
		ended <- outcome{cmd.ProcessState.ExitCode(), out.String(), talk.String()}
	}()
	moved, err := x.change(st)
	var run outcome
	select {
	case run = <-ended:
		if run.code == codeDone { // what failed may have failed because nothing ran any more
			sk(t, x.dir, x.tmp, "down", "--all")
			return false
		}
		t.Fatalf("run: exit code %d, %s%s (%v)", run.code, run.stdout, run.stderr, err)
	default:
	}
	if errors.Is(err, errOver) {
		if run = <-ended; run.code != codeDone {
			t.Fatalf("run: exit code %d, %s%s", run.code, run.stdout, run.stderr)
		}
		sk(t, x.dir, x.tmp, "down", "--all")
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	run = <-ended
	var s report.Summary
	if err := json.Unmarshal([]byte(run.stdout), &s); err != nil || run.code != codeDone {
		t.Fatalf("run: exit code %d, %v, %s", run.code, err, run.stderr)
	}
	identities(t, &s)
	x.reported(&s, moved)
	x.explained()
	if got := sk(t, x.dir, x.tmp, "audit"); got.code != codeDone {
		t.Errorf("audit: exit code %d, %s%s", got.code, got.stdout, got.stderr)
	}
	var now []launcher.State
	if err := x.ask(&now, "status"); err != nil || len(now) != 1 {
		t.Fatalf("%v, %+v", err, now)
	}
	if got := sk(t, x.dir, x.tmp, "down"); got.code != codeDone {
		t.Errorf("down: exit code %d, %s", got.code, got.stderr)
	}
	gone(t, st)
	gone(t, now[0])
	nothingLeft(t, x.tmp)
	return true
}

// ask runs a command and reads what it prints as JSON.
func (x *elastic) ask(v any, args ...string) error {
	got := sk(x.t, x.dir, x.tmp, append(args, "-o", "json")...)
	if got.code != codeDone {
		return fmt.Errorf("%q: exit code %d, %s", args, got.code, got.stderr)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(got.stdout), v); err != nil {
		return fmt.Errorf("%q prints %s: %w", args, got.stdout, err)
	}
	return nil
}

// errOver says that the process that was to move had ended before, while others ran on.
var errOver = errors.New("the process had ended before it was moved")

// change is what happens to the cluster while the workload runs. It gives the process that moved to p2.
func (x *elastic) change(st launcher.State) (moved httpapi.VNode, err error) {
	var m1 httpapi.NodeDetail
	eventually(x.t, "m1 has vRegions and caches", func() bool {
		err = x.ask(&m1, "node", "show", "m1")
		return err != nil || m1.Holds.Regions > 4 && len(m1.Holds.Homes) > 0 && len(m1.Holds.Caches) > 0
	})
	if err != nil {
		return moved, err
	}
	for _, role := range []string{"mcomponent", "mcomponent", "pcomponent"} {
		if err := x.ask(nil, "node", "add", "--role", role, "--rack", "r3"); err != nil {
			return moved, err
		}
	}
	if err := x.ask(nil, "node", "drain", "m1", "--wait", "60s"); err != nil {
		return moved, err
	}
	if err := x.ask(&m1, "node", "show", "m1"); err != nil {
		return moved, err
	}
	if !m1.Holds.Empty() || m1.State != "draining" {
		return moved, fmt.Errorf("m1 was drained, it is %s and has %s", m1.State, m1.Holds)
	}
	if err := x.ask(nil, "node", "remove", "m1"); err != nil {
		return moved, err
	}
	pids := map[string]int{}
	for _, n := range st.Nodes {
		pids[n.ID] = n.PID
	}
	if syscall.Kill(pids["m1"], 0) == nil {
		return moved, errors.New("m1 was removed, its process is left")
	}
	old := x.leader()
	if err := syscall.Kill(pids[old], syscall.SIGKILL); err != nil {
		return moved, fmt.Errorf("kill the leader %q: %w", old, err)
	}
	eventually(x.t, "another leads GPM", func() bool {
		l := x.leader()
		return l != "" && l != old
	})
	var list httpapi.VNodes
	if err := x.ask(&list, "vnode", "list"); err != nil {
		return moved, err
	}
	i := slices.IndexFunc(list.VNodes, func(v httpapi.VNode) bool { return v.Name == "wordcount" })
	if i < 0 {
		return moved, errors.New("wordcount does not run any more")
	}
	moved = list.VNodes[i]
	pid := strconv.FormatUint(uint64(moved.PID), 10)
	over := func(err error) error {
		if strings.Contains(err.Error(), "no vNode "+pid) {
			return errOver
		}
		return err
	}
	if err := x.ask(nil, "move", "process", pid, "--to", "p2", "--wait", "60s"); err != nil {
		return moved, over(err)
	}
	var d httpapi.VNodeDetail
	if err := x.ask(&d, "vnode", "show", pid); err != nil {
		return moved, over(err)
	}
	if d.Progress == nil && d.ProgressError == "" { // p2 does not know it: only its place moved, which a vNode has until the run ends
		return moved, errOver
	}
	if d.Node != "p2" || d.Home == nil || d.Home.Node == "m1" || slices.ContainsFunc(d.Regions, func(r httpapi.Region) bool { return r.Node == "m1" }) {
		return moved, fmt.Errorf("after the moves %+v is not at p2, or partly at m1", d)
	}
	return moved, x.ask(nil, "audit")
}

// leader is the manager process that leads GPM, empty if none is known.
func (x *elastic) leader() string {
	var all []struct {
		Managers *httpapi.Status `json:"status"`
	}
	if err := x.ask(&all, "status"); err != nil || len(all) != 1 || all[0].Managers == nil {
		return ""
	}
	for _, m := range all[0].Managers.Managers {
		if m.Manager == "gpm" {
			return m.Leader
		}
	}
	return ""
}

// reported checks the report of the run.
func (x *elastic) reported(s *report.Summary, moved httpapi.VNode) {
	t := x.t
	ok(t, s)
	if s.Total.PagesChecked == 0 || s.Total.SectorsChecked == 0 || s.Total.IntegrityErrors != 0 || s.LeaderChanges == 0 {
		t.Errorf("%d pages, %d sectors checked, %d wrong, %d leader changes", s.Total.PagesChecked, s.Total.SectorsChecked, s.Total.IntegrityErrors, s.LeaderChanges)
	}
	for _, v := range s.VNodes {
		if v.State != "done" || v.Home == "m1" || v.PID == moved.PID && v.PComponent != "p2" {
			t.Errorf("%s ended at %s as %s, its home at %s", v.Name, v.PComponent, v.State, v.Home)
		}
	}
	done := map[string]int{}
	for _, m := range s.Moves {
		done[m.Kind] = m.Done
		if m.Lost > 0 || m.Done > 0 && m.Pause.Max <= 0 {
			t.Errorf("moves %+v", m)
		}
	}
	if done["vregion"] == 0 || done["process"] != 1 || done["home"]+done["buffer_cache"] == 0 {
		t.Errorf("moves that are done: %v", done)
	}
	if len(s.Balance) == 0 {
		t.Error("no balance is reported")
	}
}

// explained checks that the events tell of each move how it began, why, and how it ended.
func (x *elastic) explained() {
	t := x.t
	var list httpapi.Moves
	if err := x.ask(&list, "move", "list"); err != nil {
		t.Fatal(err)
	}
	type key struct {
		manager string
		move    uint64
	}
	begun, ended := map[key]httpapi.Event{}, map[key]httpapi.Event{}
	for kind, into := range map[string]map[key]httpapi.Event{"move_begun": begun, "move_ended": ended} {
		for since := "0"; ; {
			var page httpapi.Events
			if err := x.ask(&page, "events", "--kind", kind, "--since", since, "--limit", strconv.Itoa(httpapi.MaxLimit)); err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				into[key{e.Manager, e.Move}] = e
			}
			if len(page.Events) < httpapi.MaxLimit {
				break
			}
			since = page.Next
		}
	}
	drained := 0
	for _, m := range list.Moves {
		b, e := begun[key{m.Manager, m.Move}], ended[key{m.Manager, m.Move}]
		if b.From != m.From || b.To != m.To || b.Reason == "" || !strings.HasPrefix(e.Reason, m.State) {
			t.Errorf("move %+v: it began with %+v and ended with %+v", m, b, e)
		}
		if m.Cause != "by_hand" && (len(b.Candidates) == 0 || !strings.Contains(b.Reason, m.From)) {
			t.Errorf("nothing explains move %+v: %+v", m, b)
		}
		if m.Cause == "drain" && m.From == "m1" {
			drained++
		}
	}
	if drained == 0 {
		t.Errorf("nothing was drained: %+v", list.Moves)
	}
}

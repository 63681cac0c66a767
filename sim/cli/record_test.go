package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/netlayer/session"
	"splitkernel/pcomponent/fault"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/volume"
	"splitkernel/sim/launcher"
	"splitkernel/sim/record"
)

// bigger is a workload whose memory is at an mComponent: a generator, and a trace that comes with it.
func bigger(t *testing.T, refs int) string {
	t.Helper()
	return write(t, t.TempDir(), "w.yaml", fmt.Sprintf("name: bigger\nvnodes:\n  - name: a\n    trace: generator:zipf?pages=2000&refs=%d&writes_percent=30&skew=0.2&seed=7\n    order: threads\n    threads: 3\n    excache: {lines: 64, ways: 0}\n", refs))
}

// idle reports whether a tape verifies nothing. That of the sComponent does not, as these runs have no volume.
func idle(r tapeRow) bool { return r.Effects == 0 && r.Node != "s1" }

// process gives the only process on the tape of a pComponent.
func process(t *testing.T, r tapeRow) (p record.CoreResult) {
	t.Helper()
	n := 0
	for _, c := range r.Cores {
		if c.Kind == fault.TapeKind {
			p = c
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d processes are on the tape of %s", n, r.Node)
	}
	return p
}

// TestAWrongPageIsReplayed: a run sees a wrong page, because of a byte that flips in an mComponent, ends with 3 and prints a command. That
// command re-executes the last part of the run, and every effect is the recorded one. The same run without the fault leaves nothing.
func TestAWrongPageIsReplayed(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	file, cluster := bigger(t, 150_000), small(t)
	run := func(out string, more ...string) called {
		return execute(t, dir, append([]string{"run", file, "--cluster", cluster, "--out", filepath.Join(dir, out), "--set", "recorder.tail_bytes=256KiB"}, more...)...)
	}
	run("well").want(t, exitOK, "is ready")
	if _, err := os.Stat(filepath.Join(dir, "well", recordDir)); !os.IsNotExist(err) {
		t.Errorf("a run that ended well keeps its record: %v", err)
	}
	out := "it's wrong"
	got := run(out, "--set", "nodes.m1.inject.flip_byte_at_miss=120000")
	got.want(t, exitWrongPage, "wrong page")
	empty(t, temp)
	_, command, ok := strings.Cut(got.stderr, "to re-execute it: splitkernel ")
	command, _, _ = strings.Cut(command, "\n")
	if !ok || strings.Contains(got.stderr, "died") {
		t.Fatalf("no command: %s", got.stderr)
	}
	shell := exec.Command("sh", "-c", program+" "+command+" -o json")
	shell.Dir = t.TempDir()
	text, err := shell.Output()
	if err != nil {
		t.Fatalf("%s: %v, %s", command, err, text)
	}
	var rows []tapeRow
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, r := range rows {
		switch {
		case !strings.HasPrefix(r.End, "whole") || idle(r) || len(r.Cores) == 0:
			t.Errorf("%+v", r)
		case r.Node == "p1" && !strings.Contains(r.End, "a wrong page was seen after event "):
			t.Errorf("the tape of p1 does not say where it was: %+v", r)
		case r.Node == "p1" && (r.Before == 0 || r.Hits == 0 || !process(t, r).Ended || process(t, r).From == 0 || r.Number != r.Before+r.Passed+r.Events):
			t.Errorf("the tape of p1 has not lost its beginning: %+v", r)
		}
	}
	at := rows[slices.IndexFunc(rows, func(r tapeRow) bool { return r.Node == "p1" })]
	until := fmt.Sprintf("%s:%d", at.Node, at.Number-100)
	from := filepath.Join(dir, out)
	if got := call("simulate", "--from-run", from, "--until", until); got.code != exitOK || !strings.Contains(got.stdout, fmt.Sprintf("p1 after event %d: process a", at.Number-100)) {
		t.Errorf("until %s: %+v", until, got)
	}
	if got := call("simulate", "--from-run", from, "--until", "p1:5"); got.code != exitFailed || !strings.Contains(got.stderr, fmt.Sprintf("the tape begins with event %d", at.Before+1)) {
		t.Errorf("an event that is gone: %+v", got)
	}
	if got := run(out); got.code != exitUsage || !strings.Contains(got.stderr, "has a record already") {
		t.Errorf("the record would be overwritten: %+v", got)
	}
	if got := run(out, "--record=off", "--set", "workload.vnodes.a.max_refs=10"); got.code != exitOK {
		t.Errorf("%+v", got)
	}
}

// TestANodeDies: a node that dies in a run leaves what it did last, and the run says how to re-execute it.
func TestANodeDies(t *testing.T) {
	ownTemp(t)
	out := filepath.Join(t.TempDir(), "r")
	cmd := exec.Command(program, "run", bigger(t, 20_000), "--cluster", small(t), "--name", "dies", "--out", out,
		"--set", "workload.vnodes.a.repeat=1000000", "--set", "recorder.tail_bytes=256KiB", "--set", "manager.lease_ms=1000")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines, killed, said := bufio.NewScanner(stderr), false, ""
	for lines.Scan() {
		said += lines.Text() + "\n"
		if killed || !strings.Contains(lines.Text(), "accesses/s") { // it replays
			continue
		}
		killed = true
		st, err := launcher.Find("dies")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range st.Nodes {
			if n.ID == "p1" {
				if err := syscall.Kill(n.PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || !killed || !strings.Contains(said, "node p1 died; what the nodes did last was kept; to re-execute it: splitkernel simulate --from-run "+out) {
		t.Fatalf("exit code %d, %v: %s", code, err, said)
	}
	got := call("simulate", "--from-run", out, "-o", "json")
	got.want(t, exitOK)
	var rows []tapeRow
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	for _, r := range rows {
		if killed := strings.HasPrefix(r.End, "the node was killed"); killed != (r.Node == "p1") || idle(r) {
			t.Errorf("%+v", r)
		}
	}
}

// TestAWrongPageOnAClusterThatIsUp: what the nodes did last is in the folder of the run then, while the cluster goes on, and stays there
// when the cluster has stopped. Processes of runs before are passed over if their trace is gone.
func TestAWrongPageOnAClusterThatIsUp(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	up, out := filepath.Join(dir, "up"), filepath.Join(dir, "r")
	execute(t, dir, "up", "--cluster", small(t), "--name", "blue", "--out", up, "--set", "nodes.m1.inject.flip_byte_at_miss=2000").want(t, exitOK)
	defer execute(t, dir, "down", "blue")
	other := sample(t)
	execute(t, dir, "run", other, "--on", "blue", "--out", filepath.Join(dir, "before")).want(t, exitOK)
	if err := os.Remove(filepath.Join(filepath.Dir(other), "pages.txt")); err != nil {
		t.Fatal(err)
	}
	file := write(t, t.TempDir(), "w.yaml", "name: w\nvnodes:\n  - {name: b, trace: \"generator:zipf?pages=500&refs=20000&skew=0.2&writes_percent=30\", excache: {lines: 64, ways: 0}}\n")
	execute(t, dir, "run", file, "--on", "blue", "--out", out).want(t, exitWrongPage, "to re-execute it: splitkernel simulate --from-run "+out)
	again := func(from, end string) {
		t.Helper()
		got := call("simulate", "--from-run", from, "-o", "json")
		got.want(t, exitOK)
		var rows []tapeRow
		if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil {
			t.Fatalf("%v: %s", err, got.stdout)
		}
		for _, r := range rows {
			if !strings.HasPrefix(r.End, end) || idle(r) || r.Node == "p1" && (r.Passed == 0 || !process(t, r).Ended) {
				t.Errorf("%+v", r)
			}
		}
		if len(rows) != 4 {
			t.Errorf("%d tapes, want those of g1, m1, p1 and s1", len(rows))
		}
	}
	again(out, "the node was killed, or runs on")
	again(up, "the node was killed, or runs on")
	execute(t, dir, "down", "blue").want(t, exitOK)
	again(out, "whole")
	if _, err := os.Stat(filepath.Join(up, recordDir)); !os.IsNotExist(err) {
		t.Errorf("a cluster that has stopped keeps its record: %v", err)
	}
	empty(t, temp)
}

// TestRunRecordAndReplay records a run and re-executes it with the command line; then things go wrong with the record.
func TestRunRecordAndReplay(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	out := filepath.Join(dir, "r")
	sqlite, err := filepath.Abs("../../configs/traces/sqlite.skt")
	if err != nil {
		t.Fatal(err)
	}
	file := sample(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(file), filepath.Base(file), string(text)+fmt.Sprintf("  - {name: db, trace: %s, max_refs: 100000, excache: {lines: 4096, ways: 0}}\n", sqlite))
	execute(t, dir, "run", file, "--cluster", small(t), "--record", "--out", out, "-o", "json", "--set", "token=secret").want(t, exitOK, "cluster small is ready")
	empty(t, temp)
	got := call("simulate", "--from-run", out, "-o", "json")
	got.want(t, exitOK)
	var rows []tapeRow
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	nodes, events := "", map[string]uint64{}
	for _, r := range rows {
		nodes += r.Node + " "
		if r.End != "whole" || r.Effects == 0 || len(r.Cores) == 0 || !r.Cores[0].Ended {
			t.Errorf("%+v", r)
		}
		for _, c := range r.Cores {
			events[c.Kind] += c.Events
		}
	}
	if nodes != "g1 m1 p1 s1 " {
		t.Errorf("tapes of %s, want g1 m1 p1 s1", nodes)
	}
	for _, kind := range []string{fault.TapeKind, pagestore.TapeKind, admission.TapeKind, volume.TapeKind, iosched.TapeKind, session.TapeKind} {
		if events[kind] == 0 {
			t.Errorf("no events of cores %s, want some of each: %v", kind, events)
		}
	}
	if text, err := os.ReadFile(filepath.Join(out, recordDir, recordCluster)); err != nil || strings.Contains(string(text), "secret") {
		t.Errorf("the record has the token of the cluster: %v", err)
	}
	if got = call("simulate", "--from-run", out, "--until", "p1:500"); got.code != exitOK || !strings.Contains(got.stdout, "p1 after event 500: process ") || !strings.Contains(got.stdout, "thread 0: ") {
		t.Errorf("%+v", got)
	}
	if got = call("simulate", "--from-run", out, "--hardware", "cxl", "--out", filepath.Join(dir, "what-if")); got.code != exitOK || !strings.Contains(got.stdout, "with all its memory local") {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--until", "x9:5"}, "with one of g1, m1, p1, s1"},
		{[]string{"--until", "p1:0"}, "counted from 1"},
		{[]string{"--seed", "3"}, "--from-run and --seed"},
		{[]string{"--until", "5", "--hardware", "cxl"}, "--until and --hardware"},
		{[]string{"--cluster", "laptop"}, "--from-run and a workload or --cluster"},
	} {
		call(append([]string{"simulate", "--from-run", out}, c.args...)...).want(t, exitUsage, c.want)
	}
	execute(t, dir, "run", file, "--cluster", small(t), "--record", "--out", out).want(t, exitUsage, "has a record already")

	tape := filepath.Join(out, recordDir, "p1.tape")
	whole, err := os.ReadFile(tape)
	if err != nil {
		t.Fatal(err)
	}
	put := func(path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(tape, whole[:len(whole)-3])
	if got = call("simulate", "--from-run", out); got.code != exitFailed || !strings.Contains(got.stderr, "p1.tape: byte ") || !strings.Contains(got.stderr, "cut off") {
		t.Errorf("cut: %+v", got)
	}
	put(tape, whole)
	list := filepath.Join(out, recordDir, recordTraces)
	text, err = os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	put(list, []byte(strings.Replace(string(text), `    "`, `    "00`, 1)))
	if got = call("simulate", "--from-run", out); got.code != exitFailed || !strings.Contains(got.stderr, "want the trace as it was") {
		t.Errorf("another trace: %+v", got)
	}
}

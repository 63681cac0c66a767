package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"splitkernel/sim/launcher"
	"splitkernel/sim/observe"
	"splitkernel/sim/report"
)

// patience bounds the waits of these tests; it is no expectation.
const patience = 30 * time.Second

// ownTemp gives the test's processes a temporary folder that must be empty at the end.
func ownTemp(t *testing.T) string {
	t.Helper()
	t.TempDir() // makes the test's own folder now, outside of the other
	dir, err := os.MkdirTemp("", "ct-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	return dir
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if left := entries(t, dir); len(left) > 0 {
		t.Errorf("left behind in %s: %v", dir, left)
	}
}

// small writes a cluster of one node a role.
func small(t *testing.T) string {
	return write(t, t.TempDir(), "small.yaml", `name: small
region_bytes: 1MiB
nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: s1, role: scomponent}
`)
}

func summary(t *testing.T, c called) *report.Summary {
	t.Helper()
	var s report.Summary
	if err := json.Unmarshal([]byte(c.stdout), &s); err != nil {
		t.Fatalf("summary: %v\nstdout: %s\nstderr: %s", err, c.stdout, c.stderr)
	}
	return &s
}

func TestRunStartsReplaysAndStops(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	got := execute(t, dir, "run", sample(t), "--cluster", small(t), "--seed", "42", "-o", "json")
	got.want(t, exitOK, "cluster small is ready: 4 processes, unix")
	s := summary(t, got)
	if s.Total.Accesses != 64 || s.Total.PagesChecked != 64 || s.Seed != 42 || len(s.ConfigDigest) != 64 || s.Commit == "" {
		t.Errorf("summary %+v, want 64 accesses, all checked, under seed 42", s)
	}
	outs, err := filepath.Glob(filepath.Join(dir, "runs", "sample-*"))
	if err != nil || len(outs) != 1 {
		t.Fatalf("folders of the run: %v (%v), want one", outs, err)
	}
	for _, name := range []string{"summary.json", "manifest.json", "run.log", "targets.json", "logs/p1.log"} {
		if st, err := os.Stat(filepath.Join(outs[0], name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v, want it written", name, err)
		}
	}
	empty(t, temp)
}

func TestUpRunOnDown(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	cluster, work := small(t), sample(t)
	args := []string{"up", "--cluster", cluster, "--name", "blue", "--out", filepath.Join(dir, "up"), "-o", "json", "--dashboard", "--allow-control"}
	_, missing := exec.LookPath("prometheus")
	if missing == nil {
		args = append(args, "--prometheus=127.0.0.1:0")
	}
	up := execute(t, dir, args...)
	up.want(t, exitOK, "cluster blue is up", "dashboard: http://127.0.0.1:")
	var states []launcher.State
	if err := json.Unmarshal([]byte(up.stdout), &states); err != nil || len(states) != 1 || len(states[0].Nodes) != 4 {
		t.Fatalf("up prints %s (%v), want one cluster of four nodes", up.stdout, err)
	}
	t.Cleanup(func() { execute(t, dir, "down", "blue") })
	if p := states[0].Prometheus; missing != nil {
		t.Log("no prometheus on the PATH: --prometheus was left out; install it with `apt-get install --no-install-recommends prometheus`")
	} else if p == nil || !p.Alive || !strings.Contains(execute(t, dir, "status", "blue").stdout, "Prometheus: "+p.URL) {
		t.Errorf("Prometheus: %+v, want one that runs and that status tells of", p)
	}
	execute(t, dir, "up", "--cluster", cluster, "--name", "blue").want(t, exitFailed, `a cluster of the name "blue" is up already`)

	for range 2 {
		run := execute(t, dir, "run", work, "--on", "blue", "--out", filepath.Join(dir, "out"), "-o", "json")
		run.want(t, exitOK)
		if s := summary(t, run); s.Total.Accesses != 64 {
			t.Errorf("%d accesses, want 64", s.Total.Accesses)
		}
	}
	pressButtons(t, dir, states[0].Dashboard)
	execute(t, dir, "run", work, "--on", "red").want(t, exitFailed, `no cluster "red" is up, want one of: blue`)

	table := execute(t, dir, "status")
	table.want(t, exitOK)
	if !strings.Contains(table.stdout, "m1    mcomponent  up") {
		t.Errorf("status prints\n%s", table.stdout)
	}
	checkLogLevels(t, dir)
	checkTop(t, dir)
	execute(t, dir, "down").want(t, exitOK, "cluster blue is down")
	if res, err := http.Get(states[0].Dashboard); err == nil {
		res.Body.Close()
		t.Errorf("the page of a cluster that is down answers: %s", res.Status)
	}
	empty(t, temp)
	none := execute(t, dir, "status", "-o", "json")
	none.want(t, exitOK, "no cluster is up")
	if strings.TrimSpace(none.stdout) != "[]" {
		t.Errorf("status prints %s, want []", none.stdout)
	}
	execute(t, dir, "down").want(t, exitFailed, "no cluster is up")
}

// checkLogLevels changes the level of one node and of all, and has a node show it.
func checkLogLevels(t *testing.T, dir string) {
	t.Helper()
	level := func(args ...string) string {
		c := execute(t, dir, append([]string{"node", "log-level", "-o", "json"}, args...)...)
		c.want(t, exitOK)
		var list []nodeLevel
		if err := json.Unmarshal([]byte(c.stdout), &list); err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, l := range list {
			said += l.Node + "=" + l.Level + " "
		}
		return said
	}
	status := func() (s []clusterStatus, table string) {
		c := execute(t, dir, "status", "blue", "-o", "json")
		if c.want(t, exitOK); json.Unmarshal([]byte(c.stdout), &s) != nil || len(s) != 1 {
			t.Fatalf("status prints %s", c.stdout)
		}
		return s, execute(t, dir, "status", "blue").stdout
	}
	if s, table := status(); s[0].LogLevels != nil || strings.Contains(table, "log level") {
		t.Errorf("status tells of levels that nobody changed: %v\n%s", s[0].LogLevels, table)
	}
	if got := level(); strings.Count(got, "=info ") != 4 {
		t.Errorf("log levels at the start: %s, want info at four", got)
	}
	if got := level("debug", "m1"); got != "m1=debug " {
		t.Errorf("log level of m1: %s", got)
	}
	if got := level(); !strings.Contains(got, "m1=debug") || !strings.Contains(got, "p1=info") {
		t.Errorf("log levels: %s, want m1 alone at debug", got)
	}
	if s, table := status(); !slices.Equal(s[0].LogLevels, []nodeLevel{{"m1", "debug"}}) || !regexp.MustCompile(`blue +log level of m1: debug, info at its start`).MatchString(table) {
		t.Errorf("status tells of the levels %v\n%s", s[0].LogLevels, table)
	}
	if show := execute(t, dir, "node", "show", "m1"); show.code != exitOK || !regexp.MustCompile(`log level +debug`).MatchString(show.stdout) {
		t.Errorf("node show prints\n%s%s", show.stdout, show.stderr)
	}
	if got := level("warn"); strings.Count(got, "=warn ") != 4 {
		t.Errorf("log levels of all: %s, want warn", got)
	}
	execute(t, dir, "node", "log-level", "loud").want(t, exitUsage, `log level "loud", want one of debug, info, warn, error`)
	execute(t, dir, "node", "log-level", "info", "m9").want(t, exitUsage, `no node "m9" in cluster blue, want some of `)
}

// checkTop prints a snapshot of a cluster of four, as nobody looks.
func checkTop(t *testing.T, dir string) {
	t.Helper()
	c := execute(t, dir, "top", "blue", "--interval", "2s", "-o", "json") // a node that takes half of it to answer is not well
	c.want(t, exitOK)
	var s observe.Snapshot
	if err := json.Unmarshal([]byte(c.stdout), &s); err != nil {
		t.Fatal(err)
	}
	if s.Cluster != "blue" || s.Totals.NodesWell != 4 || len(s.Nodes) != 4 || len(s.Leaders) != 3 || s.Leaders[0].Node != "g1" || s.Nodes[0].Load == nil || s.Totals.MemoryCapacity == 0 {
		t.Errorf("top prints\n%s", c.stdout)
	}
	c = execute(t, dir, "top", "--interval", "2s")
	c.want(t, exitOK)
	if !strings.Contains(c.stdout, "4 of 4 well") || !strings.Contains(c.stdout, "m1    mcomponent  up ") {
		t.Errorf("top prints\n%s", c.stdout)
	}
	execute(t, dir, "top", "--interval", "1ms").want(t, exitUsage, "--interval: 1ms, want 50ms to 1m0s")
	execute(t, dir, "top", "red").want(t, exitFailed, `no cluster "red" is up, want one of: blue`)
}

func TestRunKeepLeavesTheClusterUp(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	t.Cleanup(func() { execute(t, dir, "down", "--all") })
	execute(t, dir, "run", sample(t), "--cluster", small(t), "--keep", "--set", "workload.vnodes.a.repeat=2").want(t, exitOK, "`splitkernel down small`")
	execute(t, dir, "down", "small").want(t, exitOK)
	empty(t, temp)
}

// TestFailedRunsLeaveNothing: whatever is wrong, one line says it, the exit code is right, and nothing stays.
func TestFailedRunsLeaveNothing(t *testing.T) {
	temp, dir, cluster := ownTemp(t), t.TempDir(), small(t)
	skt := filepath.Join(dir, "pages.skt")
	call("trace", "convert", filepath.Join(filepath.Dir(sample(t)), "pages.txt"), skt).want(t, exitOK)
	whole, err := os.ReadFile(skt)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cut.skt", string(whole[:len(whole)-9]))
	flipped := []byte(string(whole))
	flipped[len(flipped)/2] ^= 0x40
	write(t, dir, "flipped.skt", string(flipped))
	write(t, dir, "file", "")
	var huge strings.Builder
	for i := range 600 {
		huge.WriteString("W " + string("0123456789abcdef"[i%16]) + string("0123456789abcdef"[i/16%16]) + string("0123456789abcdef"[i/256]) + "0\n")
	}
	write(t, dir, "huge.txt", huge.String())
	one := func(trace string) string {
		return write(t, dir, trace+".yaml", "name: w\nvnodes: [{name: a, trace: "+trace+", excache: {lines: 64, ways: 0}}]\n")
	}
	for _, c := range []struct {
		name string
		code int
		args []string
		want []string
	}{
		{"truncated trace", exitUsage, []string{one("cut.skt")}, []string{"cut.skt.yaml: vnodes.a.trace: ", "file truncated"}},
		{"corrupt trace", exitFailed, []string{one("flipped.skt")}, []string{"flipped.skt"}},
		{"missing trace", exitUsage, []string{write(t, dir, "m.yaml", "name: w\nvnodes: [{name: a, trace: missing.skt}]\n")}, []string{`m.yaml: vnodes.a.trace: "missing.skt"`}},
		{"unwritable folder", exitFailed, []string{one("pages.skt"), "--out", filepath.Join(dir, "file", "out")}, []string{"want an --out that can be written"}},
		{"memory smaller than the workload", exitFailed, []string{one("huge.txt"), "--set", "mcomponent.memory_bytes=64KiB"}, []string{"1 of 1 vNodes failed: a: ", "no room", "m1"}},
		{"ExCache larger than the pComponent's", exitFailed, []string{one("huge.txt"), "--set", "pcomponent.excache_bytes=64KiB"}, []string{"1 of 1 vNodes failed: a: ", "p1 has"}},
	} {
		got := execute(t, dir, append([]string{"run", "--cluster", cluster}, c.args...)...)
		if got.want(t, c.code, c.want...); t.Failed() {
			t.Fatalf("that was: %s", c.name)
		}
		empty(t, temp)
	}
}

// TestRunWithPrometheus: the real one watches the cluster of a run as long as that lasts, and leaves nothing; if it dies, the run says so at its end.
func TestRunWithPrometheus(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("RUN --PROMETHEUS IS NOT TESTED: there is no prometheus; to install it: apt-get install --no-install-recommends prometheus")
	}
	for _, dies := range []bool{false, true} {
		t.Run(map[bool]string{false: "Lives", true: "Dies"}[dies], func(t *testing.T) {
			temp := ownTemp(t)
			cmd, stderr, said := endless(t, "--prometheus=127.0.0.1:0", "--name", "watched")
			m := regexp.MustCompile(`Prometheus: (http://127\.0\.0\.1:[0-9]+)\n`).FindStringSubmatch(said)
			if m == nil {
				t.Fatalf("the run does not tell where its Prometheus is: %s", said)
			}
			deadline, tick := time.Now().Add(patience), time.NewTicker(100*time.Millisecond)
			defer tick.Stop()
			until := func(what string, holds func() bool) {
				for ; !holds(); <-tick.C {
					if time.Now().After(deadline) {
						t.Fatalf("%s: not within %s", what, patience)
					}
				}
			}
			find := func() *launcher.State {
				st, err := launcher.Find("watched")
				if err != nil {
					t.Fatal(err)
				}
				return st
			}
			until("all four nodes are scraped", func() bool {
				res, err := http.Get(m[1] + "/api/v1/query?query=sum(up)")
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				text, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return strings.Contains(string(text), `"4"]`)
			})
			ended := "its Prometheus has ended"
			if dies {
				if err := syscall.Kill(find().Prometheus.PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				until("the run knows", func() bool { return !find().Prometheus.Alive })
			}
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(stderr)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if strings.Contains(string(rest), ended) != dies || cmd.ProcessState.ExitCode() != exitFailed {
				t.Errorf("exit code %d, and it says of a Prometheus that was killed (%v): %s", cmd.ProcessState.ExitCode(), dies, rest)
			}
			if res, err := http.Get(m[1] + "/-/ready"); err == nil {
				res.Body.Close()
				t.Errorf("the Prometheus of a run that is over answers: %s", res.Status)
			}
			empty(t, temp)
		})
	}
}

// endless starts a run that would not end within the test and returns when its cluster is ready, with what it has said.
func endless(t *testing.T, flags ...string) (cmd *exec.Cmd, rest *bufio.Reader, said string) {
	t.Helper()
	cmd = exec.Command(program, append([]string{"run", sample(t), "--cluster", small(t), "--set", "workload.vnodes.a.repeat=1000000000"}, flags...)...)
	cmd.Dir = t.TempDir()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the run ended before it was ready: %v", err)
		}
		if said += line; strings.Contains(line, "accesses/s") { // it replays
			return cmd, lines, said
		}
	}
}

func TestInterruptedRunStopsEverything(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			temp := ownTemp(t)
			cmd, stderr, _ := endless(t)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(stderr)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(rest), "stopped by a signal") {
				t.Errorf("exit code %d, stderr %s", cmd.ProcessState.ExitCode(), rest)
			}
			empty(t, temp)
		})
	}
}

// TestSecondInterruptKills: nodes that cannot stop do not hold up somebody who presses Ctrl-C twice.
func TestSecondInterruptKills(t *testing.T) {
	temp := ownTemp(t)
	cmd, stderr, _ := endless(t)
	for _, pid := range nodePIDs(t, temp) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for line := ""; !strings.Contains(line, "Ctrl-C again kills"); { // two signals at once would be merged
		var err error
		if line, err = stderr.ReadString('\n'); err != nil {
			t.Fatalf("the run ended at the first signal: %v", err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stderr)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("exit code %d, stderr %s", cmd.ProcessState.ExitCode(), rest)
	}
	empty(t, temp)
}

func TestKilledRunLeavesNothing(t *testing.T) {
	temp := ownTemp(t)
	cmd, _, _ := endless(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(entries(t, temp)) > 0 || nodesOf(t, temp) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%s after the kill: %v and %d processes are left", patience, entries(t, temp), nodesOf(t, temp))
		}
		<-tick.C
	}
}

// nodesOf counts the nodes whose configuration lies in dir.
func nodesOf(t *testing.T, dir string) int { return len(nodePIDs(t, dir)) }

func nodePIDs(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), dir) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestUpRefusesPrometheus: what is in the way of Prometheus is bad usage, and nothing is started.
func TestUpRefusesPrometheus(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "prometheus"), []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	commands := [][]string{{"up"}, {"run", sample(t)}, {"run", sample(t), "--keep"}}
	for _, c := range commands {
		execute(t, dir, append(c, "--cluster", small(t), "--prometheus=0.0.0.0:9090")...).want(t, exitUsage, "--prometheus: ", "is not on loopback")
	}
	t.Setenv("PATH", t.TempDir())
	for _, c := range commands {
		execute(t, dir, append(c, "--cluster", small(t), "--prometheus")...).want(t, exitUsage, "--prometheus: ", "apt-get install --no-install-recommends prometheus")
	}
	execute(t, dir, "run", sample(t), "--on", "blue", "--prometheus").want(t, exitUsage, "--on and --prometheus", "want it at `up`")
	execute(t, dir, "run", sample(t), "--engine", "virtual", "--prometheus").want(t, exitUsage, "--prometheus and --engine virtual")
	empty(t, temp)
	empty(t, dir)
}

func TestStatesTellOfPrometheus(t *testing.T) {
	var out strings.Builder
	writeStates(&out, []launcher.State{
		{Name: "blue", Prometheus: &launcher.PrometheusInfo{URL: "http://127.0.0.1:9090", Alive: true}},
		{Name: "red", Prometheus: &launcher.PrometheusInfo{URL: "http://127.0.0.1:9091", Ended: "signal: killed", Log: "logs/prometheus.log"}},
		{Name: "green"},
	})
	for _, want := range []string{"blue\tPrometheus: http://127.0.0.1:9090\n", "red\tPrometheus: ended (signal: killed), see logs/prometheus.log\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "green\tPrometheus") {
		t.Errorf("%q tells of one that is not there", out.String())
	}
}

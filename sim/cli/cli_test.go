package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"splitkernel/configs"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
)

// program is the plain binary, without the race detector, for the commands that start processes.
var program string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "node" {
		panic("these tests were started as a node: commands that start a cluster need execute, not call")
	}
	dir, err := os.MkdirTemp("", "cli-test-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "splitkernel")
	build := exec.Command("go", "build", "-o", program, "splitkernel")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build the program: %v\n%s", err, out))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// called is what a command line did.
type called struct {
	code           int
	stdout, stderr string
}

// call runs a command line in this process.
func call(args ...string) called {
	var out, talk shared
	code := Main(args, strings.NewReader(""), &out, &talk)
	return called{code, out.b.String(), talk.b.String()}
}

// shared is written to by the command and by a program that it starts, as a terminal is.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// execute runs a command line as a process, in dir.
func execute(t *testing.T, dir string, args ...string) called {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return called{cmd.ProcessState.ExitCode(), out.String(), talk.String()}
}

func (c called) want(t *testing.T, code int, stderr ...string) {
	t.Helper()
	if c.code != code {
		t.Errorf("exit code %d, want %d; stderr:\n%s", c.code, code, c.stderr)
	}
	for _, s := range stderr {
		if !strings.Contains(c.stderr, s) {
			t.Errorf("stderr does not say %q:\n%s", s, c.stderr)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sample writes a workload of one vNode with a trace of eight pages.
func sample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var trace strings.Builder
	for i := range 64 {
		fmt.Fprintf(&trace, "%c %x\n", "RW"[i%2], 0x1000+i%8)
	}
	write(t, dir, "pages.txt", trace.String())
	return write(t, dir, "w.yaml", "name: sample\nvnodes:\n  - {name: a, trace: pages.txt, excache: {lines: 4, ways: 0}}\n")
}

func TestBadUsageExitsWith2(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, `unknown command "nonsense"`},
		{[]string{"trace", "nonsense"}, `unknown command "nonsense"`},
		{[]string{"run", "--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"run", "a", "b"}, "accepts at most 1 arg"},
		{[]string{"run", "--seed", "x"}, "invalid argument"},
		{[]string{"run", "--on", "x", "--keep"}, "--on and --keep"},
		{[]string{"run", "--on", "x", "--cluster", "laptop"}, "--on and --cluster"},
		{[]string{"run", "--on", "x", "--set", "region_bytes=1MiB"}, "only keys of the workload"},
		{[]string{"version", "-o", "xml"}, `--output: "xml", want one of json, table`},
		{[]string{"trace", "info"}, "requires at least 1 arg"},
		{[]string{"trace", "info", "--format", "x", "f"}, `--format: trace format "x", want one of skt`},
		{[]string{"trace", "capture", "--", "true"}, "--out is missing"},
		{[]string{"trace", "capture", "--out", "x", "--thin", "-1", "--", "true"}, "thin: -1"},
		{[]string{"down", "--all", "x"}, "both --all and a name"},
		{[]string{"node", "nonsense"}, `unknown command "nonsense"`},
		{[]string{"run", "--on", "x", "--name", "y"}, "--on and --name"},
		{[]string{"up", "--allow-control"}, "--allow-control without --dashboard"},
		{[]string{"up", "--dashboard-remote"}, "--dashboard-remote without --dashboard"},
		{[]string{"up", "--dashboard=0.0.0.0:80"}, "can be reached from other machines"},
		{[]string{"run", "--dashboard=8080"}, "want HOST:PORT"},
		{[]string{"run", "--engine", "virtual", "--dashboard"}, "--dashboard and --engine virtual"},
		{[]string{"run", "--on", "x", "--record"}, "--record with --on or --keep"},
		{[]string{"run", "--engine", "virtual", "--record"}, "--record and --engine virtual"},
		{[]string{"simulate", "--until", "5"}, "want --from-run DIR"},
		{[]string{"simulate", "--from-run", "nowhere"}, "made with --record"},
		{[]string{"node", "--config", "nowhere.json"}, "nowhere.json"},
		{[]string{"up", "--cluster", "nowhere.yaml"}, "nowhere.yaml: no such file"},
	} {
		got := call(c.args...)
		got.want(t, exitUsage, "splitkernel: ", c.want)
		if got.stdout != "" {
			t.Errorf("%v: talk on stdout: %s", c.args, got.stdout)
		}
	}
}

func TestHelpAndCompletionExitWith0(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"trace"}, {"node"}, {"vnode"}, {"run", "--help"}, {"completion", "bash"}} {
		got := call(args...)
		got.want(t, exitOK)
		if got.stdout == "" {
			t.Errorf("%v prints nothing", args)
		}
	}
}

func TestConfigReportsTheFaultsOfBothFiles(t *testing.T) {
	dir := t.TempDir()
	cluster := write(t, dir, "c.yaml", "name: c\ntransport: pigeon\nnodes: [{id: g1, role: manager}]\n")
	workload := write(t, dir, "w.yaml", "name: w\nvnodes: [{name: a, trace: nowhere.skt}]\n")
	for _, command := range [][]string{{"config", "check"}, {"config", "show"}, {"run", "--out", filepath.Join(dir, "out")}} {
		got := call(append(command, "--cluster", cluster, workload)...)
		got.want(t, exitUsage, `c.yaml: transport: "pigeon", want one of tcp, unix`, "c.yaml: nodes: no pcomponent", `w.yaml: vnodes.a.trace: "nowhere.skt": cannot be opened`)
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("a run that could not begin made its folder")
	}
}

func TestConfigShowsWhatLoads(t *testing.T) {
	w := sample(t)
	got := call("config", "show", w, "--set", "pcomponent.cores=7", "-o", "json")
	got.want(t, exitOK)
	var shown struct {
		Cluster       map[string]any `json:"cluster"`
		ClusterDigest string         `json:"cluster_digest"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &shown); err != nil {
		t.Fatal(err)
	}
	if p := shown.Cluster["pcomponent"].(map[string]any); p["cores"] != 7.0 {
		t.Errorf("pcomponent %v, want 7 cores", p)
	}
	table := call("config", "show", w, "--set", "pcomponent.cores=7")
	table.want(t, exitOK)
	text, _, _ := strings.Cut(table.stdout, "---\n")
	c, err := configs.ParseCluster("shown", []byte(text), configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Digest() != shown.ClusterDigest {
		t.Errorf("the table shows digest %s, JSON %s", c.Digest(), shown.ClusterDigest)
	}
	check := call("config", "check", w)
	check.want(t, exitOK)
	if !strings.Contains(check.stdout, "workload  sample") {
		t.Errorf("check prints\n%s", check.stdout)
	}
}

func TestTraceInfoAndConvert(t *testing.T) {
	dir := filepath.Dir(sample(t))
	text, skt := filepath.Join(dir, "pages.txt"), filepath.Join(dir, "pages.skt")
	call("trace", "convert", text, skt).want(t, exitOK)
	got := call("trace", "info", "-o", "json", text, skt)
	got.want(t, exitOK)
	var files []traceFile
	if err := json.Unmarshal([]byte(got.stdout), &files); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Refs != 64 || f.Reads != 32 || f.FootprintPages != 8 || len(f.SHA256) != 64 || !f.SynthesisedMaps {
			t.Errorf("%+v, want 64 references, half of them reads, of 8 pages", f)
		}
	}
	table := call("trace", "info", skt)
	table.want(t, exitOK)
	for _, want := range []string{"references    64 (32 reads, 32 writes)", "synthesised", "footprint     8 pages"} {
		if !strings.Contains(table.stdout, want) {
			t.Errorf("table does not say %q:\n%s", want, table.stdout)
		}
	}
	call("trace", "info", filepath.Join(dir, "nowhere")).want(t, exitFailed, "nowhere")
}

func TestVersion(t *testing.T) {
	got := call("version", "-o", "json")
	got.want(t, exitOK)
	var v map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || v["commit"] == "" || v["protocol"] == 0.0 {
		t.Errorf("version %v (%v)", v, err)
	}
}

func TestOutcomeOfARun(t *testing.T) {
	failed := errors.New("interrupted")
	for _, c := range []struct {
		name string
		sum  *report.Summary
		err  error
		code int
	}{
		{"clean", &report.Summary{}, nil, exitOK},
		{"error before a report", nil, failed, exitFailed},
		{"interrupted", &report.Summary{}, failed, exitFailed},
		{"a vNode failed", &report.Summary{Failed: []string{"a"}}, nil, exitFailed},
		{"wrong page", &report.Summary{Total: report.Counters{IntegrityErrors: 1}}, nil, exitWrongPage},
		{"wrong page and more", &report.Summary{Failed: []string{"a"}, Total: report.Counters{IntegrityErrors: 1}}, failed, exitWrongPage},
	} {
		err := outcome(c.sum, c.err)
		if err != nil {
			err = &ranError{err}
		}
		a := &app{stderr: &bytes.Buffer{}}
		if got := a.exitCode(err); got != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.code)
		}
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &progress{display{w: &out, now: func() time.Time { return now }, started: now, said: now}}
	r := replay.Progress{Done: 250, Total: 1000, AccessesPerSec: 12.3e6, HitRatio: 0.987}
	p.show(r)
	if out.Len() != 0 {
		t.Errorf("a line at once: %q", out.String())
	}
	now = now.Add(10 * time.Second)
	p.show(r)
	p.end()
	if got, want := out.String(), " 25.0 % done, 12.3 M accesses/s, 98.70 % hits, 30s left\n"; got != want {
		t.Errorf("plain line %q, want %q", got, want)
	}
	if got := p.line(replay.Progress{Done: 1, Total: 1000}, now); !strings.HasSuffix(got, ", ? left") {
		t.Errorf("at the beginning %q, want no guess of the time left", got)
	}
	out.Reset()
	p.terminal = true
	p.show(r)
	p.end()
	if got := out.String(); !strings.HasPrefix(got, "\r\x1b[K[#######.......................] ") || !strings.HasSuffix(got, "\n") {
		t.Errorf("bar %q", got)
	}
}

func TestDefaultFoldersAreNew(t *testing.T) {
	t.Chdir(t.TempDir())
	seen := map[string]bool{}
	for range 3 {
		out, err := makeOut("", "w")
		if err != nil || seen[out] || filepath.Base(filepath.Dir(out)) != "runs" {
			t.Errorf("folder %s (%v), want a new one in runs", out, err)
		}
		seen[out] = true
	}
	file := write(t, t.TempDir(), "file", "")
	if _, err := makeOut(filepath.Join(file, "out"), "w"); err == nil || !strings.Contains(err.Error(), "want an --out that can be written") {
		t.Errorf("unwritable: %v", err)
	}
}

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
	"splitkernel/sim/report"
)

// Exit codes, as docs/commands.md promises them.
const (
	codeDone   = 0
	codeFailed = 1
	codeUsage  = 2
)

// tmpdir gives the processes of a test a temporary folder of their own, short enough for socket paths, that must be empty
// at the end with no process left that knows it.
func tmpdir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bi-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range processes(dir) {
			t.Errorf("process %d was left: %s", p.pid, p.line)
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
		os.RemoveAll(dir)
	})
	return dir
}

type process struct {
	pid  int
	line string
}

// processes finds those that have a folder on their command line.
func processes(dir string) []process {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []process
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(text, []byte(dir+"/")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			found = append(found, process{pid, strings.ReplaceAll(string(text), "\x00", " ")})
		}
	}
	return found
}

// nothingLeft waits until no process, socket or folder of a cluster is left. Orphans need a moment to end.
func nothingLeft(t *testing.T, tmp string) {
	t.Helper()
	var files []string
	var running []process
	gone := false
	defer func() {
		if !gone {
			t.Logf("left: %q, processes %v", files, running)
		}
	}()
	eventually(t, "nothing is left in "+tmp, func() bool {
		files, running = under(tmp), processes(tmp)
		gone = len(files) == 0 && len(running) == 0
		return gone
	})
}

// under lists what is in a folder, at all depths.
func under(dir string) (names []string) {
	fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if path != "." {
			names = append(names, path)
		}
		return nil // what goes meanwhile is none of it
	})
	return names
}

// outcome is what a command line did.
type outcome struct {
	code           int
	stdout, stderr string
}

// faults are the lines that tell of faults: all but those of progress.
func (o outcome) faults() []string {
	var lines []string
	for line := range strings.Lines(o.stderr) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, "cluster ") && !strings.HasPrefix(line, "report, manifest") && !strings.HasPrefix(line, "page: ") && !strings.Contains(line, "% done") {
			lines = append(lines, line)
		}
	}
	return lines
}

// invoke starts the program in dir, with tmp as its temporary folder.
func invoke(ctx context.Context, dir, tmp string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd
}

// sk runs a command line to its end.
func sk(t *testing.T, dir, tmp string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(background(t), time.Minute)
	defer cancel()
	cmd := invoke(ctx, dir, tmp, args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%q hangs; stderr: %s", args, talk.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), talk.String()}
}

// put writes a file into dir and gives its path.
func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// taken gives a port that is in use.
func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestBadInput: whatever is wrong, one line says where and what was expected, the exit code is right, stdout is empty
// unless there is something to report, and nothing stays.
func TestBadInput(t *testing.T) {
	t.Parallel()
	tmp, dir := tmpdir(t), t.TempDir()
	cluster := put(t, dir, "c.yaml", onePonem)
	good := synthetic(t, "good", 1, 64, 0, 70_000, true)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(name string, change func(b []byte) []byte) string {
		return put(t, dir, name, string(change(bytes.Clone(whole))))
	}
	const version = 8 // offset of the version in the file, see docs/trace-format.md
	load := func(trace string) string {
		return put(t, dir, filepath.Base(trace)+".yaml", "name: w\nvnodes:\n  - {name: a, trace: "+trace+", excache: {lines: 16, ways: 0}}\n")
	}
	with := func(name, more string) string { return put(t, dir, name, onePonem+more) }
	tcp := func(name, listen string) string {
		return put(t, dir, name, strings.NewReplacer("unix", "tcp", "role: mcomponent", `role: mcomponent, listen: "`+listen+`"`).Replace(onePonem))
	}
	busy := taken(t)
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	file := put(t, dir, "file", "")
	fine := load(good)
	for _, c := range []struct {
		name    string
		code    int
		cluster string // empty: a good one
		args    []string
		want    []string // in the line
		reports bool     // it came so far that there is a report
		env     string   // TMPDIR, if not a good one
	}{
		{name: "unknown flag", code: codeUsage, args: []string{"--what"}, want: []string{"unknown flag: --what"}},
		{name: "no such cluster", code: codeUsage, cluster: "nowhere.yaml", args: []string{fine}, want: []string{"nowhere.yaml: no such file", "laptop"}},
		{name: "unknown key", code: codeUsage, cluster: with("unknown.yaml", "speed: 3\n"), args: []string{fine}, want: []string{"unknown.yaml: speed: unknown key, want one of"}},
		{name: "wrong unit", code: codeUsage, cluster: with("unit.yaml", "mcomponent: {memory_bytes: 64MB}\n"), args: []string{fine}, want: []string{"unit.yaml: mcomponent.memory_bytes: \"64MB\", want", "as in 64MiB"}},
		{name: "no unit", code: codeUsage, args: []string{fine, "--set", "mcomponent.memory_bytes=64"}, want: []string{"--set: mcomponent.memory_bytes: 64, want a size with its unit"}},
		{name: "no such policy", code: codeUsage, args: []string{fine, "--set", "workload.vnodes.a.excache.policy=lur"}, want: []string{"workload.vnodes.a.excache.policy: \"lur\", want one of 2q, arc, belady, clock, fifo"}},
		{name: "no such placement policy", code: codeUsage, args: []string{fine, "--set", "manager.gmm_policy=best"}, want: []string{"manager.gmm_policy: \"best\", want"}},
		{name: "no such element", code: codeUsage, args: []string{fine, "--set", "nodes.m9.memory_bytes=1MiB"}, want: []string{`nodes has no element "m9"`}},
		{name: "port out of range", code: codeUsage, cluster: tcp("range.yaml", "127.0.0.1:70000"), args: []string{fine}, want: []string{`range.yaml: nodes.m1.listen: "127.0.0.1:70000", want host:port`}},
		{name: "port in use", code: codeFailed, cluster: tcp("busy.yaml", busy), args: []string{fine}, want: []string{"nodes.m1.listen: " + busy, "in use", "want a free one"}},
		{name: "missing trace", code: codeUsage, args: []string{load("missing.skt")}, want: []string{`missing.skt.yaml: vnodes.a.trace: "missing.skt": cannot be opened: no such file`}},
		{name: "trace that is a folder", code: codeUsage, args: []string{load(tmp)}, want: []string{"vnodes.a.trace", "is a folder, want a trace"}},
		{name: "trace that is a pipe", code: codeUsage, args: []string{load(pipe)}, want: []string{"vnodes.a.trace", "want a trace in a regular file"}},
		{name: "empty trace", code: codeUsage, args: []string{load(put(t, dir, "empty.skt", ""))}, want: []string{"vnodes.a.trace", "empty.skt: the file is empty, expected a trace"}},
		{name: "no trace at all", code: codeUsage, args: []string{load(put(t, dir, "noise.bin", "\x00\x01\x02 what\n"))}, want: []string{"noise.bin: it begins with the bytes 00 01 02 20 ", "no binary trace format known"}},
		{name: "text that is no trace", code: codeUsage, args: []string{load(put(t, dir, "noise.txt", "what\n"))}, want: []string{"noise.txt: line 1: ", "no trace format known"}},
		{name: "unknown format", code: codeUsage, args: []string{fine, "--set", "workload.vnodes.a.format=lirz"}, want: []string{"vnodes.a.trace", `trace format "lirz", want one of`}},
		{name: "bad line", code: codeUsage, args: []string{load(put(t, dir, "line.txt", "R 10\nW 11\nR 1z\n"))}, want: []string{`line.txt: line 3: "R 1z", expected`}},
		{name: "older trace", code: codeUsage, args: []string{load(damaged("old.skt", func(b []byte) []byte { b[version] = 0; return b }))}, want: []string{"vnodes.a.trace", "old.skt: trace version 0 is older than 1"}},
		{name: "newer trace", code: codeUsage, args: []string{load(damaged("new.skt", func(b []byte) []byte { b[version] = 7; return b }))}, want: []string{"vnodes.a.trace", "new.skt: trace version 7 is newer than 1"}},
		{name: "truncated trace", code: codeUsage, args: []string{load(damaged("cut.skt", func(b []byte) []byte { return b[:len(b)*2/3] }))}, want: []string{"cut.skt: block ", "(reference ", "file truncated"}},
		{name: "trace without its last byte", code: codeUsage, args: []string{load(damaged("cut1.skt", func(b []byte) []byte { return b[:len(b)-1] }))}, want: []string{"cut1.skt: ", "file truncated"}},
		{name: "corrupt trace", code: codeFailed, args: []string{load(damaged("flip.skt", func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b }))}, want: []string{"1 of 1 vNodes failed: a: ", "flip.skt: block 0 (reference 0): ", "corrupt"}, reports: true},
		{name: "memory smaller than the workload", code: codeFailed, args: []string{fine, "--set", "mcomponent.memory_bytes=64KiB", "--set", "manager.overcommit=1000"}, want: []string{"1 of 1 vNodes failed: a: ", "m1", "out of memory"}, reports: true},
		{name: "no room for the process", code: codeFailed, args: []string{fine, "--set", "pcomponent.excache_bytes=32KiB"}, want: []string{"1 of 1 vNodes failed: a: ", "p1 has"}, reports: true},
		{name: "folder that cannot be made", code: codeFailed, args: []string{fine, "--out", filepath.Join(file, "out")}, want: []string{file, "want an --out that can be written"}},
		{name: "folder that is a file", code: codeFailed, args: []string{fine, "--out", file}, want: []string{"--out: " + file + " is no folder"}},
		{name: "temporary folder that is none", code: codeFailed, args: []string{fine}, env: file, want: []string{file, "set TMPDIR to a folder that can be written"}},
		{name: "temporary folder with too long a path", code: codeFailed, args: []string{fine}, env: long(t), want: []string{"has ", "at most 107", "set TMPDIR to a shorter folder"}},
		{name: "--on a cluster that is not up", code: codeFailed, args: []string{fine, "--on", "green"}, want: []string{"no cluster is up"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.cluster == "" {
				c.cluster = cluster
			}
			args := append([]string{"run"}, c.args...)
			if !strings.Contains(strings.Join(args, " "), "--on") {
				args = append(args, "--cluster", c.cluster)
			}
			env := tmp
			if c.env != "" {
				env = c.env
			}
			got := sk(t, dir, env, args...)
			faults := got.faults()
			if got.code != c.code || len(faults) != 1 || !strings.HasPrefix(faults[0], "splitkernel: ") || (got.stdout != "") != c.reports {
				t.Fatalf("exit code %d, want %d; want one line of fault; want a report: %t\nstderr: %s\nstdout: %s", got.code, c.code, c.reports, got.stderr, got.stdout)
			}
			for _, want := range c.want {
				if !strings.Contains(faults[0], want) {
					t.Errorf("%q does not say %q", faults[0], want)
				}
			}
			if c.code == codeUsage && strings.Contains(got.stderr, "is ready") {
				t.Errorf("a cluster was started for it: %s", got.stderr)
			}
			nothingLeft(t, tmp)
			if c.env != "" && c.env != file {
				nothingLeft(t, c.env)
			}
		})
	}
}

// long makes a folder in which no socket fits.
func long(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 25))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// up starts a cluster under its name; it is taken down at the end.
func up(t *testing.T, dir, tmp string, args ...string) launcher.State {
	t.Helper()
	got := sk(t, dir, tmp, append([]string{"up", "-o", "json"}, args...)...)
	if got.code != codeDone {
		t.Fatalf("up: exit code %d, %s", got.code, got.stderr)
	}
	var states []launcher.State
	if err := json.Unmarshal([]byte(got.stdout), &states); err != nil || len(states) != 1 {
		t.Fatalf("up prints %s (%v), want one cluster", got.stdout, err)
	}
	t.Cleanup(func() { sk(t, dir, tmp, "down", "--all") })
	return states[0]
}

// refusals reads how many strangers a node has turned away.
func refusals(t *testing.T, n launcher.NodeInfo) float64 {
	t.Helper()
	m, err := scrape("http://" + n.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for series, v := range m {
		if strings.HasPrefix(series, "netlayer_server_connections_refused_total{") {
			sum += v
		}
	}
	return sum
}

// frame makes a frame with right checksums.
func frame(h wire.Header, body []byte) []byte {
	h.BodyLen, h.BodyCRC = uint32(len(body)), wire.Checksum(body)
	return append(h.Append(nil), body...)
}

// TestStrangers sends every port bytes that are none of ours while two workloads run, one begun before and one after: both
// end well, every port counts what it turned away, and no node falls.
func TestStrangers(t *testing.T) {
	t.Parallel() // it waits more than it works
	tmp, dir := tmpdir(t), t.TempDir()
	cluster := put(t, dir, "c.yaml", strings.Replace(onePonem, "unix", "tcp", 1))
	st := up(t, dir, tmp, "--cluster", cluster)
	long := put(t, dir, "long.yaml", one(t, synthetic(t, "long", 1, 512, 0, 400_000, true), 64, ""))
	short := put(t, dir, "short.yaml", one(t, synthetic(t, "short", 2, 256, 0, 50_000, true), 64, ""))

	first := make(chan outcome, 1)
	go func() { first <- sk(t, dir, tmp, "run", long, "--on", "one", "-o", "json") }()

	rng := rand.New(rand.NewPCG(1, 9))
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	hello := func(cluster string) []byte {
		return frame(wire.Header{Op: wire.OpHello}, wire.Marshal(wire.Hello{Protocol: wire.Version, Cluster: cluster, Node: "p1", Role: wire.RoleCompute, Session: 1}))
	}
	huge := frame(wire.Header{Op: wire.OpHello}, nil)
	huge[24], huge[25], huge[26], huge[27] = 255, 255, 255, 255 // body length
	sum := wire.Checksum(huge[:44])
	huge[44], huge[45], huge[46], huge[47] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	attacks := map[string][]byte{
		"noise": noise, "http": []byte("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: somebody\r\n\r\n"), "another cluster": hello("other-0123456789ab"),
		"no hello": frame(wire.Header{Op: wire.OpPing, Call: 1}, nil), "4 GiB": huge,
		"hello, then noise": append(hello(st.ClusterID), noise...), "half a hello": hello(st.ClusterID)[:20],
	}
	var slow []net.Conn // one byte each, and then nothing
	defer func() {
		for _, c := range slow {
			c.Close()
		}
	}()
	for _, n := range st.Nodes {
		addr := strings.TrimPrefix(n.Addr, "tcp:")
		before := refusals(t, n)
		for name, b := range attacks {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatalf("%s at %s: %v", name, n.ID, err)
			}
			c.SetDeadline(time.Now().Add(10 * time.Second))
			c.Write(b)
			if name == "half a hello" {
				c.Close()
				continue
			}
			if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %s keeps the connection of %q", n.ID, n.Role, name)
			}
			c.Close()
		}
		for range 100 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c.Write(hello(st.ClusterID)[:1])
			slow = append(slow, c)
		}
		eventually(t, n.ID+" has counted the strangers", func() bool { return refusals(t, n) >= before+float64(len(attacks)-1) })
	}
	got := sk(t, dir, tmp, "run", short, "--on", "one", "-o", "json") // its connections compete with the slow ones
	for what, o := range map[string]outcome{"begun before": <-first, "begun after": got} {
		var s report.Summary
		if err := json.Unmarshal([]byte(o.stdout), &s); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, o.stderr)
		}
		if o.code != codeDone || s.Total.IntegrityErrors != 0 || s.Total.Accesses == 0 {
			t.Errorf("the run %s: exit code %d, %d accesses, %d wrong\n%s", what, o.code, s.Total.Accesses, s.Total.IntegrityErrors, o.stderr)
		}
	}
	var states []launcher.State
	if err := json.Unmarshal([]byte(sk(t, dir, tmp, "status", "-o", "json").stdout), &states); err != nil || len(states) != 1 || states[0].Deaths != 0 {
		t.Errorf("status: %v, %+v, want one cluster and no deaths", err, states)
	}
	if got := sk(t, dir, tmp, "down"); got.code != codeDone {
		t.Errorf("down: %s", got.stderr)
	}
	nothingLeft(t, tmp)
}

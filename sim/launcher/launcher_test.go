package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"splitkernel/configs"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// helperEnv makes this test binary a launcher of its own that a test can kill: it starts the cluster file that the variable
// names, prints its nodes, and waits.
const helperEnv = "LAUNCHER_TEST_CLUSTER"

// patience bounds every wait of these tests. It is no expectation: the machine may be busy.
const patience = 30 * time.Second

// program is the plain binary, without the race detector, that the nodes run.
var program string

func TestMain(m *testing.M) {
	if file := os.Getenv(helperEnv); file != "" {
		helper(file, os.Args[len(os.Args)-2], os.Args[len(os.Args)-1])
		return
	}
	dir, err := os.MkdirTemp("", "launcher-test-")
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

// helper is the launcher that TestKilledLauncherLeavesNothing kills.
func helper(file, out, exe string) {
	c, err := configs.LoadCluster(file, configs.Overrides{})
	if err != nil {
		panic(err)
	}
	cl, err := Start(context.Background(), Options{Cluster: c, Out: out, Executable: exe})
	if err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(struct {
		Dir   string
		Nodes []NodeInfo
	}{cl.Dir(), cl.Nodes()})
	select {}
}

const smallNodes = `nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: s1, role: scomponent}
`

// clusterFile writes a cluster of one node a role.
func clusterFile(t *testing.T, transport string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small.yaml")
	text := "name: small\ntransport: " + transport + "\nregion_bytes: 1MiB\n" + smallNodes
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, file string, set ...string) *configs.Cluster {
	t.Helper()
	c, err := configs.LoadCluster(file, configs.Overrides{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ownTemp gives the test a temporary folder of its own, so that it can see that nothing is left there.
func ownTemp(t *testing.T) string {
	t.Helper()
	t.TempDir()                         // makes the test's own folder now, outside of the one that must be empty at the end
	dir, err := os.MkdirTemp("", "lt-") // t.TempDir's name is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	return dir
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", filepath.Join(dir, e.Name()))
	}
}

// eventually polls until done is true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		<-tick.C
	}
}

// alive reports whether a process runs; one that ended and was not waited for yet is gone too.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func gone(t *testing.T, nodes []NodeInfo) {
	t.Helper()
	for _, n := range nodes {
		if alive(n.PID) {
			t.Errorf("node %s, process %d, still runs", n.ID, n.PID)
		}
		for _, addr := range []string{n.Metrics, strings.TrimPrefix(n.Addr, "tcp:")} {
			if addr == "" || strings.HasPrefix(addr, "unix:") {
				continue
			}
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				t.Errorf("node %s: somebody still answers at %s", n.ID, addr)
			}
		}
	}
}

func start(t *testing.T, c *configs.Cluster) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := Start(ctx, Options{Cluster: c, Out: t.TempDir(), Executable: program})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Stop(context.Background()) })
	return cl
}

func stop(t *testing.T, cl *Cluster) {
	t.Helper()
	if err := cl.Stop(context.Background()); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestLaptopStartsServesAndStops(t *testing.T) {
	dir := ownTemp(t)
	cl := start(t, load(t, "laptop"))
	nodes := cl.Nodes()
	if len(nodes) != 10 {
		t.Fatalf("%d nodes, want the ten of laptop", len(nodes))
	}
	for _, n := range nodes {
		if !n.Alive || n.PID == 0 || !strings.HasPrefix(n.Addr, "unix:"+cl.Dir()) {
			t.Errorf("node %+v, want it alive with a socket in %s", n, cl.Dir())
		}
		if code, body := get(t, "http://"+n.Metrics+"/readyz"); code != http.StatusOK {
			t.Errorf("%s: /readyz gives %d %s", n.ID, code, body)
		}
		if code, body := get(t, "http://"+n.Metrics+"/healthz"); code != http.StatusOK {
			t.Errorf("%s: /healthz gives %d %s", n.ID, code, body)
		}
		if _, body := get(t, "http://"+n.Metrics+"/metrics"); !strings.Contains(body, "\nsplitkernel_node_ready 1\n") {
			t.Errorf("%s: /metrics does not say that it is ready", n.ID)
		}
	}
	if st, err := os.Stat(cl.Dir()); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("temporary folder %v (%v), want it private", st.Mode(), err)
	}
	stop(t, cl)
	gone(t, nodes)
	empty(t, dir)
}

func TestLogsAreStructured(t *testing.T) {
	ownTemp(t)
	cl := start(t, load(t, clusterFile(t, "unix")))
	stop(t, cl)
	for _, n := range cl.Nodes() {
		text, err := os.ReadFile(cl.logPath(n.ID))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var entry struct {
				Node, Msg string
				Epoch     uint32 `json:"member_epoch"`
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Node != n.ID || entry.Msg == "" {
				t.Errorf("log of %s: line %q (%v), want JSON with its id", n.ID, line, err)
			}
			if want := uint32(1); entry.Msg == "ready" && n.Role != "manager" && entry.Epoch != want {
				t.Errorf("log of %s: line %q, want its epoch %d", n.ID, line, want)
			}
		}
	}
}

func TestKilledLauncherLeavesNothing(t *testing.T) {
	dir := ownTemp(t)
	helper := exec.Command(os.Args[0], t.TempDir(), program)
	helper.Env = append(os.Environ(), helperEnv+"="+clusterFile(t, "tcp"))
	helper.Stderr = os.Stderr
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	var started struct {
		Dir   string
		Nodes []NodeInfo
	}
	if err := json.NewDecoder(out).Decode(&started); err != nil {
		helper.Wait()
		t.Fatalf("the launcher did not start: %v", err)
	}
	for _, n := range started.Nodes {
		if !alive(n.PID) {
			t.Errorf("node %s does not run before the kill", n.ID)
		}
	}
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	helper.Wait()
	eventually(t, "all nodes ended after their launcher", func() bool {
		return !slices.ContainsFunc(started.Nodes, func(n NodeInfo) bool { return alive(n.PID) })
	})
	gone(t, started.Nodes)
	empty(t, dir)
}

func TestChildThatDiesAtStartIsNamed(t *testing.T) {
	dir := ownTemp(t)
	script := filepath.Join(t.TempDir(), "program")
	text := "#!/bin/sh\ncase \"$3\" in */s1.json) echo 'no disk today' >&2; exit 7;; esac\nexec " + program + " \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(context.Background(), Options{Cluster: load(t, clusterFile(t, "unix")), Out: t.TempDir(), Executable: script})
	if err == nil {
		t.Fatal("started, although s1 cannot")
	}
	for _, want := range []string{"node s1 ended while starting (exit status 7)", "s1.log", "no disk today"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	empty(t, dir)
}

func TestPortInUseIsNamed(t *testing.T) {
	dir := ownTemp(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	_, err = Start(context.Background(), Options{Cluster: load(t, clusterFile(t, "tcp"), "nodes.s1.listen="+addr), Out: t.TempDir(), Executable: program})
	want := "node s1: nodes.s1.listen: " + addr + ": the address is in use by another program, want a free one"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	empty(t, dir)
}

func TestBadFolders(t *testing.T) {
	dir := ownTemp(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, clusterFile(t, "unix"))
	_, err := Start(context.Background(), Options{Cluster: c, Out: filepath.Join(file, "out"), Executable: program})
	if err == nil || !strings.Contains(err.Error(), "want an --out that can be written") {
		t.Errorf("unwritable --out: %v", err)
	}
	empty(t, dir)

	long := filepath.Join(dir, strings.Repeat("x", maxSocketPath))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	_, err = Start(context.Background(), Options{Cluster: c, Out: t.TempDir(), Executable: program})
	if err == nil || !strings.Contains(err.Error(), "set TMPDIR to a shorter folder") {
		t.Errorf("long TMPDIR: %v", err)
	}
	empty(t, long)

	t.Setenv("TMPDIR", file)
	_, err = Start(context.Background(), Options{Cluster: c, Out: t.TempDir(), Executable: program})
	if err == nil || !strings.Contains(err.Error(), "set TMPDIR to a folder that can be written") {
		t.Errorf("TMPDIR that is a file: %v", err)
	}
}

func TestTwoClustersDoNotCollide(t *testing.T) {
	dir := ownTemp(t)
	for _, transport := range []string{"unix", "tcp"} {
		c := load(t, clusterFile(t, transport))
		a, b := start(t, c), start(t, c)
		if a.Dir() == b.Dir() || a.ID() == b.ID() {
			t.Fatalf("two clusters share %s or %s", a.Dir(), a.ID())
		}
		nodesA, nodesB := a.Nodes(), b.Nodes()
		for i := range nodesA {
			if nodesA[i].Addr == nodesB[i].Addr {
				t.Errorf("%s: both at %s", nodesA[i].ID, nodesA[i].Addr)
			}
		}
		stop(t, a)
		gone(t, nodesA)
		for _, n := range b.Nodes() {
			if code, _ := get(t, "http://"+n.Metrics+"/readyz"); !n.Alive || code != http.StatusOK {
				t.Errorf("%s: node %s of the other cluster is gone or not ready (%d)", transport, n.ID, code)
			}
		}
		stop(t, b)
		gone(t, nodesB)
	}
	empty(t, dir)
}

func TestKillAndRestart(t *testing.T) {
	for _, transport := range []string{"unix", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			dir := ownTemp(t)
			cl := start(t, load(t, clusterFile(t, transport)))
			before := find(t, cl, "s1")
			if err := cl.Restart(context.Background(), "s1"); err == nil {
				t.Error("a node that runs was restarted")
			}
			if err := cl.Kill("s1"); err != nil {
				t.Fatal(err)
			}
			if d := <-cl.Died(); d.ID != "s1" || d.PID != before.PID || !d.Killed {
				t.Errorf("death %+v, want that of s1, by Kill", d)
			}
			if find(t, cl, "s1").Alive {
				t.Error("s1 is alive after Kill")
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			again := make(chan error, 2)
			for range cap(again) { // by a fault and by hand at once, say
				go func() { again <- cl.Restart(ctx, "s1") }()
			}
			if one, other := <-again, <-again; (one == nil) == (other == nil) {
				t.Fatalf("started by two at once: %v; %v; want one to be refused", one, other)
			}
			after := find(t, cl, "s1")
			if !after.Alive || after.PID == before.PID || after.Addr != before.Addr || cl.Restarts() != 1 {
				t.Errorf("after the restart %+v (%d restarts), want a new process at %s", after, cl.Restarts(), before.Addr)
			}
			stop(t, cl)
			gone(t, cl.Nodes())
			empty(t, dir)
		})
	}
}

// TestManagerThatLostItsStateIsToldAgain: a component that its manager no longer knows registers again.
func TestManagerThatLostItsStateIsToldAgain(t *testing.T) {
	ownTemp(t)
	c := load(t, clusterFile(t, "unix"))
	cl := start(t, c)
	if err := cl.Kill("g1"); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(cl.Dir(), "data", "g1")
	if err := errors.Join(os.RemoveAll(data), os.Mkdir(data, 0o700)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := cl.Restart(ctx, "g1"); err != nil {
		t.Fatal(err)
	}
	net := c.Netlayer.Peer
	net.Cluster, net.Role, net.Node = cl.ID(), wire.RoleClient, "test"
	o := client.DefaultOptions()
	o.Net, o.Managers = net, []client.Manager{{ID: "g1", Addr: netlayer.Addr(find(t, cl, "g1").Addr)}}
	gm, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer gm.Close()
	for id, manager := range map[string]wire.Manager{"p1": wire.GPM, "m1": wire.GMM, "s1": wire.GSM} {
		eventually(t, id+" is registered at "+manager.String()+" again", func() bool {
			members, err := gm.Members(ctx, manager)
			return err == nil && len(members) == 1 && members[0].Member.ID == wire.NodeID(id)
		})
	}
	stop(t, cl)
}

func find(t *testing.T, cl *Cluster, id string) NodeInfo {
	t.Helper()
	for _, n := range cl.Nodes() {
		if n.ID == id {
			return n
		}
	}
	t.Fatalf("no node %s", id)
	return NodeInfo{}
}

func TestUnexpectedDeathIsReported(t *testing.T) {
	dir := ownTemp(t)
	cl := start(t, load(t, clusterFile(t, "unix")))
	victim := find(t, cl, "p1")
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d := <-cl.Died()
	if d.ID != "p1" || d.Killed || !strings.Contains(d.How, "killed") || d.Tail == "" {
		t.Errorf("death %+v, want that of p1, with its last lines", d)
	}
	if n := find(t, cl, "p1"); n.Alive || n.Ended == nil || !strings.Contains(n.How, "killed") {
		t.Errorf("%+v, want that it was killed, and when", n)
	}
	stop(t, cl)
	empty(t, dir)
}

// TestAKilledNodeIsNotSaidToHaveDied: whoever is killed by us and started again at once is told of as killed, however late its end is taken down.
func TestAKilledNodeIsNotSaidToHaveDied(t *testing.T) {
	c := &Cluster{children: map[string]*child{}, deaths: make(chan Death, 1), opts: Options{Log: slog.New(slog.DiscardHandler)}}
	first := exec.Command("true")
	if err := first.Run(); err != nil {
		t.Fatal(err)
	}
	old := &child{cmd: first, killed: true}
	old.node.ID = "s1"
	c.children["s1"] = &child{node: old.node} // it has been started again
	c.ended(old)
	if d := <-c.deaths; d.ID != "s1" || !d.Killed {
		t.Errorf("%+v, want s1 killed by us", d)
	}
}

func TestStuckChildIsKilled(t *testing.T) {
	dir := ownTemp(t)
	cl := start(t, load(t, clusterFile(t, "unix")))
	nodes := cl.Nodes()
	if err := syscall.Kill(find(t, cl, "s1").PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	err := cl.Stop(context.Background())
	if err == nil || !strings.Contains(err.Error(), "s1") || strings.Contains(err.Error(), "p1") {
		t.Errorf("stop: %v, want s1 and no other to be named as killed", err)
	}
	gone(t, nodes)
	empty(t, dir)
}

func TestSecondSignalKills(t *testing.T) {
	dir := ownTemp(t)
	cl := start(t, load(t, clusterFile(t, "unix")))
	nodes := cl.Nodes()
	for _, n := range nodes { // nobody can hear SIGTERM, so only killing ends them
		if err := syscall.Kill(n.PID, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := cl.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	gone(t, nodes)
	empty(t, dir)
}

func TestAbandonedStartLeavesNothing(t *testing.T) {
	dir := ownTemp(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("changed my mind"))
	_, err := Start(ctx, Options{Cluster: load(t, clusterFile(t, "unix")), Out: t.TempDir(), Executable: program})
	if err == nil || !strings.Contains(err.Error(), "changed my mind") {
		t.Errorf("error %v, want the cause", err)
	}
	empty(t, dir)
}

func TestSweepRemovesOnlyWhatNobodyHolds(t *testing.T) {
	dir := ownTemp(t)
	held, err := newRuntimeDir()
	if err != nil {
		t.Fatal(err)
	}
	free, err := newRuntimeDir()
	if err != nil {
		t.Fatal(err)
	}
	free.lock.Close()
	foreign := filepath.Join(dir, runtimePrefix()+"without-a-lock")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	unnamed, stale := filepath.Join(dir, "."+runtimePrefix()+"1"), filepath.Join(dir, "."+runtimePrefix()+"2")
	old := time.Now().Add(-2 * unnamedAge)
	if err := errors.Join(os.Mkdir(unnamed, 0o700), os.Mkdir(stale, 0o700), os.Chtimes(stale, old, old)); err != nil {
		t.Fatal(err)
	}
	SweepLeftovers()
	for path, want := range map[string]bool{held.path: true, free.path: false, foreign: true, unnamed: true, stale: false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", path, err == nil, want)
		}
	}
	if err := held.remove(); err != nil {
		t.Error(err)
	}
	os.Remove(foreign)
	os.Remove(unnamed)
	empty(t, dir)
}

func TestSupervisor(t *testing.T) {
	dir := ownTemp(t)
	file := clusterFile(t, "unix")
	if _, err := Find(""); err == nil || !strings.Contains(err.Error(), "no cluster is up") {
		t.Errorf("find: %v, want that none is up", err)
	}
	opts := Options{Cluster: load(t, file), Out: t.TempDir(), Executable: program}
	sup, err := Supervise(context.Background(), "blue", opts)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- sup.Serve(context.Background()) }()
	if _, err := Supervise(context.Background(), "blue", opts); err == nil || !strings.Contains(err.Error(), `"blue" is up already`) {
		t.Errorf("a second cluster of the name: %v", err)
	}
	st, err := Find("")
	if err != nil {
		t.Fatal(err)
	}
	if st.Name != "blue" || len(st.Nodes) != len(opts.Cluster.Nodes) || st.Cluster.Digest() != opts.Cluster.Digest() {
		t.Errorf("state %+v, want the cluster as it was started", st)
	}
	if l, err := LookAt(st); err != nil || len(l.State.Nodes) != len(st.Nodes) || l.State.ClusterID != st.ClusterID || l.State.Cluster != nil || len(l.Faults) != 0 {
		t.Errorf("look at it: %+v, %v", l, err)
	}
	if _, err := Find("red"); err == nil || !strings.Contains(err.Error(), "want one of: blue") {
		t.Errorf("find of another name: %v", err)
	}
	checkTargets(t, st)
	if err := Down(st); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	gone(t, st.Nodes)
	empty(t, dir)
}

func checkTargets(t *testing.T, st *State) {
	t.Helper()
	text, err := os.ReadFile(st.Targets)
	if err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Targets []string
		Labels  map[string]string
	}
	if err := json.Unmarshal(text, &groups); err != nil {
		t.Fatal(err)
	}
	for i, n := range st.Nodes {
		if g := groups[i]; len(g.Targets) != 1 || g.Targets[0] != n.Metrics || g.Labels["node"] != n.ID {
			t.Errorf("target %+v, want %s of %s", g, n.Metrics, n.ID)
		}
	}
	if _, err := os.Stat(filepath.Join(st.Out, "prometheus.yml")); err != nil {
		t.Error(err)
	}
}

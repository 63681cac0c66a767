package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/launcher"
	"splitkernel/sim/node"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
	"splitkernel/sim/trace"
)

// program is the built binary that the clusters run.
var program string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "node" { // a node of a cluster whose launcher was told to use this binary
		os.Exit(asNode(os.Args[1:]))
	}
	if addrs := os.Getenv(childEnv); addrs != "" { // the other process of a benchmark
		if err := serveChild(addrs); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "splitkernel-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Nodes that are this binary under the race detector would each wait a second at their end.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	program = filepath.Join(dir, "splitkernel")
	os.Setenv(programEnv, program)
	cmd := exec.Command("go", "build", "-o", program, "splitkernel")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	flag.Parse()
	if many := flag.Lookup("test.parallel"); many.Value.String() == many.DefValue { // else somebody wants so many
		flag.Set("test.parallel", strconv.Itoa(waiting*runtime.GOMAXPROCS(0)))
	}
	return m.Run()
}

// waiting is how many tests that may run beside others do so on each processor: they wait for elections, leases and deadlines more than they work.
const waiting = 1

// slow adds a delay to every message between components, until what it returns is called: a process goes on, hardly, and takes no processor, and is not
// at its end before what a test does to it.
func (c *cluster) slow(by time.Duration) (end func()) {
	c.t.Helper()
	s, err := c.Strike(background(c.t), faults.Fault{Kind: faults.Delay, By: by})
	if err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if _, err := c.Heal(background(c.t), s.ID); err != nil {
			c.t.Error(err)
		}
	}
}

// deadline bounds every test that starts a cluster.
const deadline = 3 * time.Minute

func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// cluster is a running cluster of a test.
type cluster struct {
	*launcher.Cluster
	t      *testing.T
	config *configs.Cluster
	logs   string
}

// onePonem is the smallest cluster: one manager, one pComponent, one mComponent, one sComponent.
const onePonem = `name: one
transport: unix
region_bytes: 1MiB
nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: s1, role: scomponent}
`

// start runs a cluster: the text of a cluster file, or the name of a bundled one.
func start(t *testing.T, text string, set ...string) *cluster {
	t.Helper()
	return startWith(t, program, text, set...)
}

// startWith is start with another program for the nodes.
func startWith(t *testing.T, executable, text string, set ...string) *cluster {
	t.Helper()
	return startRecorded(t, executable, nil, text, set...)
}

// startRecorded is startWith with tapes.
func startRecorded(t *testing.T, executable string, rec *node.Record, text string, set ...string) *cluster {
	t.Helper()
	return startChanged(t, text, set, func(o *launcher.Options) { o.Executable, o.Record = executable, rec })
}

// startChanged is start with other options of the launcher.
func startChanged(t *testing.T, text string, set []string, change func(*launcher.Options)) *cluster {
	t.Helper()
	file := text
	if strings.Contains(text, "\n") {
		file = filepath.Join(t.TempDir(), "cluster.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := configs.LoadCluster(file, configs.Overrides{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	o := launcher.Options{Cluster: c, Out: out, Executable: program}
	change(&o)
	l, err := launcher.Start(background(t), o)
	if err != nil {
		t.Fatal(err)
	}
	r := &cluster{Cluster: l, t: t, config: c, logs: filepath.Join(out, "logs")}
	t.Cleanup(func() {
		if t.Failed() {
			r.showLogs()
		}
		if err := l.Stop(background(t)); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
		if _, err := os.Stat(l.Dir()); !os.IsNotExist(err) {
			t.Errorf("the cluster left %s: %v", l.Dir(), err)
		}
	})
	return r
}

// showLogs prints what the nodes complained about.
func (c *cluster) showLogs() {
	files, _ := filepath.Glob(filepath.Join(c.logs, "*.log"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		n := 0
		for line := range strings.Lines(string(b)) {
			if n < 15 && (strings.Contains(line, `"WARN"`) || strings.Contains(line, `"ERROR"`) || strings.Contains(line, "panic")) {
				c.t.Logf("%s: %s", filepath.Base(f), strings.TrimSpace(line))
				n++
			}
		}
	}
}

// workload loads a workload from its text, or a bundled one by name.
func workload(t *testing.T, text string, set ...string) *configs.Workload {
	t.Helper()
	file := text
	if strings.Contains(text, "\n") {
		file = filepath.Join(t.TempDir(), "workload.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, err := configs.LoadWorkload(file, configs.Overrides{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// net is the identity of a client of the cluster.
func (c *cluster) net() netlayer.Options {
	n := netlayer.DefaultOptions()
	n.Cluster, n.Token, n.Role, n.Node = c.ID(), c.config.Token, wire.RoleClient, "test"
	return n
}

// run replays a workload on the cluster.
func (c *cluster) run(w *configs.Workload, change func(*replay.RunOptions)) *report.Summary {
	c.t.Helper()
	o := replay.RunOptions{
		Workload: w, ClusterName: c.config.Name, Net: c.net(), TempDir: c.t.TempDir(), OutDir: c.t.TempDir(),
		Restarts: c.Restarts, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, n := range c.Nodes() {
		role, _ := configs.ParseRole(n.Role)
		o.Nodes = append(o.Nodes, replay.Node{ID: wire.NodeID(n.ID), Role: role, Addr: netlayer.Addr(n.Addr)})
	}
	if change != nil {
		change(&o)
	}
	s, err := replay.Run(background(c.t), o)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range []string{"summary.json", "manifest.json", "timeline.json"} {
		if _, err := os.Stat(filepath.Join(o.OutDir, f)); err != nil {
			c.t.Error(err)
		}
	}
	identities(c.t, s)
	inTime(c.t, s)
	return s
}

// identities checks what must hold of every report.
func identities(t *testing.T, s *report.Summary) {
	t.Helper()
	check := func(name string, c *report.Counters) {
		if c.Accesses != c.Reads+c.Writes || c.Accesses != c.Hits+c.Misses || c.Misses != c.PLocal+c.Fetches+c.Coalesced+c.VictimHits {
			t.Errorf("%s: counters do not add up: %+v", name, c)
		}
	}
	check("total", &s.Total)
	for i := range s.VNodes {
		check(s.VNodes[i].Name, &s.VNodes[i].Counters)
	}
}

// inTime checks that how a run went over time adds up to its totals. A summary that a program printed does not have it.
func inTime(t *testing.T, s *report.Summary) {
	t.Helper()
	if s.Timeline == nil {
		t.Error("how the run went over time was not kept")
		return
	}
	restarted := slices.ContainsFunc(s.VNodes, func(v report.VNode) bool { return len(v.Restarts) > 0 })
	for _, err := range s.Timeline.Check(&s.Total, !restarted && len(s.Failed) == 0) {
		t.Error(err)
	}
}

// ok fails the test unless the run ended well.
func ok(t *testing.T, s *report.Summary) {
	t.Helper()
	if s.ExitCode() != 0 {
		t.Fatalf("exit code %d: failed %q, integrity %q", s.ExitCode(), s.Failed, s.Integrity)
	}
}

// logical leaves of counters what depends on the trace and the ExCache alone.
func logical(c report.Counters) report.Counters {
	c.Piggybacked, c.Retries, c.Redirects = 0, 0, 0
	c.FaultLatency, c.BlockLatency = nil, nil
	return c
}

// signal sends a signal to a node.
func (c *cluster) signal(id string, s syscall.Signal) {
	c.t.Helper()
	for _, n := range c.Nodes() {
		if n.ID == id {
			if err := syscall.Kill(n.PID, s); err != nil {
				c.t.Fatalf("signal %s to %s: %v", s, id, err)
			}
			return
		}
	}
	c.t.Fatalf("no node %s", id)
}

// counter asks a node for one of its counters.
func (c *cluster) counter(ctx context.Context, id, name string) (float64, error) {
	for _, n := range c.Nodes() {
		if n.ID != id {
			continue
		}
		p := netlayer.NewPeer(netlayer.Addr(n.Addr), c.net())
		defer p.Close()
		var rep wire.NodeStatsRep
		if err := p.Control(ctx, wire.OpNodeStats, 0, &wire.NodeStatsReq{}, &rep); err != nil {
			return 0, err
		}
		for _, k := range rep.Counters {
			if k.Name == name {
				return k.Value, nil
			}
		}
		return 0, fmt.Errorf("%s has no counter %s", id, name)
	}
	return 0, fmt.Errorf("no node %s", id)
}

// synthetic writes a trace: pages mapped at its start in one mmap (anonymous or file), then random references, most to a
// few pages. Every eighth reference after 3/4 of them goes to pages that are mapped only then, if late is above 0.
func synthetic(t *testing.T, name string, seed uint64, pages, late uint64, refs int, anon bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".skt")
	w, err := trace.Create(path, trace.Header{Program: name, Source: "synthetic", Granularity: 1, HasMaps: true, HasWrites: true, HasGaps: true})
	if err != nil {
		t.Fatal(err)
	}
	const base = 0x10000000
	rng := rand.New(rand.NewPCG(seed, 7))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Event(trace.Event{Kind: trace.Mmap, Addr: base, Len: pages * wire.PageSize, Anon: anon, Writable: true, Name: "[test]"}))
	for i := range refs {
		if late > 0 && i == refs*3/4 {
			must(w.Event(trace.Event{Kind: trace.Mmap, Addr: base + 2*pages*wire.PageSize, Len: late * wire.PageSize, Anon: anon, Writable: true, Name: "[late]"}))
		}
		page := rng.Uint64N(pages)
		if rng.IntN(4) > 0 {
			page %= max(pages/16, 1)
		}
		if late > 0 && i >= refs*3/4 && i%8 == 0 {
			page = 2*pages + rng.Uint64N(late)
		}
		r := trace.Ref{Addr: base + page*wire.PageSize + rng.Uint64N(512)*8, Gap: uint32(rng.IntN(9)), Size: 8}
		if rng.IntN(3) == 0 {
			r.Flags = trace.FlagWrite
		}
		must(w.Ref(r))
	}
	must(w.Close())
	return path
}

// eventually polls until ok, or fails the test at its deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 60 s", what)
		case <-tick.C:
		}
	}
}

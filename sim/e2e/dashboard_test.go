package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/dashboard"
	"splitkernel/sim/observe"
)

// page is where the sources of the dashboard's page are, and what is embedded of them.
var page = filepath.Join("..", "dashboard")

// npmTimeout bounds the installation of the page's tools.
const npmTimeout = 2 * time.Minute

// tools are the page's sources in a folder of their own, with their packages installed: once for all tests that want them. It goes away with
// the program.
var tools = sync.OnceValues(func() (dir string, err error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return "", errors.New("there is no npm; to install it: apt-get install nodejs npm")
	}
	if dir, err = os.MkdirTemp(filepath.Dir(program), "page-"); err != nil {
		return "", err
	}
	web := filepath.Join(dir, "web")
	err = filepath.WalkDir(filepath.Join(page, "web"), func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(filepath.Join(page, "web"), path)
		switch {
		case err != nil:
			return err
		case d.Name() == "node_modules":
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(web, rel), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(web, rel), text, 0o600)
	})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), npmTimeout)
	defer cancel()
	if out, err := inFolder(ctx, web, "npm", "ci", "--ignore-scripts").CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci, which wants a registry: %w: %s", err, out)
	}
	return dir, nil
})

func inFolder(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return cmd
}

// pageTools gives the folder of the tools, or skips.
func pageTools(t *testing.T) string {
	t.Helper()
	dir, err := tools()
	if err != nil {
		t.Skipf("THE PAGE IS NOT TESTED: %v", err)
	}
	return dir
}

// TestThePageIsFresh: what is embedded is what the sources make, byte by byte.
func TestThePageIsFresh(t *testing.T) {
	dir := pageTools(t)
	if out, err := inFolder(background(t), filepath.Join(dir, "web"), "npm", "run", "build").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, got := files(t, filepath.Join(dir, "dist")), files(t, filepath.Join(page, "dist"))
	if !slices.Equal(want, got) || len(got) == 0 {
		t.Fatalf("sim/dashboard/dist has %q, want %q: make dashboard", got, want)
	}
	for _, name := range want {
		a, aerr := os.ReadFile(filepath.Join(dir, "dist", name))
		b, berr := os.ReadFile(filepath.Join(page, "dist", name))
		if err := errors.Join(aerr, berr); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("sim/dashboard/dist/%s is not what the sources make: make dashboard", name)
		}
	}
	lock, err := os.ReadFile(filepath.Join(page, "web", "package-lock.json"))
	if err != nil || bytes.Contains(lock, []byte(`"resolved"`)) {
		t.Errorf("package-lock.json names addresses of packages, want npm install --omit-lockfile-registry-resolved (%v)", err)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// hostile is a name that a page must not take for markup.
const hostile = "<img src=x onerror=alert(1)>"

// hostileFeed shows many components and goes on until its channel is closed.
type hostileFeed struct {
	updates chan *observe.Snapshot
	seq     uint64
}

func (f *hostileFeed) Subscribe() (<-chan *observe.Snapshot, func(), error) {
	return f.updates, func() {}, nil
}

func (f *hostileFeed) Series() (out []observe.Sample) {
	for i := range observe.MaxSamples {
		out = append(out, observe.Sample{Time: time.Now().Add(time.Duration(i-observe.MaxSamples) * time.Second)})
	}
	return out
}

// next is the next snapshot.
func (f *hostileFeed) next() *observe.Snapshot {
	now := time.Now()
	s := &observe.Snapshot{Time: now, Cluster: hostile, Totals: observe.Sample{Time: now, Nodes: 1000}, Warnings: []string{hostile}, Leaders: []observe.Leader{{Manager: "gpm"}},
		Moves: []observe.Move{}, Faults: []observe.Fault{}}
	for i := range 1000 {
		n := observe.Node{Role: []string{"pcomponent", "mcomponent", "scomponent"}[i%3], State: observe.Up, Addr: hostile, Since: now}
		n.ID = fmt.Sprintf("%s%d%s", n.Role[:1], i, hostile)
		if i%50 < 3 {
			n.State, n.Why = observe.Dead, hostile
		}
		s.Nodes = append(s.Nodes, n)
		s.Links = append(s.Links, observe.Link{From: s.Nodes[i/2].ID, To: n.ID, BytesPerSec: float64(i)})
		s.Owns = append(s.Owns, observe.Own{PID: wire.PID(i % 9), Node: n.ID, Process: n.Role == "pcomponent", Regions: i % 3})
	}
	for i := range 100 {
		s.VNodes = append(s.VNodes, observe.VNode{PID: wire.PID(i), Name: hostile, Phase: hostile, On: hostile, Error: hostile})
	}
	s.VNodesTotal = len(s.VNodes)
	for range observe.MaxEvents {
		f.seq++
		s.Events = append(s.Events, observe.Event{Seq: f.seq, Time: now, Source: hostile, Mark: observe.MarkFault, Text: hostile})
	}
	return s
}

// serveHostile serves such a page until the test ends.
func serveHostile(t *testing.T) (url string) {
	t.Helper()
	f := &hostileFeed{updates: make(chan *observe.Snapshot)}
	s, err := dashboard.Listen(dashboard.Options{Feed: f})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case f.updates <- f.next():
			case <-ctx.Done():
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s.URL()
}

// command is a command of the program that runs until the test ends.
type command struct {
	*exec.Cmd
	out *os.File
}

// begin starts a command.
func begin(t *testing.T, dir string, args ...string) *command {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	c := &command{exec.Command(program, args...), out}
	c.Dir, c.Stdout, c.Stderr = dir, out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		c.Wait() // a run that is stopped fails
		out.Close()
	})
	return c
}

// url waits until the command tells where its page is.
func (c *command) url(t *testing.T) (url string) {
	t.Helper()
	told := regexp.MustCompile(`(?m)^.*dashboard: (http://\S+)$`)
	eventually(t, "the address of the page of "+strings.Join(c.Args[1:], " "), func() bool {
		text, err := os.ReadFile(c.out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if m := told.FindSubmatch(text); m != nil {
			url = string(m[1])
		}
		return url != ""
	})
	return url
}

// TestTheDashboardInABrowser opens the page of a live cluster with a run in a real browser: browser/test.mjs says what must hold. A cluster
// and a run of it have a page each, the second with control.
func TestTheDashboardInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("THE PAGE IS NOT TESTED: there is no chromium; to install it: apt-get install chromium")
	}
	dir := pageTools(t)
	out := t.TempDir()
	cluster := filepath.Join(out, "cluster.yaml")
	workload := filepath.Join(out, "workload.yaml")
	for path, text := range map[string]string{
		cluster:  strings.Replace(onePonem, "nodes:\n", "nodes:\n  - {id: m2, role: mcomponent}\n  - {id: m3, role: mcomponent}\n", 1),
		workload: "name: endless\nvnodes:\n  - {name: zipf, trace: 'generator:zipf?pages=8000&refs=900000000', excache: {lines: 512}, memory: {replication: sync}}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("page-%d", os.Getpid())
	own := begin(t, out, "run", workload, "--cluster", cluster, "--name", name, "--dashboard")
	look := own.url(t)
	other := begin(t, out, "run", workload, "--on", name, "--dashboard", "--allow-control")
	cmd := inFolder(background(t), filepath.Join(dir, "web"), "node", "browser/test.mjs", look, other.url(t), serveHostile(t))
	cmd.Env = append(os.Environ(), "CHROMIUM="+browser)
	text, err := cmd.CombinedOutput()
	t.Logf("%s", text)
	if err != nil {
		t.Fatalf("the page is not as it should be: %v", err)
	}
}

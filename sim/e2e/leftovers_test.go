package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/volume"
	"splitkernel/sim/launcher"
	"splitkernel/sim/node"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
	"splitkernel/sim/trace"
)

// TestSignalsAtRandomMoments stops and kills runs while they start, place, replay and report: each ends, and nothing of any
// is left. Of one that was killed before it had a node nobody is there to clear its folder: the next start does.
func TestSignalsAtRandomMoments(t *testing.T) {
	t.Parallel()
	tmp, dir := tmpdir(t), t.TempDir()
	cluster := put(t, dir, "c.yaml", onePonem)
	work := put(t, dir, "w.yaml", one(t, synthetic(t, "w", 1, 512, 0, 150_000, true), 64, ""))
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	for i := range 9 {
		sig := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL}[i%3]
		after := time.Duration(rng.Int64N(int64(1200 * time.Millisecond)))
		cmd := invoke(background(t), dir, tmp, "run", work, "--cluster", cluster)
		var talk bytes.Buffer
		cmd.Stderr = &talk
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(after, func() { cmd.Process.Signal(sig) })
		cmd.Wait()
		struck := !timer.Stop()
		code := cmd.ProcessState.ExitCode()
		switch {
		case sig == syscall.SIGKILL && code == -1: // it was killed
		case code == codeDone && !strings.Contains(talk.String(), "stopped by"): // it was done before
		case struck && code == codeFailed && strings.Contains(talk.String(), "stopped by a signal"):
		case struck && code == -1: // before anybody could listen to signals
		default:
			t.Errorf("%s after %s: exit code %d\n%s", sig, after, code, talk.String())
		}
		if sig == syscall.SIGKILL {
			eventually(t, "no process is left", func() bool { return len(processes(tmp)) == 0 })
			if len(under(tmp)) > 0 {
				if o := sk(t, dir, tmp, "run", work, "--cluster", cluster); o.code != codeDone {
					t.Fatalf("the run after one that was killed: exit code %d\n%s", o.code, o.stderr)
				}
			}
		}
		nothingLeft(t, tmp)
	}
}

// TestNodesThatDieAreNamed kills a node in the middle of a run that needs it, and one of which this run needs nothing.
func TestNodesThatDieAreNamed(t *testing.T) {
	t.Parallel() // it waits more than it works
	path := synthetic(t, "w", 1, 512, 0, 300_000, true)
	quick := []string{"pcomponent.fault.patience_ms=500"}
	for node, want := range map[string]string{"p1": "p1 has not answered", "m1": "m1 did not answer", "s1": ""} {
		t.Run(node, func(t *testing.T) {
			t.Parallel()
			c := start(t, onePonem, quick...)
			s := c.run(workload(t, one(t, path, 64, "")), func(o *replay.RunOptions) {
				o.Progress = whenItRuns(func() {
					if err := c.Kill(node); err != nil {
						t.Error(err)
					}
				})
			})
			if want == "" {
				ok(t, s)
				return
			}
			if s.ExitCode() != codeFailed || len(s.Failed) != 1 || !strings.Contains(s.Failed[0], want) {
				t.Errorf("exit code %d, %q, want %q to be said", s.ExitCode(), s.Failed, want)
			}
		})
	}
}

// whenItRuns calls f once, when accesses have been made.
func whenItRuns(f func()) func(replay.Progress) {
	var once sync.Once
	return func(p replay.Progress) {
		if p.Done > 0 {
			once.Do(f)
		}
	}
}

// TestPauses stops one node of each role for three seconds, which is within the lease here: that costs time, and no page and no process.
func TestPauses(t *testing.T) {
	t.Parallel()
	const refs = 150_000
	path := synthetic(t, "w", 1, 512, 0, refs, true)
	c := start(t, onePonem, "manager.lease_ms=3000")
	for _, node := range []string{"m1", "p1", "s1"} {
		var wg sync.WaitGroup
		s := c.run(workload(t, one(t, path, 64, "")), func(o *replay.RunOptions) {
			o.Progress = whenItRuns(func() {
				c.signal(node, syscall.SIGSTOP)
				wg.Go(func() {
					<-time.After(3 * time.Second) // the pause is the input of this test, not a wait for a state
					c.signal(node, syscall.SIGCONT)
				})
			})
		})
		wg.Wait()
		if s.ExitCode() != 0 || s.Total.Accesses != refs {
			t.Errorf("%s paused: exit code %d, %d accesses, %q", node, s.ExitCode(), s.Total.Accesses, s.Failed)
		}
	}
}

// churn writes a trace of a program that maps and unmaps all the time: maps pieces of 64 pages, of which a few live at once.
func churn(t *testing.T, maps int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "churn.skt")
	w, err := trace.Create(path, trace.Header{Program: "churn", Source: "synthetic", Granularity: 1, HasMaps: true, HasWrites: true})
	if err != nil {
		t.Fatal(err)
	}
	const piece, live, base = 64 * wire.PageSize, 12, 0x10000000
	rng := rand.New(rand.NewPCG(3, 4))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range maps {
		must(w.Event(trace.Event{Kind: trace.Mmap, Addr: base + uint64(i)*piece, Len: piece, Anon: true, Writable: true}))
		if i >= live {
			must(w.Event(trace.Event{Kind: trace.Munmap, Addr: base + uint64(i-live)*piece, Len: piece}))
		}
		for range 60 {
			in := uint64(i - rng.IntN(min(i+1, live)))
			must(w.Ref(trace.Ref{Addr: base + in*piece + rng.Uint64N(64)*wire.PageSize, Size: 8, Flags: trace.FlagWrite * uint8(rng.IntN(2))}))
		}
	}
	must(w.Close())
	return path
}

// TestManagersFallAllTheTime kills and restarts the managers one after the other, one of them without its state, while a
// process maps memory all the time: every vRegion is given once, and all are given back.
func TestManagersFallAllTheTime(t *testing.T) {
	t.Parallel()
	const maps = 600
	c := start(t, "laptop")
	text := one(t, churn(t, maps), 64, "")
	want := c.run(workload(t, text), nil)
	ok(t, want)
	done := make(chan struct{})
	var wg sync.WaitGroup
	kills := 0
	s := c.run(workload(t, text), func(o *replay.RunOptions) {
		o.OnPlaced = func() {
			wg.Go(func() {
				for ; ; kills++ {
					select {
					case <-done:
						return
					default:
					}
					m := managers[kills%len(managers)]
					if err := c.Kill(m); err != nil {
						t.Error(err)
						return
					}
					if err := c.Restart(background(t), m); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		o.Progress = func(p replay.Progress) {
			if p.Running == 0 {
				select {
				case <-done:
				default:
					close(done)
				}
			}
		}
	})
	wg.Wait()
	ok(t, s)
	if kills < 2 || s.Total.Accesses != want.Total.Accesses || s.VNodes[0].Activations != want.VNodes[0].Activations {
		t.Errorf("%d kills; %d accesses, %d activations, want %d and %d", kills, s.Total.Accesses, s.VNodes[0].Activations, want.Total.Accesses, want.VNodes[0].Activations)
	}
	t.Logf("%d managers were killed; %d leader changes, %.1f s instead of %.1f s", kills, s.LeaderChanges, s.WallSeconds, want.WallSeconds)
	c.givenBack(s)
}

// givenBack waits until no mComponent owns a vRegion and GMM knows none.
func (c *cluster) givenBack(s *report.Summary) {
	c.t.Helper()
	ctx := background(c.t)
	for _, n := range c.Nodes() {
		if n.Role == "mcomponent" {
			eventually(c.t, n.ID+" owns nothing", func() bool {
				v, err := c.counter(ctx, n.ID, "owned_regions")
				return err == nil && v == 0
			})
		}
	}
	o := client.DefaultOptions()
	o.Net = c.net()
	for _, n := range c.Nodes() {
		if n.Role == "manager" {
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		}
	}
	gm, err := client.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	defer gm.Close()
	for _, v := range s.VNodes {
		if rs, err := gm.Regions(ctx, v.PID); err != nil || len(rs) != 0 {
			c.t.Errorf("GMM still knows vRegions of %s: %v %v", v.Name, rs, err)
		}
	}
}

// TestManagerWithoutItsStateIsRefused: a replica that lost what it had acknowledged may not vote as if nothing had happened,
// so it says why and does not start; the other two carry the run.
func TestManagerWithoutItsStateIsRefused(t *testing.T) {
	t.Parallel()
	c := start(t, "laptop")
	s := c.run(workload(t, one(t, churn(t, 300), 64, "")), func(o *replay.RunOptions) {
		o.OnPlaced = func() {
			data := filepath.Join(c.Dir(), "data", "g1")
			if err := c.Kill("g1"); err != nil {
				t.Error(err)
			}
			if err := errors.Join(os.RemoveAll(data), os.Mkdir(data, 0o700)); err != nil {
				t.Error(err)
			}
			if err := c.Restart(background(t), "g1"); err == nil || !strings.Contains(err.Error(), "has lost its state") || strings.Contains(err.Error(), "goroutine") {
				t.Errorf("restart: %v, want that it has lost its state", err)
			}
		}
	})
	ok(t, s)
}

// TestStorageRestartsUnderADatabase kills and restarts the sComponents while sqlite writes and syncs: the run ends well, or
// the process fails with its volume named. It never reads an old block.
func TestStorageRestartsUnderADatabase(t *testing.T) {
	t.Parallel()
	tapes := t.TempDir()
	c := startRecorded(t, program, &node.Record{Dir: tapes, Commit: "c", ConfigDigest: "d"}, "laptop")
	w := workload(t, "programs")
	for _, v := range w.Vnodes {
		if v.Name == "sqlite" {
			w.Vnodes[0] = v
		}
	}
	w.Vnodes = w.Vnodes[:1]
	done := make(chan struct{})
	var wg sync.WaitGroup
	restarts := 0
	s := c.run(w, func(o *replay.RunOptions) {
		o.Progress = func(p replay.Progress) {
			if p.Running == 0 && done != nil {
				close(done)
				done = nil
			}
		}
		stop := done
		o.OnPlaced = func() {
			wg.Go(func() {
				for ; ; restarts++ {
					node := []string{"s1", "s2"}[restarts%2]
					if err := c.Kill(node); err != nil {
						t.Error(err)
						return
					}
					if err := c.Restart(background(t), node); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-stop:
						return
					case <-time.After(200 * time.Millisecond): // time to write something
					}
				}
			})
		}
	})
	wg.Wait()
	t.Logf("%d restarts: exit code %d, %q", restarts+1, s.ExitCode(), s.Failed)
	switch s.ExitCode() {
	case codeDone:
	case codeFailed:
		if len(s.Failed) != 1 || !strings.Contains(s.Failed[0], "volume ") {
			t.Errorf("failed %q, want the volume named", s.Failed)
		}
	default:
		t.Errorf("exit code %d: %q", s.ExitCode(), s.Integrity)
	}
	if err := c.Stop(background(t)); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs("../../configs/traces/sqlite.skt")
	if err != nil {
		t.Fatal(err)
	}
	r := reexecuteAll(t, tapes, path)
	r.has(t, volume.TapeKind, 10)
	r.has(t, iosched.TapeKind, 2)
	if r.killed < restarts {
		t.Errorf("%d tapes end with a kill, want one of each of %d restarts", r.killed, restarts)
	}
}

// TestSupervisors: a name is taken once, two clusters run side by side and serve two runs each at once, and what a killed
// supervisor leaves does not hinder the next.
func TestSupervisors(t *testing.T) {
	t.Parallel()
	tmp, dir := filepath.Join(tmpdir(t), "[a]*"), t.TempDir() // characters of patterns
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	cluster := put(t, dir, "c.yaml", onePonem)
	work := put(t, dir, "w.yaml", one(t, synthetic(t, "w", 1, 256, 0, 100_000, true), 64, ""))
	st := up(t, dir, tmp, "--cluster", cluster)
	if got := sk(t, dir, tmp, "up", "--cluster", cluster); got.code != codeFailed || got.stdout != "" || !strings.Contains(got.stderr, `the name "one" is up already`) {
		t.Errorf("up again: exit code %d, %s", got.code, got.stderr)
	}
	other := up(t, dir, tmp, "--cluster", cluster, "--name", "other")
	if st.Dir == other.Dir || st.ClusterID == other.ClusterID {
		t.Errorf("two clusters share %s or %s", st.Dir, st.ClusterID)
	}
	var wg sync.WaitGroup
	for _, name := range []string{"one", "one", "other", "other"} {
		wg.Go(func() {
			got := sk(t, dir, tmp, "run", work, "--on", name, "-o", "json")
			var s report.Summary
			if err := json.Unmarshal([]byte(got.stdout), &s); err != nil || got.code != codeDone || s.Total.Accesses != 100_000 {
				t.Errorf("on %s: %v, exit code %d, %s", name, err, got.code, got.stderr)
			}
		})
	}
	wg.Wait()
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the supervisor has ended", func() bool { // the kernel frees its name with it, a moment after the signal
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", st.PID))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
	again := up(t, dir, tmp, "--cluster", cluster) // at once, while the orphans end
	if got := sk(t, dir, tmp, "run", work, "--on", "one"); got.code != codeDone {
		t.Errorf("on the second cluster: exit code %d, %s", got.code, got.stderr)
	}
	// A run whose cluster is taken down ends, with a reason.
	out := filepath.Join(dir, "endless")
	endless := invoke(background(t), dir, tmp, "run", work, "--on", "one", "--out", out, "--set", "workload.vnodes.one.repeat=1000000")
	var talk bytes.Buffer
	endless.Stderr = &talk
	if err := endless.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run has begun", func() bool {
		text, err := os.ReadFile(filepath.Join(out, "run.log"))
		return err == nil && strings.Contains(string(text), "process started")
	})
	if got := sk(t, dir, tmp, "down", "one"); got.code != codeDone {
		t.Errorf("down: %s", got.stderr)
	}
	endless.Wait()
	if code := endless.ProcessState.ExitCode(); code != codeFailed || !strings.Contains(talk.String(), "1 of 1 vNodes failed: one: p1 ") {
		t.Errorf("the run on a cluster that was taken down: exit code %d, %s", code, talk.String())
	}
	gone(t, again)
	for _, name := range []string{"one", "nobody"} {
		if got := sk(t, dir, tmp, "down", name); got.code != codeFailed || !strings.Contains(got.stderr, fmt.Sprintf("no cluster %q is up, want one of: other", name)) {
			t.Errorf("down %s: exit code %d, %s", name, got.code, got.stderr)
		}
	}
	if got := sk(t, dir, tmp, "down", "--all"); got.code != codeDone {
		t.Errorf("down --all: %s", got.stderr)
	}
	nothingLeft(t, tmp)
}

// gone checks that no node of a cluster is left.
func gone(t *testing.T, st launcher.State) {
	t.Helper()
	for _, n := range st.Nodes {
		if err := syscall.Kill(n.PID, 0); err == nil {
			t.Errorf("node %s (process %d) is left", n.ID, n.PID)
		}
	}
}

package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/sim/replay"
)

// quarter is a vNode of which threeAndTwo takes eight.
var quarter = admission.VNodeSpec{Name: "quarter", Threads: 1, ExCacheLines: halfLines / 4, MemoryBytes: halfMemory / 4, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 64 << 10}}}

// converged waits until all managers that run know the same leaders and have applied the same.
func (k *deathbed) converged(replicas int) {
	k.t.Helper()
	eventually(k.t, fmt.Sprintf("%d replicas of each group agree", replicas), func() bool {
		groups, err := k.cl.Status(background(k.t))
		if err != nil || len(groups) != 3 {
			return false
		}
		for _, g := range groups {
			if len(g.Replicas) != replicas {
				return false
			}
			for _, r := range g.Replicas {
				if !r.Ready || r.Leader != g.Leader || r.Applied != g.Replicas[0].Applied {
					return false
				}
			}
		}
		return true
	})
}

// newest gives the youngest file of a manager whose name matches, and how much was written to it.
func (k *deathbed) newest(id string, matches func(name string) bool) (path string, n int) {
	k.t.Helper()
	var at time.Time
	for p, size := range k.accounted(id) {
		if st, err := os.Stat(p); err == nil && matches(p) && size > 100 && !st.ModTime().Before(at) {
			path, n, at = p, size, st.ModTime()
		}
	}
	if path == "" {
		k.t.Fatalf("no such file of %s among %v", id, k.accounted(id))
	}
	return path, n
}

func isLog(name string) bool      { return strings.HasSuffix(name, ".log") }
func isSnapshot(name string) bool { return strings.HasSuffix(name, ".gbsnap") }

// accounted gives the files of a manager that its ledger tells of, and how much was written to each (gmanagers/internal/ledger).
func (k *deathbed) accounted(id string) map[string]int {
	k.t.Helper()
	dir := filepath.Join(k.Dir(), "data", id)
	text, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		k.t.Fatal(err)
	}
	out := map[string]int{}
	for b := range slices.Chunk(text[512:], 512) {
		if b[4] == 1 && b[5] == 0 {
			out[filepath.Join(dir, string(b[24:24+binary.LittleEndian.Uint16(b[20:])]))] = int(binary.LittleEndian.Uint64(b[8:]))
		}
	}
	return out
}

// TestADamagedManagerIsTakenInAgain: a manager is killed, and what it had on its disk is changed in one of many ways. It says so at its
// start, by the name of the file, and does not serve; the others go on. Taken in again, under a new Raft node id, it knows
// everything and counts for a majority, also when it is killed and started again.
func TestADamagedManagerIsTakenInAgain(t *testing.T) {
	k := newDeathbed(t, "damaged", "manager.snapshot_entries=16", "manager.compaction_entries=16")
	var told []admission.Placement
	admit := func() {
		t.Helper()
		p, err := k.admit(quarter)
		if err != nil {
			t.Fatal(err)
		}
		if told = append(told, p); len(told) < 4 {
			return
		}
		if err := k.release(told[0]); err != nil {
			t.Fatal(err)
		}
		told = told[1:]
	}
	change := func(matches func(string) bool, how func(text []byte, n int) []byte) func(id string) string {
		return func(id string) string {
			path, n := k.newest(id, matches)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, how(text, n), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	for range 12 { // until there are snapshots
		admit()
	}
	for _, d := range []struct {
		what   string
		damage func(id string) string
		want   string
	}{
		{"a bit of the log", change(isLog, func(b []byte, n int) []byte { b[n/2] ^= 1; return b }), "are not those that were written"},
		{"the last write of the log is torn", change(isLog, func(b []byte, n int) []byte { return b[:n-3] }), "bytes that were written to it"},
		{"the end of the log was never written", change(isLog, func(b []byte, n int) []byte { clear(b[n-20:]); return b }), "are not those that were written"},
		{"a bit of a snapshot", change(isSnapshot, func(b []byte, n int) []byte { b[n-1-n/4] ^= 4; return b }), "are not those that were written"},
		{"a snapshot is cut", change(isSnapshot, func(b []byte, n int) []byte { return b[:n/2] }), "bytes that were written to it"},
		{"the log is gone", func(id string) string {
			path, _ := k.newest(id, isLog)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			return path
		}, "it is gone"},
		{"everything is gone", func(id string) string {
			path := filepath.Join(k.Dir(), "data", id)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			return path
		}, "has lost its state"},
	} {
		if err := k.Kill("g2"); err != nil {
			t.Fatal(err)
		}
		<-k.Died()
		path := d.damage("g2")
		err := k.Restart(background(t), "g2")
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), d.want) || !strings.Contains(err.Error(), "node readmit g2") || !strings.Contains(err.Error(), "exit status 1") {
			t.Fatalf("%s: %v, want it told of %s: %s", d.what, err, path, d.want)
		}
		<-k.Died()
		admit() // by the others
		if got := k.sk("node", "readmit", "g2"); got.code != codeDone || !strings.Contains(got.stdout+got.stderr, "g2 is a manager") {
			t.Fatalf("%s: %+v", d.what, got)
		}
		k.converged(3)
		// One of the others goes: without g2 nothing could be decided.
		if err := k.Kill("g1"); err != nil {
			t.Fatal(err)
		}
		<-k.Died()
		admit()
		if err := k.Restart(background(t), "g1"); err != nil {
			t.Fatalf("%s: g1 again: %v", d.what, err)
		}
	}
	if err := k.Kill("g2"); err != nil { // as it is now it starts as any other
		t.Fatal(err)
	}
	<-k.Died()
	if err := k.Restart(background(t), "g2"); err != nil {
		t.Fatal(err)
	}
	k.converged(3)
	admit()
	for _, wrong := range [][2]string{{"g1", "it runs"}, {"m1", "no manager"}, {"g9", "no manager"}} {
		if got := k.sk("node", "readmit", wrong[0]); got.code != codeFailed || !strings.Contains(got.stderr, wrong[1]) {
			t.Errorf("readmit %s: %+v", wrong[0], got)
		}
	}
	for _, p := range told {
		if err := k.release(p); err != nil {
			t.Error(err)
		}
	}
	k.audit("in the end")
}

// TestManagersGoAndReturn: a minority of the managers goes, and nothing waits; a majority goes, and what runs goes on while placements
// wait; it returns, and what waited is placed, nothing is lost, and the books agree.
func TestManagersGoAndReturn(t *testing.T) {
	k := newDeathbed(t, "majority")
	const refs = 20_000
	work := one(t, synthetic(t, "majority", 5, 256, 16, refs, true), 64, "")
	work = strings.Replace(work, "    excache", "    repeat: 80\n    excache", 1)
	before, err := k.admit(quarter)
	if err != nil {
		t.Fatal(err)
	}
	kill := func(ids ...string) {
		for _, id := range ids {
			if err := k.Kill(id); err != nil {
				t.Error(err)
				return
			}
			<-k.Died()
		}
	}
	var once, again sync.Once
	var done, lost atomic.Uint64
	var waiting sync.WaitGroup
	var late admission.Placement
	var lateErr error
	s := k.run(workload(t, work), func(o *replay.RunOptions) {
		o.Progress = func(p replay.Progress) {
			done.Store(p.Done)
			if p.Done <= refs { // it maps memory until then, which needs the managers
				return
			}
			once.Do(func() {
				kill("g3")
				p, err := k.admit(quarter)
				if err != nil {
					t.Errorf("with two of three managers: %v", err)
					return
				}
				if err := k.release(p); err != nil {
					t.Error(err)
				}
				kill("g2")
				lost.Store(done.Load())
				waiting.Go(func() {
					for late.PID == 0 {
						ctx, cancel := context.WithTimeout(background(t), 5*time.Second)
						late, lateErr = k.cl.Admit(ctx, quarter)
						cancel()
						if lateErr == nil {
							lateErr = k.make(background(t), late, quarter)
						} else if background(t).Err() != nil {
							return
						}
					}
				})
			})
			if p.Done > lost.Load()+100_000 { // it has gone on without them for long
				again.Do(func() {
					if late.PID != 0 {
						t.Error("something was placed without a majority")
					}
					for _, id := range []string{"g2", "g3"} {
						waiting.Go(func() {
							if err := k.Restart(background(t), id); err != nil {
								t.Error(err)
							}
						})
					}
				})
			}
		}
	})
	again.Do(func() {
		t.Errorf("the run ended before it had gone on without a majority: %q", s.Failed)
		for _, id := range []string{"g2", "g3"} { // or nobody would place what waits
			if err := k.Restart(background(t), id); err != nil {
				t.Error(err)
			}
		}
	})
	waiting.Wait()
	ok(t, s)
	if lateErr != nil {
		t.Fatal(lateErr)
	}
	k.converged(3)
	for _, p := range slices.Concat([]admission.Placement{before, late}) {
		if err := k.release(p); err != nil {
			t.Error(err)
		}
	}
	k.audit("in the end")
}

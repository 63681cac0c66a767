package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/sim/launcher"
)

// BenchmarkIdleCluster starts the laptop cluster and stops it again: how long until it is ready and until it is gone, what its
// processes have resident right after, and what its folder takes.
func BenchmarkIdleCluster(b *testing.B) {
	c, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		b.Fatal(err)
	}
	var ready, stopped time.Duration
	var component, manager, data float64
	for range b.N {
		t := time.Now()
		l, err := launcher.Start(context.Background(), launcher.Options{Cluster: c, Out: b.TempDir(), Executable: program})
		if err != nil {
			b.Fatal(err)
		}
		ready += time.Since(t)
		for _, n := range l.Nodes() {
			mib := float64(residentKiB(b, n.PID)) / 1024
			if n.Role == "manager" {
				manager = max(manager, mib)
			} else {
				component = max(component, mib)
			}
		}
		data = max(data, float64(bytesBelow(b, l.Dir()))/(1<<20))
		t = time.Now()
		if err := l.Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
		stopped += time.Since(t)
	}
	b.ReportMetric(ready.Seconds()/float64(b.N), "ready-s")
	b.ReportMetric(stopped.Seconds()/float64(b.N), "stop-s")
	b.ReportMetric(component, "component-MiB")
	b.ReportMetric(manager, "manager-MiB")
	b.ReportMetric(data, "folder-MiB")
}

func residentKiB(b *testing.B, pid int) int { return statusKiB(b, pid, "VmRSS") }

// statusKiB reads a size that the kernel tells of a process.
func statusKiB(b *testing.B, pid int, key string) (kib int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, key+": %d kB", &kib); err == nil {
			return kib
		}
	}
	b.Fatalf("process %d does not tell its %s", pid, key)
	return 0
}

func bytesBelow(b *testing.B, dir string) (n int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		n += info.Sys().(*syscall.Stat_t).Blocks * 512 // what it takes: files of volumes are sparse, Raft's are made longer than they are
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

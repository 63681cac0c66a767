package gmanagers_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// one is the vNode of the benchmarks: a part at each of the three managers.
var one = admission.VNodeSpec{Name: "bench", Threads: 1, ExCacheLines: 1, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 4096}}}

// diskCluster is three managers over unix sockets with their logs on the disk; they share this process.
func diskCluster(b *testing.B) *cluster {
	return startClusterDisk(b, func(*gmanagers.Options) {})
}

// startClusterDisk is diskCluster with other options.
func startClusterDisk(b *testing.B, edit func(*gmanagers.Options)) *cluster {
	dir := b.TempDir()
	addr := func(id wire.NodeID) netlayer.Addr {
		return netlayer.Addr("unix:" + filepath.Join(dir, string(id)+".sock"))
	}
	return startClusterAt(b, addr, func(o *gmanagers.Options) {
		o.FS, o.DataDir = nil, filepath.Join(dir, string(o.ID))
		edit(o)
	})
}

// clients makes n clients; each has a window of 64 commands a manager.
func (c *cluster) clients(n int) []*client.Client {
	out := make([]*client.Client, n)
	for i := range out {
		out[i] = c.client()
	}
	return out
}

// BenchmarkAdmitOne is the latency of an admission alone.
func BenchmarkAdmitOne(b *testing.B) {
	c := diskCluster(b)
	cl := c.client()
	registerAll(b, cl)
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		began := time.Now()
		p, err := cl.Admit(context.Background(), one)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		b.StopTimer()
		if err := cl.Release(context.Background(), p.PID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkAdmit256 is admissions with 256 in flight; giving back is not timed.
func BenchmarkAdmit256(b *testing.B) {
	const inFlight, round = 256, 8192
	c := diskCluster(b)
	cls := c.clients(8)
	registerAll(b, cls[0])
	all := func(n int, do func(cl *client.Client, i int) error) {
		var next atomic.Int64
		var out sync.WaitGroup
		for g := range inFlight {
			out.Go(func() {
				for {
					i := int(next.Add(1)) - 1
					if i >= n {
						return
					}
					if err := do(cls[g%len(cls)], i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		out.Wait()
	}
	pids := make([]wire.PID, round)
	b.ResetTimer()
	for left := b.N; left > 0 && !b.Failed(); left -= round {
		n := min(left, round)
		all(n, func(cl *client.Client, i int) error {
			p, err := cl.Admit(context.Background(), one)
			pids[i] = p.PID
			return err
		})
		b.StopTimer()
		all(n, func(cl *client.Client, i int) error { return cl.Release(context.Background(), pids[i]) })
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "admissions/s")
}

// BenchmarkPropose is the floor of the two above: a command of one step at one manager.
func BenchmarkPropose(b *testing.B) {
	c := diskCluster(b)
	cl := c.client()
	registerAll(b, cl)
	for b.Loop() {
		if _, err := cl.Steps(context.Background(), wire.GMM, []admission.Step{{Verb: admission.Free, PID: 1}}); err != nil {
			b.Fatal(err)
		}
	}
}

// drainPatience is how long BenchmarkDrain waits for each vRegion at most: ten times its copy, although several move at once.
const drainPatience = 100 * time.Millisecond

// BenchmarkDrain is how long each of b.N vRegions takes to leave an mComponent that drains, from the order to drain until
// nothing is left; each copies for 10 ms. Use -benchtime 1000x; at most 3000 have room.
func BenchmarkDrain(b *testing.B) {
	c := startClusterDisk(b, func(o *gmanagers.Options) { o.LeaseMS = 2000 })
	cl := c.client()
	w := newFakes(b, cl)
	w.add(pcomponent(1, 1<<20))
	w.add(scomponent(1, 1<<30))
	w.add(mcomponent(1, 1<<30))
	beating(b, w, func(*fake) wire.Load { return wire.Load{} })
	w.admit(b.N)
	w.add(mcomponent(2, 1<<30))
	began := time.Now()
	until(b, "a leader looks, which it does not for a lease", func() bool { return time.Since(began) > 2500*time.Millisecond })
	b.ResetTimer()
	if err := cl.Drain(within(b), wire.RoleMemory, "m1"); err != nil {
		b.Fatal(err)
	}
	for {
		d, err := cl.DrainStatus(within(b), wire.RoleMemory, "m1")
		if err != nil {
			b.Fatal(err)
		}
		if d.Left == 0 {
			break
		}
		if bound := failover + time.Duration(b.N)*drainPatience; b.Elapsed() > bound {
			b.Fatalf("%d of %d vRegions are left after %v", d.Left, b.N, bound)
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "moves/s")
}

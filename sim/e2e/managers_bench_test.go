package e2e

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

// threeManagers is the smallest cluster whose managers survive one of them.
const threeManagers = `name: three
transport: unix
region_bytes: 1MiB
nodes:
  - {id: g1, role: manager}
  - {id: g2, role: manager}
  - {id: g3, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: s1, role: scomponent}
`

// managed is a cluster of threeManagers for a benchmark, with a client of its managers.
type managed struct {
	*launcher.Cluster
	b   *testing.B
	net netlayer.Options
	gm  *client.Client
}

func startManaged(b *testing.B, set ...string) *managed {
	b.Helper()
	return startManagedText(b, threeManagers, set...)
}

func startManagedText(b *testing.B, text string, set ...string) *managed {
	b.Helper()
	file := filepath.Join(b.TempDir(), "cluster.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := configs.LoadCluster(file, configs.Overrides{Set: set})
	if err != nil {
		b.Fatal(err)
	}
	l, err := launcher.Start(context.Background(), launcher.Options{Cluster: c, Out: b.TempDir(), Executable: program})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	m := &managed{Cluster: l, b: b, net: netlayer.DefaultOptions()}
	m.net.Cluster, m.net.Token, m.net.Role, m.net.Node = l.ID(), c.Token, wire.RoleClient, "bench"
	m.gm = m.client()
	return m
}

// client makes a client of the managers as any component has one.
func (m *managed) client() *client.Client {
	m.b.Helper()
	o := client.DefaultOptions()
	o.Net = m.net
	for _, n := range m.Nodes() {
		if n.Role == "manager" {
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		}
	}
	gm, err := client.New(o)
	if err != nil {
		m.b.Fatal(err)
	}
	m.b.Cleanup(func() { gm.Close() })
	return gm
}

// tiny is the vNode of these benchmarks: a part at each of the three managers.
var tiny = admission.VNodeSpec{Name: "tiny", Threads: 1, ExCacheLines: 1, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: wire.PageSize}}}

// settle waits until every group has one leader that all replicas know, and all have applied the same; it returns the leader
// of GPM.
func (m *managed) settle() wire.NodeID {
	m.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		groups, err := m.gm.Status(ctx)
		settled := err == nil && len(groups) == 3
		for _, g := range groups {
			settled = settled && len(g.Replicas) == 3
			for _, r := range g.Replicas {
				settled = settled && r.Ready && r.Leader == g.Leader && r.Applied == g.Replicas[0].Applied
			}
		}
		if settled {
			return groups[0].Leader
		}
	}
	m.b.Fatal("the managers did not settle within a minute")
	return ""
}

// leader returns the leader of GPM as soon as a replica knows one.
func (m *managed) leader() wire.NodeID {
	m.b.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		groups, err := m.gm.Status(context.Background())
		if err == nil && len(groups) == 3 && groups[0].Leader != "" {
			return groups[0].Leader
		}
	}
	m.b.Fatal("nobody led GPM for a minute")
	return ""
}

// BenchmarkFailover is how long admissions stop when the process that leads GPM gets kill -9: from the signal to the answer
// to an admission that is asked for at once. Settled: all replicas have caught up before the next kill. Back to back: the
// next leader is killed as soon as the last one is ready again. Give a number of kills: -benchtime 50x.
func BenchmarkFailover(b *testing.B) {
	for _, settled := range []bool{true, false} {
		name := "back-to-back"
		if settled {
			name = "settled"
		}
		b.Run(name, func(b *testing.B) {
			m := startManaged(b)
			admit := func() {
				b.Helper()
				p, err := m.gm.Admit(context.Background(), tiny)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := m.gm.Release(context.Background(), p.PID); err != nil {
					b.Fatal(err)
				}
			}
			took := make([]time.Duration, 0, b.N)
			m.settle()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				victim := m.leader()
				if settled {
					victim = m.settle()
				}
				b.StartTimer()
				began := time.Now()
				if err := m.Kill(string(victim)); err != nil {
					b.Fatal(err)
				}
				admit()
				took = append(took, time.Since(began))
				if err := m.Restart(context.Background(), string(victim)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.StopTimer()
			b.ReportMetric(quantile(took, 0.5)/1e3, "p50-ms")
			b.ReportMetric(quantile(took, 0.9)/1e3, "p90-ms")
			b.ReportMetric(quantile(took, 1)/1e3, "max-ms")
		})
	}
}

// BenchmarkAdmitOne is the latency of an admission alone, over three manager processes.
func BenchmarkAdmitOne(b *testing.B) {
	m := startManaged(b)
	m.settle()
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		began := time.Now()
		p, err := m.gm.Admit(context.Background(), tiny)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		b.StopTimer()
		if err := m.gm.Release(context.Background(), p.PID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(quantile(took, 0.5)/1e3, "p50-ms")
	b.ReportMetric(quantile(took, 0.99)/1e3, "p99-ms")
}

// BenchmarkAdmit256 is admissions with 256 in flight over three manager processes; giving back is not timed.
func BenchmarkAdmit256(b *testing.B) {
	const inFlight, round, clients = 256, 8192, 8 // a client has a window of 64 commands a manager
	m := startManaged(b, "mcomponent.memory_bytes=1GiB")
	m.settle()
	cls := make([]*client.Client, clients)
	for i := range cls {
		cls[i] = m.client()
	}
	all := func(n int, do func(cl *client.Client, i int) error) {
		var next atomic.Int64
		var out sync.WaitGroup
		for g := range inFlight {
			out.Go(func() {
				for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
					if err := do(cls[g%clients], i); err != nil {
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
			p, err := cl.Admit(context.Background(), tiny)
			pids[i] = p.PID
			return err
		})
		b.StopTimer()
		all(n, func(cl *client.Client, i int) error { return cl.Release(context.Background(), pids[i]) })
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "admissions/s")
}

// BenchmarkMillionRegions activates 2^20 vRegions of 1024 processes at three manager processes. It reports how many a second,
// what a manager process then has resident and had at most, and how long it takes one that got kill -9 to be ready again.
// Give one round: -benchtime 1x.
func BenchmarkMillionRegions(b *testing.B) {
	const processes, each, inFlight, clients = 1024, 1024, 512, 8
	for range b.N {
		m := startManaged(b, "region_bytes=64KiB", "mcomponent.memory_bytes=128MiB", "manager.overcommit=1000", "pcomponent.excache_bytes=8MiB")
		cls := make([]*client.Client, clients)
		for i := range cls {
			cls[i] = m.client()
		}
		pids := make([]wire.PID, processes)
		for i := range pids {
			p, err := m.gm.Admit(context.Background(), admission.VNodeSpec{Name: "large", Threads: 1, ExCacheLines: 1})
			if err != nil {
				b.Fatal(err)
			}
			pids[i] = p.PID
		}
		began := time.Now()
		var next atomic.Int64
		var out sync.WaitGroup
		for g := range inFlight {
			out.Go(func() {
				for i := int(next.Add(1)) - 1; i < processes*each; i = int(next.Add(1)) - 1 {
					if _, err := cls[g%clients].ActivateRegion(context.Background(), pids[i/each], wire.RegionNo(i%each)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		out.Wait()
		b.ReportMetric(processes*each/time.Since(began).Seconds(), "activations/s")
		victim := m.settle()
		var resident, most int
		for _, n := range m.Nodes() {
			if n.Role == "manager" {
				resident, most = max(resident, statusKiB(b, n.PID, "VmRSS")), max(most, statusKiB(b, n.PID, "VmHWM"))
			}
		}
		b.ReportMetric(float64(resident)/1024, "manager-MiB")
		b.ReportMetric(float64(most)/1024, "manager-peak-MiB")
		if err := m.Kill(string(victim)); err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		if err := m.Restart(context.Background(), string(victim)); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "restart-s")
		m.settle()
	}
}

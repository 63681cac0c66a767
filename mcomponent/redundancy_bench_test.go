package mcomponent

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// BenchmarkRebuild copies a vRegion full of pages between two processes over a unix socket, each time between two raw copies of as many bytes to the same
// process. The vRegion has 1 GiB, with -short 64 MiB.
//
//   - copies: its owner fills a holder that has nothing: redundancy is restored after a loss.
//   - recovery: its owner is lost, and a new one that has nothing gets the pages of the log of the holder, which is in the other process.
//
// x/warm is the rate of the copy by that of the raw copies around it (see BenchmarkMigration), the median of the iterations. Wanted: 0.5. The first iteration, into
// memory that was never touched, does not count.
func BenchmarkRebuild(b *testing.B) {
	for _, what := range []string{"copies", "recovery"} {
		b.Run(what, func(b *testing.B) { benchRebuild(b, what == "recovery") })
	}
}

func benchRebuild(b *testing.B, recovered bool) {
	size := uint64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	dir := b.TempDir()
	cl := &cluster{t: b, disk: newDisk()}
	change := func(o *Options) { *o = benchOptions(size) }
	owner := cl.start("m1", netlayer.Addr("unix:"+filepath.Join(dir, "m1")), change)
	holder := childMember(dir, "m2", "m1", wire.RoleMemory, size)
	defer holder.peer.Close()
	cl.m = append(cl.m, owner, holder)
	next := cl.start("m3", netlayer.Addr("unix:"+filepath.Join(dir, "m3")), change)
	p := newClient(cl)
	kid := startChild(b, "taker", size, dir)
	defer kid.stop(b)
	policy := wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}
	if recovered {
		policy.Kind, policy.LogBlock = wire.MemoryLog, true
	}
	got := map[string][]float64{}
	for i := range b.N + 1 {
		pid := wire.PID(7 + i)
		p.owners = map[wire.RegionNo]wire.Owner{}
		for _, m := range []*member{owner, next} {
			eventually(b, "that what was there before is freed", func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return m.store.Stats().Used == 0
			})
		}
		p.open(owner, pid, benchRegion, size/wire.PageSize)
		owner.fill(pid, benchFirst, size/wire.PageSize)
		to := holderOf(holder, true)
		g := &gmm{t: b, cl: cl, client: p, pid: pid, region: benchRegion, home: owner, cfg: wire.RegionConfig{PID: pid, Region: benchRegion, Epoch: 1, Policy: policy}}
		wall, raw := 0.0, 0.0
		copies := func() {
			began := time.Now()
			kid.bareCopy(b, intoWarm, bytesOf(owner.pages)[:size])
			raw += time.Since(began).Seconds() / 2
		}
		if recovered {
			g.protect(owner, to)
			copies()
			began := time.Now()
			g.recover(next, []wire.Holder{to}, []wire.Holder{to}, true)
			wall = time.Since(began).Seconds()
			copies()
		} else {
			copies()
			began := time.Now()
			g.protect(owner, to)
			wall = time.Since(began).Seconds()
			copies()
		}
		cl.must(owner.control(wire.OpProcessExit, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
		if recovered {
			// It does not know that it was replaced, as one that is dead.
			cl.must(owner.control(wire.OpProcessExit, wire.ProcessExitReq{PID: pid, Epoch: 1, Owner: true}, nil))
		}
		if i == 0 {
			continue
		}
		for what, v := range map[string]float64{"x/warm": raw / wall, "MB/s": float64(size) / wall / 1e6, "warm-MB/s": float64(size) / raw / 1e6} {
			got[what] = append(got[what], v)
		}
	}
	b.ReportMetric(slices.Min(got["x/warm"]), "min-x/warm")
	b.ReportMetric(slices.Max(got["x/warm"]), "max-x/warm")
	for what, v := range got {
		b.ReportMetric(median(v), what)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFlushCopies measures flushes of pages of a vRegion with no, one and two copies, over unix sockets, with all components in this process: one at a
// time, and 64 under way. floor is the same message to a handler that keeps nothing, measured in turns with the first; x/floor the ratio of the medians.
func BenchmarkFlushCopies(b *testing.B) {
	for copies := range 3 {
		b.Run(fmt.Sprint(copies), func(b *testing.B) {
			dir := b.TempDir()
			cl := &cluster{t: b, disk: newDisk()}
			for i := range copies + 1 {
				id := wire.NodeID(fmt.Sprint("m", i+1))
				cl.m = append(cl.m, cl.start(id, netlayer.Addr("unix:"+filepath.Join(dir, string(id))), func(o *Options) { *o = benchOptions(64 << 20) }))
			}
			_, addr, stop := serve(b, sink{}, wire.RoleMemory, "m9", netlayer.Addr("unix:"+filepath.Join(dir, "sink")))
			defer stop()
			raw := netlayer.NewPeer(addr, peerOptions(wire.RoleCompute, "p1"))
			defer raw.Close()
			p, owner := newClient(cl), cl.m[0]
			r := wire.RegionNo(len(cl.m))
			const pages = 8192
			p.open(owner, 7, r, pages)
			g := &gmm{t: b, cl: cl, client: p, pid: 7, region: r, home: owner, cfg: wire.RegionConfig{PID: 7, Region: r, Epoch: 1, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: uint32(copies)}}}
			var holders []wire.Holder
			for _, m := range cl.m[1:] {
				holders = append(holders, holderOf(m, false))
			}
			if copies > 0 {
				g.protect(owner, holders...)
			}
			page, version := filled(7), uint64(0)
			sum := wire.Checksum(page)
			first := wire.PageNo(uint64(r) << 30 / wire.PageSize)
			fill := func(c *netlayer.Call) *netlayer.Call {
				version++
				f := wire.Flush{PID: 7, Page: first + wire.PageNo(version*2654435761%pages), OwnerEpoch: 1, ProcessEpoch: 1, Version: version}
				c.Op, c.Body, c.Page, c.PageCRC, c.HavePageCRC = wire.OpFlush, f.Append(c.Body[:0]), page, sum, true
				return c
			}
			var one netlayer.Call
			do := func(to *netlayer.Peer, n int) (took []time.Duration) {
				for range n {
					began := time.Now()
					if err := to.Do(fill(&one)); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
				}
				return took
			}
			do(owner.peer, 4096)
			do(raw, 4096)
			var flushes, floor []time.Duration
			for left := b.N; left > 0; left -= 64 {
				flushes, floor = append(flushes, do(owner.peer, 64)...), append(floor, do(raw, 64)...)
			}
			rate := func(to *netlayer.Peer) float64 {
				var calls [64]netlayer.Call
				began := time.Now()
				for i := range b.N {
					c := &calls[i%len(calls)]
					if i >= len(calls) {
						if err := to.Wait(c); err != nil {
							b.Fatal(err)
						}
					}
					if err := to.Start(fill(c)); err != nil {
						b.Fatal(err)
					}
				}
				for i := range min(b.N, len(calls)) {
					if err := to.Wait(&calls[i]); err != nil {
						b.Fatal(err)
					}
				}
				return float64(b.N) / time.Since(began).Seconds()
			}
			many, most := rate(owner.peer), rate(raw)
			f, fl := quantile(flushes, 0.5), quantile(floor, 0.5)
			b.ReportMetric(f, "p50-µs")
			b.ReportMetric(quantile(flushes, 0.99), "p99-µs")
			b.ReportMetric(fl, "floor-p50-µs")
			b.ReportMetric(f/fl, "x/floor")
			b.ReportMetric(many, "flushes/s-64")
			b.ReportMetric(many/most, "x/floor-64")
			b.ReportMetric(0, "ns/op")
		})
	}
}

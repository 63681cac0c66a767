package mcomponent

import (
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
			owner.mu.Lock() // it does not know that it was replaced, as one that is dead
			owner.mu.Unlock()
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

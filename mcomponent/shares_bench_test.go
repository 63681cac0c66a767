package mcomponent

import (
	"path/filepath"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// BenchmarkShares measures misses and flushes, one at a time, of pages of a vRegion without copies, with one copy, and in 2 + 1 shares, in turns, over unix sockets, with
// all components in this process. x/none is the ratio of the medians to that without copies.
func BenchmarkShares(b *testing.B) {
	const pages = 8192
	dir := b.TempDir()
	cl := &cluster{t: b, disk: newDisk()}
	for _, id := range []wire.NodeID{"m1", "m2", "m3", "m4"} {
		cl.m = append(cl.m, cl.start(id, netlayer.Addr("unix:"+filepath.Join(dir, string(id))), func(o *Options) { *o = benchOptions(128 << 20) }))
	}
	p, owner := newClient(cl), cl.m[0]
	page, version := filled(7), uint64(0)
	sum := wire.Checksum(page)
	var call netlayer.Call
	var into [wire.PageSize]byte
	const r = wire.RegionNo(4) // of which the first is the owner
	first := wire.PageNo(uint64(r) << 30 / wire.PageSize)
	at := func() wire.PageNo { version++; return first + wire.PageNo(version*2654435761%pages) }
	do := func() time.Duration {
		began := time.Now()
		if err := owner.peer.Do(&call); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	flush := func(pid wire.PID) time.Duration {
		f := wire.Flush{PID: pid, Page: at(), OwnerEpoch: 1, ProcessEpoch: 1, Version: version}
		call = netlayer.Call{Op: wire.OpFlush, Body: f.Append(call.Body[:0]), Page: page, PageCRC: sum, HavePageCRC: true}
		return do()
	}
	miss := func(pid wire.PID) time.Duration {
		call = netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{PID: pid, Page: at(), OwnerEpoch: 1}.Append(call.Body[:0]), Into: into[:]}
		return do()
	}
	kinds := []struct {
		name    string
		policy  wire.MemoryPolicy
		holders []wire.Holder
		flushes []time.Duration
		misses  []time.Duration
	}{
		{name: "none"},
		{name: "sync", policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}, holders: sharesAt(cl.m[1])},
		{name: "2+1", policy: wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}, holders: sharesAt(cl.m[1:]...)},
	}
	for i := range kinds {
		k, pid := &kinds[i], wire.PID(7+i)
		p.owners = map[wire.RegionNo]wire.Owner{}
		p.open(owner, pid, r, pages)
		if k.holders != nil {
			g := &gmm{t: b, cl: cl, client: p, pid: pid, region: r, home: owner, cfg: wire.RegionConfig{PID: pid, Region: r, Epoch: 1, Policy: k.policy}}
			g.protect(owner, k.holders...)
		}
		for range 2 * pages { // all are written
			flush(pid)
		}
	}
	b.ResetTimer()
	for left := b.N; left > 0; left -= 64 {
		for i := range kinds {
			k, pid := &kinds[i], wire.PID(7+i)
			for range 64 {
				k.flushes = append(k.flushes, flush(pid))
			}
			for range 64 {
				k.misses = append(k.misses, miss(pid))
			}
		}
	}
	for i := range kinds {
		k := &kinds[i]
		f, m := quantile(k.flushes, 0.5), quantile(k.misses, 0.5)
		b.ReportMetric(f, k.name+"-flush-µs")
		b.ReportMetric(m, k.name+"-miss-µs")
		if i > 0 {
			b.ReportMetric(f/quantile(kinds[0].flushes, 0.5), k.name+"-flush-x/none")
			b.ReportMetric(m/quantile(kinds[0].misses, 0.5), k.name+"-miss-x/none")
		}
	}
	b.ReportMetric(0, "ns/op")
}

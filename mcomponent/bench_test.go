package mcomponent

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// benchMember is a component with pages of one process, served on addr.
func benchMember(b *testing.B, addr netlayer.Addr, pages uint64) *member {
	cl := &cluster{t: b, disk: newDisk()}
	cl.m = append(cl.m, cl.start("m1", addr, func(o *Options) { o.MemoryBytes, o.RegionBytes = 64<<20, 1<<30 }))
	m := cl.m[0]
	cl.open(m, 1)
	cl.mmap(m, 1, wire.PageSize, pages*wire.PageSize)
	page := make([]byte, wire.PageSize)
	for p := range wire.PageNo(pages) {
		cl.must(m.flushPage(1, p+1, 1, 1, page))
	}
	return m
}

// BenchmarkMiss serves misses over both local transports, by how many are in flight. Client and server share the processors,
// so this is the cost of a miss of both ends together.
func BenchmarkMiss(b *testing.B) {
	const pages = 8192
	for _, transport := range []string{"inproc", "unix"} {
		addr := inproc()
		if transport == "unix" {
			addr = netlayer.Addr("unix:" + filepath.Join(b.TempDir(), "m.sock"))
		}
		m := benchMember(b, addr, pages)
		for _, inFlight := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/in_flight=%d", transport, inFlight), func(b *testing.B) {
				b.ReportAllocs()
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range inFlight {
					wg.Go(func() {
						c := netlayer.Call{Op: wire.OpMiss, Into: make([]byte, wire.PageSize), Body: make([]byte, 0, wire.MissLen)}
						for {
							i := next.Add(1)
							if i > int64(b.N) {
								return
							}
							c.Body = wire.Miss{PID: 1, Page: wire.PageNo(1 + i*2654435761%pages), OwnerEpoch: 1}.Append(c.Body[:0])
							if err := m.peer.Do(&c); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "misses/s")
			})
		}
		m.stop()
	}
}

// BenchmarkBlockReadHit reads a cached block.
func BenchmarkBlockReadHit(b *testing.B) {
	_, m, k := newVolumeCluster(b, nil)
	c := netlayer.Call{Op: wire.OpBlockRead, Body: k.Append(nil), Into: make([]byte, wire.PageSize)}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.peer.Do(&c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBlockWrite writes cached blocks.
func BenchmarkBlockWrite(b *testing.B) {
	_, m, k := newVolumeCluster(b, nil)
	c := netlayer.Call{Op: wire.OpBlockWrite, Page: make([]byte, wire.PageSize)}
	b.ReportAllocs()
	for b.Loop() {
		k.Version++
		k.Offset = k.Version % 64 * wire.PageSize
		c.Body = k.Append(c.Body[:0])
		if err := m.peer.Do(&c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBlockReadMiss reads blocks that only the sComponent, here in memory, has: two workers, two connections.
func BenchmarkBlockReadMiss(b *testing.B) {
	_, m, k := newVolumeCluster(b, func(o *Options) { o.BufferCacheBytes = 8 * wire.PageSize })
	c := netlayer.Call{Op: wire.OpBlockRead, Into: make([]byte, wire.PageSize)}
	b.ReportAllocs()
	for b.Loop() {
		k.Version++
		k.Offset = k.Version % 64 * wire.PageSize
		c.Body = k.Append(c.Body[:0])
		if err := m.peer.Do(&c); err != nil {
			b.Fatal(err)
		}
	}
}

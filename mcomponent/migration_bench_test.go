package mcomponent

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// sink takes messages of pages and keeps nothing: the floor under a move.
type sink struct{}

func (sink) Inline(wire.Op) bool { return true }

func (sink) Serve(context.Context, *netlayer.Request, *netlayer.Reply) error { return nil }

// rawCopy sends n bytes as a move would, over the same transport with the same messages and window, and gives bytes per second.
func rawCopy(b *testing.B, addr netlayer.Addr, n uint64) float64 {
	_, at, stop := serve(b, sink{}, wire.RoleMemory, "m9", addr)
	defer stop()
	peer := netlayer.NewPeer(at, peerOptions(wire.RoleMemory, "m1"))
	defer peer.Close()
	o := testOptions().Migrate
	body := make([]byte, wire.RegionCopyHeadLen+o.BatchPages*(wire.PageEntryLen+wire.PageSize))
	calls := make([]netlayer.Call, o.WindowMessages)
	began := time.Now()
	sent := 0
	for left := int(n / wire.PageSize / uint64(o.BatchPages)); left > 0; left-- {
		c := &calls[sent%len(calls)]
		if sent >= len(calls) {
			if err := peer.Wait(c); err != nil {
				b.Fatal(err)
			}
		}
		*c = netlayer.Call{Op: wire.OpRegionCopy, Body: body}
		if err := peer.Start(c); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	for i := range min(sent, len(calls)) {
		if err := peer.Wait(&calls[i]); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(began).Seconds()
}

// BenchmarkMigration moves a vRegion full of pages while a client misses and flushes in it all the time, beside the raw copy of
// as many bytes over the same transport in the same run, without and with the same client beside it. One vRegion of 1 GiB
// (-benchtime 1x), of 64 MiB with -short. Wanted: a ratio of at least 0.5.
func BenchmarkMigration(b *testing.B) {
	size := uint64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	for _, transport := range []string{"inproc", "unix"} {
		b.Run(transport, func(b *testing.B) {
			dir := b.TempDir()
			at := func(name string) netlayer.Addr {
				if transport == "unix" {
					return netlayer.Addr("unix:" + filepath.Join(dir, name))
				}
				return inproc()
			}
			cl := &cluster{t: b, disk: newDisk()}
			for i := range 2 {
				id := wire.NodeID(fmt.Sprintf("m%d", i+1))
				cl.m = append(cl.m, cl.start(id, at(string(id)), func(o *Options) { o.MemoryBytes, o.RegionBytes, o.MaxOutstanding = size+64<<20, 1<<30, 64 }))
			}
			p := newClient(cl)
			const pid, r = 7, 2 // m1 owns it
			first, pages := wire.PageNo(2<<30/wire.PageSize), size/wire.PageSize
			p.open(cl.m[0], pid, r, pages)
			page := filled(7)
			for i := range wire.PageNo(pages) {
				p.flush(b, pid, first+i, 1, page)
			}
			rate := [4]float64{}
			var moved, pause, ops float64
			for n := range b.N {
				var done atomic.Int64
				stop := make(chan struct{})
				var wg sync.WaitGroup
				client := func() {
					for i := uint64(1); ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						if at := first + wire.PageNo(i*2654435761%pages); i%2 == 0 {
							p.miss(b, pid, at)
						} else {
							p.flush(b, pid, at, uint64(n+1)<<40+i, page)
						}
						done.Add(1)
					}
				}
				rate[0] += rawCopy(b, at("raw"), size)
				wg.Go(client)
				rate[1] += rawCopy(b, at("raw"), size)
				done.Store(0)
				req, from := p.order(pid, r, cl.m[(n+1)%2], cl.m[0])
				began := time.Now()
				s := cl.move(from, req)
				took := time.Since(began).Seconds()
				close(stop)
				wg.Wait()
				if s.State != wire.MoveDone {
					b.Fatalf("%+v", s)
				}
				rate[2] += float64(size) / (float64(s.DurationUS) / 1e6)
				rate[3] += float64(s.Bytes) / (float64(s.DurationUS) / 1e6)
				moved, pause, ops = moved+float64(s.Bytes)/float64(size), pause+float64(s.PauseUS), ops+float64(done.Load())/took
			}
			n := float64(b.N)
			b.ReportMetric(rate[0]/n/1e6, "raw-MB/s")
			b.ReportMetric(rate[1]/n/1e6, "raw-beside-client-MB/s")
			b.ReportMetric(rate[2]/n/1e6, "move-MB/s")
			b.ReportMetric(rate[3]/n/1e6, "copy-MB/s")
			b.ReportMetric(rate[3]/rate[0], "ratio")
			b.ReportMetric(rate[3]/rate[1], "ratio-beside-client")
			b.ReportMetric(moved/n, "sent/size")
			b.ReportMetric(pause/n, "pause-µs")
			b.ReportMetric(ops/n, "client-ops/s")
		})
	}
}

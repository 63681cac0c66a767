package record

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"splitkernel/netlayer"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent"
	"splitkernel/scomponent/blockdev"
)

// BenchmarkBlockCost reads and writes blocks of two sComponents by turns, of which one is recorded, and gives the requests/s of
// that one as a share of the other's, and its processor time as a multiple: the medians of pairs. Their volumes are in memory, and callers, sComponents and the writer of
// the tape share the processors of one machine, which is the worst case.
func BenchmarkBlockCost(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			w, _ := create(b, DefaultMaxBytes)
			off, on := blockServer(b, nil), blockServer(b, w)
			blockRequests(b, off, callers) // warm
			blockRequests(b, on, callers)
			var shares, rates, times []float64
			for b.Loop() {
				t0 := processorTime(b)
				without := blockRequests(b, off, callers)
				t1 := processorTime(b)
				with := blockRequests(b, on, callers)
				shares, rates, times = append(shares, with/without), append(rates, without), append(times, (processorTime(b)-t1)/(t1-t0))
			}
			slices.Sort(times)
			b.ReportMetric(times[len(times)/2], "processor-time")
			slices.Sort(shares)
			slices.Sort(rates)
			b.ReportMetric(shares[len(shares)/2], "of-unrecorded")
			b.ReportMetric(rates[len(rates)/2], "requests/s")
			if end, err := w.Close(); err != nil || end.Full != "" || end.Records < 1000 {
				b.Errorf("%+v %v", end, err)
			}
		})
	}
}

// processorTime is what this process has used, in seconds: on a machine that others use too it varies less than rates.
func processorTime(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

const benchBlocks = 1024

// blockServer is an sComponent with one volume, on a socket.
func blockServer(b *testing.B, r tape.Recorder) *netlayer.Peer {
	o := scomponent.DefaultOptions()
	o.Node, o.Devices, o.Recorder = "s1", blockdev.NewMemory(), r
	c, err := scomponent.New(o)
	if err != nil {
		b.Fatal(err)
	}
	l, err := netlayer.Listen(netlayer.Addr("unix:" + b.TempDir() + "/s"))
	if err != nil {
		b.Fatal(err)
	}
	so, po := netlayer.DefaultServerOptions(), netlayer.DefaultOptions()
	so.Cluster, so.Role, so.Node = "bench", wire.RoleStorage, "s1"
	po.Cluster, po.Role, po.Node = "bench", wire.RoleMemory, "m1"
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(c.Handler(), so).Serve(ctx, l) }()
	p := netlayer.NewPeer(netlayer.AddrOf(l), po)
	b.Cleanup(func() {
		p.Close()
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := c.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	if err := p.Control(ctx, wire.OpVolumeCreate, 0, wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: benchBlocks * wire.PageSize}, nil); err != nil {
		b.Fatal(err)
	}
	return p
}

// blockRequests gives the requests/s of so many callers that write, read and read by turns.
func blockRequests(b *testing.B, p *netlayer.Peer, callers int) float64 {
	const each = 20_000
	began := time.Now()
	done := make(chan error, callers)
	for n := range callers {
		go func() {
			page := make([]byte, wire.PageSize)
			for i := n; i < each; i += callers {
				k := wire.Block{Volume: 1, VolumeEpoch: 1, Version: uint64(i + 1), Offset: uint64(i*7) % benchBlocks * wire.PageSize, Length: wire.PageSize}
				call := netlayer.Call{Op: wire.OpBlockRead, Body: k.Append(nil), Into: page}
				if i%3 == 0 {
					call = netlayer.Call{Op: wire.OpBlockWrite, Body: call.Body, Page: page}
				}
				if err := p.Do(&call); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return each / time.Since(began).Seconds()
}

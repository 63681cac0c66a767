package vcluster

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/sim/vtime"
)

// processorTime is what this process has used of processors: on a machine that others use too, wall time says little.
func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFaults makes complete remote faults (miss, links, worker, device, fill, and every second one with the flush of a dirty
// victim): one process at each of half the components, the other half being mComponents.
func BenchmarkFaults(b *testing.B) {
	for _, components := range []int{2, 200, 2000} {
		b.Run(fmt.Sprint(components), func(b *testing.B) {
			const lines, pages = 16, 64
			n := components / 2
			o := lively(n, n, 1)
			c, err := New(o)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			budget, ready, ended := 0, 0, 0
			begin := vtime.Signal{Name: "the start"}
			for i := range n {
				name := fmt.Sprint("p", i)
				c.Go(name, func(y *vtime.Proc) {
					p, _, err := admitted(y, c, admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: lines}, pages)
					if err != nil {
						b.Error(err)
						return
					}
					t := p.Thread(0)
					t.Begin(y)
					for i := uint64(0); i < 2*pages && err == nil; i++ { // from here on no page is filled locally
						_, err = t.Access(firstPage+i%pages, true)
					}
					if ready++; ready == n {
						c.clock.Stop()
					}
					y.Wait(&begin)
					for i := uint64(0); budget > 0 && err == nil; i++ {
						budget--
						_, err = t.Access(firstPage+i%pages, i/pages%2 == 0)
					}
					if err != nil {
						b.Error(err)
					}
					ended++
				})
			}
			if err := c.Run(0); err != nil {
				b.Fatal(err)
			}
			if ready != n {
				b.Fatalf("%d of %d processes are ready", ready, n)
			}
			b.ReportAllocs()
			budget = b.N
			c.Go("start", func(*vtime.Proc) { begin.Broadcast() })
			runtime.GC()
			b.ResetTimer()
			used, events := processorTime(b), c.Events()
			if err := c.Run(0); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "faults/s")
			b.ReportMetric(float64(b.N)/(processorTime(b)-used).Seconds(), "faults/cpu-s")
			b.ReportMetric(float64(c.Events()-events)/float64(b.N), "events/fault")
			if ended != n {
				b.Fatalf("%d of %d processes ended", ended, n)
			}
		})
	}
}

// BenchmarkComponent makes a cluster of 1000 pComponents, 1000 mComponents and 100 sComponents and says how much memory each
// takes before it has a page. The bound is 50 KiB.
func BenchmarkComponent(b *testing.B) {
	const bound = 50 << 10
	for b.Loop() {
		before := heap()
		c, err := New(testOptions(1000, 1000, 100))
		if err != nil {
			b.Fatal(err)
		}
		each := (heap() - before) / float64(len(c.o.Nodes))
		b.ReportMetric(each/1024, "KiB/component")
		if each > bound {
			b.Fatalf("%.0f bytes for each component, want at most %d", each, bound)
		}
		c.Close()
	}
}

// heap is how many bytes of the heap are in use.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkHeartbeats runs clusters in which nothing but membership happens: what a second of virtual time costs.
func BenchmarkHeartbeats(b *testing.B) {
	for _, components := range []int{2, 200, 2000} {
		b.Run(fmt.Sprint(components), func(b *testing.B) {
			o := lively(components/2, components/2, 1)
			o.Membership.Sweep = 30 * time.Second
			c, err := New(o)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if err := c.Run(time.Second); err != nil { // everybody was looked at once
				b.Fatal(err)
			}
			b.ReportAllocs()
			used, events := processorTime(b), c.Events()
			b.ResetTimer()
			if err := c.Run(c.Now() + time.Duration(b.N)*time.Second); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64((processorTime(b)-used).Microseconds())/1000/float64(b.N), "cpu-ms/virtual-s")
			b.ReportMetric(float64(c.Events()-events)/float64(b.N), "events/virtual-s")
		})
	}
}

package vtime

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// delays are drawn before the clock runs, so that the benchmark does not measure the generator.
func delays(shape string) []time.Duration {
	rng := rand.New(rand.NewPCG(1, 2))
	ds := make([]time.Duration, 1<<12)
	for i := range ds {
		ds[i] = time.Duration(1 + rng.ExpFloat64()*10_000)
		switch {
		case shape == "far" && rng.IntN(100) == 0:
			ds[i] *= 1_000_000
		case shape == "mostly_far" && rng.IntN(100) != 0:
			ds[i] += time.Second
		}
	}
	return ds
}

// perCPU reports events per second of this process's own processor time, which others on the machine change less.
func perCPU(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(b.N)/(cpuTime(b)-before).Seconds()/1e6, "Mevents/cpu-s")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkClock is one event per operation: popped, its handler called, the next one scheduled.
func BenchmarkClock(b *testing.B) {
	for _, shape := range []string{"near", "far", "mostly_far"} {
		for _, pending := range []int{2, 100, 1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/pending=%d", shape, pending), func(b *testing.B) {
				ds := delays(shape)
				c := New()
				i := 0
				var k Kind
				k = c.Handle("k", func(who uint32) {
					i++
					c.After(ds[i&(len(ds)-1)], k, who)
				})
				for p := range pending {
					c.After(ds[p&(len(ds)-1)], k, uint32(p))
				}
				if err := c.Run(Limits{Events: uint64(4 * pending)}); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				before := cpuTime(b)
				if err := c.Run(Limits{Events: uint64(b.N)}); err != nil {
					b.Fatal(err)
				}
				perCPU(b, before)
			})
		}
	}
}

// BenchmarkTimer is a deadline per event that is always cancelled.
func BenchmarkTimer(b *testing.B) {
	c := New()
	var k Kind
	k = c.Handle("k", func(who uint32) {
		c.Cancel(c.Timer(c.Now()+time.Second, k, who))
		c.After(100, k, who)
	})
	c.After(0, k, 0)
	b.ReportAllocs()
	if err := c.Run(Limits{Events: uint64(b.N)}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkProc is one Sleep of a coroutine per operation.
func BenchmarkProc(b *testing.B) {
	for _, pending := range []int{2, 1000, 10_000} {
		b.Run(fmt.Sprintf("pending=%d", pending), func(b *testing.B) {
			c := New()
			defer c.Close()
			ds := delays("near")
			for i := range pending {
				c.Go("p", func(p *Proc) {
					for j := i; ; j++ {
						p.Sleep(ds[j&(len(ds)-1)])
					}
				})
			}
			if err := c.Run(Limits{Events: uint64(2 * pending)}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			if err := c.Run(Limits{Events: uint64(b.N)}); err != nil {
				b.Fatal(err)
			}
			perCPU(b, before)
		})
	}
}

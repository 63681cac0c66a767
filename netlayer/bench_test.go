package netlayer_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

var transports = []string{"unix", "tcp"}

// cost is what two processes have used so far.
type cost struct {
	mallocs uint64
	cpu     time.Duration
}

// costs asks the child for its part and adds this process's.
func costs(b *testing.B, p *netlayer.Peer) cost {
	b.Helper()
	c := &netlayer.Call{Op: wire.OpQuery}
	if err := p.Do(c); err != nil {
		b.Fatal(err)
	}
	var n cost
	if _, err := fmt.Sscan(string(c.Reply), &n.mallocs, (*int64)(&n.cpu)); err != nil {
		b.Fatal(err)
	}
	return cost{n.mallocs + mallocs(), n.cpu + cpuTime()}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// BenchmarkMiss measures one miss at a time between two processes on one processor, and in turns with it a bare ping-pong
// of the same bytes over the same transport. The ratio of the two medians is the figure; ns/op is of the two together.
func BenchmarkMiss(b *testing.B) {
	for _, tr := range transports {
		b.Run(tr, func(b *testing.B) {
			pin(b)
			ch := startChild(b, tr)
			p := netlayer.NewPeer(ch.framed, peerOptions())
			defer p.Close()
			nc, err := netlayer.Dial(context.Background(), ch.bare)
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			req, rep := make([]byte, missRequest), make([]byte, missReply)
			c := &netlayer.Call{Op: wire.OpMiss, Into: make([]byte, wire.PageSize)}
			miss := func(i int) {
				c.Body = wire.Miss{PID: 1, Page: wire.PageNo(i)}.Append(c.Body[:0])
				if err := p.Do(c); err != nil {
					b.Fatal(err)
				}
			}
			ping := func() {
				if _, err := nc.Write(req); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(nc, rep); err != nil {
					b.Fatal(err)
				}
			}
			for i := range 2000 {
				miss(i)
				ping()
			}
			misses, pings := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
			before := costs(b, p)
			b.ResetTimer()
			for i := 0; i < b.N; {
				const turn = 64
				for range min(turn, b.N-i) {
					t := time.Now()
					miss(i)
					misses = append(misses, time.Since(t))
					i++
				}
				for range min(turn, b.N-len(pings)) {
					t := time.Now()
					ping()
					pings = append(pings, time.Since(t))
				}
			}
			b.StopTimer()
			after := costs(b, p)
			slices.Sort(misses)
			slices.Sort(pings)
			m, f := quantile(misses, .5), quantile(pings, .5)
			b.ReportMetric(micros(m), "miss-p50-µs")
			b.ReportMetric(micros(quantile(misses, .99)), "miss-p99-µs")
			b.ReportMetric(micros(f), "floor-p50-µs")
			b.ReportMetric(float64(m)/float64(f), "miss/floor")
			b.ReportMetric(float64(after.mallocs-before.mallocs)/float64(b.N), "mallocs/miss")
		})
	}
}

// BenchmarkMisses64 measures misses with 64 callers on one connection between two processes on one processor.
func BenchmarkMisses64(b *testing.B) {
	for _, tr := range transports {
		b.Run(tr, func(b *testing.B) {
			pin(b)
			ch := startChild(b, tr)
			p := netlayer.NewPeer(ch.framed, peerOptions())
			defer p.Close()
			const callers = 64
			var next atomic.Int64
			run := func(n int64) {
				next.Store(0)
				var wg sync.WaitGroup
				for range callers {
					wg.Add(1)
					go func() {
						defer wg.Done()
						c := &netlayer.Call{Op: wire.OpMiss, Into: make([]byte, wire.PageSize)}
						for i := next.Add(1); i <= n; i = next.Add(1) {
							c.Body = wire.Miss{PID: 1, Page: wire.PageNo(i)}.Append(c.Body[:0])
							if err := p.Do(c); err != nil {
								b.Error(err)
								return
							}
						}
					}()
				}
				wg.Wait()
			}
			run(20_000)
			before, beforeStats := costs(b, p), p.Stats()
			b.ResetTimer()
			run(int64(b.N))
			b.StopTimer()
			after := costs(b, p)
			st, n := p.Stats(), float64(b.N)
			b.ReportMetric(n/b.Elapsed().Seconds(), "misses/s")
			b.ReportMetric(n/(after.cpu-before.cpu).Seconds(), "misses/cpu-s") // what other programs on the processor do not change
			b.ReportMetric(float64(after.mallocs-before.mallocs)/n, "mallocs/miss")
			b.ReportMetric(n/float64(st.Writes-beforeStats.Writes), "misses/write")
			b.ReportMetric(n/float64(st.Reads-beforeStats.Reads), "misses/read")
			b.ReportMetric(float64(st.HandOvers-beforeStats.HandOvers)/n, "handovers/miss")
		})
	}
}

// BenchmarkKill measures from the SIGKILL of a server's process to the failure of the last of 64 callers that wait for it.
func BenchmarkKill(b *testing.B) {
	for _, tr := range transports {
		b.Run(tr, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				took = append(took, kill(b, tr, 64))
			}
			slices.Sort(took)
			b.ReportMetric(float64(quantile(took, .5))/float64(time.Millisecond), "p50-ms")
			b.ReportMetric(float64(took[len(took)-1])/float64(time.Millisecond), "worst-ms")
		})
	}
}

// kill starts callers that wait for a child, kills it and gives the time until all have failed.
func kill(tb testing.TB, transport string, callers int) time.Duration {
	ch := startChild(tb, transport)
	o := peerOptions()
	o.CallTimeoutMS = 60_000
	p := netlayer.NewPeer(ch.framed, o)
	defer p.Close()
	failed := make(chan error, callers)
	for range callers {
		go func() { failed <- p.Do(&netlayer.Call{Op: wire.OpPropose}) }()
	}
	for p.Stats().InFlight < callers {
		time.Sleep(time.Millisecond)
	}
	t := time.Now()
	if err := ch.cmd.Process.Kill(); err != nil {
		tb.Fatal(err)
	}
	for range callers {
		if err := <-failed; wire.KindOf(err) != wire.KindUnavailable {
			tb.Errorf("a call to a killed peer ended with %v, want unavailable", err)
		}
	}
	return time.Since(t)
}

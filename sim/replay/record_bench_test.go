package replay

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRecordCost replays one trace with and without a recorder by turns, and gives the accesses/s with it as a share
// of those without: the median of pairs; and the same of accesses per second of processor time, which others on the machine disturb
// less. The pComponent and both mComponents are recorded, on one tape. They and its writer share one machine's processors.
func BenchmarkRecordCost(b *testing.B) {
	for _, c := range []struct {
		name, trace string
		change      func(*Spec)
	}{
		{"hits", "wordcount", func(s *Spec) { s.ExCache.Lines, s.Repeat, s.MaxRefs = 1024, 2, 1_000_000 }},
		{"misses", "sort", func(s *Spec) { s.ExCache.Lines, s.Repeat, s.MaxRefs = 64, 2, 100_000 }},
		{"threads", "sort", func(s *Spec) {
			s.ExCache.Lines, s.Repeat, s.MaxRefs, s.Order, s.Threads, s.Spread = 128, 2, 100_000, OrderThreads, 4, true
		}},
		{"blocks", "sqlite", func(s *Spec) { s.ExCache.Lines, s.Repeat, s.MaxRefs = 1024, 2, 0 }},
	} {
		b.Run(c.name, func(b *testing.B) {
			plain := newWorld(b)
			off := plain.node("p1", "")
			_, end := plain.recordTo()
			taped := newRecordedWorld(b, plain.recorder)
			taped.recorder = plain.recorder
			on := taped.node("p2", "")
			specs := map[*world]Spec{}
			for _, w := range []*world{plain, taped} {
				specs[w], _ = w.spec(c.trace, c.change)
			}
			rate := func(p *pnode) (accesses, perCPU float64, misses uint64) {
				w, spec := p.w, specs[p.w]
				w.pid++
				spec.PID = w.pid
				began, cpu := time.Now(), processorTime(b)
				r := p.host.Await(spec)
				if r.Error != "" {
					b.Fatal(r.Error)
				}
				n := float64(r.Counters.Accesses)
				return n / time.Since(began).Seconds(), n / (processorTime(b) - cpu).Seconds(), r.Counters.Misses
			}
			rate(off) // warm
			rate(on)
			var shares, perCPU, rates []float64
			var misses uint64
			for b.Loop() {
				without, cpuWithout, m := rate(off)
				with, cpuWith, _ := rate(on)
				shares, perCPU, rates, misses = append(shares, with/without), append(perCPU, cpuWith/cpuWithout), append(rates, without), m
			}
			slices.Sort(shares)
			slices.Sort(perCPU)
			slices.Sort(rates)
			b.ReportMetric(shares[len(shares)/2], "of-unrecorded")
			b.ReportMetric(perCPU[len(perCPU)/2], "of-unrecorded-cpu")
			b.ReportMetric(rates[len(rates)/2], "accesses/s")
			b.ReportMetric(float64(misses), "misses")
			on.stop()
			if e := end(); e.Full != "" {
				b.Error(e.Full)
			}
		})
	}
}

// processorTime is what this process has taken of all processors.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package replay

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkRecordCost replays one trace with and without a recorder by turns, and gives the accesses/s with it as a share
// of those without: the median of pairs. Processes, mComponents and the writer of the tape share one machine's processors.
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
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b)
			off := w.node("p1", "")
			_, end := w.recordTo()
			on := w.node("p2", "")
			spec, _ := w.spec(c.trace, c.change)
			rate := func(p *pnode) (accesses float64, misses uint64) {
				w.pid++
				spec.PID = w.pid
				began := time.Now()
				r := p.host.Await(spec)
				if r.Error != "" {
					b.Fatal(r.Error)
				}
				return float64(r.Counters.Accesses) / time.Since(began).Seconds(), r.Counters.Misses
			}
			rate(off) // warm
			rate(on)
			var shares, rates []float64
			var misses uint64
			for b.Loop() {
				without, m := rate(off)
				with, _ := rate(on)
				shares, rates, misses = append(shares, with/without), append(rates, without), m
			}
			slices.Sort(shares)
			slices.Sort(rates)
			b.ReportMetric(shares[len(shares)/2], "of-unrecorded")
			b.ReportMetric(rates[len(rates)/2], "accesses/s")
			b.ReportMetric(float64(misses), "misses")
			on.stop()
			if e := end(); e.Full != "" {
				b.Error(e.Full)
			}
		})
	}
}

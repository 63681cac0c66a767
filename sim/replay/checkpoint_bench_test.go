package replay

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkCheckpointCost replays a program with a checkpoint at every so many accesses and without by turns, live and with all components in
// one process: the ratio of accesses/s, and what one checkpoint takes.
func BenchmarkCheckpointCost(b *testing.B) {
	for _, c := range []struct {
		trace string
		every uint64
	}{{"wordcount", 1_000_000}, {"wordcount", 100_000}, {"sort", 100_000}, {"sqlite", 100_000}} {
		b.Run(fmt.Sprintf("%s/every=%d", c.trace, c.every), func(b *testing.B) {
			w := newWorld(b)
			p := w.node("p1", "")
			run := func(every uint64) (seconds float64, kept uint64) {
				s, _ := w.spec(c.trace, func(s *Spec) { s.MaxRefs = 1_000_000 })
				if every > 0 {
					w.withStore(&s, Checkpoints{On: true, Every: every, RoomBytes: 64 << 20})
				}
				began := time.Now()
				if r := p.host.Await(s); r.Error != "" {
					b.Fatal(r.Error)
				}
				took := time.Since(began).Seconds()
				st, _ := w.status(string(p.addr), s.PID)
				return took, st.Checkpoints
			}
			var with, without float64
			var kept uint64
			for b.Loop() {
				s, _ := run(0)
				without += s
				s, n := run(c.every)
				with, kept = with+s, kept+n
			}
			b.ReportMetric(without/with, "of_the_rate")
			b.ReportMetric(1000*(with-without)/float64(max(kept, 1)), "ms/checkpoint")
			b.ReportMetric(0, "ns/op")
		})
	}
}

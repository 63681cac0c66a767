package replay

import (
	"slices"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// BenchmarkProcessMove moves a process that makes accesses all the time, with all its lines in use. It reports the pause,
// and what the move would pause without writing back before: a drain of lines that are dirty from the load.
func BenchmarkProcessMove(b *testing.B) {
	w := newWorld(b)
	nodes := []*pnode{w.node("p1", ""), w.node("p2", "")}
	s, _ := w.spec("sort", func(s *Spec) { s.Repeat, s.ExCache.Lines = 1_000_000, 4096 })
	if err := nodes[0].host.Start(s); err != nil {
		b.Fatal(err)
	}
	var pauses, drains []float64
	b.ResetTimer()
	for i := range b.N {
		from, to := nodes[i%2], nodes[(i+1)%2]
		first, _ := w.status(string(from.addr), s.PID)
		w.until("load", func() bool { st, _ := w.status(string(from.addr), s.PID); return st.Done > first.Done+20_000 })
		j, err := from.host.job(s.PID)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if _, err := j.proc.Load().WriteBack(b.Context()); err != nil {
			b.Fatal(err)
		}
		drains = append(drains, float64(time.Since(began).Microseconds()))
		w.until("load", func() bool { st, _ := w.status(string(from.addr), s.PID); return st.Done > first.Done+60_000 })
		st := w.moved(from, w.order(s.PID, wire.Epoch(i+1), to))
		if st.State != wire.MoveDone {
			b.Fatalf("%+v", st)
		}
		pauses = append(pauses, float64(st.PauseUS))
	}
	b.StopTimer()
	if err := nodes[b.N%2].host.Stop(b.Context(), wire.ProcessStopReq{PID: s.PID}); err != nil {
		b.Fatal(err)
	}
	slices.Sort(pauses)
	slices.Sort(drains)
	b.ReportMetric(pauses[len(pauses)/2], "pause-p50-µs")
	b.ReportMetric(pauses[len(pauses)-1], "pause-max-µs")
	b.ReportMetric(drains[len(drains)/2], "drain-p50-µs")
}

package replay

import (
	"context"
	"slices"
	"time"

	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
)

const (
	// spreadInterval is how often loads are read during a run: as often as they are measured.
	spreadInterval = wire.LoadMS * time.Millisecond
	// maxReadings bounds the readings of a run; when there are more, every second one goes.
	maxReadings = 4096
	// spreadTimeout bounds the questions of one reading.
	spreadTimeout = time.Second
)

// reading is what the components of a manager reported at a time.
type reading struct {
	at    time.Time
	loads map[wire.NodeID]load
}

type load struct {
	epoch wire.Epoch
	wire.Load
}

// spreads reads the loads of all components while a run lasts, to compare how even they were before and after moves.
type spreads struct {
	gm       *client.Client
	readings [wire.GSM + 1][]reading // ascending by time
}

// follow reads until ctx ends. A manager that does not answer leaves a gap.
func (s *spreads) follow(ctx context.Context) {
	tick := time.NewTicker(spreadInterval)
	defer tick.Stop()
	for {
		s.read(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *spreads) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, spreadTimeout)
	defer cancel()
	for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		members, err := s.gm.Members(ctx, g)
		if err != nil {
			continue
		}
		r := reading{at: time.Now(), loads: map[wire.NodeID]load{}}
		for _, m := range members {
			if m.AgeMS >= 0 && m.Alive {
				r.loads[m.Member.ID] = load{m.Member.Epoch, m.Load}
			}
		}
		s.readings[g] = thin(append(s.readings[g], r), maxReadings)
	}
}

// thin takes every second reading away if there are more than most, but the last.
func thin(rs []reading, most int) []reading {
	if len(rs) <= most {
		return rs
	}
	last, kept := rs[len(rs)-1], rs[:0]
	for i := 0; i < len(rs)-1; i += 2 {
		kept = append(kept, rs[i])
	}
	return append(kept, last)
}

// measures are what is compared, by role.
var measures = []struct {
	manager wire.Manager
	role    wire.Role
	name    string
	rate    bool // of a cumulative counter
	of      func(wire.Load) float64
}{
	{wire.GPM, wire.RoleCompute, "threads", false, func(l wire.Load) float64 { return float64(l.Threads) }},
	{wire.GPM, wire.RoleCompute, "busy cores", false, func(l wire.Load) float64 { return l.BusyCores }},
	{wire.GMM, wire.RoleMemory, "misses and flushes/s", true, func(l wire.Load) float64 { return float64(l.Misses + l.Flushes) }},
	{wire.GMM, wire.RoleMemory, "resident bytes", false, func(l wire.Load) float64 { return float64(l.ResidentBytes) }},
	{wire.GMM, wire.RoleMemory, "memory-map calls/s", true, func(l wire.Load) float64 { return float64(l.MapOps) }},
	{wire.GMM, wire.RoleMemory, "buffer cache requests/s", true, func(l wire.Load) float64 { return float64(l.BlockOps) }},
	{wire.GMM, wire.RoleMemory, "queue delay µs", false, func(l wire.Load) float64 { return float64(l.QueueDelayUS) }},
	{wire.GSM, wire.RoleStorage, "block operations/s", true, func(l wire.Load) float64 { return float64(l.BlockOps) }},
	{wire.GSM, wire.RoleStorage, "reserved bytes", false, func(l wire.Load) float64 { return float64(l.ReservedBytes) }},
}

// compare gives the spread of each measure before first and after last, the times of the first move's begin and the last
// move's end; both zero compare the whole run with itself.
func (s *spreads) compare(first, last time.Time) []report.Balance {
	out := []report.Balance{}
	for _, m := range measures {
		rs := s.readings[m.manager]
		if len(rs) == 0 {
			continue
		}
		before, after := rs, rs
		if !first.IsZero() {
			i, _ := slices.BinarySearchFunc(rs, first, func(r reading, t time.Time) int { return r.at.Compare(t) })
			j, _ := slices.BinarySearchFunc(rs, last, func(r reading, t time.Time) int { return r.at.Compare(t) })
			before, after = rs[:max(i, 1)], rs[min(j, len(rs)-1):]
		}
		out = append(out, report.Balance{Role: m.role.String(), Measure: m.name, Before: spread(before, m.rate, m.of), After: spread(after, m.rate, m.of)})
	}
	return out
}

// spread is that of the mean of a level, or of the rate of a counter, over readings; of a counter that began again in
// between the part after that. A component counts from its first reading on; one that is gone at the end does not.
func spread(rs []reading, rate bool, of func(wire.Load) float64) report.Spread {
	var ids []wire.NodeID
	for id := range rs[len(rs)-1].loads {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	xs := make([]float64, 0, len(ids))
	for _, id := range ids {
		end := rs[len(rs)-1].loads[id]
		sum, n, first := 0.0, 0, rs[len(rs)-1]
		for i := len(rs) - 1; i >= 0; i-- {
			l, ok := rs[i].loads[id]
			if !ok || l.epoch != end.epoch {
				break
			}
			sum, n, first = sum+of(l.Load), n+1, rs[i]
		}
		switch {
		case !rate:
			xs = append(xs, sum/float64(n))
		case n > 1:
			xs = append(xs, max(0, of(end.Load)-of(first.loads[id].Load))/rs[len(rs)-1].at.Sub(first.at).Seconds())
		default:
			xs = append(xs, of(end.Load)) // one reading: what it counted so far
		}
	}
	return report.Spread{CoV: balance.CoV(xs), Jain: balance.Jain(xs)}
}

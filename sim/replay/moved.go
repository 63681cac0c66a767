package replay

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
)

// maxMoveTime is the longest pause or duration of a move that is told apart, in ns.
const maxMoveTime = int64(24 * time.Hour)

// watchSpread reads loads until stop is called, which waits for the reader.
func (r *controller) watchSpread(ctx context.Context) (s *spreads, stop func()) {
	s = &spreads{gm: r.gm}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.follow(ctx)
	}()
	return s, func() { cancel(); <-done }
}

// collectMoves adds what moved since the run began, and how even the loads were before and after.
func (r *controller) collectMoves(ctx context.Context, began time.Time, even *spreads) {
	ctx, cancel := context.WithTimeout(ctx, StopPatience)
	defer cancel()
	var moves []movelist.Move
	for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		ms, err := r.gm.Moves(ctx, g)
		if err != nil {
			r.warn("%v does not tell what moved: %v", g, err)
			continue
		}
		for _, m := range ms {
			if m.BegunMS >= began.UnixMilli() {
				moves = append(moves, m)
			}
		}
	}
	r.rehome(moves)
	r.sum.Moves = sumMoves(moves)
	var first, last time.Time
	for _, m := range moves {
		if at := time.UnixMilli(m.BegunMS); first.IsZero() || at.Before(first) {
			first = at
		}
		if at := time.UnixMilli(m.EndedMS); m.Ended() && at.After(last) {
			last = at
		}
	}
	r.sum.Balance = even.compare(first, last)
}

// rehome tells of each process the home that it had last. Those of one process come in the order of their ends.
func (r *controller) rehome(moves []movelist.Move) {
	home := map[wire.PID]wire.NodeID{}
	for _, m := range moves {
		if m.Req.Kind == wire.MoveHome && m.State == wire.MoveDone {
			home[m.Req.PID] = m.Req.To
		}
	}
	for _, v := range r.vnodes {
		if to, moved := home[v.spec.PID]; moved {
			v.spec.Home.Node = to
		}
	}
	for i := range r.sum.VNodes {
		if to, moved := home[r.sum.VNodes[i].PID]; moved {
			r.sum.VNodes[i].Home = to
		}
	}
}

// sumMoves sums up moves by kind, in the order of kinds.
func sumMoves(moves []movelist.Move) []report.Moves {
	out := []report.Moves{}
	for k := wire.MoveRegion; k <= wire.MoveCache; k++ {
		x := report.Moves{Kind: k.String()}
		pause, took := hdrhistogram.New(1000, maxMoveTime, 2), hdrhistogram.New(1000, maxMoveTime, 2)
		for _, m := range moves {
			if m.Req.Kind != k || !m.Ended() {
				continue
			}
			x.Bytes += m.Bytes
			switch m.State {
			case wire.MoveDone:
				x.Done++
				// Neither exceeds maxMoveTime unless a giver is out of its mind, and then the histogram leaves it out.
				_ = pause.RecordValue(int64(m.PauseUS) * 1000)
				_ = took.RecordValue(int64(m.DurationUS) * 1000)
			case wire.MoveUndone:
				x.Undone++
			case wire.MoveLost:
				x.Lost++
			}
		}
		if x.Done+x.Undone+x.Lost > 0 {
			x.Pause, x.Took = latency(pause), latency(took)
			out = append(out, x)
		}
	}
	return out
}

// relocate brings up to date where the volumes of the run are, for they may have moved. What cannot be learned stays as it was.
func (r *controller) relocate(ctx context.Context) {
	any := false
	for _, v := range r.vnodes {
		any = any || len(v.volumes) > 0
	}
	if !any {
		return
	}
	now, err := r.gm.Volumes(ctx)
	members, merr := r.gm.Members(ctx, wire.GSM)
	if err != nil || merr != nil {
		return
	}
	addrs := map[wire.NodeID]string{}
	for _, m := range members {
		addrs[m.Member.ID] = m.Member.Addr
	}
	for _, n := range now {
		for _, v := range r.vnodes {
			for i := range v.volumes {
				if w := &v.volumes[i]; w.Volume == n.Volume && addrs[n.Storage] != "" {
					*w = n.Place(func(id wire.NodeID) string { return addrs[id] })
				}
			}
		}
	}
}

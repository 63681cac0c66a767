package replay

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"splitkernel/sim/faults"
	"splitkernel/sim/report"
)

const (
	// FaultPoll is how often progress is asked for while a fault waits for a part of the run, and how often moments are looked at.
	FaultPoll = 10 * time.Millisecond
	// HealPatience bounds the end of what a run made go wrong.
	HealPatience = 10 * time.Second
)

// Struck is what became of a fault.
type Struck struct {
	ID    int    // for Heal
	What  string // "m2 (process 4711) was killed"
	Lost  []string
	Lasts bool // it goes on until its duration is over or it is healed
}

// wrongs is what goes wrong during a live run. One goroutine has it happen, in the order of the moments and, of one, of the list.
type wrongs struct {
	o       *RunOptions
	waiting []faults.Fault
	share   atomic.Uint64 // of the run that is made, in millionths
	byPart  atomic.Int64  // faults that wait for a part of the run
	began   time.Time
	stop    context.CancelFunc
	done    chan struct{}

	// Of the goroutine until done.
	told []report.Fault
	last []int // what goes on
}

// goWrong begins. end must follow.
func goWrong(ctx context.Context, o *RunOptions, began time.Time) *wrongs {
	w := &wrongs{o: o, began: began, done: make(chan struct{})}
	nodes := make([]faults.Node, 0, len(o.Nodes))
	for _, n := range o.Nodes {
		nodes = append(nodes, faults.Node{ID: n.ID, Role: n.Role})
	}
	w.waiting = resolved(o.Workload.WhatFails(), nodes, o.Workload.Seed)
	for _, f := range w.waiting {
		if f.At.Progress {
			w.byPart.Add(1)
		}
	}
	ctx, w.stop = context.WithCancel(ctx)
	if o.Strike == nil || len(w.waiting) == 0 {
		close(w.done)
		return w
	}
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
	return w
}

// resolved draws who is meant by any.
func resolved(list []faults.Fault, nodes []faults.Node, seed uint64) []faults.Fault {
	for i := range list {
		list[i] = faults.Resolve(list[i], nodes, faults.Stream(seed, i))
	}
	return list
}

func (w *wrongs) run(ctx context.Context) {
	tick := time.NewTicker(FaultPoll)
	defer tick.Stop()
	for len(w.waiting) > 0 {
		if i := w.due(); i >= 0 {
			f := w.waiting[i]
			w.waiting = slices.Delete(w.waiting, i, i+1)
			w.strike(ctx, f)
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// due is the first fault whose moment has come, or -1.
func (w *wrongs) due() int {
	after, share := time.Since(w.began), faults.Share(w.share.Load())
	return slices.IndexFunc(w.waiting, func(f faults.Fault) bool {
		return f.At.Progress && f.At.Share <= share || f.At.Timed() && f.At.After <= after
	})
}

func (w *wrongs) strike(ctx context.Context, f faults.Fault) {
	if f.At.Progress {
		w.byPart.Add(-1)
	}
	told := report.Fault{Fault: f.String(), State: report.FaultDone, AtSeconds: time.Since(w.began).Seconds(), AtPercent: float64(w.share.Load()) / 1e4}
	st, err := w.o.Strike(ctx, f)
	if told.What, told.Lost = st.What, st.Lost; err != nil {
		if ctx.Err() != nil { // the run ended meanwhile
			told.State = report.FaultNever
		} else {
			told.State, told.Error = report.FaultFailed, err.Error()
		}
	} else if st.Lasts && f.Kind != faults.Kill { // who was killed stays dead
		w.last = append(w.last, st.ID)
	}
	w.o.Log.Warn("a fault was injected", "fault", told.Fault, "state", told.State, "what", told.What, "error", told.Error)
	w.told = append(w.told, told)
}

// interval hears how far the run is, and says how often it wants to.
func (w *wrongs) interval(done, total uint64) time.Duration {
	if total > 0 {
		w.share.Store(min(done*uint64(faults.Whole)/total, uint64(faults.Whole)))
	}
	if w.byPart.Load() > 0 && w.o.Strike != nil {
		return FaultPoll
	}
	return PollInterval
}

// end has nothing more go wrong, ends what goes on, and tells what happened. What waits is told as such.
func (w *wrongs) end(ctx context.Context) []report.Fault {
	w.stop()
	<-w.done
	if len(w.last) > 0 && w.o.Heal != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), HealPatience)
		defer cancel()
		if err := w.o.Heal(ctx, w.last); err != nil {
			w.o.Log.Warn("faults did not end as they should", "error", err)
		}
	}
	for _, f := range w.waiting {
		w.told = append(w.told, report.Fault{Fault: f.String(), State: report.FaultNever})
	}
	return w.told
}

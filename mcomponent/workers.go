package mcomponent

import (
	"sync"
	"sync/atomic"
	"time"
)

// workers bounds how many requests are served at once. Without contention it is two atomic additions per request.
type workers struct {
	limit   int32
	busy    atomic.Int32
	waiting atomic.Int32
	waits   atomic.Uint64
	waited  atomic.Int64 // ns, of those that had to
	mu      sync.Mutex
	free    sync.Cond
}

func newWorkers(limit int) *workers {
	w := &workers{limit: int32(limit)}
	w.free.L = &w.mu
	return w
}

func (w *workers) try() bool {
	for {
		n := w.busy.Load()
		if n >= w.limit {
			return false
		}
		if w.busy.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// enter waits for a worker.
func (w *workers) enter() {
	if w.try() {
		return
	}
	w.waits.Add(1)
	began := time.Now()
	defer func() { w.waited.Add(int64(time.Since(began))) }()
	w.mu.Lock()
	w.waiting.Add(1) // before the second try: whoever leaves after it failed sees this and signals
	for !w.try() {
		w.free.Wait()
	}
	w.waiting.Add(-1)
	w.mu.Unlock()
}

// leave gives the worker back.
func (w *workers) leave() {
	w.busy.Add(-1)
	if w.waiting.Load() > 0 {
		w.mu.Lock()
		w.free.Signal()
		w.mu.Unlock()
	}
}

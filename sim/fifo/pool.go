package fifo

import (
	"fmt"
	"time"
)

// Pool is a bounded queue in front of workers that are released by the model. J names a job.
type Pool[J any] struct {
	free, workers int
	ring          []J
	head, waiting int
	limit         int
	since         time.Duration // of the last change
	busy, queued  time.Duration // worker time, waiting time
	refused       uint64
}

// NewPool makes a pool of 1 to MaxWorkers workers in front of which at most limit jobs wait.
func NewPool[J any](workers, limit int) *Pool[J] {
	if workers < 1 || workers > MaxWorkers || limit < 0 {
		panic(fmt.Sprintf("fifo: %d workers and a queue of %d, want 1 to %d workers and a queue of at least 0", workers, limit, MaxWorkers))
	}
	return &Pool[J]{free: workers, workers: workers, limit: limit}
}

// Outcome of an arrival.
type Outcome uint8

// Outcomes.
const (
	Begin   Outcome = iota + 1 // a worker has begun with the job
	Wait                       // it waits; a Release will give it
	Refused                    // the queue is full
)

// Arrive brings a job at now.
func (p *Pool[J]) Arrive(now time.Duration, job J) Outcome {
	p.account(now)
	switch {
	case p.free > 0:
		p.free--
		return Begin
	case p.waiting == p.limit:
		p.refused++
		return Refused
	}
	if p.waiting == len(p.ring) {
		p.grow()
	}
	p.ring[(p.head+p.waiting)%len(p.ring)] = job
	p.waiting++
	return Wait
}

// Release ends a worker's job at now. If a job waits, the worker has begun with it.
func (p *Pool[J]) Release(now time.Duration) (next J, ok bool) {
	p.account(now)
	if p.waiting == 0 {
		if p.free == p.workers {
			panic("fifo: a worker is released that had no job")
		}
		p.free++
		return next, false
	}
	next = p.ring[p.head]
	var none J
	p.ring[p.head] = none
	p.head = (p.head + 1) % len(p.ring)
	p.waiting--
	return next, true
}

// grow doubles the ring up to the limit.
func (p *Pool[J]) grow() {
	bigger := make([]J, min(max(2*len(p.ring), 16), p.limit))
	for i := range p.waiting {
		bigger[i] = p.ring[(p.head+i)%len(p.ring)]
	}
	p.ring, p.head = bigger, 0
}

func (p *Pool[J]) account(now time.Duration) {
	if now < p.since {
		panic(fmt.Sprintf("fifo: a pool is told of %v after %v", now, p.since))
	}
	d := now - p.since
	p.busy += d * time.Duration(p.workers-p.free)
	p.queued += d * time.Duration(p.waiting)
	p.since = now
}

// PoolStats are sums up to the last arrival or release.
type PoolStats struct {
	Busy, Queued time.Duration // of all workers, of all waiting jobs
	Refused      uint64
}

// Stats of the pool.
func (p *Pool[J]) Stats() PoolStats { return PoolStats{p.busy, p.queued, p.refused} }

// Waiting says how many jobs wait and how many workers are busy.
func (p *Pool[J]) Waiting() (jobs, busy int) { return p.waiting, p.workers - p.free }

// CheckInvariants says what is wrong with the pool's own state: a job waits only if no worker is free.
func (p *Pool[J]) CheckInvariants() error {
	if p.free < 0 || p.free > p.workers || p.waiting < 0 || p.waiting > min(p.limit, len(p.ring)) || p.waiting > 0 && p.free > 0 {
		return fmt.Errorf("fifo: %d of %d workers free while %d jobs wait in a ring of %d, limit %d", p.free, p.workers, p.waiting, len(p.ring), p.limit)
	}
	return nil
}

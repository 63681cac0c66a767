package fifo

import (
	"fmt"
	"time"

	"splitkernel/sim/units"
)

// MaxWorkers bounds the workers of a Server or a Pool.
const MaxWorkers = 4096

// Server is a queue in front of equal workers. Make one with New.
type Server struct {
	free  []time.Duration // when each worker becomes free, a binary heap
	last  time.Duration   // latest arrival
	carry units.Carry
	busy  time.Duration
	jobs  uint64
	one   [1]time.Duration // what free is of a server of one worker: beside the rest in memory
}

// New makes a server of 1 to MaxWorkers workers.
func New(workers int) *Server {
	if workers < 1 || workers > MaxWorkers {
		panic(fmt.Sprintf("fifo: %d workers, want 1 to %d", workers, MaxWorkers))
	}
	s := &Server{}
	if workers == 1 {
		s.free = s.one[:]
	} else {
		s.free = make([]time.Duration, workers)
	}
	return s
}

// Serve takes a job that arrives now and costs so much of one worker; it says when a worker begins with it and when it ends.
// Arrivals are in the order of time: one before an earlier call's is a fault of the model and panics.
func (s *Server) Serve(now time.Duration, cost units.Picos) (start, end time.Duration) {
	start = s.Start(now)
	end = start + s.carry.Take(cost)
	s.End(start, end)
	return start, end
}

// Start is the first half of Serve, for a job whose end follows from its start: it says when a worker begins with a job that
// arrives now. End must follow before the next job.
func (s *Server) Start(now time.Duration) time.Duration {
	if now < s.last {
		panic(fmt.Sprintf("fifo: arrival at %v after one at %v, want them in order: make it an event", now, s.last))
	}
	s.last = now
	return max(now, s.free[0])
}

// End is the second half: the worker that began at start is free at end.
func (s *Server) End(start, end time.Duration) {
	if end < start {
		panic(fmt.Sprintf("fifo: a job that begins at %v ends at %v", start, end))
	}
	s.busy += end - start
	s.jobs++
	s.free[0] = end
	s.sink()
}

// Free says when the first worker becomes free, at the earliest now.
func (s *Server) Free(now time.Duration) time.Duration { return max(now, s.free[0]) }

// Stats are how many jobs were served and how long workers were or will be busy with them.
func (s *Server) Stats() (jobs uint64, busy time.Duration) { return s.jobs, s.busy }

// CheckInvariants says what is wrong with the server's own state.
func (s *Server) CheckInvariants() error {
	for i := 1; i < len(s.free); i++ {
		if p := (i - 1) / 2; s.free[p] > s.free[i] {
			return fmt.Errorf("fifo: worker %d is free at %v, before %d at %v", i, s.free[i], p, s.free[p])
		}
	}
	return nil
}

// sink restores the heap after the root has grown.
func (s *Server) sink() {
	f := s.free
	v, i := f[0], 0
	for {
		c := 2*i + 1
		if c >= len(f) {
			break
		}
		if c+1 < len(f) && f[c+1] < f[c] {
			c++
		}
		if f[c] >= v {
			break
		}
		f[i] = f[c]
		i = c
	}
	f[i] = v
}

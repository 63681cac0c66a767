package replay

import (
	"sync"

	"splitkernel/pcomponent"
	"splitkernel/sim/trace"
)

// Names of limits.
const (
	// ThreadQueue bounds the runs of references that wait for one thread.
	ThreadQueue = 4
	// ThreadRun is how many references one run holds at most.
	ThreadRun = 4096
	// SpreadRun is how many consecutive references one thread gets when references are spread over more threads than the
	// trace has.
	SpreadRun = 64
)

// run is references for one thread. first is the position of its first in the trace; those after it are further on than
// their place in the run says, for other threads' references lie between.
type run struct {
	refs  []trace.Ref
	first uint64
}

// threaded gives each thread its references, which it makes concurrently with the others.
type threaded struct {
	j     *job
	lanes []*lane
	wg    sync.WaitGroup // the threads
	busy  sync.WaitGroup // runs handed out and not made

	mu  sync.Mutex
	err error // the first
}

// lane is one thread.
type lane struct {
	t    *pcomponent.Thread
	in   chan run
	free chan []trace.Ref
	fill []trace.Ref
	from uint64 // position of the first of fill
}

func newThreaded(j *job, p *pcomponent.Process) *threaded {
	s := &threaded{j: j}
	for i := range j.spec.Threads {
		l := &lane{t: p.Thread(i), in: make(chan run, ThreadQueue), free: make(chan []trace.Ref, ThreadQueue+1)}
		for range cap(l.free) {
			l.free <- make([]trace.Ref, 0, ThreadRun)
		}
		s.lanes = append(s.lanes, l)
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			for r := range l.in {
				if s.failed() == nil {
					s.fail(l.make(j, r))
				}
				l.free <- r.refs[:0]
				s.busy.Done()
			}
		}()
	}
	return s
}

func (s *threaded) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *threaded) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// make makes the references of a run.
func (l *lane) make(j *job, r run) error {
	for at := 0; at < len(r.refs); at += LockBatch {
		if err := j.access(l.t, r.refs[at:min(at+LockBatch, len(r.refs))], r.first+uint64(at)); err != nil {
			return err
		}
	}
	return nil
}

// refs hands references to their threads.
func (s *threaded) refs(rs []trace.Ref, first uint64) (int, error) {
	taken := len(rs)
	for i := range rs {
		if i%LockBatch == LockBatch-1 && s.j.halt.Load() != nil {
			taken = i
			break
		}
		l := s.lanes[s.j.spec.lane(&rs[i], first+uint64(i))]
		if l.fill == nil {
			l.fill, l.from = <-l.free, first+uint64(i)
		}
		if l.fill = append(l.fill, rs[i]); len(l.fill) == ThreadRun {
			s.hand(l)
		}
	}
	for _, l := range s.lanes {
		s.hand(l)
	}
	return taken, s.failed()
}

func (s *threaded) hand(l *lane) {
	if len(l.fill) > 0 {
		s.busy.Add(1)
		l.in <- run{l.fill, l.from}
		l.fill = nil
	}
}

func (s *threaded) barrier() error {
	s.busy.Wait()
	return s.failed()
}

func (s *threaded) close() {
	for _, l := range s.lanes {
		close(l.in)
	}
	s.wg.Wait()
}

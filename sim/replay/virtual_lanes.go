package replay

import (
	"fmt"

	"splitkernel/pcomponent/excache"
	"splitkernel/sim/trace"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

// excache gives the ExCache of the process: with all memory at hand, one that holds whatever the trace touches.
func (p *vprocess) excache() excache.Options {
	o := p.spec.ExCache
	if p.local {
		o.Policy, o.Mechanism, o.Ways = excache.DefaultOptions().Policy, excache.DefaultOptions().Mechanism, 0
		o.Prefetcher = excache.DefaultOptions().Prefetcher
		o.Lines = int(max(p.v.info.FootprintPages, 1))
	}
	return o
}

// accesses gives who makes the accesses of a process in virtual time.
func (p *vprocess) accesses() accesses {
	if p.spec.Order != OrderThreads {
		t := p.p.Thread(0)
		t.Begin(p.y)
		return &virtualSequence{p, t}
	}
	s := &virtualThreads{p: p}
	s.room.Name, s.idle.Name = "room for references of process "+p.spec.Name, "the threads of process "+p.spec.Name
	for i := range p.spec.Threads {
		l := &virtualLane{t: p.p.Thread(i)}
		l.work.Name = fmt.Sprintf("references for thread %d of process %s", i, p.spec.Name)
		s.lanes = append(s.lanes, l)
		p.c.Go(fmt.Sprintf("%s, thread %d", p.spec.Name, i), func(y *vtime.Proc) { s.serve(l, y) })
	}
	return s
}

// virtualSequence makes the accesses one after the other.
type virtualSequence struct {
	p *vprocess
	t *vcluster.Thread
}

func (s *virtualSequence) refs(rs []trace.Ref, first uint64) (int, error) {
	for at := 0; at < len(rs); at += LockBatch {
		if err := s.p.access(s.t, rs[at:min(at+LockBatch, len(rs))], first+uint64(at)); err != nil {
			return at, err
		}
	}
	return len(rs), nil
}

func (s *virtualSequence) barrier() error { s.t.Sync(); return nil }
func (s *virtualSequence) close()         {}

// access makes a few accesses, each checked when it is performed.
func (p *vprocess) access(t *vcluster.Thread, rs []trace.Ref, first uint64) error {
	p.began = true
	for i := range rs {
		r := &rs[i]
		page, write := r.Page(), r.Write()
		t.Compute(uint64(r.Gap))
		s, err := t.Access(page, write)
		if err != nil {
			p.checked += uint64(i)
			p.done.Add(uint64(i))
			return fmt.Errorf("%s: %s: %w", p.spec.Name, p.where(first+uint64(i)), err)
		}
		ok := false
		if write {
			ok = p.pages.WriteStamp(page, (*[16]byte)(s))
		} else {
			ok = p.pages.ReadStamp(page, (*[16]byte)(s))
		}
		if !ok {
			p.wrongPage(page, p.pages.DescribeStamp(page, (*[16]byte)(s)), first+uint64(i))
		}
		if i%sampleEvery == sampleEvery-1 {
			p.sample()
		}
	}
	p.checked += uint64(len(rs))
	p.sample()
	if p.done.Add(uint64(len(rs))); p.progress != nil {
		p.progress(uint64(len(rs)))
	}
	return nil
}

// virtualThreads gives each thread its references, as threaded does live.
type virtualThreads struct {
	p     *vprocess
	lanes []*virtualLane
	busy  int // runs handed out and not made
	ended bool
	err   error
	room  vtime.Signal // a run was made
	idle  vtime.Signal // all were
}

// virtualLane is one thread.
type virtualLane struct {
	t     *vcluster.Thread
	queue []run
	fill  []trace.Ref
	from  uint64
	work  vtime.Signal
}

// serve makes the runs of a lane.
func (s *virtualThreads) serve(l *virtualLane, y *vtime.Proc) {
	l.t.Begin(y)
	for {
		for len(l.queue) == 0 {
			if s.ended {
				return
			}
			y.Wait(&l.work)
		}
		r := l.queue[0]
		l.queue = l.queue[1:]
		for at := 0; at < len(r.refs) && s.err == nil; at += LockBatch {
			if err := s.p.access(l.t, r.refs[at:min(at+LockBatch, len(r.refs))], r.first+uint64(at)); err != nil && s.err == nil {
				s.err = err
			}
		}
		l.t.Sync()
		s.busy--
		s.room.Broadcast()
		if s.busy == 0 {
			s.idle.Broadcast()
		}
	}
}

func (s *virtualThreads) refs(rs []trace.Ref, first uint64) (int, error) {
	for i := range rs {
		l := s.lanes[s.p.spec.lane(&rs[i], first+uint64(i))]
		if l.fill == nil {
			l.fill, l.from = make([]trace.Ref, 0, ThreadRun), first+uint64(i)
		}
		if l.fill = append(l.fill, rs[i]); len(l.fill) == ThreadRun {
			s.hand(l)
		}
	}
	for _, l := range s.lanes {
		s.hand(l)
	}
	return len(rs), s.err
}

func (s *virtualThreads) hand(l *virtualLane) {
	if len(l.fill) == 0 {
		return
	}
	for len(l.queue) >= ThreadQueue && s.err == nil {
		s.p.y.Wait(&s.room)
	}
	s.busy++
	l.queue = append(l.queue, run{l.fill, l.from})
	l.fill = nil
	l.work.Wake()
}

func (s *virtualThreads) barrier() error {
	for s.busy > 0 {
		s.p.y.Wait(&s.idle)
	}
	return s.err
}

// close returns when the threads make no access any more: one that sleeps when another fails still has hits before it, and what the pages
// must hold may then be that of a checkpoint already.
func (s *virtualThreads) close() {
	s.ended = true
	for _, l := range s.lanes {
		l.work.Broadcast()
	}
	for s.busy > 0 {
		s.p.y.Wait(&s.idle)
	}
}

package replay

import (
	"fmt"

	"splitkernel/pcomponent"
	"splitkernel/sim/trace"
)

// accesses gives who makes the accesses of a live process.
func (j *job) accesses(p *pcomponent.Process) accesses {
	if j.spec.Order == OrderThreads {
		return newThreaded(j, p)
	}
	return &sequential{j: j, t: p.Thread(0)}
}

// sequential makes the accesses one after the other.
type sequential struct {
	j *job
	t *pcomponent.Thread
}

func (s *sequential) barrier() error { return nil }
func (s *sequential) close()         {}

func (s *sequential) refs(rs []trace.Ref, first uint64) (int, error) {
	for at := 0; at < len(rs); {
		n := min(len(rs)-at, LockBatch)
		if err := s.j.access(s.t, rs[at:at+n], first+uint64(at)); err != nil {
			return at, err
		}
		if at += n; s.j.halt.Load() != nil {
			return at, nil
		}
	}
	return len(rs), nil
}

// access makes a few accesses under the process's lock, each checked in the critical section that performs it.
func (j *job) access(t *pcomponent.Thread, rs []trace.Ref, first uint64) error {
	t.Begin()
	defer t.End()
	j.began = true
	for i := range rs {
		r := &rs[i]
		page, write := r.Page(), r.Write()
		b, err := t.Access(page, write)
		if err != nil {
			j.checked += uint64(i)
			j.done.Add(uint64(i))
			return fmt.Errorf("%s: %s: %w", j.spec.Name, j.where(first+uint64(i)), err)
		}
		ok := false
		if write {
			ok = j.pages.Write(page, b)
		} else {
			ok = j.pages.Read(page, b)
		}
		if !ok {
			j.wrongPage(page, j.pages.Describe(page, b), first+uint64(i))
		}
	}
	j.checked += uint64(len(rs))
	j.done.Add(uint64(len(rs)))
	return nil
}

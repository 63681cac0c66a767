package replay

import (
	"errors"
	"fmt"
	"io"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/trace"
)

// recorded is what the tape of a process says of its driver: which references it makes.
type recorded struct {
	Spec Spec
	Done uint64 // references made at other pComponents, before
}

// References are those of a recorded process, dealt to its threads as its replay dealt them. They are read as they are
// asked for. One goroutine uses them.
type References struct {
	spec   Spec
	path   string
	src    trace.Source
	repeat int
	left   uint64 // of MaxRefs
	skip   uint64
	lanes  []laneRefs
	queued int
	batch  int // references of the batch read last
}

// laneRefs wait for one thread.
type laneRefs struct {
	refs []trace.Ref
	next int
	skip uint64 // references that it has made before
}

// NewReferences reads what drove a process, from the head of its tape. path tells where the trace is now.
func NewReferences(program []byte, path func(Spec) (string, error)) (*References, error) {
	var p recorded
	if err := wire.Unmarshal(program, &p); err != nil {
		return nil, fmt.Errorf("what drove the process: %w", err)
	}
	if err := p.Spec.validate(); err != nil {
		return nil, err
	}
	at, err := path(p.Spec)
	if err != nil {
		return nil, err
	}
	n := p.Spec.Threads
	if p.Spec.Order == OrderTrace {
		n = 1
	}
	return &References{spec: p.Spec, path: at, skip: p.Done, lanes: make([]laneRefs, n)}, nil
}

// Next gives the next reference of a thread; io.EOF after its last.
func (r *References) Next(thread int) (page uint64, write bool, err error) {
	if thread >= len(r.lanes) {
		return 0, false, fmt.Errorf("thread %d makes an access, the process has %d that do", thread, len(r.lanes))
	}
	l := &r.lanes[thread]
	for l.next == len(l.refs) {
		l.refs, l.next = l.refs[:0], 0
		// So much may wait for other threads in a live run, and one batch.
		if limit := len(r.lanes)*(ThreadQueue+1)*ThreadRun + r.batch; r.queued > limit {
			return 0, false, fmt.Errorf("thread %d makes more accesses than the trace %s has for it: %d references of other threads wait", thread, r.path, r.queued)
		}
		if err := r.read(); err != nil {
			return 0, false, err
		}
	}
	f := &l.refs[l.next]
	l.next++
	r.queued--
	return f.Page(), f.Write(), nil
}

// Skip passes over references that each thread has made, before the first Next.
func (r *References) Skip(made []uint64) error {
	for t, n := range made {
		if t < len(r.lanes) {
			r.lanes[t].skip = n
		} else if n > 0 {
			return fmt.Errorf("thread %d has made %d accesses, the process has %d that do", t, n, len(r.lanes))
		}
	}
	return nil
}

// read deals one more batch.
func (r *References) read() error {
	if r.src == nil {
		if r.repeat == r.spec.Repeat {
			return io.EOF
		}
		src, err := trace.OpenFormat(r.path, r.spec.Format)
		if err != nil {
			return err
		}
		r.src, r.left = src, r.spec.MaxRefs
	}
	b, err := r.src.Next()
	if errors.Is(err, io.EOF) {
		return r.rewind()
	} else if err != nil {
		return err
	}
	refs := b.Refs
	if r.spec.MaxRefs > 0 && uint64(len(refs)) > r.left {
		refs = refs[:r.left]
	}
	r.batch = len(refs)
	for i := range refs {
		if r.skip > 0 {
			r.skip--
			continue
		}
		l := &r.lanes[r.spec.lane(&refs[i], b.First+uint64(i))]
		if l.skip > 0 {
			l.skip--
			continue
		}
		l.refs = append(l.refs, refs[i])
		r.queued++
	}
	if r.left -= uint64(len(refs)); r.spec.MaxRefs > 0 && r.left == 0 {
		return r.rewind()
	}
	return nil
}

// rewind ends a repetition.
func (r *References) rewind() error {
	r.repeat++
	return r.Close()
}

// Close closes the trace.
func (r *References) Close() error {
	if r.src == nil {
		return nil
	}
	src := r.src
	r.src = nil
	if err := src.Close(); err != nil {
		return fmt.Errorf("close %s: %w", r.path, err)
	}
	return nil
}

// lane is the thread that makes a reference; first is its position in the trace.
func (s *Spec) lane(r *trace.Ref, first uint64) int {
	switch {
	case s.Order == OrderTrace:
		return 0
	case s.Spread:
		return int(first/SpreadRun) % s.Threads
	}
	return int(r.Thread) % s.Threads
}

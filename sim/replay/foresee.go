package replay

import (
	"context"
	"fmt"
	"io"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/policy"
	"splitkernel/sim/trace"
)

// foreseeing is the policy that must know all references beforehand.
const foreseeing = "belady"

// foreseeable reports why a process cannot have belady, before anything of it runs: its references must come in one order, known
// beforehand, and its ExCache must not begin anew on the way.
func (s *Spec) foreseeable(info trace.Info) error {
	if s.ExCache.Policy != foreseeing {
		return nil
	}
	refs := info.Refs
	if s.MaxRefs > 0 {
		refs = min(refs, s.MaxRefs)
	}
	switch {
	case s.Threads > 1:
		return fmt.Errorf("%q for a trace of %d threads, want one thread: the order of the references must be known beforehand; set threads: 1, or choose another policy", foreseeing, s.Threads)
	case s.Checkpoints.On:
		return fmt.Errorf("%q for a process that may be restarted, want no checkpoints and restart: never: its ExCache would begin anew among the references", foreseeing)
	case refs > policy.MaxFuture/uint64(s.Repeat):
		return fmt.Errorf("%q for %d references, %d times, want at most %d in all, which take 4 bytes each; set max_refs, or slice or sample the trace", foreseeing, refs, s.Repeat, policy.MaxFuture)
	}
	return nil
}

// foresee reads the trace of a process that has belady once, beforehand: when each page will be used next. Of other processes it is nil.
func (s *Spec) foresee(ctx context.Context) (*policy.Future, error) {
	if s.ExCache.Policy != foreseeing {
		return nil, nil
	}
	if err := s.foreseeable(trace.Info{}); err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "process %s: excache.policy: %v", s.Name, err)
	}
	f := policy.NewFuture()
	for range s.Repeat {
		src, err := trace.OpenFormat(s.Trace, s.Format)
		if err != nil {
			return nil, err
		}
		err = foreseeOnce(trace.Stoppable(ctx, src), s.MaxRefs, f)
		_ = src.Close() // it was only read
		if err != nil {
			return nil, err
		}
	}
	f.End()
	return f, nil
}

// foreseeOnce reads the references of one repetition, at most so many if that is not 0. What is unmapped has no use any more, and so has
// all at its end.
func foreseeOnce(src trace.Source, most uint64, f *policy.Future) error {
	left, brk := most, uint64(0)
	for most == 0 || left > 0 {
		b, err := src.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		refs := b.Refs
		if most > 0 && uint64(len(refs)) > left {
			refs = refs[:left]
		}
		at := 0
		add := func(to int) error {
			for ; at < to; at++ {
				if err := f.Add(refs[at].Page()); err != nil {
					return err
				}
			}
			return nil
		}
		for i := range b.Events {
			e := &b.Events[i]
			if e.At > len(refs) {
				break
			}
			if err := add(e.At); err != nil {
				return err
			}
			switch {
			case e.Kind == trace.Mmap && e.Len > 0, e.Kind == trace.Munmap && e.Len > 0:
				f.Forget(e.Addr>>wire.PageShift, (e.Addr+e.Len-1)>>wire.PageShift)
			case e.Kind == trace.Brk:
				if e.Addr < brk {
					f.Forget((e.Addr+wire.PageSize-1)>>wire.PageShift, (brk-1)>>wire.PageShift)
				}
				brk = e.Addr
			}
		}
		if err := add(len(refs)); err != nil {
			return err
		}
		left -= uint64(len(refs))
	}
	f.Forget(0, ^uint64(0))
	return nil
}

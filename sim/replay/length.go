package replay

import "splitkernel/sim/trace"

// length is how much a replay has to make.
type length struct {
	refs   uint64
	blocks uint64 // block requests; 0 too where the trace is cut, for nobody knows how many that leaves
}

// length is that of all repetitions of a trace, nil if its header does not tell.
func (s *Spec) length(h trace.Header) *length {
	l := length{h.Refs, h.BlockOps}
	if s.MaxRefs > 0 && l.refs >= s.MaxRefs {
		l = length{refs: s.MaxRefs}
	}
	if l == (length{}) {
		return nil
	}
	return &length{l.refs * uint64(s.Repeat), l.blocks * uint64(s.Repeat)}
}

// measure takes the length from the header of the trace that was opened.
func (j *player) measure() {
	if l := j.spec.length(j.src.Header()); l != nil {
		j.length.Store(l)
	}
}

// learn takes the length from what was replayed, at the end of a repetition, where the header does not tell it.
func (j *player) learn() {
	if j.length.Load() != nil {
		return
	}
	made, all := uint64(j.at.Repeat), uint64(j.spec.Repeat)
	j.length.Store(&length{j.issued / made * all, j.requests.Load() / made * all})
}

// far is how many references and block requests were replayed, of how many. The whole is 0 where it is not known.
func (j *player) far() (steps, whole uint64) {
	l := j.length.Load()
	if l == nil {
		return 0, 0
	}
	return min(j.done.Load(), l.refs) + min(j.requests.Load(), l.blocks), l.refs + l.blocks
}

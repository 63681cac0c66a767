package trace

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// thinner drops repeats: a reference whose page is among the last n distinct
// pages referenced, unless it is the first write to it since the page entered
// that list. The gaps of what is dropped are added to the next reference kept.
//
// The list is emptied when the thread changes, so that each thread's run
// stands on its own, and when the memory map changes, so that a page mapped
// anew is seen to be touched. n = 0 drops nothing.
type thinner struct {
	n      int
	recent []thinEntry // most recent first
	last   Ref         // the last one dropped
	has    bool        // last is set
	gap    uint64      // instructions since the last reference kept
	thread uint16
	out    func(Ref) error
}

type thinEntry struct {
	page  uint64
	wrote bool
}

// thinningText is the header's sentence.
func thinningText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("a reference is left out if its page is among the last %d distinct pages referenced, unless it is the first write "+
		"to the page since it entered that list; the list is emptied when the thread or the memory map changes; "+
		"instructions of what is left out count for the next reference kept", n)
}

func (t *thinner) ref(r Ref) error {
	if t.n == 0 {
		return t.out(r)
	}
	if r.Thread != t.thread {
		if err := t.finish(); err != nil {
			return err
		}
		t.reset()
		t.thread = r.Thread
	}
	t.gap += uint64(r.Gap)
	page := r.Page()
	for i := range t.recent {
		if t.recent[i].page != page {
			continue
		}
		e := t.recent[i]
		upgrade := r.Write() && !e.wrote
		e.wrote = e.wrote || upgrade
		copy(t.recent[1:i+1], t.recent[:i])
		t.recent[0] = e
		if upgrade {
			return t.keep(r)
		}
		t.last, t.has = r, true
		return nil
	}
	if len(t.recent) < t.n {
		t.recent = append(t.recent, thinEntry{})
	}
	copy(t.recent[1:], t.recent)
	t.recent[0] = thinEntry{page, r.Write()}
	return t.keep(r)
}

func (t *thinner) keep(r Ref) error {
	r.Gap = uint32(min(t.gap, math.MaxUint32))
	t.gap, t.has = 0, false
	return t.out(r)
}

// finish keeps the last reference dropped, if instructions would be lost
// without it: at the end of the stream and of a thread's run.
func (t *thinner) finish() error {
	if !t.has || t.gap == 0 {
		return nil
	}
	return t.keep(t.last)
}

// reset empties the list.
func (t *thinner) reset() {
	t.recent = t.recent[:0]
	t.has = false
}

// Thin returns src with repeats left out as Capture does with CaptureOptions.Thin;
// n is 1 to MaxThin pages. The header says how. Thinning a thinned trace again
// is refused, because its header could not say what was left out.
func Thin(src Source, n int) (Source, error) {
	if n < 1 || n > MaxThin {
		return nil, fmt.Errorf("thin: %d, want 1 to %d pages", n, MaxThin)
	}
	if was := src.Header().Thinning; was != "" {
		return nil, fmt.Errorf("thin: the trace is thinned out already: %s", was)
	}
	s := &thinSource{src: src}
	s.thin = thinner{n: n, out: func(r Ref) error { s.batch.Refs = append(s.batch.Refs, r); return nil }}
	return s, nil
}

type thinSource struct {
	src   Source
	thin  thinner
	batch Batch
	refs  uint64 // handed out
	ended bool
}

func (s *thinSource) Header() Header {
	h := s.src.Header()
	h.Thinning = thinningText(s.thin.n)
	// The totals are of the whole trace.
	h.Refs, h.Reads, h.Writes, h.Instructions, h.FootprintPages, h.Threads = 0, 0, 0, 0, 0, 0
	return h
}

func (s *thinSource) Next() (*Batch, error) {
	s.refs += uint64(len(s.batch.Refs))
	s.batch = Batch{Refs: s.batch.Refs[:0], Events: s.batch.Events[:0], First: s.refs}
	for len(s.batch.Refs)+len(s.batch.Events) == 0 {
		if s.ended {
			return nil, io.EOF
		}
		b, err := s.src.Next()
		if err == io.EOF {
			s.ended = true
			if err := s.thin.finish(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := s.take(b); err != nil {
			return nil, err
		}
	}
	return &s.batch, nil
}

func (s *thinSource) take(b *Batch) error {
	next := 0
	for _, e := range b.Events {
		for ; next < e.At; next++ {
			if err := s.thin.ref(b.Refs[next]); err != nil {
				return err
			}
		}
		if e.Kind.IsMap() {
			s.thin.reset()
		}
		e.At = len(s.batch.Refs)
		s.batch.Events = append(s.batch.Events, e)
	}
	for ; next < len(b.Refs); next++ {
		if err := s.thin.ref(b.Refs[next]); err != nil {
			return err
		}
	}
	return nil
}

func (s *thinSource) Close() error { return s.src.Close() }

// ThinnedPages is how many of the last distinct pages the references of a trace were thinned out by, 0 if they were not: what a smaller
// cache would miss cannot be told from it.
func ThinnedPages(h Header) uint64 {
	_, rest, _ := strings.Cut(h.Thinning, thinnedMark)
	number, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// thinnedMark stands before the number in the sentence of thinningText.
const thinnedMark = "its page is among the last "

package trace

import (
	"fmt"
	"math"
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

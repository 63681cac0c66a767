package trace

import (
	"fmt"
	"slices"
)

// ordered puts requests in order of time, as far as its window reaches: a kernel writes what its processors did from one buffer
// each, so that their requests mix a little out of order. What is too early even then has the last time. With times=strict
// nothing is put in order.
type ordered struct {
	clock clock
	held  []request // the times as the format counts
	last  uint64    // latest time so far
	mixed bool      // held is not sorted
	moved uint64    // requests with a time before the latest
	next  int       // of held to hand out
	limit int       // of held that may be handed out
}

// request is a block event as it is held, in a third of the room.
type request struct {
	ns, offset, length uint64
	volume             uint32
	kind               EventKind
}

func (s *Spec) newOrdered() ordered { return ordered{clock: s.newClock(true)} }

// add takes a request.
func (r *ordered) add(e request) error {
	if e.ns < r.last {
		if !r.clock.clamp {
			return fmt.Errorf("its time is %d ns before an earlier one, expected times that do not run backwards (times=clamp puts requests in order)", r.last-e.ns)
		}
		r.moved++
		r.mixed = true
	}
	r.last = max(r.last, e.ns)
	r.held = append(r.held, e)
	return nil
}

// drain moves what is in order to the batch until it is full, which it reports. At the end of the file all is in order.
func (r *ordered) drain(b *Batch, ended bool) (full bool) {
	for !b.full() {
		if r.next == r.limit && !r.sort(ended) {
			return false
		}
		q := &r.held[r.next]
		r.next++
		ns, _ := r.clock.at(q.ns) // it clamps, or add has checked
		b.Events = append(b.Events, Event{At: len(b.Refs), Kind: q.kind, TimeNs: ns, Volume: q.volume, Offset: q.offset, Length: q.length})
	}
	return true
}

// sort makes more of what is held ready to be handed out, if there is enough of it.
func (r *ordered) sort(ended bool) bool {
	r.held = r.held[:copy(r.held, r.held[r.next:])]
	r.next, r.limit = 0, 0
	if len(r.held) < 2*reorderWindow && !ended || len(r.held) == 0 {
		return false
	}
	if r.mixed {
		slices.SortStableFunc(r.held, func(a, b request) int {
			switch {
			case a.ns < b.ns:
				return -1
			case a.ns > b.ns:
				return 1
			}
			return 0
		})
		r.mixed = false
	}
	if r.limit = len(r.held); !ended {
		r.limit -= reorderWindow
	}
	return true
}

// stated appends what the header says.
func (r *ordered) stated(list []string) []string {
	if r.moved > 0 {
		list = append(list, fmt.Sprintf("time: %d requests were logged after a later one; requests are put in order within a window of %d", r.moved, reorderWindow))
	}
	return r.clock.stated(list)
}

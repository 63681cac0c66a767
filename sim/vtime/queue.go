package vtime

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Sizes at which the queue changes its shape. The two differ so that a number of events that swings about one of them does not
// change it each time. A ladder whose near end is sorted pays above some thousand events only; with a heap there it does above
// some fifty: BenchmarkClock with 100 pending gives 20 M events per second of processor time as a ladder and 13 M as a heap, with
// 1000 pending 22 M and 9 M.
const (
	ladderAbove = 64
	heapBelow   = 16
)

// Shape of the ladder.
const (
	perBucket  = 1       // events per bucket that the width aims at
	maxBuckets = 1 << 16 // of the rung
	sample     = 64      // events whose median decides the width
)

// queue holds the pending events. With few, they all lie in near, a heap. With many it is a ladder queue: near is the heap of the
// events before nearEnd; the rung has buckets of equal width, unsorted, for those before rungEnd; top has the rest, unsorted. When
// near is empty the next bucket becomes near; when the rung is empty a new one is cut from top, of a width such that half of
// top fits with a few events per bucket. So rare events far away stay in top and cost a glance per rung, instead of making the
// buckets too wide, and each rung takes at least half of what was there, so the glances are paid for.
//
//	time ──▶ │ near: heap │ bucket │ bucket │ … │ top: unsorted
//	         now        nearEnd               rungEnd
//
// Both shapes give the same order, by (time, sequence).
type queue struct {
	near    heap
	nearEnd int64 // events before it belong into near; everything in the heap shape
	ladder  bool

	rung    []int32 // first node of each bucket, or none
	next    int     // bucket that becomes near next
	start   int64   // of the rung
	shift   uint    // width of a bucket: 1 << shift ns
	rungEnd int64
	inRung  int
	nodes   []node // of the buckets, a pool
	freed   int32  // first free node

	top []event

	size   int
	picked [sample]int64
}

// node is an event in a bucket's list.
type node struct {
	event
	next int32
}

const none = int32(-1)

func (q *queue) init() {
	q.nearEnd = math.MaxInt64
	q.freed = none
}

// push adds e.
func (q *queue) push(e event) {
	q.size++
	switch {
	case e.at < q.nearEnd || !q.ladder:
		q.near.push(e)
		if !q.ladder && q.size > ladderAbove {
			q.toLadder()
		}
	case e.at < q.rungEnd:
		q.intoBucket(e)
	default:
		q.top = append(q.top, e)
	}
}

// peek gives the first event without taking it, or nil.
func (q *queue) peek() *event {
	if len(q.near) == 0 && !q.refill() {
		return nil
	}
	return &q.near[0]
}

// pop takes the first event after a peek that found one.
func (q *queue) pop() event {
	e := q.near.pop()
	q.size--
	if q.ladder && q.size < heapBelow {
		q.toHeap()
	}
	return e
}

func (q *queue) intoBucket(e event) {
	i := int((e.at - q.start) >> q.shift)
	n := q.freed
	if n == none {
		n = int32(len(q.nodes))
		q.nodes = append(q.nodes, node{})
	} else {
		q.freed = q.nodes[n].next
	}
	q.nodes[n] = node{e, q.rung[i]}
	q.rung[i] = n
	q.inRung++
}

// refill moves the next events into near, which is empty.
func (q *queue) refill() bool {
	if q.size == 0 {
		return false
	}
	if q.inRung == 0 {
		q.cut()
	}
	for q.rung[q.next] == none {
		q.next++
	}
	q.takeBucket(q.next)
	q.near.order()
	q.next++
	q.nearEnd = q.start + int64(q.next)<<q.shift
	if q.nearEnd > q.rungEnd || q.nearEnd < q.start { // beyond what an int64 can hold
		q.nearEnd = q.rungEnd
	}
	return true
}

// takeBucket appends the events of a bucket to near.
func (q *queue) takeBucket(i int) {
	for n := q.rung[i]; n != none; {
		d := &q.nodes[n]
		q.near = append(q.near, d.event)
		n, d.next, q.freed = d.next, q.freed, n
		q.inRung--
	}
	q.rung[i] = none
}

// cut makes a rung of the nearer half or more of top, which is not empty while the rung is.
func (q *queue) cut() {
	first := int64(math.MaxInt64)
	for i := range q.top {
		first = min(first, q.top[i].at)
	}
	n := min(len(q.top), sample)
	for i := range n {
		q.picked[i] = q.top[i*len(q.top)/n].at - first
	}
	slices.Sort(q.picked[:n])
	span := uint64(q.picked[n/2]) // about half of the events are nearer
	buckets := min(max(len(q.top)/perBucket, 16), maxBuckets)
	q.shift = uint(bits.Len64(2 * span / uint64(buckets)))
	// 2·span < buckets << shift ≤ 4·span: half of top and as much again is in the rung.
	if cap(q.rung) < buckets {
		q.rung = make([]int32, buckets)
	}
	q.rung = q.rung[:buckets]
	for i := range q.rung {
		q.rung[i] = none
	}
	q.start, q.next = first, 0
	q.rungEnd = math.MaxInt64
	if width := uint64(buckets) << q.shift; width < uint64(math.MaxInt64-first) {
		q.rungEnd = first + int64(width)
	}
	kept := q.top[:0]
	for _, e := range q.top {
		if e.at < q.rungEnd {
			q.intoBucket(e)
		} else {
			kept = append(kept, e)
		}
	}
	q.top = kept
}

// toLadder moves all events from near to top; the next refill cuts a rung.
func (q *queue) toLadder() {
	q.ladder = true
	q.top = append(q.top, q.near...)
	q.near = q.near[:0]
	q.nearEnd, q.rungEnd, q.next = math.MinInt64, math.MinInt64, 0
}

// toHeap gathers all events in near.
func (q *queue) toHeap() {
	for i := q.next; q.inRung > 0; i++ {
		q.takeBucket(i)
	}
	q.near = append(q.near, q.top...)
	q.top = q.top[:0]
	q.near.order()
	q.ladder, q.nearEnd = false, math.MaxInt64
}

// keep removes the events for which dead says so. It looks at each.
func (q *queue) keep(dead func(event) bool) {
	q.near = slices.DeleteFunc(q.near, dead)
	q.near.order()
	q.top = slices.DeleteFunc(q.top, dead)
	for i := q.next; i < len(q.rung) && q.inRung > 0; i++ {
		for at := &q.rung[i]; *at != none; {
			n := *at
			d := &q.nodes[n]
			if !dead(d.event) {
				at = &d.next
				continue
			}
			*at = d.next
			d.next, q.freed = q.freed, n
			q.inRung--
		}
	}
	q.size = len(q.near) + q.inRung + len(q.top)
	if q.ladder && q.size < heapBelow {
		q.toHeap()
	}
}

// check says what is wrong with the queue.
func (q *queue) check() error {
	for i := 1; i < len(q.near); i++ {
		if q.near[i].before(&q.near[(i-1)/4]) {
			return fmt.Errorf("vtime: event %d of the heap is before its parent", i)
		}
	}
	inRung := 0
	for i := 0; q.ladder && i < len(q.rung); i++ {
		for n := q.rung[i]; n != none; n = q.nodes[n].next {
			inRung++
			at := q.nodes[n].at
			if i < q.next || at < q.nearEnd || at < q.start || int((at-q.start)>>q.shift) != i {
				return fmt.Errorf("vtime: an event at %d lies in bucket %d of width 1<<%d from %d, next %d", at, i, q.shift, q.start, q.next)
			}
		}
	}
	if inRung != q.inRung || q.size != len(q.near)+inRung+len(q.top) {
		return fmt.Errorf("vtime: %d events counted, %d near, %d (%d) in the rung, %d at the top", q.size, len(q.near), inRung, q.inRung, len(q.top))
	}
	for _, e := range q.top {
		if !q.ladder || e.at < q.nearEnd || e.at < q.rungEnd {
			return fmt.Errorf("vtime: an event at %d lies at the top of a rung that ends at %d", e.at, q.rungEnd)
		}
	}
	return nil
}

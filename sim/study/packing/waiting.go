package packing

import (
	"time"
)

// end is when a task ends.
type end struct {
	at   time.Duration
	slot int32
	age  uint32 // of the slot, which may have another task by then
}

// ends is a binary heap, the next one first; of equals the one in the lower slot.
type ends []end

func (h ends) before(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].slot < h[j].slot
}

func (h *ends) push(e end) {
	*h = append(*h, e)
	q := *h
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.before(i, up) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
}

func (h *ends) pop() end {
	q := *h
	e := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q = q[:last]
	*h = q
	for i := 0; ; {
		c := 2*i + 1
		if c+1 < last && q.before(c+1, c) {
			c++
		}
		if c >= last || !q.before(c, i) {
			return e
		}
		q[i], q[c] = q[c], q[i]
		i = c
	}
}

// queue is the tasks that wait, in the order of arrival: a ring that grows to what Options.Queue allows.
type queue struct {
	ring  []int32
	first int
	n     int
}

func (q *queue) push(i int32) {
	if q.n == len(q.ring) {
		bigger := make([]int32, max(2*len(q.ring), 64))
		for k := range q.n {
			bigger[k] = q.ring[(q.first+k)%len(q.ring)]
		}
		q.ring, q.first = bigger, 0
	}
	q.ring[(q.first+q.n)%len(q.ring)] = i
	q.n++
}

func (q *queue) head() int32 { return q.ring[q.first] }

func (q *queue) pop() {
	q.first = (q.first + 1) % len(q.ring)
	q.n--
}

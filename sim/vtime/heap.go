package vtime

// event is what is scheduled: 24 bytes, passed by value, because an event behind a pointer or an interface allocates.
type event struct {
	at   int64  // ns
	seq  uint64 // breaks ties in the order of scheduling
	kind uint32 // timerBit: who is a slot of the timer table
	who  uint32
}

// before is the order of events. No two have the same seq.
func (a *event) before(b *event) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// heap is a 4-ary heap of events: half as deep as a binary one, and the four children lie in two cache lines.
type heap []event

func (h *heap) push(e event) {
	*h = append(*h, e)
	s := *h
	i := len(s) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !e.before(&s[p]) {
			break
		}
		s[i] = s[p]
		i = p
	}
	s[i] = e
}

// pop takes the first event of a heap that is not empty.
func (h *heap) pop() event {
	s := *h
	first := s[0]
	n := len(s) - 1
	e := s[n]
	s = s[:n]
	*h = s
	if n > 0 {
		s.sink(0, e)
	}
	return first
}

// sink puts e at i or below it.
func (h heap) sink(i int, e event) {
	n := len(h)
	for {
		c := 4*i + 1
		if c >= n {
			break
		}
		m := c
		for j := c + 1; j < min(c+4, n); j++ {
			if h[j].before(&h[m]) {
				m = j
			}
		}
		if !h[m].before(&e) {
			break
		}
		h[i] = h[m]
		i = m
	}
	h[i] = e
}

// order makes a heap of events that lie in any order.
func (h heap) order() {
	for i := (len(h) - 2) / 4; i >= 0 && len(h) > 1; i-- {
		h.sink(i, h[i])
	}
}

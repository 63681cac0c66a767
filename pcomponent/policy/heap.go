package policy

import "fmt"

// rank orders the lines of a set: the least leaves first.
type rank struct{ major, minor uint64 }

func (a rank) less(b rank) bool {
	return a.major < b.major || a.major == b.major && a.minor < b.minor
}

// heaps are binary heaps of the lines of each set, least rank first. No two lines
// of a set have one rank, so what a heap answers does not depend on its shape.
type heaps struct {
	ranks  []rank   // by line
	at     []uint32 // by line: its place in slots, from the first of its set; absent if it is not there
	slots  []uint32 // by set: ways lines, of which the first counts are a heap
	counts []uint32 // by set
	ways   uint32
}

func makeHeaps(sets, ways int) heaps {
	h := heaps{ranks: make([]rank, sets*ways), at: make([]uint32, sets*ways), slots: make([]uint32, sets*ways), counts: make([]uint32, sets), ways: uint32(ways)}
	for i := range h.at {
		h.at[i] = absent
	}
	return h
}

func (h *heaps) has(line uint32) bool { return h.at[line] != absent }

// of returns the heap of a set.
func (h *heaps) of(set uint32) []uint32 {
	return h.slots[set*h.ways : set*h.ways+h.counts[set]]
}

func (h *heaps) add(line uint32, r rank) {
	if h.has(line) {
		panic(fmt.Sprintf("policy: line %d inserted twice", line))
	}
	set := line / h.ways
	n := h.counts[set]
	h.counts[set]++
	h.ranks[line] = r
	h.up(h.of(set), n, line)
}

func (h *heaps) remove(line uint32) {
	if !h.has(line) {
		panic(fmt.Sprintf("policy: line %d removed, but it is not there", line))
	}
	set, i := line/h.ways, h.at[line]
	heap := h.of(set)
	last := heap[len(heap)-1]
	h.counts[set]--
	h.at[line] = absent
	h.ranks[line] = rank{}
	if last != line {
		h.settle(heap[:len(heap)-1], i, last)
	}
}

// change gives a line another rank.
func (h *heaps) change(line uint32, r rank) {
	h.ranks[line] = r
	h.settle(h.of(line/h.ways), h.at[line], line)
}

// settle puts a line where place i is empty, and then where it belongs.
func (h *heaps) settle(heap []uint32, i, line uint32) {
	if i > 0 && h.ranks[line].less(h.ranks[heap[(i-1)/2]]) {
		h.up(heap, i, line)
		return
	}
	h.down(heap, i, line)
}

func (h *heaps) up(heap []uint32, i, line uint32) {
	r := h.ranks[line]
	for i > 0 {
		parent := heap[(i-1)/2]
		if !r.less(h.ranks[parent]) {
			break
		}
		heap[i], h.at[parent] = parent, i
		i = (i - 1) / 2
	}
	heap[i], h.at[line] = line, i
}

func (h *heaps) down(heap []uint32, i, line uint32) {
	r, n := h.ranks[line], uint32(len(heap))
	for {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && h.ranks[heap[c+1]].less(h.ranks[heap[c]]) {
			c++
		}
		child := heap[c]
		if !h.ranks[child].less(r) {
			break
		}
		heap[i], h.at[child] = child, i
		i = c
	}
	heap[i], h.at[line] = line, i
}

// build makes heaps of lines in any order, after their ranks changed.
func (h *heaps) build() {
	for set := range h.counts {
		heap := h.of(uint32(set))
		for i := len(heap) - 1; i >= 0; i-- {
			h.down(heap, uint32(i), heap[i])
		}
	}
}

// least returns the least line of a set that is not busy. Below a line that is not
// busy nothing is looked at, so it costs as much as there are busy lines before it.
func (h *heaps) least(set uint32, busy Busy) (uint32, bool) {
	heap := h.of(set)
	if len(heap) == 0 {
		return 0, false
	}
	if !busy.Has(heap[0]) {
		return heap[0], true
	}
	best := h.idle(heap, 0, absent, busy)
	return best, best != absent
}

func (h *heaps) idle(heap []uint32, i, best uint32, busy Busy) uint32 {
	if i >= uint32(len(heap)) || best != absent && !h.ranks[heap[i]].less(h.ranks[best]) {
		return best
	}
	if !busy.Has(heap[i]) {
		return heap[i]
	}
	return h.idle(heap, 2*i+2, h.idle(heap, 2*i+1, best, busy), busy)
}

func (h *heaps) check() error {
	there := 0
	for set := range h.counts {
		heap := h.of(uint32(set))
		there += len(heap)
		for i, line := range heap {
			if line/h.ways != uint32(set) || h.at[line] != uint32(i) {
				return fmt.Errorf("policy: place %d of the heap of set %d holds line %d, which is at %d", i, set, line, h.at[line])
			}
			if i > 0 && !h.ranks[heap[(i-1)/2]].less(h.ranks[line]) {
				return fmt.Errorf("policy: line %d of set %d ranks before the line above it in the heap", line, set)
			}
		}
	}
	for line := range h.at {
		if h.has(uint32(line)) {
			there--
		} else if h.ranks[line] != (rank{}) {
			return fmt.Errorf("policy: line %d has a rank and is in no heap", line)
		}
	}
	if there != 0 {
		return fmt.Errorf("policy: %d more lines are in heaps than have a place there", there)
	}
	return nil
}

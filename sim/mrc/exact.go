package mrc

import (
	"fmt"
	"slices"

	"splitkernel/sim/mrc/stack"
)

// exact looks at every request.
type exact struct {
	lru, hold bool   // what is wanted: the curve of LRU; all requests, for simulations
	mayDrop   uint64 // requests from which on LRU gets its curve instead of simulations, and nothing is held; 0 = never
	numbers   stack.Numbers
	distances stack.Distances
	batch     []uint32
	ids       []uint32 // of all requests, if held
	next      []uint32 // next uses of the ids, if belady is wanted
	requests  uint64
	pages     int // of the ids; 0 = those that are numbered
}

// footprint is how many different pages the ids have.
func (x *exact) footprint() int {
	if x.pages > 0 {
		return x.pages
	}
	return x.numbers.Len()
}

// take takes a batch of requests.
func (x *exact) take(keys []uint64, volumes []uint32) error {
	if !x.numbers.Room(len(keys)) {
		return fmt.Errorf("more than %d different pages after %d requests: estimate the curve from a sample (--shards)", uint64(stack.MaxPages), x.requests)
	}
	x.requests += uint64(len(keys))
	if x.hold && x.mayDrop > 0 && x.requests > x.mayDrop {
		x.drop()
	}
	if x.hold {
		if x.requests > MaxRequests {
			return fmt.Errorf("more than %d requests, which have to be held to simulate policies other than %s: take a part of the trace, or %s alone", uint64(MaxRequests), LRU, LRU)
		}
		n := len(x.ids)
		if n+len(keys) > cap(x.ids) { // twice as many: append would copy four times as often
			x.ids = slices.Grow(x.ids, n+len(keys))
		}
		x.ids = x.numbers.Number(keys, volumes, x.ids)
		x.batch = x.ids[n:]
	} else {
		x.batch = x.numbers.Number(keys, volumes, x.batch[:0])
	}
	if x.lru {
		x.distances.Touch(x.batch)
	}
	return nil
}

// drop goes over from the simulation of LRU to its curve, which holds no requests.
func (x *exact) drop() {
	x.distances.Touch(x.ids)
	x.lru, x.hold, x.ids = true, false, nil
}

// rows adds those of LRU, if its curve is there.
func (x *exact) rows(res *Result, o Options, sizes []uint64) {
	if !x.lru {
		return
	}
	c := x.distances.Curve()
	row := func(size uint64) Row {
		return newRow(LRU, size, c.Requests, c.Misses(size), res.Partial)
	}
	for _, size := range sizes {
		res.Rows = append(res.Rows, row(size))
	}
	for _, size := range denseSizes(res.Footprint, plotPoints) {
		res.Dense = append(res.Dense, row(size))
	}
}

func newRow(policy string, size, requests, misses uint64, partial bool) Row {
	r := Row{Policy: policy, Size: size, Requests: requests, Misses: misses, Partial: partial}
	if requests > 0 {
		r.MissRatio = float64(misses) / float64(requests)
	}
	return r
}

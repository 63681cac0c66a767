// Package slowest keeps the page faults that took longest: the longest of all, and apart from them the longest whose message was timed, since
// of a live cluster only one fetch in some is. What it holds is bounded by the two sizes, whatever comes.
//
// Pure: no goroutines, no clock. Used by the shell of a pComponent under the lock of a process, and in virtual time.
//
//	if k.Beats(took, timed) { // most often not: two comparisons
//		k.Add(fault)
//	}
//	for _, f := range k.Slowest(16) { … }
package slowest

import (
	"cmp"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// TimedEvery is how many fetches of a process of a live cluster there are for each that is timed: timing one reads the clock six times more,
// which costs some hundredths of the fastest fetch.
const TimedEvery = 16

// Size is how many faults a Keeper holds of each kind.
const Size = 16

// Keeper holds the slowest faults. The zero value is empty.
type Keeper struct {
	all, timed top
}

// top holds the slowest of what it was given. While it is full its smallest is at the root of a heap.
type top struct {
	heap  []wire.SlowFault
	least uint64 // TookNS of the root, once it is full
}

// Beats reports whether a fault that took so long would be kept.
func (k *Keeper) Beats(took time.Duration, timed bool) bool {
	return uint64(took) > k.all.least || timed && uint64(took) > k.timed.least
}

// Add keeps a fault if it is one of the slowest.
func (k *Keeper) Add(f wire.SlowFault) {
	k.all.add(f)
	if f.Timed {
		k.timed.add(f)
	}
}

// Join adds what another holds.
func (k *Keeper) Join(o *Keeper) {
	for _, t := range []*top{&o.all, &o.timed} {
		for i := range t.heap {
			if !k.has(&t.heap[i]) {
				k.Add(t.heap[i])
			}
		}
	}
}

// Slowest gives at most limit of all that it holds, the slowest first: those of one time in the order in which they began.
func (k *Keeper) Slowest(limit int) []wire.SlowFault {
	out := slices.Clone(k.all.heap)
	for i := range k.timed.heap {
		if f := &k.timed.heap[i]; !holds(k.all.heap, f) {
			out = append(out, *f)
		}
	}
	slices.SortFunc(out, func(a, b wire.SlowFault) int {
		return cmp.Or(cmp.Compare(b.TookNS, a.TookNS), cmp.Compare(a.BeganNS, b.BeganNS), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Thread, b.Thread))
	})
	return out[:min(len(out), limit)]
}

func (k *Keeper) has(f *wire.SlowFault) bool { return holds(k.all.heap, f) || holds(k.timed.heap, f) }

func holds(heap []wire.SlowFault, f *wire.SlowFault) bool {
	return slices.ContainsFunc(heap, func(g wire.SlowFault) bool { return g == *f })
}

func (t *top) add(f wire.SlowFault) {
	if len(t.heap) < Size {
		t.heap = append(t.heap, f)
		for i := len(t.heap) - 1; i > 0 && t.heap[i].TookNS < t.heap[(i-1)/2].TookNS; i = (i - 1) / 2 {
			t.heap[i], t.heap[(i-1)/2] = t.heap[(i-1)/2], t.heap[i]
		}
	} else if f.TookNS > t.heap[0].TookNS {
		t.heap[0] = f
		t.sink()
	}
	if len(t.heap) == Size {
		t.least = t.heap[0].TookNS
	}
}

func (t *top) sink() {
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(t.heap); c++ {
			if t.heap[c].TookNS < t.heap[least].TookNS {
				least = c
			}
		}
		if least == i {
			return
		}
		t.heap[i], t.heap[least] = t.heap[least], t.heap[i]
		i = least
	}
}

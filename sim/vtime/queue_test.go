package vtime

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// spread draws how far away the next event is: near, at the same moment, in bursts, or rarely very far.
func spread(shape int, rng *rand.Rand) int64 {
	switch shape {
	case 0:
		return rng.Int64N(1000)
	case 1:
		return 0
	case 2: // rare events a million times as far
		if rng.IntN(100) == 0 {
			return rng.Int64N(1e12)
		}
		return rng.Int64N(1e4)
	case 3: // mostly far ones
		if rng.IntN(10) == 0 {
			return rng.Int64N(100)
		}
		return 1e9 + rng.Int64N(1e9)
	default: // every magnitude
		return rng.Int64N(1 << rng.IntN(61))
	}
}

// TestOrderIsThatOfASort: whatever is pushed, swept and popped in between, events come in the order of (time, sequence), and
// each exactly once; over sizes at which the queue changes its shape back and forth.
func TestOrderIsThatOfASort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var q queue
		q.init()
		var want []event // pending
		var seq uint64
		var now int64
		ladders, heaps := 0, 0
		for range rapid.IntRange(1, 5).Draw(t, "phases") {
			shape := rapid.IntRange(0, 4).Draw(t, "shape")
			for range rapid.IntRange(0, 1500).Draw(t, "pushes") {
				seq++
				e := event{at: min(now+spread(shape, rng), int64(Horizon)), seq: seq, who: rng.Uint32()}
				q.push(e)
				want = append(want, e)
			}
			if rapid.Bool().Draw(t, "sweep") {
				dead := func(e event) bool { return e.who%3 == 0 }
				q.keep(dead)
				want = slices.DeleteFunc(want, dead)
			}
			if err := q.check(); err != nil {
				t.Fatal(err)
			}
			if q.ladder {
				ladders++
			} else {
				heaps++
			}
			slices.SortFunc(want, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
			pops := rapid.IntRange(0, len(want)).Draw(t, "pops")
			for i := range pops {
				if first := q.peek(); first == nil || *first != want[i] {
					t.Fatalf("first is %v, want %v", first, want[i])
				}
				e := q.pop()
				if now = e.at; e != want[i] {
					t.Fatalf("popped %v, want %v", e, want[i])
				}
			}
			want = want[pops:]
			if err := q.check(); err != nil {
				t.Fatal(err)
			}
			if q.size != len(want) {
				t.Fatalf("%d events, want %d", q.size, len(want))
			}
		}
	})
}

// TestShapesDoNotMatter: a queue forced into each shape gives the same order while events are pushed from those that are popped.
func TestShapesDoNotMatter(t *testing.T) {
	for shape := range 5 {
		order := func(ladder bool) []event {
			rng := rand.New(rand.NewPCG(uint64(shape), 1))
			var q queue
			q.init()
			var seq uint64
			push := func(at int64) {
				seq++
				q.push(event{at: min(at, int64(Horizon)), seq: seq})
			}
			for range (heapBelow + ladderAbove) / 2 { // between heapBelow and ladderAbove
				push(spread(shape, rng))
			}
			if ladder {
				q.toLadder()
			}
			var out []event
			for range 5000 {
				q.peek()
				e := q.pop()
				out = append(out, e)
				push(e.at + spread(shape, rng))
			}
			if q.ladder != ladder {
				t.Fatalf("the queue left its shape between its bounds")
			}
			return out
		}
		if !slices.Equal(order(false), order(true)) {
			t.Errorf("shape %d: heap and ladder give another order", shape)
		}
	}
}

// TestHysteresis: at either bound one event more or less does not change the shape back.
func TestHysteresis(t *testing.T) {
	var q queue
	q.init()
	at := int64(0)
	push := func() { at++; q.push(event{at: at, seq: uint64(at)}) }
	changes, was := 0, false
	swing := func() {
		for range 100 {
			push()
			q.peek()
			q.pop()
			if q.ladder != was {
				changes, was = changes+1, q.ladder
			}
		}
	}
	for q.size <= ladderAbove {
		push()
	}
	swing()
	for q.size > heapBelow {
		q.peek()
		q.pop()
	}
	swing()
	for q.size >= heapBelow {
		q.peek()
		q.pop()
	}
	swing()
	if changes != 2 {
		t.Errorf("the shape changed %d times, want once at each bound", changes)
	}
}

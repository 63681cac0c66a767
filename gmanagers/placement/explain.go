package placement

import (
	"math"
	"math/bits"

	"splitkernel/netlayer/wire"
)

// Weighed is a candidate as an explanation of a choice names it.
type Weighed struct {
	ID    wire.NodeID
	Value uint64 // in the unit of the policy's Measure; 0 if it has none
}

// measure is the figure by which a policy compares candidates first.
type measure struct {
	unit string // empty: it compares none
	of   func(s *Set, i int) uint64
	most bool // the largest is the best, not the smallest
}

var (
	byThreads  = measure{unit: "threads", of: func(s *Set, i int) uint64 { return s.threads[i] }}
	byVolumes  = measure{unit: "volumes", of: func(s *Set, i int) uint64 { return s.volumes[i] }}
	byReserved = measure{unit: "reserved_ppm", of: reservedPPM}
	byLeast    = measure{unit: "room", of: func(s *Set, i int) uint64 { return s.room[i] }}
	byMost     = measure{unit: "room", of: func(s *Set, i int) uint64 { return s.room[i] }, most: true}
	byFree     = measure{unit: "free", of: func(s *Set, i int) uint64 { return s.capacity[i] - min(s.capacity[i], s.reserved[i]) }, most: true}
	byCapacity = measure{unit: "capacity", of: func(s *Set, i int) uint64 { return s.capacity[i] }, most: true}
	byNothing  = measure{}
)

// reservedPPM returns the reserved share in millionths, 0 where there is no capacity (buffer caches).
func reservedPPM(s *Set, i int) uint64 {
	hi, lo := bits.Mul64(s.reserved[i], 1_000_000)
	if s.capacity[i] == 0 {
		return 0
	}
	if hi >= s.capacity[i] {
		return math.MaxUint64
	}
	ppm, _ := bits.Div64(hi, lo, s.capacity[i])
	return ppm
}

// Measure names the figure by which the policy compares candidates first, empty if it compares none.
func (p Policy) Measure() string { return p.by.unit }

// Explain appends to out what p chose from: the chosen candidate, then others that fitted, at most limit of them all. The
// others are in the order of the policy's measure, or of the ids if it has none; two_choices names the two that it drew. Equal
// ones are in the order of the ids, or, of an indexed set, of what the policy compares next.
// It allocates nothing if out has the room.
func Explain(p Policy, a Ask, s *Set, chosen, limit int, out []Weighed) []Weighed {
	add := func(i int) {
		w := Weighed{ID: s.ids[i]}
		if p.by.of != nil {
			w.Value = p.by.of(s, i)
		}
		out = append(out, w)
	}
	base := len(out)
	add(chosen)
	if p.drawsTwo {
		c := chance(a.Chance)
		first := s.draw(&a, &c, -1)
		if second := s.draw(&a, &c, first); second >= 0 && limit > 1 {
			if second == chosen {
				second = first
			}
			add(second)
		}
		return out
	}
	if s.indexed && p.rank != nil {
		s.index(&p)
		for k := s.start(&p, &a); k < s.n && len(out)-base < limit; k++ {
			i := int(s.order[k])
			if s.closed[i] {
				break // as all that follow
			}
			if i != chosen && s.fits(&a, i) {
				add(i)
			}
		}
		return out
	}
	for i, free := range s.room[:s.n] {
		full := len(out)-base == limit
		if full && p.by.of == nil {
			break
		}
		if free < a.Need || i == chosen {
			continue
		}
		v := uint64(0)
		if p.by.of != nil {
			v = p.by.of(s, i)
			if full && !p.better(v, out[len(out)-1].Value) {
				continue
			}
		}
		if s.barred(&a, i) || full && limit == 1 {
			continue
		}
		if !full {
			out = append(out, Weighed{})
		}
		at := len(out) - 1
		for ; at > base+1 && p.by.of != nil && p.better(v, out[at-1].Value); at-- {
			out[at] = out[at-1]
		}
		out[at] = Weighed{ID: s.ids[i], Value: v}
	}
	return out
}

// better reports whether value v of the measure is better than w.
func (p *Policy) better(v, w uint64) bool {
	if p.by.most {
		return v > w
	}
	return v < w
}

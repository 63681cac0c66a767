package placement

import "math/bits"

// leastLoaded chooses the least reserved share of the capacity, then (for a home) the fewest homes, then the lowest
// reported misses + flushes, then the lowest id: the policy of GMM. A capacity of 0 counts as full.
//
// Source: the LegoOS paper (Shan et al., OSDI 2018), section 4.6: the least loaded mComponent with a vRegion free. Its
// code takes cumulative misses + flushes for the load.
var leastLoaded = Policy{Name: "least_loaded", by: byReserved, rank: rankLeastLoaded, ranked: true, choose: chooseLeastLoaded}

func chooseLeastLoaded(a Ask, s *Set) int {
	room := s.room[:s.n]
	reserved, capacity := s.reserved[:len(room)], s.capacity[:len(room)]
	homes, traffic := s.homes[:len(room)], s.traffic[:len(room)]
	best := -1
	r, c := uint64(1), uint64(0) // of the best: full at first
	var h, t uint64
	for i, free := range room {
		if free < a.Need {
			continue
		}
		equal := reserved[i] == r && capacity[i] == c // as when all are empty
		if !equal {
			// compareShares, written out because it is not inlined: the difference of the shares times both capacities.
			ih, il := bits.Mul64(reserved[i], c)
			bh, bl := bits.Mul64(r, capacity[i])
			lo, borrow := bits.Sub64(bl, il, 0)
			hi, borrow := bits.Sub64(bh, ih, borrow)
			if borrow != 0 {
				continue
			}
			equal = hi|lo == 0
		}
		if equal && best >= 0 && (homes[i] > h || homes[i] == h && traffic[i] >= t) {
			continue
		}
		if !s.barred(&a, i) {
			best, r, c, h, t = i, reserved[i], capacity[i], homes[i], traffic[i]
		}
	}
	return best
}

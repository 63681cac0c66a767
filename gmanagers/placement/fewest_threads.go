package placement

// fewestThreads chooses the component with the fewest threads, then the lowest id: the policy of GPM.
//
// Source: the LegoOS paper (Shan et al., OSDI 2018), section 4.6.
var fewestThreads = Policy{
	Name:   "fewest_threads",
	by:     byThreads,
	rank:   rankThreads,
	ranked: true,
	choose: func(a Ask, s *Set) int { return s.least(&a, s.threads) },
}

package placement

// leastLoaded chooses the least reserved share of the capacity, then (for a home) the fewest homes, then the
// lowest reported misses + flushes: the policy of GMM (legoos.md §2: the least loaded mComponent with a vRegion free; load is cumulative misses + flushes).
var leastLoaded = Policy{
	Name: "least_loaded",
	less: func(a, b Candidate) bool {
		if shareLess(a, b) {
			return true
		}
		if shareLess(b, a) {
			return false
		}
		if a.Homes != b.Homes {
			return a.Homes < b.Homes
		}
		return a.Traffic < b.Traffic
	},
}

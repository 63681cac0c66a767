package placement

// mostFree chooses the most capacity that is not reserved, then the lowest id: the policy of GSM for storage. It differs
// from worst_fit in that it does not see overcommit.
//
// Source: worst fit, see worst_fit.go.
var mostFree = Policy{Name: "most_free", by: byFree, rank: rankMostFree, ranked: true, choose: chooseMostFree}

func chooseMostFree(a Ask, s *Set) int {
	room := s.room[:s.n]
	reserved, capacity := s.reserved[:len(room)], s.capacity[:len(room)]
	best, most := -1, uint64(0)
	for i, c := range capacity {
		free := c - min(c, reserved[i]) // more may be reserved than there is
		if (free > most || best < 0) && room[i] >= a.Need && !s.barred(&a, i) {
			best, most = i, free
		}
	}
	return best
}

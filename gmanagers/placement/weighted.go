package placement

import "slices"

// weighted chooses with a chance in proportion to the capacity: twice the memory gets twice the vRegions. Where no
// candidate that fits has a capacity (buffer caches) it chooses evenly.
//
// Source: a lottery with capacity as tickets: Waldspurger, Weihl, "Lottery Scheduling", OSDI 1994, section 2.
var weighted = Policy{Name: "weighted", by: byCapacity, rank: rankCapacity, choose: chooseWeighted}

func chooseWeighted(a Ask, s *Set) int {
	if s.n == 0 {
		return -1
	}
	c := chance(a.Chance)
	// A winner that does not fit gives its ticket back and another is drawn, which leaves the chances of the others in
	// proportion. If that goes on, most do not fit, and the tickets of those that do are counted.
	s.ticket()
	if all := s.tickets[s.n-1]; all == (sum{}) {
		return chooseRandom(a, s)
	} else {
		for range draws {
			ticket := all.part(c.next())
			i, _ := slices.BinarySearchFunc(s.tickets[:s.n], ticket, func(t, ticket sum) int {
				if ticket.less(t) {
					return 1
				}
				return -1
			})
			if s.fits(&a, i) {
				return i
			}
		}
	}
	var some sum
	for i, free := range s.room[:s.n] {
		if free >= a.Need && !s.barred(&a, i) {
			some = some.plus(s.capacity[i])
		}
	}
	if some == (sum{}) {
		return chooseRandom(a, s)
	}
	ticket := some.part(c.next())
	some = sum{}
	for i, free := range s.room[:s.n] {
		if free >= a.Need && !s.barred(&a, i) {
			if some = some.plus(s.capacity[i]); ticket.less(some) {
				return i
			}
		}
	}
	panic("placement: a ticket that nobody holds")
}

// ticket sees to the tickets. Capacities change when members do, so they are most often there.
func (s *Set) ticket() {
	if s.ticketed {
		return
	}
	s.tickets = s.tickets[:0]
	var all sum
	for _, c := range s.capacity[:s.n] {
		all = all.plus(c)
		s.tickets = append(s.tickets, all)
	}
	s.ticketed = true
}

package placement

import (
	"slices"

	"splitkernel/netlayer/wire"
)

// Candidate is a component that may be chosen. Room, Reserved and Capacity are in the unit of the manager: lines of the
// ExCache at GPM, bytes at GMM and GSM. A buffer cache reserves nothing: its Room has no bound, its Capacity is 0.
type Candidate struct {
	ID       wire.NodeID
	Rack     string
	Room     uint64 // what may still be placed there, overcommit included
	Reserved uint64
	Capacity uint64
	Threads  uint64 // threads of the processes placed there
	Volumes  uint64 // volumes placed there
	Homes    uint64 // processes whose home it is; 0 unless a home is chosen
	Traffic  uint64 // misses + flushes that it reported, cumulative, as stamped
}

// Set is the candidates of one decision, by column. The zero value is empty; it is not safe for concurrent use.
type Set struct {
	n            int // candidates; the columns may be longer, from earlier decisions
	loads, sizes sum // of all candidates, for the bound of consistent_hash

	ids   []wire.NodeID
	racks []string
	// reserved is 1 where the capacity is 0, so that such a component counts as full; placed is the sum of the three counts,
	// of which a manager uses one.
	room, reserved, capacity,
	threads, volumes, homes, placed, traffic []uint64
	tickets []sum    // of the capacities up to and with this one, for weighted
	points  []uint64 // what consistent_hash makes scores of, a function of the id
}

// Reset empties the set; the memory is kept.
func (s *Set) Reset() { s.n, s.loads, s.sizes = 0, sum{}, sum{} }

// Len returns the number of candidates.
func (s *Set) Len() int { return s.n }

// ID returns the id of the candidate at a position.
func (s *Set) ID(i int) wire.NodeID { return s.ids[:s.n][i] }

// Add appends a candidate. Its id must be above that of the one before: ties go to the lowest id, and chance and turns
// count positions, so one order must hold at every replica.
func (s *Set) Add(c Candidate) {
	i := s.n
	if i == len(s.ids) {
		s.grow()
	}
	if s.ids[i] != c.ID {
		// Members change seldom, so at most decisions the point is still there.
		s.ids[i], s.points[i] = c.ID, point(c.ID)
	}
	s.racks[i] = c.Rack
	s.room[i], s.reserved[i], s.capacity[i] = c.Room, c.Reserved, c.Capacity
	if c.Capacity == 0 {
		s.reserved[i] = 1
	}
	s.threads[i], s.volumes[i], s.homes[i], s.traffic[i] = c.Threads, c.Volumes, c.Homes, c.Traffic
	s.placed[i] = c.Threads + c.Volumes + c.Homes
	s.tickets[i] = sum{}.plus(c.Capacity)
	if i > 0 {
		s.tickets[i] = s.tickets[i-1].plus(c.Capacity)
	}
	s.n++
	load, size := s.load(i)
	s.loads, s.sizes = s.loads.plus(load), s.sizes.plus(size)
}

// load returns what consistent_hash bounds: what is reserved of the capacity, or, where nothing is reserved, the volumes
// of components of one size.
func (s *Set) load(i int) (load, size uint64) {
	if s.capacity[i] == 0 {
		return s.volumes[i], 1
	}
	return s.reserved[i], s.capacity[i]
}

// grow makes place for one more candidate, without an id yet.
func (s *Set) grow() {
	s.ids, s.racks, s.points = append(s.ids, ""), append(s.racks, ""), append(s.points, point(""))
	s.tickets = append(s.tickets, sum{})
	for _, column := range []*[]uint64{&s.room, &s.reserved, &s.capacity, &s.threads, &s.volumes, &s.homes, &s.placed, &s.traffic} {
		*column = append(*column, 0)
	}
}

// fits reports whether candidate i has room for what is asked and is not to be avoided.
func (s *Set) fits(a *Ask, i int) bool { return s.room[i] >= a.Need && !s.avoided(a, i) }

// avoided reports whether candidate i must not be chosen.
func (s *Set) avoided(a *Ask, i int) bool {
	if len(a.Avoid) == 0 && len(a.AvoidRacks) == 0 {
		return false
	}
	return slices.Contains(a.Avoid, s.ids[i]) || slices.Contains(a.AvoidRacks, s.racks[i])
}

// least returns the position of the least value of a column among those that fit, the first of equals.
func (s *Set) least(a *Ask, column []uint64) int {
	room := s.room[:s.n]
	column = column[:len(room)]
	best, value := -1, ^uint64(0)
	for i, v := range column {
		// What fits is asked last: few candidates are better than the best so far.
		if (v < value || best < 0) && room[i] >= a.Need && !s.avoided(a, i) {
			best, value = i, v
		}
	}
	return best
}

// Fits reports whether candidate i has room for what is asked and is not to be avoided.
func (s *Set) Fits(a Ask, i int) bool { return s.fits(&a, i) }

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
	Spare    uint64 // threads that may still be placed there, for Ask.Threads
	Closed   bool   // it drains, is dead or silent: it is in the set and has no room
}

// Set is the candidates of one decision, by column, filled with Reset and Add, or kept from decision to decision and changed
// with Put and Remove (keep.go). The zero value is empty; it is not safe for concurrent use.
type Set struct {
	n            int // candidates; the columns may be longer, from earlier decisions
	loads, sizes sum // of all candidates that are open, for the bound of consistent_hash
	ticketed     bool
	indexed      bool    // see Index
	by           string  // the policy in whose order order is; empty: none
	rank         ranking // its
	order        []int32 // positions, the best first; those that are closed come last

	ids   []wire.NodeID
	racks []string
	// reserved is 1 where the capacity is 0, so that such a component counts as full; placed is the sum of the three counts,
	// of which a manager uses one.
	room, reserved, capacity,
	threads, volumes, homes, placed, traffic, spare []uint64
	closed  []bool
	tickets []sum    // of the capacities up to and with this one, for weighted; valid if ticketed
	points  []uint64 // what consistent_hash makes scores of, a function of the id
}

// Reset empties the set; the memory is kept.
func (s *Set) Reset() {
	s.n, s.loads, s.sizes, s.ticketed, s.indexed, s.by = 0, sum{}, sum{}, false, false, ""
}

// Len returns the number of candidates.
func (s *Set) Len() int { return s.n }

// ID returns the id of the candidate at a position.
func (s *Set) ID(i int) wire.NodeID { return s.ids[:s.n][i] }

// Find returns the position of the candidate of an id.
func (s *Set) Find(id wire.NodeID) (int, bool) { return slices.BinarySearch(s.ids[:s.n], id) }

// Rack returns the rack of the candidate at a position.
func (s *Set) Rack(i int) string { return s.racks[:s.n][i] }

// Closed reports whether the candidate at a position is.
func (s *Set) Closed(i int) bool { return s.closed[:s.n][i] }

// Add appends a candidate. Its id must be above that of the one before: ties go to the lowest id, and chance and turns
// count positions, so one order must hold at every replica.
func (s *Set) Add(c Candidate) {
	i := s.n
	if i == len(s.ids) {
		s.grow()
	}
	s.n++
	s.write(i, c)
	s.ticketed, s.by = false, ""
}

// write fills in row i; what it held before does not count any more.
func (s *Set) write(i int, c Candidate) {
	if s.ids[i] != c.ID {
		// Members change seldom, so at most decisions the point is still there.
		s.ids[i], s.points[i] = c.ID, point(c.ID)
	}
	s.racks[i], s.closed[i] = c.Rack, c.Closed
	s.room[i], s.reserved[i], s.capacity[i] = c.Room, c.Reserved, c.Capacity
	if c.Closed {
		s.room[i] = 0
	}
	if c.Capacity == 0 {
		s.reserved[i] = 1
	}
	s.threads[i], s.volumes[i], s.homes[i], s.traffic[i], s.spare[i] = c.Threads, c.Volumes, c.Homes, c.Traffic, c.Spare
	s.placed[i] = c.Threads + c.Volumes + c.Homes
	if !c.Closed {
		load, size := s.load(i)
		s.loads, s.sizes = s.loads.plus(load), s.sizes.plus(size)
	}
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
	s.closed = append(s.closed, false)
	for _, column := range s.columns() {
		*column = append(*column, 0)
	}
}

// columns are those of numbers.
func (s *Set) columns() [9]*[]uint64 {
	return [...]*[]uint64{&s.room, &s.reserved, &s.capacity, &s.threads, &s.volumes, &s.homes, &s.placed, &s.traffic, &s.spare}
}

// fits reports whether candidate i has room for what is asked and is not to be avoided.
func (s *Set) fits(a *Ask, i int) bool { return s.room[i] >= a.Need && !s.barred(a, i) }

// barred reports whether candidate i must not be chosen though it may have the room: it is to be avoided, or closed, which is said
// apart from the room for an Ask of none, or has too few threads.
func (s *Set) barred(a *Ask, i int) bool {
	return s.closed[i] || s.spare[i] < a.Threads || a.Avoids(s.ids[i], s.racks[i])
}

// least returns the position of the least value of a column among those that fit, the first of equals.
func (s *Set) least(a *Ask, column []uint64) int {
	room := s.room[:s.n]
	column = column[:len(room)]
	best, value := -1, ^uint64(0)
	for i, v := range column {
		// What fits is asked last: few candidates are better than the best so far.
		if (v < value || best < 0) && room[i] >= a.Need && !s.barred(a, i) {
			best, value = i, v
		}
	}
	return best
}

// Fits reports whether candidate i has room for what is asked and is not to be avoided.
func (s *Set) Fits(a Ask, i int) bool { return s.fits(&a, i) }

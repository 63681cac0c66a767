package balance

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"splitkernel/gmanagers/apart"
	"splitkernel/netlayer/wire"
)

// side is a component in the model.
type side struct {
	*Component
	seat   *seat
	parts  [2]float64 // what it bears of each measure
	bears  float64    // together, in the unit of the first
	plain  float64    // its power
	power  float64    // the same, less where requests wait
	noise  float64    // of what it bears
	moves  int        // under way from and to it
	coming int        // of these to it
	counts bool       // its spread is that of the plan: alive, known, does not drain
	things []int      // that it holds
}

// known reports whether it was read.
func (s *side) known(measures int) bool {
	for k := range measures {
		if !s.seat.meters[k].known() {
			return false
		}
	}
	return true
}

// per returns what the side bears by its power, and with by more.
func (s *side) per(by float64) float64 { return (s.bears + by) / s.power }

// load is a thing in the model.
type load struct {
	*Thing
	memory *memory
	parts  [2]float64
	bears  float64
}

// measured reports whether a thing's own load says what it bears of a measure.
func (t *Thing) measured(what Measure) bool {
	return t.Measured && what != QueueDelay && !(t.Unrated && what.smooth())
}

// model is what a look believes: everything under way counted where it goes.
type model struct {
	sides  []side // ascending by id
	things []load // ascending by id
	moving int    // moves under way
	trials int
	even   bool    // all powers are equal
	second float64 // how much of the first measure one unit of the second counts as
}

func (m *model) find(id wire.NodeID) int {
	i, ok := slices.BinarySearchFunc(m.sides, id, func(s side, id wire.NodeID) int { return cmp.Compare(s.ID, id) })
	if !ok {
		return -1
	}
	return i
}

// model makes the model of a look. Seats and memories are those of components and things.
func (b *Balancer) model(components []Component, things []Thing) *model {
	m := &model{sides: make([]side, len(components)), things: make([]load, len(things)), even: true}
	for i := range components {
		c, s := components[i], &b.seats[i] // a copy: what the plan places is taken off its room
		m.sides[i] = side{Component: &c, seat: s, plain: c.Power}
		if !(c.Power > 0) || math.IsInf(c.Power, 1) {
			m.sides[i].plain = 1
		}
	}
	m.second = b.exchange(m.sides)
	for i := range m.sides {
		s := &m.sides[i]
		s.power = s.plain / b.slowed(s.seat)
		for k := range b.measures {
			s.parts[k] = s.seat.meters[k].value
		}
		s.bears = s.parts[0] + m.second*s.parts[1]
		s.noise = s.seat.meters[0].noise + m.second*s.seat.meters[1].noise
		m.even = m.even && s.power == m.sides[0].power
	}
	for i := range things {
		m.things[i] = load{Thing: &things[i], memory: &b.memories[i]}
		if h := m.find(things[i].Holder); h >= 0 {
			m.sides[h].things = append(m.sides[h].things, i)
		}
	}
	for i := range m.sides {
		s := &m.sides[i]
		for k, what := range b.measures {
			m.share(s, k, what)
		}
		for _, j := range s.things {
			t := &m.things[j]
			t.bears = t.parts[0] + m.second*t.parts[1]
		}
		// Who holds nothing bears nothing, so a component that joined counts before it was read twice.
		s.counts = s.Alive && !s.Draining && (s.known(len(b.measures)) || len(s.things) == 0)
	}
	for i := range m.things {
		if t := &m.things[i]; t.To != "" {
			m.carry(t, m.find(t.Holder), m.find(t.To))
		}
	}
	return m
}

// exchange returns how much of the first measure one unit of the second counts as.
func (b *Balancer) exchange(sides []side) float64 {
	if len(b.measures) < 2 || len(sides) == 0 {
		return 0
	}
	if b.o.Measure != Bytes {
		return b.o.SecondWeight
	}
	power := 0.0
	for i := range sides {
		power += sides[i].plain
	}
	return b.o.SecondWeight * power / float64(len(sides))
}

// slowed returns by how much less a component can bear because its requests wait, 1 if they do not.
func (b *Balancer) slowed(s *seat) float64 {
	return 1 + b.o.QueueWeight*min(1, s.queue.value/float64(b.o.QueueFullUS))
}

// share gives each thing of a side what it bears of measure k.
func (m *model) share(s *side, k int, what Measure) {
	left, sizes, unknown := s.parts[k], 0.0, 0
	for _, i := range s.things {
		t := &m.things[i]
		switch {
		case what == Bytes && !t.Measured:
			t.parts[k] = float64(t.Size)
		case t.measured(what) && t.memory.meters[k].known():
			t.parts[k] = t.memory.meters[k].value
		default:
			unknown++
			sizes += float64(t.Size)
			continue
		}
		t.parts[k] = min(t.parts[k], s.parts[k])
		left -= t.parts[k]
	}
	left = max(0, left)
	for _, i := range s.things {
		t := &m.things[i]
		if what == Bytes && !t.Measured || t.measured(what) && t.memory.meters[k].known() {
			continue
		}
		if t.parts[k] = left / float64(unknown); sizes > 0 {
			t.parts[k] = left * (float64(t.Size) / sizes)
		}
	}
}

// carry counts a move as under way, from one side to another; either may be gone.
func (m *model) carry(t *load, from, to int) {
	m.moving++
	if from >= 0 {
		s := &m.sides[from]
		s.bears = max(0, s.bears-t.bears)
		for k := range s.parts {
			s.parts[k] = max(0, s.parts[k]-t.parts[k])
		}
		s.moves++
	}
	if to >= 0 {
		s := &m.sides[to]
		s.bears += t.bears
		for k := range s.parts {
			s.parts[k] += t.parts[k]
		}
		s.moves++
		s.coming++
	}
}

// mean returns what the sides that count bear by power, and their power.
func (m *model) mean() (per, power float64) {
	bears := 0.0
	for i := range m.sides {
		if s := &m.sides[i]; s.counts {
			bears, power = bears+s.bears, power+s.power
		}
	}
	if power == 0 {
		return 0, 0
	}
	return bears / power, power
}

// meanOf returns what a side would bear of each measure if all bore the same by their power.
func (m *model) meanOf(of *side) (parts [2]float64) {
	power := 0.0
	for i := range m.sides {
		if s := &m.sides[i]; s.counts {
			power += s.power
			for k := range parts {
				parts[k] += s.parts[k]
			}
		}
	}
	for k := range parts {
		parts[k] *= of.power / power
	}
	return parts
}

// spread returns the coefficient of variation of what the sides that count bear, weighted by power.
func (m *model) spread() float64 {
	mean, power := m.mean()
	if mean <= 0 {
		return 0
	}
	square := 0.0
	for i := range m.sides {
		if s := &m.sides[i]; s.counts {
			d := s.per(0)/mean - 1
			square += s.power / power * d * d
		}
	}
	return math.Sqrt(square)
}

func (m *model) jain() float64 {
	var xs []float64
	for i := range m.sides {
		if s := &m.sides[i]; s.counts {
			xs = append(xs, s.per(0))
		}
	}
	return Jain(xs)
}

// ascending returns the sides that pass, those that bear least by their power first.
func (m *model) ascending(pass func(*side) bool) []int {
	var out []int
	for i := range m.sides {
		if pass(&m.sides[i]) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(i, j int) int {
		return cmp.Or(cmp.Compare(m.sides[i].per(0), m.sides[j].per(0)), strings.Compare(string(m.sides[i].ID), string(m.sides[j].ID)))
	})
	return out
}

// fits reports whether the thing may go to the side: room and what it avoids.
func (t *load) fits(s *side) bool { return s.Room >= t.Size && t.may(s) }

// may reports whether the thing may go to the side if there were room.
func (t *load) may(s *side) bool {
	return s.ID != t.Holder && !slices.Contains(t.Avoid, s.ID) && !slices.Contains(t.AvoidRacks, s.Rack)
}

// place takes the room of a planned move and counts the move as under way.
func (m *model) place(t *load, from, to int) {
	s := &m.sides[to]
	s.Room -= t.Size
	s.Reserved += t.Size
	s.Placed++
	m.carry(t, from, to)
	m.part(t, s)
}

// near reports whether the side is where others of its member are, if it has to keep to them.
func (t *load) near(s *side) bool {
	return len(t.Within) == 0 && len(t.WithinRacks) == 0 || slices.Contains(t.Within, s.ID) || slices.Contains(t.WithinRacks, s.Rack)
}

// part keeps from a side what is apart from a thing that is planned to go there.
func (m *model) part(t *load, to *side) {
	if len(t.Apart) == 0 {
		return
	}
	for i := range m.things {
		o := &m.things[i]
		same, racks, own := false, false, false
		for _, a := range t.Apart {
			for _, b := range o.Apart {
				if a == b {
					own, racks = true, racks || a.Rule.Level == apart.Rack
				}
				if a.Rule.Group == b.Rule.Group && a.ID != b.ID {
					same, racks = true, racks || a.Rule.Level == apart.Rack || b.Rule.Level == apart.Rack
				}
			}
		}
		if !same && (!own || len(o.Within) == 0 && len(o.WithinRacks) == 0) {
			continue
		}
		c := *o.Thing // the caller's stays as it is
		if !same {    // it follows
			if racks {
				c.WithinRacks = with(c.WithinRacks, to.Rack)
			} else {
				c.Within = with(c.Within, to.ID)
			}
			o.Thing = &c
			continue
		}
		c.Avoid = with(c.Avoid, to.ID)
		if racks {
			c.AvoidRacks = with(c.AvoidRacks, to.Rack)
		}
		o.Thing = &c
	}
}

// with returns a copy of an ascending list with one more.
func with[T ~string](list []T, one T) []T {
	i, ok := slices.BinarySearch(list, one)
	if ok {
		return list
	}
	return slices.Insert(slices.Clone(list), i, one)
}

package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/sim/tasks"
)

const (
	// useWidth is the time over which a peak is an average, and usePeriods how many such times there are at most; a longer trace doubles the time. Most
	// traces tell what was used every five minutes; fewer than those would be the peak of whoever is measured first.
	useWidth   = 5 * time.Minute
	usePeriods = 1 << 14
)

// Use is what was used over time.
type Use struct {
	Readings uint64
	Mean     Amounts
	Peak     Amounts       // the highest average over a time of Over
	Over     time.Duration // 0 if all was told of one moment
	Hours    Amounts       // used, by hours
}

// Amounts are of processors, in cores or shares, and of memory, in bytes or shares.
type Amounts struct{ Cores, Memory float64 }

// spent is an integral over time, in seconds.
type spent struct{ cores, memory, seconds float64 }

func (s *spent) add(o spent) {
	s.cores, s.memory, s.seconds = s.cores+o.cores, s.memory+o.memory, s.seconds+o.seconds
}

// reading is one that stands until the next of its ID.
type reading struct {
	at   time.Duration
	size tasks.Size
}

// useMeter integrates readings over time. It holds no more than those that stand, and usePeriods sums.
type useMeter struct {
	width    time.Duration
	periods  []spent
	stands   map[tasks.ID]reading
	readings uint64
	sum      Amounts // of all readings
	all      spent
	last     time.Duration // when the last one was told
	end      time.Duration // when the last one ended
}

func newUseMeter() *useMeter {
	return &useMeter{width: useWidth, stands: map[tasks.ID]reading{}}
}

// reads takes the next reading; times do not run backwards.
func (m *useMeter) reads(e tasks.Event) error {
	m.readings++
	m.last = e.At
	m.sum.Cores += float64(e.Size.Cores)
	m.sum.Memory += float64(e.Size.Memory)
	m.ends(e.ID, e.At)
	if e.Lasts > 0 {
		if to := e.At + e.Lasts; to > e.At {
			m.add(e.At, to, e.Size)
		}
		return nil
	}
	if len(m.stands) >= MaxNames {
		return fmt.Errorf("what more than %d tasks or machines use at one time", MaxNames)
	}
	m.stands[e.ID] = reading{e.At, e.Size}
	return nil
}

// ends says that the reading of an ID does not stand any more.
func (m *useMeter) ends(id tasks.ID, at time.Duration) {
	if r, ok := m.stands[id]; ok {
		delete(m.stands, id)
		m.add(r.at, at, r.size)
	}
}

// finish ends all that stand, with the last one that was told: of the time after it nothing is known.
func (m *useMeter) finish() {
	var ids []tasks.ID
	for id := range m.stands {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b tasks.ID) int { return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Index, b.Index)) })
	for _, id := range ids {
		m.ends(id, m.last)
	}
}

// add spends an amount from one time to another.
func (m *useMeter) add(from, to time.Duration, size tasks.Size) {
	m.end = max(m.end, to)
	for from < to {
		n := int(from / m.width)
		for n >= usePeriods {
			m.halve()
			n = int(from / m.width)
		}
		for len(m.periods) <= n {
			m.periods = append(m.periods, spent{})
		}
		part := min(to-from, m.width-from%m.width)
		s := part.Seconds()
		d := spent{float64(size.Cores) * s, float64(size.Memory) * s, s}
		m.periods[n].add(d)
		m.all.add(d)
		from += part
	}
}

// halve makes of two periods one.
func (m *useMeter) halve() {
	for i, s := range m.periods {
		if i%2 == 0 {
			m.periods[i/2] = s
		} else {
			m.periods[i/2].add(s)
		}
	}
	m.periods = m.periods[:(len(m.periods)+1)/2]
	m.width *= 2
}

// each is the use of one of those that were measured, in shares: its mean over their time.
func (m *useMeter) each() Use {
	u := m.use(float64(m.readings), m.all.seconds, func(_ int, s spent) float64 { return s.seconds })
	for _, a := range []*Amounts{&u.Mean, &u.Peak, &u.Hours} {
		a.Memory /= tasks.One
	}
	return u
}

// total is the use of all together: its mean over the time until the last reading ended.
func (m *useMeter) total() Use {
	return m.use(1, m.end.Seconds(), func(n int, _ spent) float64 { return min(m.width, m.end-time.Duration(n)*m.width).Seconds() })
}

// use gives means over the seconds of each period and over all; at one moment it is by that many.
func (m *useMeter) use(by, seconds float64, of func(n int, s spent) float64) Use {
	u := Use{Readings: m.readings}
	if m.readings == 0 {
		return u
	}
	if len(m.periods) == 0 {
		u.Mean = Amounts{m.sum.Cores / by / tasks.One, m.sum.Memory / by}
		u.Peak = u.Mean
		return u
	}
	u.Over = m.width
	u.Hours = Amounts{m.all.cores / tasks.One / 3600, m.all.memory / 3600}
	u.Mean = Amounts{m.all.cores / tasks.One / seconds, m.all.memory / seconds}
	for n, s := range m.periods {
		if t := of(n, s); s.seconds > 0 && t > 0 {
			u.Peak.Cores, u.Peak.Memory = max(u.Peak.Cores, s.cores/tasks.One/t), max(u.Peak.Memory, s.memory/t)
		}
	}
	return u
}

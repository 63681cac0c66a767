package heat

import (
	"cmp"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

const (
	// Decay is the time constant of rates: a step is followed to 63 % after it. The same as the default smoothing of the
	// managers' balancing, so that a thing and its holder lag alike.
	Decay = 5 * time.Second
	// MaxGap is the longest time between two readings; what was counted over a longer one says nothing of now.
	MaxGap = 10 * time.Second
)

// Meter counts what one thing bears and makes a rate of it. The zero value has seen nothing.
type Meter struct {
	n        uint64 // since the last reading
	rate     float32
	readings uint8 // up to 2
}

// Add counts n more.
func (m *Meter) Add(n uint64) { m.n += n }

// Read ends an interval of dt and returns the rate per second, rounded. With a dt of 0 it begins again.
func (m *Meter) Read(dt time.Duration) uint64 {
	n := m.n
	m.n = 0
	switch {
	case dt <= 0 || m.readings == 0:
		m.rate, m.readings = 0, 1
	case m.readings == 1: // the first whole interval
		m.rate, m.readings = float32(float64(n)/dt.Seconds()), 2
	default:
		sample, k := float32(float64(n)/dt.Seconds()), float32(dt.Seconds()/(Decay+dt).Seconds())
		m.rate += k * (sample - m.rate)
	}
	return uint64(m.rate + 0.5)
}

// Rest takes what is left of the rate away: nothing was counted for long, and the meter is not read until something is.
func (m *Meter) Rest() { m.rate = 0 }

// Known reports whether a whole interval was read.
func (m *Meter) Known() bool { return m.readings == 2 }

// Reader remembers when meters were read.
type Reader struct {
	at   time.Duration
	read bool
}

// Next returns the time since the last reading; 0 if meters are to begin again: at first and after MaxGap. It is false if
// now is not later.
func (r *Reader) Next(now time.Duration) (dt time.Duration, ok bool) {
	dt = now - r.at
	if r.read && dt <= 0 {
		return 0, false
	}
	if !r.read || dt > MaxGap {
		dt = 0
	}
	r.at, r.read = now, true
	return dt, true
}

// Top keeps the hottest things of one kind.
type Top struct {
	things []wire.ThingLoad // by hotter
	max    int
	more   bool // some that bear something are not here, or are not known
}

// NewTop returns an empty Top of at most max things.
func NewTop(max int) *Top { return &Top{max: max} }

// hotter orders by what things bear, what bears more first; equal ones by id.
func hotter(a, b wire.ThingLoad) int {
	return cmp.Or(cmp.Compare(b.MilliCPU, a.MilliCPU), cmp.Compare(b.Ops, a.Ops), cmp.Compare(b.Bytes, a.Bytes),
		cmp.Compare(a.PID, b.PID), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Volume, b.Volume))
}

// Offer keeps t if it bears more than others. Of what bears nothing nothing is kept; one that is not known may bear anything.
func (t *Top) Offer(x wire.ThingLoad, known bool) {
	if !known {
		t.more = true
		return
	}
	if x.Ops == 0 && x.Bytes == 0 && x.MilliCPU == 0 {
		return
	}
	if len(t.things) == t.max {
		t.more = true
		if hotter(x, t.things[t.max-1]) > 0 {
			return
		}
		t.things = t.things[:t.max-1]
	}
	i, _ := slices.BinarySearchFunc(t.things, x, hotter)
	t.things = slices.Insert(t.things, i, x)
}

// All reports whether whatever bears anything is kept.
func (t *Top) All() bool { return !t.more }

// Into adds what is kept to a load, as that of a kind.
func (t *Top) Into(kind wire.MoveKind, l *wire.Load) {
	for _, x := range t.things {
		x.Kind = kind
		l.Hot = append(l.Hot, x)
	}
	if t.All() {
		l.HotAll = append(l.HotAll, kind)
	}
}

package balance

import (
	"fmt"
	"math"
	"strings"
	"time"

	"splitkernel/netlayer/wire"
)

// Measure names what is to be spread evenly.
type Measure string

// The measures.
const (
	Rate       Measure = "rate"        // misses, flushes and block operations per second, of cumulative counters
	QueueDelay Measure = "queue_delay" // µs that requests wait
	Bytes      Measure = "bytes"
	Threads    Measure = "threads"
	BusyCores  Measure = "busy_cores"
)

// Measures is every measure.
var Measures = []Measure{Rate, QueueDelay, Bytes, Threads, BusyCores}

// ParseMeasure returns the measure of a name; the error is of wire.KindBadRequest and names those that exist.
func ParseMeasure(name string) (Measure, error) {
	var names []string
	for _, m := range Measures {
		if string(m) == name {
			return m, nil
		}
		names = append(names, string(m))
	}
	return "", wire.Errorf(wire.KindBadRequest, "measure %q, want one of %s", name, strings.Join(names, ", "))
}

// smooth reports whether the measure is what happened, which varies, rather than what there is.
func (m Measure) smooth() bool { return m == Rate || m == QueueDelay || m == BusyCores }

// text gives a value in words.
func (m Measure) text(v float64) string {
	switch m {
	case Rate:
		return fmt.Sprintf("%.1f ops/s", v)
	case QueueDelay:
		return fmt.Sprintf("%.1f µs queue delay", v)
	case Bytes:
		return fmt.Sprintf("%.0f bytes", v)
	case Threads:
		return fmt.Sprintf("%.0f threads", v)
	}
	return fmt.Sprintf("%.2f busy cores", v)
}

// text gives what something bears of the measures in words.
func (b *Balancer) text(parts [2]float64) string {
	text := b.measures[0].text(parts[0])
	if len(b.measures) > 1 {
		text += " with " + b.measures[1].text(parts[1])
	}
	return text
}

// Name names what is spread evenly.
func (b *Balancer) Name() string {
	name := string(b.measures[0])
	if len(b.measures) > 1 {
		name += " and " + string(b.measures[1])
	}
	return name
}

// Load is the figures of a component or a thing, as they are reported. Those that it does not have are 0.
type Load struct {
	Ops       uint64  // misses, flushes and block operations, cumulative since its start
	OpsPerS   float64 // the same as a rate, if Rated
	Rated     bool    // who reports has made rates of what it counted, and decayed them
	QueueUS   float64 // that requests wait
	Bytes     uint64
	Threads   uint64
	BusyCores float64
}

// gauge returns the value of a measure that is no counter; what is no number counts as 0.
func (l Load) gauge(m Measure) float64 {
	v := 0.0
	switch m {
	case Rate:
		v = l.OpsPerS
	case QueueDelay:
		v = l.QueueUS
	case Bytes:
		v = float64(l.Bytes)
	case Threads:
		v = float64(l.Threads)
	case BusyCores:
		v = l.BusyCores
	}
	if !(v >= 0) || math.IsInf(v, 1) {
		return 0
	}
	return v
}

// noiseMemory is how many times longer than a value its noise is remembered: an estimate that follows the last few
// readings would be small by accident now and then.
const noiseMemory = 8

// meter makes one value of readings.
type meter struct {
	value, noise float64 // noise is the mean distance of a reading from the value before it
	readings     int     // that the value is made of
	seen         bool    // a reading came, of which total and at are
	total        uint64
	at           time.Duration
	from         time.Duration // readings of until then are not of what is held now
	shifted      bool          // from counts
}

// known reports whether there is a value.
func (m *meter) known() bool { return m.readings > 0 }

// read takes a reading of the time at; one that is not newer than the last is the same again.
func (m *meter) read(at time.Duration, what Measure, l Load, tau time.Duration) {
	if m.seen && at <= m.at {
		return
	}
	first, last, total := !m.seen, m.at, m.total
	m.seen, m.at, m.total = true, at, l.Ops
	if m.shifted && at <= m.from {
		return
	}
	m.shifted = false
	sample := l.gauge(what)
	if what == Rate && !l.Rated {
		if first || l.Ops < total {
			return // it began to count again
		}
		sample = float64(l.Ops-total) / (at - last).Seconds()
	}
	if m.readings++; m.readings == 1 || !what.smooth() || l.Rated {
		m.value = sample
		return
	}
	dt := (at - last).Seconds()
	off := math.Abs(sample - m.value)
	// The mean of all readings at first, so that the first one does not count for long.
	m.noise += max(dt/(noiseMemory*tau.Seconds()+dt), 1/float64(m.readings-1)) * (off - m.noise)
	m.value += dt / (tau.Seconds() + dt) * (sample - m.value)
}

// shift adds what arrived, or takes away what left, as known at now.
func (m *meter) shift(now time.Duration, by float64) {
	if m.known() {
		m.value = max(0, m.value+by)
	}
	m.from, m.shifted = now, true
}

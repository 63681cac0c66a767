package packing

import "time"

// gauge is a quantity that is measured over time.
type gauge int

const (
	hostsPresent gauge = iota // servers or pComponents
	hostsActive               // of them with a task
	memoryPresent
	memoryActive // mComponents
	gpusPresent
	gpusActive // components of GPUs
	capacityCores
	takenCores
	capacityMemory // with the ExCache
	takenMemory    // with the ExCache and what is rounded up
	askedMemory    // by the tasks that run
	capacityGPUs
	takenGPUs
	strandedCores
	strandedMemory
	running
	waiting
	usedCores // where the trace tells it
	usedMemory
	gauges // how many
)

// sample is the value of each.
type sample [gauges]float64

// measures integrates samples over time, and keeps a curve of at most bins points, whose width doubles when time runs out of them.
type measures struct {
	at       time.Duration
	now      sample
	integral sample // by seconds
	peak     sample
	width    time.Duration
	curve    []sample // integrals over each bin
}

func newMeasures() *measures { return &measures{width: time.Millisecond} }

// until goes on to a time with the values as they are.
func (m *measures) until(t time.Duration) {
	for m.at < t {
		bin := int(m.at / m.width)
		for bin >= bins {
			m.halve()
			bin = int(m.at / m.width)
		}
		for len(m.curve) <= bin {
			m.curve = append(m.curve, sample{})
		}
		end := min(t, time.Duration(bin+1)*m.width)
		dt := (end - m.at).Seconds()
		for g, v := range m.now {
			m.integral[g] += v * dt
			m.curve[bin][g] += v * dt
		}
		m.at = end
	}
}

// halve makes of two bins one. At most it happens as often as time has bits.
func (m *measures) halve() {
	for i := range m.curve {
		if i%2 == 0 {
			m.curve[i/2] = m.curve[i]
			continue
		}
		for g, v := range m.curve[i] {
			m.curve[i/2][g] += v
		}
	}
	m.curve = m.curve[:(len(m.curve)+1)/2]
	m.width *= 2
}

// set gives the values from now on.
func (m *measures) set(s *sample) {
	m.now = *s
	for g, v := range s {
		m.peak[g] = max(m.peak[g], v)
	}
}

// mean is an average over time; 0 if no time passed, for which there is only the last value.
func (m *measures) mean(g gauge) float64 {
	if m.at == 0 {
		return m.now[g]
	}
	return m.integral[g] / m.at.Seconds()
}

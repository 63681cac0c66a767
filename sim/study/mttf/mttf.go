// Package mttf computes the mean time to the failure of designs made of devices, by formula and by chance.
//
// A design is groups of equal devices; it works as long as in each group as many work as are needed. Devices fail independently, at constant rates, and are not
// repaired. The LegoOS paper's table (OSDI'18, §7.2) is the case in which all devices are needed.
//
// Who calls: `splitkernel study mttf`. Pure: no goroutines, no clock; chance comes from a seed.
//
//	years := mttf.Analytic(d)
//	mc := mttf.MonteCarlo(d, 100_000, seed, nil) // mc.Mean ± mc.Half at 99 %
package mttf

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Bounds.
const (
	MaxDevices = 100_000
	MaxGroups  = 1000
	MaxTrials  = 1 << 32
)

// Group is equal devices.
type Group struct {
	Name   string `yaml:"name" json:"name"`
	Count  int    `yaml:"count" json:"count"`   // of them; 0 is 1
	Needed int    `yaml:"needed" json:"needed"` // of Count; 0 is all
	// One of these: the mean time to failure, or the share that fails within a year.
	MTTF   float64 `yaml:"mttf_years" json:"mttf_years"`
	AFR    float64 `yaml:"afr_percent" json:"afr_percent"`
	Source string  `yaml:"source" json:"source"`
}

// Design is what works or not.
type Design struct {
	Name string `yaml:"name" json:"name"`
	// Servers is the number of servers whose work it does; 0 is 1. A design of two servers fails twice as often as one: the mean time is given by server.
	Servers float64 `yaml:"servers" json:"servers"`
	Groups  []Group `yaml:"groups" json:"groups"`
}

// fill puts in what is left out.
func (g Group) fill() Group {
	if g.Count == 0 {
		g.Count = 1
	}
	if g.Needed == 0 {
		g.Needed = g.Count
	}
	return g
}

func (g Group) rate() float64 {
	if g.MTTF > 0 {
		return 1 / g.MTTF
	}
	return -math.Log1p(-g.AFR / 100)
}

func (d Design) servers() float64 {
	if d.Servers == 0 {
		return 1
	}
	return d.Servers
}

// Validate returns all faults.
func (d Design) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(d.Name+": "+format, args...)) }
	if len(d.Groups) == 0 || len(d.Groups) > MaxGroups {
		bad("%d groups of devices, want 1 to %d", len(d.Groups), MaxGroups)
	}
	if !(d.servers() > 0 && d.servers() <= 1e9) {
		bad("servers: %v, want a number above 0", d.Servers)
	}
	for _, g := range d.Groups {
		g := g.fill()
		if g.Count < 1 || g.Count > MaxDevices {
			bad("%s: count: %d, want 1 to %d", g.Name, g.Count, MaxDevices)
		}
		if g.Needed < 1 || g.Needed > g.Count {
			bad("%s: needed: %d, want 1 to count, %d", g.Name, g.Needed, g.Count)
		}
		if (g.MTTF != 0) == (g.AFR != 0) {
			bad("%s: mttf_years %v and afr_percent %v, want one of them", g.Name, g.MTTF, g.AFR)
		}
		if g.MTTF != 0 && !(g.MTTF > 1e-9 && g.MTTF < 1e12) {
			bad("%s: mttf_years: %v, want a number above 0", g.Name, g.MTTF)
		}
		if g.AFR != 0 && !(g.AFR > 1e-9 && g.AFR < 100) {
			bad("%s: afr_percent: %v, want more than 0 and less than 100", g.Name, g.AFR)
		}
	}
	return errors.Join(errs...)
}

// Analytic gives the mean time to failure in years, by server: the integral of the probability that all still works. Where all
// devices are needed that is one by the sum of the rates, exactly; else it is integrated numerically, to about 1e-9.
func Analytic(d Design) float64 {
	sum, exact := 0.0, true
	for _, g := range d.Groups {
		g = g.fill()
		sum += float64(g.Count) * g.rate()
		exact = exact && g.Needed == g.Count
	}
	if exact {
		return d.servers() / sum
	}
	// t = T·u/(1-u) for u of 0 to 1, where T is about the time that is looked for; Simpson's rule.
	const steps = 8192
	t0 := 0.0
	for i, g := range d.Groups {
		if e := g.alone(); i == 0 || e < t0 {
			t0 = e
		}
	}
	total := 0.0
	for i := range steps { // at u = 1 nothing works, and is 0
		u := float64(i) / steps
		w := 2.0
		switch {
		case i == 0:
			w = 1
		case i%2 == 1:
			w = 4
		}
		total += w * d.works(t0*u/(1-u)) / ((1 - u) * (1 - u))
	}
	return d.servers() * t0 * total / (3 * steps)
}

// alone is the mean time until a group alone fails: of the sum of the times between failures.
func (g Group) alone() (t float64) {
	g = g.fill()
	for left := g.Count; left >= g.Needed; left-- {
		t += 1 / (float64(left) * g.rate())
	}
	return t
}

// works is the probability that all groups work at time t.
func (d Design) works(t float64) float64 {
	p := 1.0
	for _, g := range d.Groups {
		p *= g.fill().works(t)
	}
	return p
}

func (g Group) works(t float64) float64 {
	x := g.rate() * t
	if g.Needed == g.Count {
		return math.Exp(-float64(g.Count) * x)
	}
	// Σ C(n,i) fail^i work^(n-i) over i of 0 to n - needed, by logarithms.
	fail := -math.Expm1(-x)
	if fail == 0 {
		return 1
	}
	lf, term, sum := math.Log(fail), 0.0, 0.0
	for i := 0; i <= g.Count-g.Needed; i++ {
		if i > 0 {
			term += math.Log(float64(g.Count-i+1)) - math.Log(float64(i))
		}
		sum += math.Exp(term + float64(i)*lf - float64(g.Count-i)*x)
	}
	return min(sum, 1)
}

// Drawn is a mean that was drawn.
type Drawn struct {
	Mean   float64 `json:"mean_years"`
	Half   float64 `json:"half_interval_99"` // of the confidence interval of 99 %
	Trials uint64  `json:"trials"`
	Seed   uint64  `json:"seed"`
}

// z99 is the quantile of the normal distribution.
const z99 = 2.5758293035489004

// MonteCarlo draws when designs fail. watch, if not nil, hears how many were drawn and ends it by returning false.
func MonteCarlo(d Design, trials, seed uint64, watch func(done uint64) bool) Drawn {
	rng := rand.New(rand.NewPCG(seed, 0x6d747466))
	var n uint64
	mean, squares := 0.0, 0.0 // Welford's
	for n < trials {
		first := math.Inf(1)
		for _, g := range d.Groups {
			g = g.fill()
			t := 0.0
			for left := g.Count; left >= g.Needed && t < first; left-- {
				t += rng.ExpFloat64() / (float64(left) * g.rate())
			}
			first = min(first, t)
		}
		n++
		x := d.servers() * first
		delta := x - mean
		mean += delta / float64(n)
		squares += delta * (x - mean)
		if watch != nil && n%8192 == 0 && !watch(n) {
			break
		}
	}
	out := Drawn{Mean: mean, Trials: n, Seed: seed}
	if n > 1 {
		out.Half = z99 * math.Sqrt(squares/float64(n-1)/float64(n))
	}
	return out
}

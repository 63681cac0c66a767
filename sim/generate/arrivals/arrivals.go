package arrivals

import (
	"math"
	"math/rand/v2"
	"time"

	"splitkernel/sim/tasks"
)

// hours is how many pods of openb were created in each hour of the day, of 8 094.
var hours = [24]float64{511, 453, 362, 434, 425, 315, 290, 329, 238, 145, 219, 202, 151, 147, 134, 265, 298, 420, 549, 465, 349, 430, 426, 537}

// sizes are what pods of openb ask for, the most frequent first: thousandths of cores, MiB, thousandths of GPUs, and how many ask so.
var sizes = [][4]int64{
	{3152, 5600, 810, 1047}, {11300, 49152, 1000, 857}, {11400, 48128, 1000, 534}, {3152, 5600, 1000, 470}, {11908, 47104, 470, 388}, {12500, 57344, 0, 364},
	{8000, 30517, 470, 360}, {32000, 49152, 0, 284}, {18708, 64512, 1000, 255}, {11908, 47104, 650, 237}, {9810, 41560, 1000, 195}, {8000, 30517, 0, 163},
	{12000, 24576, 1000, 158}, {15700, 58368, 1000, 158}, {11908, 47104, 1000, 153}, {15400, 51200, 0, 120}, {4000, 22888, 320, 111}, {16000, 32768, 1000, 108},
	{8000, 16384, 1000, 104}, {4000, 24576, 1000, 104}, {12000, 16384, 1000, 99}, {16500, 51200, 0, 95}, {14200, 58368, 1000, 93}, {4000, 30517, 230, 84},
}

// Generator makes the tasks of a Spec. Make one with New.
type Generator struct {
	s     Spec
	rng   *rand.Rand
	n     uint64
	now   float64 // seconds
	shape [24]float64
	peak  float64 // of shape
	below []int64 // of sizes, how many ask for it or one before it
}

// New makes the generator of a spec that Parse has read.
func New(s Spec) *Generator {
	g := &Generator{s: s, rng: rand.New(rand.NewPCG(s.Seed, 0x6172726976616c73))}
	sum := 0.0
	for _, n := range hours {
		sum += n
	}
	for i, n := range hours {
		g.shape[i] = 1 + s.Day*(n/(sum/24)-1)
		g.peak = max(g.peak, g.shape[i])
	}
	all := int64(0)
	for _, z := range sizes {
		all += z[3]
		g.below = append(g.below, all)
	}
	return g
}

// Spec is what is made.
func (g *Generator) Spec() Spec { return g.s }

// Next gives the next task, as long as there is one.
func (g *Generator) Next() (tasks.Event, bool) {
	if g.n == g.s.Tasks {
		return tasks.Event{}, false
	}
	g.n++
	if g.n > 1 { // the first comes at 0, as in every trace
		g.arrive()
	}
	return tasks.Event{
		Kind: tasks.TaskComes, At: duration(g.now), Lasts: duration(g.lasts()), ID: tasks.ID{Job: g.n}, Size: g.size(),
	}, true
}

// arrive goes on to the next arrival: of a process as fast as the day's peak, each is kept with the share of its hour (Lewis and Shedler, "Simulation of
// nonhomogeneous Poisson processes by thinning", 1979).
func (g *Generator) arrive() {
	for {
		g.now += g.rng.ExpFloat64() * g.s.Gap / g.peak
		hour := int(math.Mod(g.now, 86_400) / 3600)
		if g.rng.Float64()*g.peak < g.shape[min(hour, 23)] {
			return
		}
	}
}

func (g *Generator) lasts() float64 {
	for {
		x := 0.0
		if g.s.Durations == Pareto {
			x = g.s.Shortest * math.Pow(1-g.rng.Float64(), -1/g.s.Alpha)
		} else {
			x = math.Exp(g.s.Mu + g.s.Sigma*g.rng.NormFloat64())
		}
		if x <= g.s.Longest {
			return x
		}
	}
}

func (g *Generator) size() tasks.Size {
	k := g.rng.Int64N(g.below[len(g.below)-1])
	i := 0
	for k >= g.below[i] {
		i++
	}
	z := sizes[i]
	scaled := func(n int64, unit float64) int64 { return int64(math.Round(float64(n) * unit * g.s.Scale)) }
	return tasks.Size{Cores: scaled(z[0], tasks.One/1000), Memory: scaled(z[1], 1<<20), GPUs: scaled(z[2], tasks.One/1000)}
}

// duration of seconds, at most the end of time.
func duration(s float64) time.Duration {
	return time.Duration(min(s*float64(time.Second), math.MaxInt64/2))
}

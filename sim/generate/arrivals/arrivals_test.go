package arrivals

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/sim/tasks"
)

func TestFaultsAreNamed(t *testing.T) {
	_, err := Parse("generator:cluster?tasks=0&gap=x&day=2&durations=weibull&seed=-1&colour=red&gap=1")
	for _, want := range []string{`tasks: "0"`, `gap: "x", want a number of 1e-06`, `day: "2"`, `durations: "weibull", want lognormal or pareto`, `seed: "-1"`, "colour: unknown key", "gap: there twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
	if _, err := Parse("generator:cluster?longest=1"); err == nil || !strings.Contains(err.Error(), "longest: 1, want at least half") {
		t.Error(err)
	}
	if _, err := Parse("generator:zipf?pages=1"); err == nil {
		t.Error("another generator is taken")
	}
}

// TestSpecsPrintBack: and one spec is one sequence, another seed another.
func TestSpecsPrintBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Default()
		s.Tasks = rapid.Uint64Range(2, 50).Draw(t, "tasks")
		s.Gap, s.Day = rapid.Float64Range(0.01, 1000).Draw(t, "gap"), rapid.Float64Range(0, 1).Draw(t, "day")
		s.Durations, s.Seed = rapid.SampledFrom([]string{LogNormal, Pareto}).Draw(t, "law"), rapid.Uint64().Draw(t, "seed")
		if got, err := Parse(s.String()); err != nil || got != s {
			t.Fatalf("%+v printed and read is %+v, %v", s, got, err)
		}
		other := s
		other.Seed++
		a, b, c, differs := New(s), New(s), New(other), false
		for range s.Tasks {
			x, _ := a.Next()
			y, _ := b.Next()
			z, _ := c.Next()
			if x != y {
				t.Fatalf("%+v and %+v of one seed", x, y)
			}
			differs = differs || x != z
		}
		if _, more := a.Next(); more || !differs {
			t.Fatalf("more %v, other %v", more, differs)
		}
	})
}

// TestAsFitted: 200 000 tasks have the moments of the law, within five standard errors.
func TestAsFitted(t *testing.T) {
	const n = 200_000
	s := Default()
	s.Tasks = n
	g := New(s)
	var logs, squares float64
	var byHour [24]float64
	var last tasks.Event
	size := map[tasks.Size]float64{}
	for range n {
		e, _ := g.Next()
		l := math.Log(e.Lasts.Seconds())
		logs, squares = logs+l, squares+l*l
		byHour[int(math.Mod(e.At.Seconds(), 86400)/3600)]++
		size[e.Size]++
		last = e
	}
	mean := logs / n
	if sd := math.Sqrt(squares/n - mean*mean); math.Abs(mean-s.Mu) > 0.025 || math.Abs(sd-s.Sigma) > 0.025 {
		t.Errorf("log of durations: mean %v, deviation %v, want %v and %v", mean, sd, s.Mu, s.Sigma)
	}
	if gap := last.At.Seconds() / n; math.Abs(gap/s.Gap-1) > 0.0125 {
		t.Errorf("mean gap %v, want %v", gap, s.Gap)
	}
	sum := 0.0
	for _, h := range hours {
		sum += h
	}
	for i, h := range hours {
		if want := h / sum * n; math.Abs(byHour[i]-want) > 5*math.Sqrt(want) {
			t.Errorf("hour %d has %v tasks, want about %.0f", i, byHour[i], want)
		}
	}
	if want := n * 1047.0 / 6541; math.Abs(size[tasks.Size{Cores: 3.152e9, Memory: 5600 << 20, GPUs: 0.81e9}]-want) > 5*math.Sqrt(want) {
		t.Errorf("%v of the most frequent size, want about %.0f", size[tasks.Size{Cores: 3.152e9, Memory: 5600 << 20, GPUs: 0.81e9}], want)
	}
	s.Durations = Pareto
	g = New(s)
	over := 0.0
	for range n {
		if e, _ := g.Next(); e.Lasts.Seconds() > 10*s.Shortest {
			over++
		}
	}
	tail := func(x float64) float64 { return math.Pow(x/s.Shortest, -s.Alpha) }
	if want := (tail(10*s.Shortest) - tail(s.Longest)) / (1 - tail(s.Longest)); math.Abs(over/n-want) > 0.005 {
		t.Errorf("%v last ten times the shortest, want %v", over/n, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("generator:cluster?tasks=5&gap=1&durations=pareto")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse(text); err == nil {
			if again, err := Parse(s.String()); err != nil || again != s {
				t.Errorf("%q is %+v, printed and read %+v, %v", text, s, again, err)
			}
		}
	})
}

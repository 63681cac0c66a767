package arrivals

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Prefix begins the text of a Spec.
const Prefix = "generator:cluster"

// MaxTasks bounds Spec.Tasks, maxSeconds every time.
const (
	MaxTasks   = 1 << 40
	maxSeconds = 1e9
)

// Laws of durations.
const (
	LogNormal = "lognormal"
	Pareto    = "pareto"
)

// Spec says what to make. Times are seconds.
type Spec struct {
	Tasks     uint64
	Gap       float64 // mean between two tasks
	Day       float64 // of the day's shape: 0 none, 1 as in openb
	Durations string  // law
	Mu, Sigma float64 // of LogNormal: of the logarithm of seconds
	Alpha     float64 // of Pareto
	Shortest  float64 // of Pareto: from where on it is one
	Longest   float64 // durations beyond are drawn again
	Scale     float64 // all amounts are multiplied by it
	Seed      uint64
}

// key is one setting of a Spec.
type key struct {
	name      string
	to        func(s *Spec) *float64
	low, high float64
}

var keys = []key{
	{"gap", func(s *Spec) *float64 { return &s.Gap }, 1e-6, maxSeconds},
	{"day", func(s *Spec) *float64 { return &s.Day }, 0, 1},
	{"mu", func(s *Spec) *float64 { return &s.Mu }, -10, 20},
	{"sigma", func(s *Spec) *float64 { return &s.Sigma }, 0, 5},
	{"alpha", func(s *Spec) *float64 { return &s.Alpha }, 0.1, 20},
	{"shortest", func(s *Spec) *float64 { return &s.Shortest }, 1e-3, maxSeconds},
	{"longest", func(s *Spec) *float64 { return &s.Longest }, 1e-3, maxSeconds},
	{"scale", func(s *Spec) *float64 { return &s.Scale }, 1e-3, 1e3},
}

// Is reports whether text is meant to be a Spec.
func Is(text string) bool { return text == Prefix || strings.HasPrefix(text, Prefix+"?") }

// Default is the fit to openb, for 10 000 tasks.
func Default() Spec {
	return Spec{Tasks: 10_000, Gap: 358.4, Day: 1, Durations: LogNormal, Mu: 6.330, Sigma: 1.942, Alpha: 0.767, Shortest: 2639, Longest: 12_537_496, Scale: 1, Seed: 1}
}

// Parse reads a Spec. The error has every fault, each by its key.
func Parse(text string) (Spec, error) {
	s := Default()
	if !Is(text) {
		return s, fmt.Errorf("%q, want %s?KEY=VALUE&…", text, Prefix)
	}
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	seen := map[string]bool{}
	for arg := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(text, Prefix), "?"), "&") {
		if arg == "" {
			continue
		}
		name, value, _ := strings.Cut(arg, "=")
		if seen[name] {
			add("%s: there twice, want it once", name)
		}
		seen[name] = true
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
		switch {
		case name == "tasks":
			n, err := strconv.ParseUint(value, 10, 64)
			if s.Tasks = n; err != nil || n < 1 || n > MaxTasks {
				add("tasks: %q, want a whole number of 1 to %d", value, uint64(MaxTasks))
			}
		case name == "seed":
			n, err := strconv.ParseUint(value, 10, 64)
			if s.Seed = n; err != nil {
				add("seed: %q, want a whole number of 0 to %d", value, uint64(math.MaxUint64))
			}
		case name == "durations":
			if s.Durations = value; value != LogNormal && value != Pareto {
				add("durations: %q, want %s or %s", value, LogNormal, Pareto)
			}
		case i >= 0:
			x, err := strconv.ParseFloat(value, 64)
			if err != nil || !(x >= keys[i].low && x <= keys[i].high) {
				add("%s: %q, want a number of %v to %v", name, value, keys[i].low, keys[i].high)
			}
			*keys[i].to(&s) = x
		default:
			add("%s: unknown key, want one of tasks, durations, seed, %s", name, names())
		}
	}
	if len(errs) == 0 {
		// Half of what is drawn must be short enough, or drawing again would take for ever.
		if median := s.median(); s.Longest < median {
			add("longest: %v, want at least half of the durations to be shorter: %.3g", s.Longest, median)
		}
	}
	return s, errors.Join(errs...)
}

func names() string {
	var all []string
	for _, k := range keys {
		all = append(all, k.name)
	}
	return strings.Join(all, ", ")
}

func (s Spec) median() float64 {
	if s.Durations == Pareto {
		return s.Shortest * math.Pow(2, 1/s.Alpha)
	}
	return math.Exp(s.Mu)
}

// String gives the text that Parse reads, with every value.
func (s Spec) String() string {
	t := fmt.Sprintf("%s?tasks=%d&durations=%s", Prefix, s.Tasks, s.Durations)
	for _, k := range keys {
		t += fmt.Sprintf("&%s=%v", k.name, *k.to(&s))
	}
	return t + fmt.Sprintf("&seed=%d", s.Seed)
}

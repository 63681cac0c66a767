package generate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Prefix begins the text of a Spec.
const Prefix = "generator:"

// Bounds of a Spec.
const (
	MaxPages = 1 << 36 // 256 TiB, what an address has
	MaxRefs  = 1 << 48
	MaxSkew  = 10
	MaxGap   = math.MaxUint32
)

// Kinds of generators.
const (
	Zipf       = "zipf"
	Sequential = "sequential"
	Phases     = "phases"
)

var kinds = []string{Phases, Sequential, Zipf}

// Spec says what to generate.
type Spec struct {
	Kind  string
	Pages uint64  // touched, 1 to MaxPages; must be given
	Refs  uint64  // references, 1 to MaxRefs; must be given
	Write float64 // percent of the references that write, 0 to 100; default 25
	Gap   uint64  // instructions for each reference, 0 to MaxGap; default 4, about that of recorded programs
	Skew  float64 // of zipf: 0, where all pages are alike, to MaxSkew; default 0.99
	Phase uint64  // of phases: references of one, default Refs/10
	Hot   uint64  // of phases: pages of one, 1 to Pages; default Pages/10
	Seed  uint64
	// Seeded says that the text has a seed; else whoever runs it draws one.
	Seeded bool
}

// Is reports whether text is meant to be a Spec.
func Is(text string) bool { return strings.HasPrefix(text, Prefix) }

// Parse reads a Spec. The error has every fault, each by its key.
func Parse(text string) (Spec, error) {
	s := Spec{Write: 25, Gap: 4, Skew: 0.99}
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	rest, ok := strings.CutPrefix(text, Prefix)
	if !ok {
		return s, fmt.Errorf("%q, want %sKIND?KEY=VALUE&…", text, Prefix)
	}
	kind, args, _ := strings.Cut(rest, "?")
	if s.Kind = kind; !slices.Contains(kinds, kind) {
		return s, fmt.Errorf("generator %q, want one of %s", kind, strings.Join(kinds, ", "))
	}
	seen := map[string]bool{}
	for arg := range strings.SplitSeq(args, "&") {
		if arg == "" {
			continue
		}
		key, value, _ := strings.Cut(arg, "=")
		known, err := s.set(key, value)
		switch {
		case !known:
			add("%s: unknown key, want one of %s", key, strings.Join(s.keys(), ", "))
		case seen[key]:
			add("%s: there twice, want it once", key)
		case err != nil:
			add("%s: %q, want %w", key, value, err)
		}
		seen[key] = true
	}
	for _, key := range []string{"pages", "refs"} {
		if !seen[key] {
			add("%s: missing, want a number of at least 1", key)
		}
	}
	if len(errs) > 0 {
		return s, errors.Join(errs...)
	}
	if !seen["phase"] {
		s.Phase = max(s.Refs/10, 1)
	}
	if !seen["hot"] {
		s.Hot = max(s.Pages/10, 1)
	}
	if s.Hot > s.Pages {
		add("hot: %d, want at most pages, %d", s.Hot, s.Pages)
	}
	return s, errors.Join(errs...)
}

// keys are those that a kind has.
func (s *Spec) keys() []string {
	keys := []string{"pages", "refs", "writes_percent", "gap", "seed"}
	switch s.Kind {
	case Zipf:
		keys = append(keys, "skew")
	case Phases:
		keys = append(keys, "phase", "hot")
	}
	return keys
}

// set reads one value; known is false if the kind has no such key.
func (s *Spec) set(key, value string) (known bool, err error) {
	if !slices.Contains(s.keys(), key) {
		return false, nil
	}
	switch key {
	case "pages":
		s.Pages, err = whole(value, 1, MaxPages)
	case "refs":
		s.Refs, err = whole(value, 1, MaxRefs)
	case "writes_percent":
		s.Write, err = real(value, 100)
	case "gap":
		s.Gap, err = whole(value, 0, MaxGap)
	case "skew":
		s.Skew, err = real(value, MaxSkew)
	case "phase":
		s.Phase, err = whole(value, 1, MaxRefs)
	case "hot":
		s.Hot, err = whole(value, 1, MaxPages)
	case "seed":
		s.Seeded = true
		s.Seed, err = whole(value, 0, math.MaxUint64)
	}
	return true, err
}

func whole(text string, least, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("a whole number of %d to %d", least, most)
	}
	return n, nil
}

func real(text string, most float64) (float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0 && x <= most) {
		return 0, fmt.Errorf("a number of 0 to %v", most)
	}
	return x, nil
}

// String gives the text that Parse reads, with every value.
func (s Spec) String() string {
	t := fmt.Sprintf("%s%s?pages=%d&refs=%d&writes_percent=%v&gap=%d", Prefix, s.Kind, s.Pages, s.Refs, s.Write, s.Gap)
	switch s.Kind {
	case Zipf:
		t += fmt.Sprintf("&skew=%v", s.Skew)
	case Phases:
		t += fmt.Sprintf("&phase=%d&hot=%d", s.Phase, s.Hot)
	}
	if s.Seeded {
		t += fmt.Sprintf("&seed=%d", s.Seed)
	}
	return t
}

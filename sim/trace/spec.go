package trace

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Spec is a format with settings, as it stands after --format and in workload files:
//
//	lirs                         the name alone
//	lirs:op=write,skip-bad=10    with settings
//	auto:times=clamp             recognised, with settings
//	regex:^(?P<rw>[RW]) (?P<addr>\S+)$   everything after the colon is the expression
//	regex:{base=hex}^(?P<addr>\S+)$      but for settings in braces before it
//
// Every reader takes the common keys; a format that lacks a field takes what such a key says instead of the default
// that its header states.
type Spec struct {
	Name string // "" = recognised
	// SkipBad is how many records that are not of the format are left out before the next is an error.
	SkipBad uint64
	// Op is what a record without an operation does: "read" or "write"; "" = the format's default, read.
	Op string
	// Times says what becomes of a time before the last one: "strict" refuses it, "clamp" takes the last one instead; "" = the format's default.
	Times string
	// Unit is how many bytes a number of a page, block or sector stands for, where the format does not say; 0 = the format's default.
	Unit uint64
	// Keys are the settings that only this reader takes.
	Keys map[string]string
	// Rest is the text after the colon of a format that takes text, such as regex.
	Rest string
}

// autoFormat is the name for a format that is to be recognised.
const autoFormat = "auto"

// CommonKeys are the settings that every reader takes.
var CommonKeys = []Key{
	{"skip-bad", "how many records that are not of the format are left out and counted (0)"},
	{"op", "`read` or `write`: what a record does where the format does not say"},
	{"times", "`strict` or `clamp`: refuse a time before the last one, or take the last one instead"},
	{"unit", "bytes that a number of a page, block or sector stands for, where the format does not say"},
}

// textFormats take all that is after the colon as text, but for settings in braces before it.
var textFormats = []string{regexFormat}

// MaxUnit bounds Spec.Unit.
const MaxUnit = 1 << 30

// ParseSpec reads a format with settings. Which keys the named format has is checked; their values by its reader, when a file is opened.
func ParseSpec(text string) (Spec, error) {
	name, rest, _ := strings.Cut(text, ":")
	s := Spec{Name: name}
	if name == autoFormat {
		s.Name = ""
	}
	f, known := find(s.Name)
	if s.Name != "" && s.Name != sktFormat && !known {
		return s, fmt.Errorf("trace format %q, want one of %s, or %s", name, strings.Join(Formats(), ", "), autoFormat)
	}
	if slices.Contains(textFormats, s.Name) {
		settings, braces := strings.CutPrefix(rest, "{")
		if !braces {
			s.Rest = rest
			return s, nil
		}
		if rest, s.Rest, braces = strings.Cut(settings, "}"); !braces {
			return s, fmt.Errorf("trace format %q: settings in braces, want a } behind them", text)
		}
	}
	if rest == "" {
		return s, nil
	}
	for _, kv := range strings.Split(rest, ",") {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || value == "" {
			return s, fmt.Errorf("trace format %q: %q, want key=value", text, kv)
		}
		if err := s.set(f, key, value); err != nil {
			return s, fmt.Errorf("trace format %q: %w", text, err)
		}
	}
	return s, nil
}

func (s *Spec) set(f format, key, value string) (err error) {
	switch key {
	case "skip-bad":
		s.SkipBad, err = strconv.ParseUint(value, 10, 63)
	case "op":
		s.Op = value
		if value != "read" && value != "write" {
			err = fmt.Errorf("%q", value)
		}
	case "times":
		s.Times = value
		if value != "strict" && value != "clamp" {
			err = fmt.Errorf("%q", value)
		}
	case "unit":
		s.Unit, err = strconv.ParseUint(value, 10, 64)
		if err == nil && (s.Unit < 1 || s.Unit > MaxUnit) {
			err = fmt.Errorf("%d, want 1 to %d", s.Unit, MaxUnit)
		}
	default:
		var names []string
		for _, k := range append(append([]Key{}, f.keys...), CommonKeys...) {
			names = append(names, k.Name)
		}
		if !slices.ContainsFunc(f.keys, func(k Key) bool { return k.Name == key }) {
			return fmt.Errorf("no key %q, want one of %s", key, strings.Join(names, ", "))
		}
		if s.Keys == nil {
			s.Keys = map[string]string{}
		}
		s.Keys[key] = value
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// key is what a setting of the reader says, or the default.
func (s *Spec) key(name, or string) string {
	if v, ok := s.Keys[name]; ok {
		return v
	}
	return or
}

// flags are those of a record whose format has no operation.
func (s *Spec) flags() uint8 {
	if s.Op == "write" {
		return FlagWrite
	}
	return 0
}

// block is the kind of a request whose format has no operation.
func (s *Spec) block() EventKind {
	if s.Op == "write" {
		return BlockWrite
	}
	return BlockRead
}

// opStated is what the header says of the operation of a format that has none.
func (s *Spec) opStated() string {
	if s.Op != "" {
		return "operation: " + s.Op + " (the format has none; set)"
	}
	return "operation: read (the format has none)"
}

// unitOr is the unit, or the format's default.
func (s *Spec) unitOr(bytes uint64) uint64 {
	if s.Unit != 0 {
		return s.Unit
	}
	return bytes
}

// clock makes times begin at 0 and never run backwards.
type clock struct {
	clamp   bool
	begun   bool
	start   uint64
	last    uint64
	clamped uint64 // times before the last one, taken as the last one
}

// newClock is a clock as the settings say; clamp is the format's default.
func (s *Spec) newClock(clamp bool) clock {
	if s.Times != "" {
		clamp = s.Times == "clamp"
	}
	return clock{clamp: clamp}
}

// at is ns, counted from the first time that was seen.
func (c *clock) at(ns uint64) (uint64, error) {
	if !c.begun {
		c.begun, c.start, c.last = true, ns, ns
	}
	if ns < c.last {
		if !c.clamp {
			return 0, fmt.Errorf("its time is %d ns before the one of the record before it, expected times that do not run backwards (times=clamp takes the last one)", c.last-ns)
		}
		c.clamped++
		ns = c.last
	}
	c.last = ns
	return ns - c.start, nil
}

// stated appends what the header says of times.
func (c *clock) stated(list []string) []string {
	return c.clampedStated(append(list, "time: the first record is at 0"))
}

// clampedStated is stated for a format that counts from a start of its own.
func (c *clock) clampedStated(list []string) []string {
	if c.clamped > 0 {
		list = append(list, fmt.Sprintf("time: %d records with a time before the last one have the last one", c.clamped))
	}
	return list
}

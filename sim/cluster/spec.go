package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"splitkernel/sim/tasks"
)

// Spec is a format with settings, as it stands after --format:
//
//	google2011                          the name alone
//	google2011:cores=32,memory=128GiB   what 1.0 is
//	auto:skip-bad=10                    recognised, with settings
type Spec struct {
	Name string // "" = recognised
	// SkipBad is how many records that are not of the format are left out before the next is an error.
	SkipBad uint64
	// Cores and Memory are what 1.0 is of a trace that counts in fractions; 0 leaves fractions.
	Cores, Memory int64
	keys          map[string]string
}

// CommonKeys are the settings that every reader takes.
var CommonKeys = []Key{
	{"skip-bad", "how many records that are not of the format are left out and counted (0)"},
	{"cores", "cores that 1.0 is, where a trace counts in fractions of a machine"},
	{"memory", "memory that 1.0 is, such as 256GiB, where a trace counts in fractions"},
}

const autoFormat = "auto"

// ParseSpec reads a format with settings. Keys are checked when the files are known, since a reader that is recognised has keys too.
func ParseSpec(text string) (Spec, error) {
	name, rest, _ := strings.Cut(text, ":")
	s := Spec{Name: name, keys: map[string]string{}}
	if name == autoFormat {
		s.Name = ""
	}
	if s.Name != "" && !slices.Contains(Formats(), s.Name) {
		return s, fmt.Errorf("cluster trace format %q, want one of %s, or %s", name, strings.Join(Formats(), ", "), autoFormat)
	}
	if rest == "" {
		return s, nil
	}
	for _, kv := range strings.Split(rest, ",") {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || value == "" {
			return s, fmt.Errorf("cluster trace format %q: %q, want key=value", text, kv)
		}
		var err error
		switch key {
		case "skip-bad":
			s.SkipBad, err = strconv.ParseUint(value, 10, 63)
		case "cores":
			s.Cores, err = tasks.Billionths(value)
		case "memory":
			s.Memory, err = Bytes(value)
		default:
			s.keys[key] = value
		}
		if err != nil {
			return s, fmt.Errorf("cluster trace format %q: %s: %w", text, key, err)
		}
	}
	return s, nil
}

// check reports keys that none of the formats has.
func (s Spec) check(used []format) error {
	var known []string
	for _, k := range CommonKeys {
		known = append(known, k.Name)
	}
	for _, f := range used {
		for _, k := range f.keys {
			known = append(known, k.Name)
		}
	}
	var given []string
	for k := range s.keys {
		given = append(given, k)
	}
	slices.Sort(given)
	for _, k := range given {
		if !slices.Contains(known, k) {
			return fmt.Errorf("no key %q, want one of %s", k, strings.Join(slices.Compact(known), ", "))
		}
	}
	return nil
}

// key is a setting, or what it is if it is not given.
func (s Spec) key(name, otherwise string) string {
	if v, ok := s.keys[name]; ok {
		return v
	}
	return otherwise
}

// fraction turns billionths of 1.0 into an amount of which 1.0 is whole; 0 leaves them.
func fraction(n, whole int64) int64 {
	if whole == 0 {
		return n
	}
	return tasks.Scaled(n, whole)
}

// units that Bytes knows.
var byteUnits = []struct {
	name string
	n    int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"PiB", 1 << 50}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// Bytes reads an amount of memory with its unit: 384GiB, 1.5GB, 4096 (bytes), MiB (one).
func Bytes(text string) (int64, error) {
	n, unit := strings.TrimSpace(text), int64(1)
	for _, u := range byteUnits {
		if v, ok := strings.CutSuffix(n, u.name); ok {
			if n, unit = strings.TrimSpace(v), u.n; n == "" {
				return unit, nil
			}
			break
		}
	}
	bad := fmt.Errorf("%q, want an amount of memory, such as 384GiB or MiB, of at most %d bytes", text, int64(tasks.MaxAmount))
	if whole, err := strconv.ParseInt(n, 10, 64); err == nil {
		if whole < 0 || whole > tasks.MaxAmount/unit {
			return 0, bad
		}
		return whole * unit, nil
	}
	x, err := strconv.ParseFloat(n, 64)
	if err != nil || !(x >= 0 && x*float64(unit) <= tasks.MaxAmount) {
		return 0, bad
	}
	return int64(x * float64(unit)), nil
}

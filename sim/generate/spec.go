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

	MaxLayers    = 1 << 12
	MaxWords     = 1 << 20
	MaxScan      = 1 << 20
	MaxBlock     = 1 << 26 // bytes of one request
	MaxSize      = 1 << 48 // bytes of a volume
	MaxSplit     = 16      // sizes of a bssplit, zones of a distribution
	MaxFioSkew   = MaxSkew
	MaxRate      = 1e9 // requests a second
	sectorBytes  = 512
	maxTextBytes = 1 << 12 // of a value
)

// Spec says what to generate. Which fields count depends on the kind: see Kinds.
type Spec struct {
	Kind string
	Seed uint64
	// Seeded says that the text has a seed; else whoever runs it draws one.
	Seeded bool

	Pages uint64  // touched, 1 to MaxPages; must be given
	Refs  uint64  // references, 1 to MaxRefs; must be given
	Write float64 // percent of the references that write, 0 to 100
	Gap   uint64  // instructions for each reference, 0 to MaxGap; default 4, about that of recorded programs

	Skew       float64 // of zipf, ycsb and wordcount: 0, where all are alike, to MaxSkew
	Phase      uint64  // of phases: references of one
	Hot        uint64  // of phases, hotcold and drift: pages of one phase, hot pages, pages of the window
	HotPercent float64 // of hotcold: references to hot pages
	Stride     uint64  // of strided: pages
	Drift      uint64  // of drift: references until the window moves by a page

	Workload    string  // of ycsb: a to f
	RecordBytes uint64  // of ycsb
	LoadPercent float64 // of ycsb: records there at the start
	Scan        uint64  // of ycsb: records of the longest scan

	Layers             uint64  // of training
	ActivationsPercent float64 // of training: of the pages
	DataPercent        float64 // of training: of the pages
	Batch              uint64  // of training: pages of data for a step

	InputPercent float64 // of wordcount: of the pages
	Words        uint64  // of wordcount: updates of the table for a page of input

	RW          string  // of block, as fio names them
	MixRead     float64 // of block
	BlockBytes  uint64  // of block: bs
	Split       string  // of block: bssplit; "" = all of BlockBytes
	Spread      string  // of block: random_distribution
	Size        uint64  // of block: bytes of the volume
	IOs         uint64  // of block: requests, flushes not counted
	Rate        float64 // of block: requests a second
	RateProcess string  // of block: linear or poisson
	Fsync       uint64  // of block: a flush after so many writes, 0 = never
}

// Is reports whether text is meant to be a Spec.
func Is(text string) bool { return strings.HasPrefix(text, Prefix) }

// Block reports whether it makes requests to a volume in place of references to memory.
func (s Spec) Block() bool { k, ok := kindOf(s.Kind); return ok && k.Block }

// Parse reads a Spec. The error has every fault, each by its key.
func Parse(text string) (Spec, error) {
	var s Spec
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	rest, ok := strings.CutPrefix(text, Prefix)
	if !ok {
		return s, fmt.Errorf("%q, want %sKIND?KEY=VALUE&…", text, Prefix)
	}
	name, args, _ := strings.Cut(rest, "?")
	k, ok := kindOf(name)
	if !ok {
		return s, fmt.Errorf("generator %q, want one of %s", name, strings.Join(kindNames(), ", "))
	}
	s.Kind = name
	for _, key := range k.Keys {
		if key.fixed {
			if err := key.set(&s, key.Default); err != nil {
				panic(fmt.Sprintf("the default of %s.%s is %q, want %v", name, key.Name, key.Default, err))
			}
		}
	}
	given := map[string]bool{}
	for arg := range strings.SplitSeq(args, "&") {
		if arg == "" {
			continue
		}
		name, value, _ := strings.Cut(arg, "=")
		at := slices.IndexFunc(k.Keys, func(key Key) bool { return key.Name == name })
		switch {
		case at < 0:
			add("%s: unknown key, want one of %s", name, strings.Join(k.names(), ", "))
		case given[name]:
			add("%s: there twice, want it once", name)
		case len(value) > maxTextBytes:
			add("%s: %d bytes, want at most %d", name, len(value), maxTextBytes)
		default:
			if err := k.Keys[at].set(&s, value); err != nil {
				add("%s: %q, want %w", name, value, err)
			}
		}
		given[name] = true
	}
	for _, key := range k.Keys {
		if key.Needed && !given[key.Name] {
			add("%s: missing, want %s", key.Name, key.wanted)
		}
	}
	if len(errs) > 0 {
		return s, errors.Join(errs...)
	}
	s.Seeded = given["seed"]
	if k.complete != nil {
		errs = k.complete(&s, given)
	}
	return s, errors.Join(errs...)
}

// String gives the text that Parse reads, with every value.
func (s Spec) String() string {
	k, _ := kindOf(s.Kind)
	var args []string
	for _, key := range k.Keys {
		if key.Name == "seed" && !s.Seeded {
			continue
		}
		if value := key.text(&s); value != "" {
			args = append(args, key.Name+"="+value)
		}
	}
	return Prefix + s.Kind + "?" + strings.Join(args, "&")
}

// Key is a setting of a kind.
type Key struct {
	Name, About string
	Range       string // in words
	Default     string // as text, or in words where it follows from other keys
	Needed      bool   // has no default
	fixed       bool   // Default is text
	wanted      string // for the error when it is missing
	set         func(s *Spec, value string) error
	text        func(s *Spec) string
}

// needed makes a key one that must be given.
func (k Key) needed(wanted string) Key { k.Needed, k.wanted = true, wanted; return k }

// or is a key with a default.
func (k Key) or(value string) Key { k.Default, k.fixed = value, true; return k }

// follows is a key whose default comes from other keys, in words.
func (k Key) follows(words string) Key { k.Default = words; return k }

func wholeKey(name, about string, least, most uint64, at func(*Spec) *uint64) Key {
	return Key{Name: name, About: about, Range: fmt.Sprintf("%d to %d", least, most),
		set: func(s *Spec, v string) (err error) {
			n, err := whole(v, least, most)
			*at(s) = n
			return err
		},
		text: func(s *Spec) string { return strconv.FormatUint(*at(s), 10) }}
}

func realKey(name, about string, most float64, at func(*Spec) *float64) Key {
	return Key{Name: name, About: about, Range: fmt.Sprintf("0 to %v", most),
		set: func(s *Spec, v string) (err error) {
			x, err := real(v, most)
			*at(s) = x
			return err
		},
		text: func(s *Spec) string { return fmt.Sprint(*at(s)) }}
}

func choiceKey(name, about string, choices []string, at func(*Spec) *string) Key {
	list := strings.Join(choices, ", ")
	return Key{Name: name, About: about, Range: list,
		set: func(s *Spec, v string) error {
			if !slices.Contains(choices, v) {
				return fmt.Errorf("one of %s", list)
			}
			*at(s) = v
			return nil
		},
		text: func(s *Spec) string { return *at(s) }}
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

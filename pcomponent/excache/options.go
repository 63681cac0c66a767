package excache

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/pcomponent/policy"
	"splitkernel/pcomponent/prefetch"
)

// Names of the eviction mechanisms; see the package documentation.
const (
	MechanismList         = "list"
	MechanismWriteProtect = "write-protect"
	MechanismVictim       = "victim"
)

// Mechanisms returns the names of the eviction mechanisms, sorted.
func Mechanisms() []string {
	return []string{MechanismList, MechanismVictim, MechanismWriteProtect}
}

// Bounds of the options.
const (
	// MaxLines bounds the lines of a cache: line+1 has 24 bits in the index.
	MaxLines = policy.MaxLines
	// MaxPages bounds page numbers: a page has 40 bits in the index, which is an
	// address space of 2^52 bytes in pages of 4 KiB.
	MaxPages = uint64(1) << 40
	// MaxVictimLines is the most that LegoOS allows.
	MaxVictimLines = 128
	// MaxFlushFrames bounds the unacknowledged flushes. They are searched in
	// order, so this also bounds the work of one miss.
	MaxFlushFrames = 1024
	// MaxPrefetchInFlight bounds the pages that are prefetched and not used yet.
	// They are searched in order.
	MaxPrefetchInFlight = 256
)

// Options say how one ExCache is built.
type Options struct {
	// Lines is the capacity in pages, 1..MaxLines and a multiple of Ways.
	Lines int `yaml:"lines"`
	// Ways is the associativity, 1..Lines, such that Lines/Ways is a power of
	// two; 0 means fully associative, one set of all lines. LegoOS has 64, and
	// its paper sees no gain beyond 512.
	Ways int `yaml:"ways"`
	// Policy is the replacement policy by name, see package policy.
	Policy string `yaml:"policy"`
	// Seed of the random policy; any value. The others ignore it.
	Seed uint64 `yaml:"seed"`
	// SweepEvery is the number of accesses between two sweeps of lru-sweep, at
	// least 1; the other policies ignore it. A sweep may walk every line, so the
	// default keeps its cost to a few per cent of the accesses between two with
	// the default number of lines.
	SweepEvery int `yaml:"sweep_every_accesses"`
	// Mechanism is the eviction mechanism by name: list (the default of LegoOS),
	// write-protect or victim.
	Mechanism string `yaml:"mechanism"`
	// VictimLines is the size of the victim cache in pages, 1..MaxVictimLines;
	// used by the mechanism victim only. 8 is the default of LegoOS.
	VictimLines int `yaml:"victim_lines"`
	// FlushFrames bounds the flushes that wait for their acknowledgement,
	// 1..MaxFlushFrames. The default lets one connection's worth of misses each
	// have its victim on the way.
	FlushFrames int `yaml:"flush_frames"`
	// LFUAgeEvery is the number of accesses after which lfu halves its counts; 0,
	// the default, means never. The other policies ignore it.
	LFUAgeEvery int `yaml:"lfu_age_every_accesses"`
	// Prefetcher names what guesses the pages that will be missed next, see package
	// prefetch; none, the default, brings only what is missed.
	Prefetcher string `yaml:"prefetcher"`
	// PrefetchDegree is how many pages are brought at most because of one access,
	// 1..prefetch.MaxDepth; the default is that of Leap. None ignores it.
	PrefetchDegree int `yaml:"prefetch_degree"`
	// PrefetchInFlight is how many pages that were prefetched and are not used yet
	// there may be before no more are brought, 1..MaxPrefetchInFlight; see package
	// fault for those that nobody ever uses. It bounds the messages under way. The
	// default lets four guesses of the default degree run ahead. None ignores it.
	PrefetchInFlight int `yaml:"prefetch_in_flight"`
}

// Prefetches reports whether there is a prefetcher.
func (o Options) Prefetches() bool { return o.Prefetcher != prefetch.None }

// noPrefetcher are policies that a prefetcher would mislead: belady foresees the
// accesses of the program, and counts those that it is told of.
var noPrefetcher = []string{"belady"}

// DefaultOptions is 16 MiB in 64 ways, as LegoOS is shipped but for size and the
// exact LRU.
func DefaultOptions() Options {
	return Options{
		Lines:       4096,
		Ways:        64,
		Policy:      "lru",
		Seed:        1,
		SweepEvery:  65536,
		Mechanism:   MechanismList,
		VictimLines: 8,
		FlushFrames: 64,

		Prefetcher:       prefetch.None,
		PrefetchDegree:   prefetch.DefaultOptions().Depth,
		PrefetchInFlight: 32,
	}
}

// Validate returns all faults, joined; each names its key, its value and what
// was expected.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	linesOK := o.Lines >= 1 && o.Lines <= MaxLines
	if !linesOK {
		fault("lines: %d, want 1..%d", o.Lines, MaxLines)
	}
	switch {
	case o.Ways < 0:
		fault("ways: %d, want 0 (fully associative) or 1..lines", o.Ways)
	case o.Ways == 0 || !linesOK:
	case o.Ways > o.Lines:
		fault("ways: %d, want at most the %d lines", o.Ways, o.Lines)
	case o.Lines%o.Ways != 0:
		fault("lines: %d, want a multiple of the %d ways", o.Lines, o.Ways)
	case !powerOfTwo(o.Lines / o.Ways):
		fault("ways: %d, which makes %d sets of %d lines, want a power of two of sets", o.Ways, o.Lines/o.Ways, o.Lines)
	}
	if !policy.Known(o.Policy) {
		fault("policy: %q, want one of %s", o.Policy, strings.Join(policy.Names(), ", "))
	}
	if o.SweepEvery < 1 {
		fault("sweep_every_accesses: %d, want at least 1", o.SweepEvery)
	}
	if o.LFUAgeEvery < 0 {
		fault("lfu_age_every_accesses: %d, want 0 (never) or at least 1", o.LFUAgeEvery)
	}
	if !slices.Contains(Mechanisms(), o.Mechanism) {
		fault("mechanism: %q, want one of %s", o.Mechanism, strings.Join(Mechanisms(), ", "))
	}
	if o.VictimLines < 1 || o.VictimLines > MaxVictimLines {
		fault("victim_lines: %d, want 1..%d", o.VictimLines, MaxVictimLines)
	}
	if o.FlushFrames < 1 || o.FlushFrames > MaxFlushFrames {
		fault("flush_frames: %d, want 1..%d", o.FlushFrames, MaxFlushFrames)
	}
	switch {
	case !o.Prefetches():
	case !prefetch.Known(o.Prefetcher):
		fault("prefetcher: %q, want one of %s, %s", o.Prefetcher, prefetch.None, strings.Join(prefetch.Names(), ", "))
	case slices.Contains(noPrefetcher, o.Policy):
		fault("prefetcher: %q with the policy %s, want %s: it foresees the accesses of the program and no others", o.Prefetcher, o.Policy, prefetch.None)
	}
	if o.Prefetches() && (o.PrefetchDegree < 1 || o.PrefetchDegree > prefetch.MaxDepth) {
		fault("prefetch_degree: %d, want 1..%d", o.PrefetchDegree, prefetch.MaxDepth)
	}
	if o.Prefetches() && (o.PrefetchInFlight < 1 || o.PrefetchInFlight > MaxPrefetchInFlight) {
		fault("prefetch_in_flight: %d, want 1..%d", o.PrefetchInFlight, MaxPrefetchInFlight)
	}
	return errors.Join(faults...)
}

// Frames is the number of frames that a cache of these options uses, and so the
// pages of memory that its shell must provide: every line, entry of the victim
// cache and unacknowledged flush may hold one.
func (o Options) Frames() int {
	frames := o.Lines + o.FlushFrames
	if o.Mechanism == MechanismVictim {
		frames += o.VictimLines
	}
	return frames
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

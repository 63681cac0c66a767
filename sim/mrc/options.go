package mrc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/pcomponent/policy"
	"splitkernel/sim/mrc/stack"
)

// Records says which records of a trace are requests.
type Records string

const (
	// Auto is Memory if the first records of the trace refer to memory, else Block: a program's file operations go to another cache
	// than its memory.
	Auto   Records = "auto"
	Memory Records = "memory"
	Block  Records = "block"
)

const (
	// LRU is the policy whose curve needs no simulation.
	LRU = "lru"
	// belady needs the references to come, which are all held.
	belady = "belady"
	// MaxRequests bounds the requests that are held to simulate policies: 4 bytes each. LRU needs none.
	MaxRequests = 1 << 31
	// MaxRecordBytes bounds what one request of a block trace touches. More is a record gone wrong.
	MaxRecordBytes = 16 << 30
	// MaxWorkers bounds the caches that are simulated at a time.
	MaxWorkers = 256
	// fewSizes is up to how many sizes of LRU are simulated rather than read from its curve, which takes several times as long as one.
	fewSizes = 4
	// holdForLRU is how many requests are held for that at most: 256 MiB.
	holdForLRU = 1 << 26
)

// Options say what to compute. The zero value of what DefaultOptions sets is a fault.
type Options struct {
	Policies []string // names of package policy, each once; default lru
	Sizes    []Size   // default: 1, 2, 5, 10 … pages up to the footprint
	// Curve wants the Dense rows of LRU, whatever the sizes.
	Curve bool
	// ByRecord makes a request of a block trace one for its offset; otherwise it is one for each 4 KiB block that it touches.
	ByRecord bool
	Records  Records
	// Sample estimates LRU from some of the pages; nil looks at all.
	Sample  *stack.SampleOptions
	Workers int            // caches simulated at a time, 1 to MaxWorkers
	Policy  policy.Options // settings of policies; SweepEvery as package policy wants it
	// Progress is told how far it is, once for each batch, by several goroutines at once; may be nil.
	Progress func(Progress)
}

// Progress is how far a stage is.
type Progress struct {
	Stage       Stage
	Done, Total uint64 // records, or requests of all caches; a total of 0 is unknown, and that of records may be a guess
}

// Stage is what is being done.
type Stage string

// Stages in their order.
const (
	Reading    Stage = "reading"
	Simulating Stage = "simulating"
)

// DefaultOptions is LRU, exactly, on one processor.
func DefaultOptions() Options {
	return Options{Policies: []string{LRU}, Records: Auto, Workers: 1, Policy: policy.Options{SweepEvery: 1000}}
}

// Policies lists the names that Options takes.
func Policies() []string {
	names := append(policy.Names(), belady)
	slices.Sort(names)
	return slices.Compact(names)
}

// Validate finds every fault.
func (o Options) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(o.Policies) == 0 {
		add("no policy, want one of %s", strings.Join(Policies(), ", "))
	}
	for i, p := range o.Policies {
		switch {
		case !slices.Contains(Policies(), p):
			add("policy %q, want one of %s", p, strings.Join(Policies(), ", "))
		case slices.Contains(o.Policies[:i], p):
			add("policy %s is there twice, want it once", p)
		case o.Sample != nil && p != LRU:
			add("policy %s by a sample: only %s can be estimated; without a sample it is simulated", p, LRU)
		}
	}
	if len(o.Sizes) > MaxSizes {
		add("%d sizes, want at most %d", len(o.Sizes), MaxSizes)
	}
	switch o.Records {
	case Auto, Memory, Block:
	default:
		add("records %q, want one of %s, %s, %s", o.Records, Auto, Memory, Block)
	}
	if o.Workers < 1 || o.Workers > MaxWorkers {
		add("%d caches at a time, want 1 to %d", o.Workers, MaxWorkers)
	}
	if o.Sample != nil {
		if err := o.Sample.Validate(); err != nil {
			add("sample: %w", err)
		}
	}
	return errors.Join(errs...)
}

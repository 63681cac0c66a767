package packing

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/sim/tasks"
)

// Bounds of a run.
const (
	MaxHosts  = 1 << 20 // servers, or components of a kind
	MaxLive   = 1 << 24 // tasks that are placed or wait at one time
	MaxPieces = 1 << 12 // mComponents over which the memory of one task is spread
	MaxQueue  = 1 << 22 // tasks that wait
	bins      = 512     // points of a curve over time
)

// Part is a kind of server or component.
type Part struct {
	Size  tasks.Size
	Count int // 0: as many as are needed
}

// Layout is where tasks are placed.
type Layout struct {
	// Own takes the machines of the trace. Else, if Pools, P, M and G are the components; else Server is.
	Own, Pools bool
	Server     Part
	P, M, G    Part // of P.Size, Memory is the ExCache; of M.Size, only Memory counts; of G.Size, only GPUs
	// ExCache is the share of a task's memory, in billionths, that it has as ExCache at its pComponent; 0 to tasks.One.
	ExCache int64
	// Exclusive says that what is in the ExCache is not at mComponents too. LegoOS's lines are copies of pages there, so false is its way.
	Exclusive bool
	// Region is how much memory mComponents give at least, and by what it is rounded up; 0 gives to the byte. LegoOS's vRegions have 1 GiB.
	Region int64
	// Whole says that the memory of a task may not be spread over several mComponents.
	Whole bool
}

// Options say how to place.
type Options struct {
	Policy string
	Layout Layout
	// Queue is how many tasks may wait for room; 0 rejects what does not fit at once.
	Queue int
	// Full is the free share of processors or memory, in billionths, below which a server counts as full: what is free of the other is stranded.
	Full int64
	// Static places everything at once: all tasks come at the beginning and none leaves.
	Static bool
}

// DefaultOptions are best-fit, rejection, and servers that are full from 95 % on.
func DefaultOptions() Options {
	return Options{Policy: "best-fit", Layout: Layout{Region: 1 << 30}, Full: tasks.One / 20}
}

// Policies are the names of the policies.
func Policies() []string { return []string{"best-fit", "dot-product", "first-fit", "worst-fit"} }

// Validate returns all faults.
func (o Options) Validate() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(slices.Contains(Policies(), o.Policy), "policy: %q, want one of %s", o.Policy, strings.Join(Policies(), ", "))
	want(o.Queue >= 0 && o.Queue <= MaxQueue, "queue: %d, want 0 to %d", o.Queue, MaxQueue)
	want(o.Full >= 0 && o.Full <= tasks.One, "full: %d, want 0 to %d billionths", o.Full, tasks.One)
	l := o.Layout
	part := func(name string, p Part, has bool, what string) {
		want(p.Count >= 0 && p.Count <= MaxHosts, "%s: %d of them, want 0 (as many as needed) to %d", name, p.Count, MaxHosts)
		want(has, "%s: %s missing, want more than 0", name, what)
		if err := p.Size.Check(); err != nil {
			want(false, "%s: %w", name, err)
		}
	}
	switch {
	case l.Own:
		want(!l.Pools, "the trace's machines and pools exclude each other")
		want(!o.Static, "static placement is on servers of one size, not on machines that come and go")
	case l.Pools:
		part("pcomponent", l.P, l.P.Size.Cores > 0, "processors are")
		part("mcomponent", l.M, l.M.Size.Memory > 0, "memory is")
		want(l.P.Size.GPUs == 0, "pcomponent: GPUs are components of their own")
		want(l.G.Count >= 0 && l.G.Count <= MaxHosts, "gcomponent: %d of them, want 0 to %d", l.G.Count, MaxHosts)
		want(l.ExCache >= 0 && l.ExCache <= tasks.One, "excache: %d billionths, want 0 to %d", l.ExCache, tasks.One)
		want(l.ExCache == 0 || l.P.Size.Memory > 0, "excache: a share of the memory, but pComponents have none; want memory in their size")
		want(l.Region >= 0 && l.Region <= l.M.Size.Memory, "region: %d, want 0 to what an mComponent has, %d", l.Region, l.M.Size.Memory)
	default:
		part("server", l.Server, l.Server.Size.Cores > 0 && l.Server.Size.Memory > 0, "processors or memory are")
	}
	return errors.Join(errs...)
}

// Package placement holds the policies by which the managers choose a component, one file each, chosen by name.
//
// The manager fills a Set with the components that are alive and asks for one of them. Choose never returns a component
// without room for what is asked, nor one that the Ask avoids, whatever the policy: it is -1 then. A policy does not
// know of leases or epochs.
//
// Every replica must choose alike, so a choice depends on the Set, the order of which is that of the ids, and on the
// Ask alone. What varies is in the Ask: the chance that the proposer stamped into the command, and the position of
// round_robin, which the states replicate. There are no floating-point numbers, whose sums could differ by processor.
//
// The Set is columns, not rows, so that a policy reads only what it compares: a decision among 10 000 components fits
// into the caches of a processor. It is filled for one decision, or kept by a state from decision to decision with an index
// (keep.go), so that a decision does not look at every component. Both choose alike. It allocates only when it grows.
//
// Pure: no goroutines, no clock, no chance of its own, no I/O. Called by the states of gpm, gmm and gsm and by their
// options.
//
//	p, err := placement.New("two_choices")
//	set.Reset()
//	for _, m := range members {
//		set.Add(placement.Candidate{ID: m.ID, Rack: m.Rack, Room: free, …})
//	}
//	i := placement.Choose(p, placement.Ask{Need: 64, Chance: stamp.Chance}, &set) // -1 if there is none
package placement

import (
	"slices"
	"strings"

	"splitkernel/netlayer/wire"
)

// Ask is what a component is chosen for.
type Ask struct {
	Need    uint64      // Room that it must have
	Threads uint64      // Spare threads that it must have
	Key     uint64      // what is placed: consistent_hash places equal keys alike
	Chance  uint64      // 64 random bits that the proposer stamped: random, weighted, two_choices
	After   wire.NodeID // the last one that round_robin chose, empty at first
	// Avoid and AvoidRacks are components and failure domains that must not be chosen: those of the primary, when a
	// replica is placed. Racks are compared as they are. A cluster without labels is one rack, "": whoever wants replicas
	// in it anyway must not name that. Both ascend.
	Avoid      []wire.NodeID
	AvoidRacks []string
	// Within and WithinRacks, ascending, are components and racks outside which nothing is chosen, if either is not empty; see
	// ChooseNear.
	Within      []wire.NodeID
	WithinRacks []string
}

// Avoids reports whether a component in a rack must not be chosen.
func (a *Ask) Avoids(id wire.NodeID, rack string) bool {
	if len(a.Avoid) > 0 {
		if _, ok := slices.BinarySearch(a.Avoid, id); ok {
			return true
		}
	}
	if _, ok := slices.BinarySearch(a.AvoidRacks, rack); ok {
		return true
	}
	if len(a.Within) == 0 && len(a.WithinRacks) == 0 {
		return false
	}
	if _, ok := slices.BinarySearch(a.Within, id); ok {
		return false
	}
	_, ok := slices.BinarySearch(a.WithinRacks, rack)
	return !ok
}

// ChooseNear chooses within a.Within and a.WithinRacks if something fits there, else anywhere, and returns the ask of which it is the choice.
func ChooseNear(p Policy, a Ask, s *Set) (int, Ask) {
	if len(a.Within) > 0 || len(a.WithinRacks) > 0 {
		if i := Choose(p, a, s); i >= 0 {
			return i, a
		}
		a.Within, a.WithinRacks = nil, nil
	}
	return Choose(p, a, s), a
}

// Policy chooses a component under a name.
type Policy struct {
	Name string
	// Rotates says that the policy goes on from the one that it chose last: the caller must keep its id, replicated, and
	// give it back as Ask.After.
	Rotates bool
	by      measure
	// rank orders candidates as the policy compares them; nil: it compares none. If ranked, it chooses the first that fits in that
	// order, or with atLeast the first of the least room that is enough.
	rank            ranking
	ranked, atLeast bool
	drawsTwo        bool                    // of all candidates it compares two
	choose          func(a Ask, s *Set) int // by value: through a pointer it would be allocated
}

// policies is every policy, ascending by name.
var policies = []Policy{
	bestFit, consistentHash, fewestThreads, fewestVolumes, leastLoaded, mostFree, random, roundRobin, twoChoices, weighted, worstFit,
}

// Names returns the names of the policies, ascending.
func Names() []string {
	out := make([]string, len(policies))
	for i, p := range policies {
		out[i] = p.Name
	}
	return out
}

// New returns the policy of a name; the error is of wire.KindBadRequest and names those that exist.
func New(name string) (Policy, error) {
	if i := slices.IndexFunc(policies, func(p Policy) bool { return p.Name == name }); i >= 0 {
		return policies[i], nil
	}
	return Policy{}, wire.Errorf(wire.KindBadRequest, "placement policy %q, want one of %s", name, strings.Join(Names(), ", "))
}

// Choose returns the position in s of the candidate that p chooses for a, or -1 if none has room and is not avoided.
func Choose(p Policy, a Ask, s *Set) int {
	var i int
	if s.indexed && p.ranked {
		i = s.first(&p, &a)
	} else {
		i = p.choose(a, s)
	}
	if i >= 0 && !s.fits(&a, i) {
		panic("placement: " + p.Name + " chose a component without room or one to avoid")
	}
	return i
}

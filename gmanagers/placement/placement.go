// Package placement holds the policies by which the managers choose a component, one file each, chosen by name.
//
// A policy is a strict total order of candidates: the least is chosen, and the id decides last, so every replica
// chooses alike whatever the order of the candidates. The manager offers only candidates with room. A policy does not
// know of room, leases or epochs.
//
// Pure: no goroutines, no clock, no chance, no I/O. Called by the states of gpm, gmm and gsm and by their options.
//
//	p, err := placement.New("least_loaded")
//	i := placement.Choose(p, candidates) // -1 if there are none
package placement

import (
	"math/bits"
	"slices"
	"strings"

	"splitkernel/netlayer/wire"
)

// Candidate is a component with room. Reserved and Capacity are in the unit of the manager: lines of the ExCache at
// GPM, bytes at GMM and GSM.
type Candidate struct {
	ID       wire.NodeID
	Reserved uint64
	Capacity uint64
	Threads  uint64 // threads of the processes placed there
	Volumes  uint64 // volumes placed there
	Homes    uint64 // processes whose home it is; 0 unless a home is chosen
	Traffic  uint64 // misses + flushes that it reported, cumulative
}

// free returns what is not reserved, 0 if more is reserved than there is.
func (c Candidate) free() uint64 {
	if c.Reserved >= c.Capacity {
		return 0
	}
	return c.Capacity - c.Reserved
}

// Policy is an order of candidates under a name.
type Policy struct {
	Name string
	// less reports whether a is to be chosen before b, the ids apart.
	less func(a, b Candidate) bool
}

// policies is every policy, ascending by name.
var policies = []Policy{fewestThreads, fewestVolumes, leastLoaded, mostFree}

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

// Choose returns the index of the candidate that comes first under p, or -1 if there is none.
func Choose(p Policy, candidates []Candidate) int {
	best := -1
	for i, c := range candidates {
		if best < 0 || p.before(c, candidates[best]) {
			best = i
		}
	}
	return best
}

// before is the total order: the policy's, then the id.
func (p Policy) before(a, b Candidate) bool {
	if p.less(a, b) {
		return true
	}
	return !p.less(b, a) && a.ID < b.ID
}

// shareLess compares a.Reserved/a.Capacity with b.Reserved/b.Capacity exactly. A capacity of 0 counts as full.
func shareLess(a, b Candidate) bool {
	if a.Capacity == 0 || b.Capacity == 0 {
		return a.Capacity != 0 && b.Capacity == 0
	}
	ah, al := bits.Mul64(a.Reserved, b.Capacity)
	bh, bl := bits.Mul64(b.Reserved, a.Capacity)
	return ah < bh || ah == bh && al < bl
}

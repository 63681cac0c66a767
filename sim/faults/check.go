package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"splitkernel/netlayer/wire"
)

// Node is a component of a cluster as a fault may name it.
type Node struct {
	ID   wire.NodeID
	Role wire.Role
}

// Check reports what a fault names that is not there, or is of another role. It says which fault by its text.
func Check(f Fault, nodes []Node) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, w := range f.who() {
		role, ok := w.role(nodes)
		switch {
		case w.All:
		case w.ID != "" && !ok:
			bad("%q is no component, want one of %s", w.ID, list(nodes))
		case !ok:
			bad("%v: there is no %v", w, role)
		case f.Kind.Disk() && role != wire.RoleStorage:
			bad("%v: %v is no scomponent, want one of %s", f.Kind, w, list(ofRole(nodes, wire.RoleStorage)))
		}
	}
	for _, a := range f.Link.A {
		for _, b := range f.Link.B {
			if a == b && a.ID != "" {
				bad("%q is on both sides", a.ID)
			}
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%q: %w", f.String(), errors.Join(errs...))
	}
	return nil
}

// CheckList is Check for the faults of a run, which are named by name and their number.
func CheckList(name string, fs []Fault, nodes []Node) error {
	var errs []error
	for i, f := range fs {
		if err := Check(f, nodes); err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %w", name, i, err))
		}
	}
	return errors.Join(errs...)
}

// role is that of whom is named, and whether there is one.
func (w Who) role(nodes []Node) (wire.Role, bool) {
	want := w.Any
	if w.Leader != 0 {
		want = wire.RoleManager
	}
	for _, n := range nodes {
		if n.ID == w.ID && w.ID != "" || n.Role == want && want != 0 {
			return n.Role, true
		}
	}
	return want, false
}

func ofRole(nodes []Node, r wire.Role) (out []Node) {
	for _, n := range nodes {
		if n.Role == r {
			out = append(out, n)
		}
	}
	return out
}

// maxListed bounds the components that an error lists.
const maxListed = 32

func list(nodes []Node) string {
	if len(nodes) == 0 {
		return "none"
	}
	var ids []string
	for _, n := range nodes[:min(len(nodes), maxListed)] {
		ids = append(ids, string(n.ID))
	}
	s := strings.Join(ids, ", ")
	if more := len(nodes) - maxListed; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// Stream is the chance of the fault of a number in a run of a seed, so that a fault more does not change the others.
func Stream(seed uint64, index int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x6661756c74<<16|uint64(index)))
}

// Resolve draws who is meant by any, none of them twice in a fault. It leaves leaders: they are known when the fault happens.
func Resolve(f Fault, nodes []Node, chance *rand.Rand) Fault {
	taken := map[wire.NodeID]bool{}
	for _, w := range f.who() {
		taken[w.ID] = true
	}
	draw := func(w Who) Who {
		if w.Any == 0 {
			return w
		}
		var free []Node
		all := ofRole(nodes, w.Any)
		for _, n := range all {
			if !taken[n.ID] {
				free = append(free, n)
			}
		}
		if len(free) == 0 {
			if free = all; len(free) == 0 {
				return w
			}
		}
		n := free[chance.IntN(len(free))]
		taken[n.ID] = true
		return Who{ID: n.ID}
	}
	drawAll := func(ws []Who) (out []Who) {
		for _, w := range ws {
			out = append(out, draw(w))
		}
		return out
	}
	f.Node, f.Link.A, f.Link.B = draw(f.Node), drawAll(f.Link.A), drawAll(f.Link.B)
	return f
}

// Leads puts the leaders of the moment into a fault.
func Leads(f Fault, leader func(wire.Manager) wire.NodeID) Fault {
	put := func(w Who) Who {
		if w.Leader != 0 {
			return Who{ID: leader(w.Leader)}
		}
		return w
	}
	putAll := func(ws []Who) (out []Who) {
		for _, w := range ws {
			out = append(out, put(w))
		}
		return out
	}
	f.Node, f.Link.A, f.Link.B = put(f.Node), putAll(f.Link.A), putAll(f.Link.B)
	return f
}

// HasLeader reports whether a fault names a leader.
func (f *Fault) HasLeader() bool {
	for _, w := range f.who() {
		if w.Leader != 0 {
			return true
		}
	}
	return false
}

// Pair is a direction between two components.
type Pair struct{ From, To wire.NodeID }

// Pairs are the directions that a fault of the network is about, in order. The fault names components only: see Resolve and Leads.
func (f *Fault) Pairs(nodes []Node) (out []Pair) {
	if f.Link.Everywhere() {
		for _, a := range nodes {
			for _, b := range nodes {
				if a.ID != b.ID {
					out = append(out, Pair{a.ID, b.ID})
				}
			}
		}
		return out
	}
	a, b := ids(f.Link.A, f.Link.B, nodes), ids(f.Link.B, f.Link.A, nodes)
	for _, x := range a {
		for _, y := range b {
			if x == y {
				continue
			}
			out = append(out, Pair{x, y})
			if !f.Link.OneWay {
				out = append(out, Pair{y, x})
			}
		}
	}
	return out
}

// ids are the components of a side.
func ids(ws, other []Who, nodes []Node) (out []wire.NodeID) {
	if !ws[0].All {
		for _, w := range ws {
			out = append(out, w.ID)
		}
		return out
	}
	not := map[wire.NodeID]bool{}
	for _, w := range other {
		not[w.ID] = true
	}
	for _, n := range nodes {
		if !not[n.ID] {
			out = append(out, n.ID)
		}
	}
	return out
}
